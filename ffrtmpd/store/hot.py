"""The statements of the hot path, constant, so that SQLite prepares each once.

The state of a head is a literal: with a bound value the planner cannot know that the partial index serves.
"""

from functools import cache
from typing import Final

from ffrtmpd.store.records import JOB_COLUMNS

_COLUMNS: Final = ", ".join(JOB_COLUMNS)
_NEW_COLUMNS: Final = (
    "key, digest, spec_json, encode_json, requires, rank, queue, priority, scenario, state, max_attempts, "
    "created_at, due_at, reason, state_at, attempt, losses, failures"
)

# Every name put into these texts is a constant of this program.
GET_JOB: Final = f"SELECT {_COLUMNS} FROM jobs WHERE seq = ?"  # noqa: S608
GET_JOB_BY_KEY: Final = f"SELECT {_COLUMNS} FROM jobs WHERE key = ?"  # noqa: S608
ADD_JOB: Final = (
    f"INSERT INTO jobs ({_NEW_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0) "  # noqa: S608
    f"ON CONFLICT (key) DO NOTHING RETURNING {_COLUMNS}"
)
ADD_AUDIT: Final = (
    "INSERT INTO audit (job_seq, at, from_state, to_state, event, who, why, attempt, node_id) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
HEADS: Final = "SELECT seq, rank FROM jobs WHERE requires = ? AND state = 'queued' ORDER BY rank, seq LIMIT ?"

ADD_FIGURE: Final = (
    "INSERT INTO figures (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
)
GET_FIGURES: Final = "SELECT name, value FROM figures"

GET_FACT: Final = "SELECT value FROM meta WHERE name = ?"
PUT_FACT: Final = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


@cache
def set_job(columns: tuple[str, ...]) -> str:
    """Return the guarded write of ``columns``; behind their values come seq, state and attempt.

    There are about as many sets of columns as there are events, so the cache stays small.
    """
    assigned = ", ".join(f"{name} = ?" for name in columns)
    return f"UPDATE jobs SET {assigned} WHERE seq = ? AND state = ? AND attempt = ?"  # noqa: S608

"""The statements of the hot path, constant, so that SQLite prepares each once.

The state of a head is a literal: with a bound value the planner cannot know that the partial index serves.
"""

from functools import cache
from typing import Final

from ffrtmpd.store.records import JOB_COLUMNS

# The columns that change; those before them are as submitted.
CHANGING: Final = range(JOB_COLUMNS.index("state"), len(JOB_COLUMNS))
_COLUMNS: Final = ", ".join(JOB_COLUMNS)

# Every name put into these texts is a constant of this program.
GET_JOB: Final = f"SELECT {_COLUMNS} FROM jobs WHERE seq = ?"  # noqa: S608
GET_JOBS: Final = f"SELECT {_COLUMNS} FROM jobs WHERE seq IN (SELECT value FROM json_each(?))"  # noqa: S608
KNOWN_KEY: Final = "SELECT key, seq FROM jobs WHERE key = ?"
KNOWN_KEYS: Final = "SELECT key, seq FROM jobs WHERE key IN (SELECT value FROM json_each(?))"
LAST_NUMBER: Final = "SELECT seq FROM sqlite_sequence WHERE name = 'jobs'"
_AUDIT: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
ADD_AUDIT: Final = (
    f"INSERT INTO audit (job_seq, at, from_state, to_state, event, who, why, attempt, node_id) VALUES {_AUDIT}"  # noqa: S608
)
# A job leaves four: many at once take three quarters of the time.
AUDITS: Final = 16
ADD_AUDITS: Final = ADD_AUDIT + f", {_AUDIT}" * (AUDITS - 1)
HEADS: Final = "SELECT rank, seq FROM jobs WHERE requires = ? AND state = 'queued' ORDER BY rank, seq LIMIT ?"

# A turn counts some ten: together they take half of the time.
FIGURES: Final = 16
GET_FIGURES: Final = "SELECT name, value FROM figures"


@cache
def add_figures(count: int) -> str:
    """Return the statement that counts so many figures up, ``FIGURES`` at most; one that is not there begins at 0."""
    marks = ", ".join(["(?, ?)"] * count)
    return (
        f"INSERT INTO figures (name, value) VALUES {marks} "  # noqa: S608
        "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
    )


@cache
def add_job(places: tuple[int, ...]) -> str:
    """Return the statement that adds a job with these columns, by their places; the others are NULL."""
    names = ", ".join(JOB_COLUMNS[place] for place in places)
    marks = ", ".join("?" for _ in places)
    return f"INSERT INTO jobs ({names}) VALUES ({marks})"  # noqa: S608


@cache
def set_job(places: tuple[int, ...]) -> str:
    """Return the statement that sets these columns, by their places; moves of a kind set the same ones.

    Behind the columns come number, state and attempt, as they were before.
    """
    changed = ", ".join(f"{JOB_COLUMNS[place]} = ?" for place in places)
    return f"UPDATE jobs SET {changed} WHERE seq = ? AND state = ? AND attempt = ?"  # noqa: S608


GET_FACT: Final = "SELECT value FROM meta WHERE name = ?"
PUT_FACT: Final = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"

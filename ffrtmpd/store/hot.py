"""The statements of the hot path, constant, so that SQLite prepares each once.

The state of a head is a literal: with a bound value the planner cannot know that the partial index serves.
"""

from collections.abc import Collection
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
HEADS: Final = "SELECT rank, seq FROM jobs WHERE requires = ? AND state = 'queued' ORDER BY rank, seq LIMIT ?"

GET_FIGURES: Final = "SELECT name, value FROM figures"


# New rows a statement: the more, the less of the call is each one's. Few go into one, many into some of these sizes: so
# there are not too many statements to prepare.
ROWS_FEW: Final = 16
ROWS_MANY: Final = (256, 64, ROWS_FEW)
_AUDIT: Final = ("job_seq", "at", "from_state", "to_state", "event", "who", "why", "attempt", "node_id")


@cache
def add_audit(rows: int) -> str:
    """Return the statement that adds so many audit rows."""
    return _insert("audit", _AUDIT, rows)


@cache
def add_figures(rows: int) -> str:
    """Return the statement that counts so many figures up; one that is not there begins at 0."""
    counted = "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
    return f"{_insert('figures', ('name', 'value'), rows)} {counted}"


@cache
def add_jobs(places: tuple[int, ...], rows: int) -> str:
    """Return the statement that adds so many jobs with these columns, by their places; the others are NULL."""
    return _insert("jobs", [JOB_COLUMNS[place] for place in places], rows)


@cache
def set_jobs(places: tuple[int, ...]) -> str:
    """Return the statement that sets these columns of a job, by their places; moves of a kind set the same ones.

    Behind the columns come number, state and attempt, as they were before.
    """
    changed = ", ".join(f"{JOB_COLUMNS[place]} = ?" for place in places)
    return f"UPDATE jobs SET {changed} WHERE seq = ? AND state = ? AND attempt = ?"  # noqa: S608


def _insert(table: str, names: Collection[str], rows: int) -> str:
    row = f"({', '.join('?' * len(names))})"
    # A turn in which a write fails is undone whole. Could one statement be undone alone, SQLite would copy each page to
    # a file of its own before that statement changes it: more writes than the turn itself has.
    return f"INSERT OR ROLLBACK INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * rows)}"  # noqa: S608


GET_FACT: Final = "SELECT value FROM meta WHERE name = ?"
PUT_FACT: Final = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"

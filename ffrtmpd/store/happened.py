"""What happened, in one order: the audit rows of jobs, and of nodes and keys as rows of no job."""

from collections.abc import Sequence
from typing import Any, Final

from ffrtmpd.store.records import job_id, parse_job_ref
from ffrtmpd.store.windows import Read
from ffrtmpd.wire.messages.overview import Event
from ffrtmpd.wire.vocabulary import JobState

# The number of no job: theirs begin with 1.
NO_JOB: Final = 0
# A filter that few rows fit looks at no more than so many.
LOOK_MAX: Final = 10_000

_COLUMNS: Final = "id, job_seq, at, from_state, to_state, event, who, why, attempt, node_id"
LAST: Final = "SELECT MAX(id) FROM audit"
# Every name put into these texts is a constant of this program.
_AFTER: Final = f"SELECT {_COLUMNS} FROM audit WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608
_NEWEST: Final = f"SELECT {_COLUMNS} FROM audit ORDER BY id DESC LIMIT ?"  # noqa: S608
OF_JOB_AFTER: Final = f"SELECT {_COLUMNS} FROM audit WHERE job_seq = ? AND id > ? ORDER BY id LIMIT ?"  # noqa: S608
OF_JOB_NEWEST: Final = f"SELECT {_COLUMNS} FROM audit WHERE job_seq = ? ORDER BY id DESC LIMIT ?"  # noqa: S608
_OF_NODE: Final = f"SELECT {_COLUMNS} FROM audit WHERE id > ? AND id <= ? AND node_id = ? ORDER BY id"  # noqa: S608
OF_NODE_AFTER: Final = f"{_OF_NODE} LIMIT ?"
OF_NODE_NEWEST: Final = f"{_OF_NODE} DESC LIMIT ?"


def last(read: Read) -> int:
    """Return the number of the newest row, 0 if there is none."""
    return int(read(LAST, ())[0][0] or 0)


def after(read: Read, since: int, *, job: str | None, node_id: str | None, limit: int) -> tuple[list[Event], int]:
    """Return the rows behind ``since``, oldest first, ``limit`` at most, and the number of the last one looked at."""
    end = last(read)
    if job is not None:
        rows = read(OF_JOB_AFTER, (_seq(job), since, limit))
    elif node_id is not None:
        end = min(end, since + LOOK_MAX)
        rows = read(OF_NODE_AFTER, (since, end, node_id, limit))
    else:
        rows = read(_AFTER, (since, limit))
    looked = rows[-1][0] if len(rows) == limit else end
    return _events(rows, node_id), looked


def newest(read: Read, *, job: str | None, node_id: str | None, limit: int) -> list[Event]:
    """Return the last rows, oldest first, ``limit`` at most."""
    if job is not None:
        rows = read(OF_JOB_NEWEST, (_seq(job), limit))
    elif node_id is not None:
        end = last(read)
        rows = read(OF_NODE_NEWEST, (end - LOOK_MAX, end, node_id, limit))
    else:
        rows = read(_NEWEST, (limit,))
    return _events(rows[::-1], node_id)


def _seq(job: str) -> int:
    # What names no job has no rows; rows of no job belong to none.
    return parse_job_ref(job) or -1


def _events(rows: Sequence[tuple[Any, ...]], node_id: str | None) -> list[Event]:
    return [_event(row) for row in rows if node_id is None or row[-1] == node_id]


def _event(row: tuple[Any, ...]) -> Event:
    number, seq, at, from_state, to_state, event, who, why, attempt, node_id = row
    return Event(
        number=number,
        at=at,
        event=event,
        job_id=None if seq == NO_JOB else job_id(seq),
        node_id=node_id,
        from_state=None if from_state is None else JobState(from_state),
        to_state=JobState(to_state) if to_state else None,
        attempt=attempt,
        who=who,
        why=why,
    )

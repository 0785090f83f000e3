"""What has been kept long enough goes, a little at a time."""

import json
from dataclasses import dataclass
from typing import Any, Final

from ffrtmpd.store.turn import Turn
from ffrtmpd.wire.vocabulary import JobState, Priority, Queue

# Of one step, so that no turn is held up: a few milliseconds.
JOBS_MAX: Final = 25
AUDIT_MAX: Final = 500

# The newest audit row stays whatever its age, or its number would be given again; and so does its job.
OLDEST: Final = (
    "SELECT seq, queue, priority FROM jobs WHERE state = ? AND finished_at < ? "
    "AND seq <> (SELECT job_seq FROM audit ORDER BY id DESC LIMIT 1) ORDER BY finished_at LIMIT ?"
)
DROP_AUDIT: Final = (
    "DELETE FROM audit WHERE id IN "
    "(SELECT id FROM audit WHERE job_seq IN (SELECT value FROM json_each(?)) ORDER BY job_seq, id LIMIT ?)"
)
DROP_JOBS: Final = "DELETE FROM jobs WHERE seq IN (SELECT value FROM json_each(?))"
OLDEST_EVENT: Final = "SELECT at FROM audit WHERE job_seq = 0 ORDER BY id LIMIT 1"
# Rows of no job, oldest first; no more are looked at than may go.
DROP_EVENTS: Final = (
    "DELETE FROM audit WHERE id IN "
    "(SELECT id FROM (SELECT id, at FROM audit WHERE job_seq = 0 ORDER BY id LIMIT ?) "
    "WHERE at < ? AND id < (SELECT MAX(id) FROM audit))"
)


@dataclass(frozen=True, slots=True)
class Purged:
    """The jobs that one step removed: number, and where they were counted. ``more``: there may be more to remove."""

    jobs: tuple[tuple[int, tuple[JobState, Queue, Priority]], ...] = ()
    more: bool = False


def purge_jobs(turn: Turn, state: JobState, before: float) -> Purged:
    """Remove the jobs in ``state``, a final one, that finished before then (Unix seconds), with their history.

    At most ``JOBS_MAX`` jobs and ``AUDIT_MAX`` rows of history go; a job goes after the last row of its history.
    """
    found: list[tuple[Any, ...]] = turn.read(OLDEST, (state.value, before, JOBS_MAX))
    if not found:
        return Purged()
    seqs = json.dumps([seq for seq, _, _ in found])
    if turn.write(DROP_AUDIT, (seqs, AUDIT_MAX)).rowcount == AUDIT_MAX:
        return Purged(more=True)
    turn.write(DROP_JOBS, (seqs,))
    gone = tuple((seq, (state, Queue(queue), Priority(priority))) for seq, queue, priority in found)
    return Purged(jobs=gone, more=len(gone) == JOBS_MAX)


def purge_events(turn: Turn, before: float) -> int:
    """Remove what happened to nodes and keys before then (Unix seconds), and return how many rows went.

    That are ``AUDIT_MAX`` at most.
    """
    oldest = turn.read(OLDEST_EVENT)
    if not oldest or oldest[0][0] >= before:
        # So nothing is written, and no commit is needed.
        return 0
    return turn.write(DROP_EVENTS, (AUDIT_MAX, before)).rowcount

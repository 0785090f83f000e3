"""Jobs that ended, by when they did: a walk along their index that looks at a bounded number and says where it stopped.

An index run for each wanted state is sorted already; the runs are merged, and what the index does not answer is asked
of the jobs on the way.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from ffrtmpd.store.search import LOOK_MAX, Search, those_that_fit
from ffrtmpd.store.windows import Read
from ffrtmpd.wire.vocabulary import TERMINAL_STATES

_STEP: Final = 1_000
# Behind every moment, and before it.
_END_S: Final = 1e300

LAST_OF: Final = (
    "SELECT finished_at, seq FROM jobs WHERE state = ? AND finished_at <= ? AND (finished_at < ? OR seq < ?) "
    "ORDER BY finished_at DESC, seq DESC LIMIT ?"
)
FIRST_OF: Final = (
    "SELECT finished_at, seq FROM jobs WHERE state = ? AND finished_at >= ? AND (finished_at > ? OR seq < ?) "
    "ORDER BY finished_at, seq DESC LIMIT ?"
)


class Edge(NamedTuple):
    """Where a walk stands: just behind the job with this end (Unix seconds) and number."""

    finished_at: float
    seq: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Jobs that ended, in order, and where to go on; None: nothing is left to look at."""

    jobs: list[Edge]
    edge: Edge | None


def find(read: Read, search: Search, *, limit: int, edge: Edge | None, descending: bool) -> Ended:
    """Return the next jobs that fit behind ``edge``, after looking at ``LOOK_MAX`` at most.

    Args:
        read: runs a statement.
        search: what is asked of them; its states are terminal ones.
        limit: jobs at most.
        edge: where the window before ended; None: from the beginning.
        descending: those that ended last first; jobs of one moment stand newest first either way.
    """
    states = sorted(set(search.states) & TERMINAL_STATES if search.states else TERMINAL_STATES)
    at = edge or (Edge(_END_S, 0) if descending else Edge(-_END_S, 0))
    # Without a condition all that is looked at fits.
    step = limit + 1 if search == Search(states=search.states) else max(_STEP, limit + 1)
    found: list[Edge] = []
    looked = 0
    while True:
        seen = _step(read, [state.value for state in states], at, step, descending=descending)
        looked += len(seen)
        kept = those_that_fit(read, search, [job.seq for job in seen])
        found += [job for job in seen if job.seq in kept]
        if len(found) > limit:
            return Ended(found[:limit], found[limit - 1])
        if len(seen) < step:
            return Ended(found, None)
        at = seen[-1]
        if looked >= LOOK_MAX:
            return Ended(found, at)


def _step(read: Read, states: Sequence[str], at: Edge, limit: int, *, descending: bool) -> list[Edge]:
    statement = LAST_OF if descending else FIRST_OF
    runs = [
        [Edge(*row) for row in read(statement, (state, at.finished_at, at.finished_at, at.seq, limit))]
        for state in states
    ]
    if descending:
        merged = heapq.merge(*runs, reverse=True)
    else:
        merged = heapq.merge(*runs, key=lambda job: (job.finished_at, -job.seq))
    return list(islice(merged, limit))

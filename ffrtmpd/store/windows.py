"""A window of the jobs, read from indexes alone: no filter, however few match, reads the whole table."""

import heapq
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

from ffrtmpd.wire.schema import INT_MAX
from ffrtmpd.wire.vocabulary import JobState, Queue

Read = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

# The numbers of one run of an index, between two bounds that are not part of the window.
OLDEST: Final = "SELECT seq FROM jobs WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?"
NEWEST: Final = "SELECT seq FROM jobs WHERE seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?"
OLDEST_OF: Final = "SELECT seq FROM jobs WHERE state = ? AND queue = ? AND seq > ? AND seq < ? ORDER BY seq LIMIT ?"
NEWEST_OF: Final = (
    "SELECT seq FROM jobs WHERE state = ? AND queue = ? AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?"
)
OLDEST_OF_NODE: Final = (
    "SELECT seq FROM jobs WHERE node_id = ? AND state = ? AND queue = ? AND seq > ? AND seq < ? ORDER BY seq LIMIT ?"
)
NEWEST_OF_NODE: Final = (
    "SELECT seq FROM jobs WHERE node_id = ? AND state = ? AND queue = ? AND seq > ? AND seq < ? "
    "ORDER BY seq DESC LIMIT ?"
)


def find(
    read: Read,
    *,
    states: Sequence[JobState],
    queues: Sequence[Queue],
    node_id: str | None,
    limit: int,
    bounds: tuple[int | None, int | None],
    oldest_first: bool,
) -> list[int]:
    """Return the numbers of the jobs in a window.

    One run of an index for each wanted state and queue is sorted already and cut at ``limit``; the runs are merged.

    Args:
        read: runs a statement.
        states: only these; none: all.
        queues: only these; none: all.
        node_id: only jobs of this node; None: all.
        limit: jobs at most.
        bounds: numbers just before and just behind the window; None: no bound.
        oldest_first: else newest first.
    """
    after, before = bounds
    window = (0 if after is None else after, INT_MAX if before is None else before, limit)
    if node_id is None and not states and not queues:
        runs = [read(OLDEST if oldest_first else NEWEST, window)]
    else:
        of_any, of_node = (OLDEST_OF, OLDEST_OF_NODE) if oldest_first else (NEWEST_OF, NEWEST_OF_NODE)
        statement, start = (of_any, ()) if node_id is None else (of_node, (node_id,))
        runs = [
            read(statement, (*start, state.value, queue.value, *window))
            for state in set(states or JobState)
            for queue in set(queues or Queue)
        ]
    return [seq for (seq,) in islice(heapq.merge(*runs, reverse=not oldest_first), limit)]

"""Keys by a rank that changes often, of which only the first is asked for."""

import heapq
from collections.abc import Hashable
from typing import Any, Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

# Places that outdated entries may take beyond those of the living ones.
SPARE: Final = 64


class Ranking(Generic[K, R]):
    """One rank a key, the smallest first; of equal ones that which was set first.

    Setting and dropping leave the old entry in the heap, to be passed over when it comes to the top.
    """

    def __init__(self) -> None:
        self._entries: dict[K, tuple[Any, int, K]] = {}
        self._heap: list[tuple[Any, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def set(self, key: K, rank: R) -> None:
        """Give ``key`` a rank, in place of any it had."""
        self._count += 1
        entry = self._entries[key] = (rank, self._count, key)
        if len(self._heap) >= 2 * len(self._entries) + SPARE:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, entry)

    def drop(self, key: K) -> None:
        """Forget ``key``; a key that is not there is no error."""
        self._entries.pop(key, None)

    def rank(self, key: K) -> R | None:
        """Return the rank of ``key``, None if it has none."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def first(self) -> tuple[R, K] | None:
        """Return the smallest rank and its key, None when there is none."""
        while self._heap and self._entries.get(self._heap[0][2]) is not self._heap[0]:
            heapq.heappop(self._heap)
        if not self._heap:
            return None
        rank, _, key = self._heap[0]
        return rank, key

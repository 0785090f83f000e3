"""Moments to wake up at, by name."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """One moment a key, in monotonic seconds. Setting a key again moves its moment."""

    def __init__(self) -> None:
        self._moments: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def set(self, key: K, when_s: float) -> None:
        """Wake at ``when_s`` for ``key``."""
        self._moments[key] = when_s
        self._count += 1
        heapq.heappush(self._heap, (when_s, self._count, key))

    def drop(self, key: K) -> None:
        """Forget ``key``; a key that is not there is no error."""
        self._moments.pop(key, None)

    def next(self) -> float | None:
        """Return the earliest moment, None when there is none."""
        while self._heap and self._moments.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now_s: float) -> list[K]:
        """Return the keys whose moment has come, earliest first, and forget them."""
        found = []
        while (when := self.next()) is not None and when <= now_s:
            _, _, key = heapq.heappop(self._heap)
            if self._moments.pop(key, None) is not None:
                found.append(key)
        return found

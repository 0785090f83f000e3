"""Moments to wake up at, by name."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from ffrtmpd.ranking import Ranking

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """One moment a key, in monotonic seconds. Setting a key again moves its moment."""

    def __init__(self) -> None:
        self._moments: Ranking[K, float] = Ranking()

    def set(self, key: K, when_s: float) -> None:
        """Wake at ``when_s`` for ``key``."""
        self._moments.set(key, when_s)

    def hasten(self, key: K, when_s: float) -> None:
        """Wake at ``when_s`` for ``key``, unless it wakes earlier already."""
        moment = self._moments.rank(key)
        if moment is None or when_s < moment:
            self._moments.set(key, when_s)

    def drop(self, key: K) -> None:
        """Forget ``key``; a key that is not there is no error."""
        self._moments.drop(key)

    def next(self) -> float | None:
        """Return the earliest moment, None when there is none."""
        first = self._moments.first()
        return None if first is None else first[0]

    def due(self, now_s: float) -> list[K]:
        """Return the keys whose moment has come, earliest first, and forget them."""
        found = []
        while (first := self._moments.first()) is not None and first[0] <= now_s:
            self._moments.drop(first[1])
            found.append(first[1])
        return found

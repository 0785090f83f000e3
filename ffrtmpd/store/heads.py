"""The first queued jobs of each requirement class, in memory as far as they were asked for."""

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Final

from ffrtmpd.store.records import Head

# Read at once: enough for a burst of free slots, few enough to be read in a few milliseconds.
READ: Final = 256
# Kept of one class; what comes behind is on disk.
KEPT: Final = 1_024

# Takes a class and a limit and returns its first jobs in the order of work.
Reader = Callable[[str, int], list[Head]]


class _Window:
    """The first jobs of a class. ``whole``: there are no others."""

    __slots__ = ("entries", "whole")

    def __init__(self, entries: list[Head], *, whole: bool) -> None:
        self.entries, self.whole = entries, whole


class Heads:
    """Windows on the queues, kept in step with every job that comes and goes.

    Args:
        read: reads the first jobs of a class from the disk.
    """

    def __init__(self, read: Reader) -> None:
        self._read = read
        self._windows: dict[str, _Window] = {}

    def clear(self) -> None:
        """Forget all, since what memory holds may not be what is on disk."""
        self._windows.clear()

    def first(self, requires: str, limit: int) -> list[Head]:
        """Return the next ``limit`` jobs of a class, in the order of work."""
        window = self._windows.get(requires)
        if window is None or not (window.whole or len(window.entries) >= limit):
            wanted = max(READ, limit)
            found = self._read(requires, wanted)
            window = self._windows[requires] = _Window(found, whole=len(found) < wanted)
        return window.entries[:limit]

    def entered(self, requires: str, entry: Head) -> None:
        """A job is queued now."""
        window = self._windows.get(requires)
        if window is None or not (window.whole or (window.entries and entry < window.entries[-1])):
            return
        insort(window.entries, entry)
        if len(window.entries) > KEPT:
            del window.entries[KEPT // 2 :]
            window.whole = False

    def left(self, requires: str, entry: Head) -> None:
        """A job is queued no more."""
        window = self._windows.get(requires)
        if window is None:
            return
        place = bisect_left(window.entries, entry)
        if place < len(window.entries) and window.entries[place] == entry:
            del window.entries[place]

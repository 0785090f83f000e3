"""How many jobs of each queue ended in the last hour, by the minute. Memory only, and always the same little."""

from collections import Counter
from typing import Final

from ffrtmpd.wire.vocabulary import JobState, Queue

HOUR_S: Final = 3_600.0
_MINUTE_S: Final = 60.0
_COUNTED: Final = frozenset({JobState.COMPLETED, JobState.FAILED})

_Cell = tuple[Queue, JobState]


class Hour:
    """Jobs that ended. Times are monotonic seconds; what a turn noted counts for good once the turn is kept."""

    def __init__(self) -> None:
        self._minutes: dict[int, Counter[_Cell]] = {}
        self._noted: list[tuple[int, _Cell]] = []

    def note(self, queue: Queue, state: JobState, now_s: float) -> None:
        """Count a job that has come into ``state``, if that is one to count."""
        if state in _COUNTED:
            self._noted.append((int(now_s // _MINUTE_S), (queue, state)))

    def keep(self) -> None:
        """Count for good what was noted, and forget what is older than an hour."""
        if not self._noted:
            return
        for minute, cell in self._noted:
            self._minutes.setdefault(minute, Counter())[cell] += 1
        first = self._noted[-1][0] - int(HOUR_S // _MINUTE_S)
        self._minutes = {minute: cells for minute, cells in self._minutes.items() if minute > first}
        self._noted.clear()

    def forget(self) -> None:
        """Drop what was noted by a turn that was not kept."""
        self._noted.clear()

    def count(self, queue: Queue, state: JobState, now_s: float) -> int:
        """Return how many ended so within the last hour."""
        first = int(now_s // _MINUTE_S) - int(HOUR_S // _MINUTE_S)
        kept = sum(cells[queue, state] for minute, cells in self._minutes.items() if minute > first)
        return kept + sum(cell == (queue, state) for _, cell in self._noted)

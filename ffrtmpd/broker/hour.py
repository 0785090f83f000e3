"""The jobs that ended in the last hour, by the minute: how many, how long they had waited, how good and how dear.

Memory only, and always the same little: times and scores are kept as how often each rounded one was seen.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ffrtmpd.store import JobRow
from ffrtmpd.wire.vocabulary import JobState, Queue

HOUR_S: Final = 3_600.0
_MINUTE_S: Final = 60.0
_COUNTED: Final = frozenset({JobState.COMPLETED, JobState.FAILED})


@dataclass(slots=True)
class _Minute:
    ended: Counter[tuple[Queue, JobState]] = field(default_factory=Counter)
    waits_s: Counter[tuple[Queue, float]] = field(default_factory=Counter)
    vmaf: Counter[float] = field(default_factory=Counter)
    energy_j: float | None = None


class Hour:
    """Jobs that ended. Times are monotonic seconds; what a turn noted counts for good once the turn is kept."""

    def __init__(self) -> None:
        self._minutes: dict[int, _Minute] = {}
        self._noted: list[tuple[int, JobRow]] = []

    def note(self, row: JobRow, now_s: float) -> None:
        """Count a job that has come into its state, if that is one to count."""
        if row.state in _COUNTED:
            self._noted.append((int(now_s // _MINUTE_S), row))

    def keep(self) -> None:
        """Count for good what was noted, and forget what is older than an hour."""
        if not self._noted:
            return
        for minute, row in self._noted:
            _add(self._minutes.setdefault(minute, _Minute()), row)
        first = self._noted[-1][0] - int(HOUR_S // _MINUTE_S)
        self._minutes = {minute: kept for minute, kept in self._minutes.items() if minute > first}
        self._noted.clear()

    def forget(self) -> None:
        """Drop what was noted by a turn that was not kept."""
        self._noted.clear()

    def count(self, queue: Queue, state: JobState, now_s: float) -> int:
        """Return how many ended so within the last hour."""
        return sum(minute.ended[queue, state] for minute in self._within(now_s))

    def wait_p95_s(self, queue: Queue, now_s: float) -> float | None:
        """Return how long 95 of 100 of them had waited at most, to two digits; None without any."""
        seen: Counter[float] = Counter()
        for minute in self._within(now_s):
            for (of_queue, wait_s), jobs in minute.waits_s.items():
                if of_queue is queue:
                    seen[wait_s] += jobs
        return _quantile(seen, 0.95)

    def vmaf_p5(self, now_s: float) -> float | None:
        """Return the VMAF that 95 of 100 of the scored ones reach, to a tenth; None if none was scored."""
        seen: Counter[float] = Counter()
        for minute in self._within(now_s):
            seen.update(minute.vmaf)
        return _quantile(seen, 0.05)

    def energy_j(self, now_s: float) -> float | None:
        """Return the joules that they took; None if none was metered."""
        metered = [minute.energy_j for minute in self._within(now_s) if minute.energy_j is not None]
        return sum(metered) if metered else None

    def _within(self, now_s: float) -> Iterator[_Minute]:
        first = int(now_s // _MINUTE_S) - int(HOUR_S // _MINUTE_S)
        yield from (kept for minute, kept in self._minutes.items() if minute > first)
        if self._noted:
            noted = _Minute()
            for _, row in self._noted:
                _add(noted, row)
            yield noted


def _add(minute: _Minute, row: JobRow) -> None:
    minute.ended[row.queue, row.state] += 1
    minute.waits_s[row.queue, float(f"{row.waited_s:.1e}")] += 1
    if row.vmaf is not None:
        minute.vmaf[round(row.vmaf, 1)] += 1
    if row.energy_j is not None:
        minute.energy_j = (minute.energy_j or 0.0) + row.energy_j


def _quantile(seen: Counter[float], share: float) -> float | None:
    """Return the least value that ``share`` of all do not exceed."""
    needed = share * seen.total()
    for value in sorted(seen):
        needed -= seen[value]
        # Adding and taking away leaves crumbs.
        if needed <= 1e-9:
            return value
    return None

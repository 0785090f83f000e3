"""The jobs that ended in the last hour, by the minute: how many, how long they had waited, how good and how dear.

Memory only, and always the same little: times and scores are kept as how often each rounded one was seen.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import Final, TypeVar

from ffrtmpd.store import JobRow
from ffrtmpd.wire.vocabulary import JobState, Queue

K = TypeVar("K")

HOUR_S: Final = 3_600.0
_MINUTE_S: Final = 60.0
# Rows that wait to be counted are memory.
NOTED_MAX: Final = 256
_KIND: Final = attrgetter("queue", "state")
# Seconds of two digits, from a microsecond to a thousand years, and where one ends and the next begins: to look one up
# takes a third of what rounding does.
_DIGITS: Final = (0.0, *(float(f"{digits}e{power}") for power in range(-7, 10) for digits in range(10, 100)))
_BETWEEN: Final = tuple((one + other) / 2 for one, other in pairwise(_DIGITS))
_COUNTED: Final = frozenset({JobState.COMPLETED, JobState.FAILED})


@dataclass(slots=True)
class _Minute:
    ended: Counter[tuple[Queue, JobState]] = field(default_factory=Counter)
    waits_s: Counter[tuple[Queue, float]] = field(default_factory=Counter)
    vmaf: Counter[float] = field(default_factory=Counter)
    energy_j: float | None = None


class Hour:
    """Jobs that ended. Times are monotonic seconds; what a turn noted counts for good once the turn is kept.

    The sum of the minutes is kept beside them: a question costs the same however many jobs there were.
    """

    def __init__(self) -> None:
        self._minutes: dict[int, _Minute] = {}
        self._sum = _Minute()
        self._noted: list[tuple[int, JobRow]] = []
        # So many of these are kept, and counted when somebody asks or there are many: together they take less.
        self._kept = 0

    def note(self, row: JobRow, now_s: float) -> None:
        """Count a job that has come into its state, if that is one to count."""
        if row.state in _COUNTED:
            self._noted.append((int(now_s // _MINUTE_S), row))

    def keep(self) -> None:
        """Keep for good what was noted."""
        self._kept = len(self._noted)
        if self._kept >= NOTED_MAX:
            self._count_kept()

    def forget(self) -> None:
        """Drop what was noted by a turn that was not kept."""
        del self._noted[self._kept :]

    def _count_kept(self) -> None:
        kept, self._noted = self._noted[: self._kept], self._noted[self._kept :]
        self._kept = 0
        for minute in sorted({minute for minute, _ in kept}):
            known = self._minutes.get(minute)
            if known is None:
                self._expire(minute)
                known = self._minutes[minute] = _Minute()
            _add((known, self._sum), [row for of, row in kept if of == minute])

    def count(self, queue: Queue, state: JobState, now_s: float) -> int:
        """Return how many ended so within the last hour."""
        self._look(now_s)
        noted = sum((row.queue, row.state) == (queue, state) for _, row in self._noted)
        return self._sum.ended[queue, state] + noted

    def wait_p95_s(self, queue: Queue, now_s: float) -> float | None:
        """Return how long 95 of 100 of them had waited at most, to two digits; None without any."""
        self._look(now_s)
        return _quantile({wait_s: jobs for (of, wait_s), jobs in self._sum.waits_s.items() if of is queue}, 0.95)

    def vmaf_p5(self, now_s: float) -> float | None:
        """Return the VMAF that 95 of 100 of the scored ones reach, to a tenth; None if none was scored."""
        self._look(now_s)
        return _quantile(self._sum.vmaf, 0.05)

    def energy_j(self, now_s: float) -> float | None:
        """Return the joules that they took; None if none was metered."""
        self._look(now_s)
        metered = [minute.energy_j for minute in self._minutes.values() if minute.energy_j is not None]
        return sum(metered) if metered else None

    def _look(self, now_s: float) -> None:
        self._count_kept()
        self._expire(int(now_s // _MINUTE_S))

    def _expire(self, now_minute: int) -> None:
        """Forget the minutes that are older than an hour."""
        first = now_minute - int(HOUR_S // _MINUTE_S)
        for minute in [minute for minute in self._minutes if minute <= first]:
            old = self._minutes.pop(minute)
            _take(self._sum.ended, old.ended)
            _take(self._sum.waits_s, old.waits_s)
            _take(self._sum.vmaf, old.vmaf)


def _add(counts: tuple[_Minute, ...], rows: Sequence[JobRow]) -> None:
    ended = Counter(map(_KIND, rows))
    waits_s = Counter([(row.queue, _DIGITS[bisect_left(_BETWEEN, row.waited_s)]) for row in rows])
    vmaf = Counter([round(row.vmaf, 1) for row in rows if row.vmaf is not None])
    metered = [row.energy_j for row in rows if row.energy_j is not None]
    for count in counts:
        count.ended.update(ended)
        count.waits_s.update(waits_s)
        count.vmaf.update(vmaf)
        if metered:
            count.energy_j = (count.energy_j or 0.0) + sum(metered)


def _take(whole: Counter[K], part: Counter[K]) -> None:
    """Take ``part`` out of ``whole``, and what is none any more."""
    for key, number in part.items():
        whole[key] -= number
        if not whole[key]:
            del whole[key]


def _quantile(seen: Mapping[float, int], share: float) -> float | None:
    """Return the least value that ``share`` of all do not exceed."""
    needed = share * sum(seen.values())
    for value in sorted(seen):
        needed -= seen[value]
        # Adding and taking away leaves crumbs.
        if needed <= 1e-9:
            return value
    return None

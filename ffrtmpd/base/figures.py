"""Counters and histograms of what happened, kept as plain numbers by name. Pure.

A figure's name is a text: the metric and the values of its labels, such as ``jobs|completed``. Those of a histogram
have a part more: the number of the bucket, or ``sum``.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

SEPARATOR: Final = "|"
SUM: Final = "sum"
# From a commit to a night's encode, in seconds.
LONG: Final = (
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0,
    43_200.0,
)  # fmt: skip
# Of a turn and its parts, in seconds.
SHORT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Exemplar(NamedTuple):
    """A job that a bucket was counted up for, its value, and when (Unix seconds)."""

    job_id: str
    value: float
    at: float


class Figures:
    """Counts of one process or, given what was ``kept``, of all that came before it too."""

    def __init__(self, kept: Mapping[str, float] | None = None) -> None:
        self.values: dict[str, float] = dict(kept or {})
        self.exemplars: dict[str, Exemplar] = {}
        self._changed: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._seen: dict[tuple[str, ...], Exemplar] = {}

    def count(self, *name: str, by: float = 1.0) -> None:
        """Count a counter up; its name are the metric and the labels."""
        # Put together only when it is taken: until then it may be counted hundreds of times.
        self._changed[name] += by

    def observe(self, metric: str, value: float, *labels: str, bounds: tuple[float, ...] = LONG) -> None:
        """Count ``value`` into its bucket: the first whose upper bound is not below it, or the one beyond all."""
        self._changed[metric, *labels, str(bisect_left(bounds, value))] += 1.0
        self._changed[metric, *labels, SUM] += value

    def observe_all(
        self, metric: str, values: Sequence[float], *labels: str, exemplar: Callable[[int], Exemplar] | None = None
    ) -> None:
        """Count values into buckets of ``LONG``; ``exemplar`` gives that of the value at a place."""
        if not values:
            return
        buckets = [bisect_left(LONG, value) for value in values]
        # Each bucket shows the last.
        for bucket, place in {bucket: place for place, bucket in enumerate(buckets)}.items():
            name = (metric, *labels, str(bucket))
            self._changed[name] += buckets.count(bucket)
            if exemplar is not None:
                self._seen[name] = exemplar(place)
        self._changed[metric, *labels, SUM] += sum(values)

    def take(self) -> dict[str, float]:
        """Make what was counted since the last call part of the values, and return it by name."""
        changed = {SEPARATOR.join(name): by for name, by in self._changed.items()}
        self._changed.clear()
        for name, by in changed.items():
            self.values[name] = self.values.get(name, 0.0) + by
        for bucket, exemplar in self._seen.items():
            self.exemplars[SEPARATOR.join(bucket)] = exemplar
        self._seen.clear()
        return changed

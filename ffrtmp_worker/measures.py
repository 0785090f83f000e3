"""From what was measured of an attempt to the figures of its report. Pure; formulas as in docs/measures.md."""

from dataclasses import dataclass, replace

from ffrtmp_worker.events import Joules
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.measures import Energy


@dataclass(slots=True)
class Spent:
    """Energy of an attempt so far, summed over its children. None: a child ran of which nothing was measured."""

    joules: float | None = 0.0
    scoring_joules: float | None = 0.0
    idle_share_joules: float | None = 0.0
    scope: str | None = None
    method: str | None = None

    def add(self, joules: Joules | None, *, scoring: bool) -> None:
        """Count a child in."""
        marginal_j = None if joules is None else joules.marginal_j
        if scoring:
            self.scoring_joules = _sum(self.scoring_joules, marginal_j)
        else:
            self.joules = _sum(self.joules, marginal_j)
        self.idle_share_joules = _sum(self.idle_share_joules, None if joules is None else joules.idle_share_j)
        if joules is not None:
            self.scope, self.method = joules.scope, joules.method


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def conclude(report: Report, spent: Spent) -> Report:
    """Return ``report`` with the figures that follow from it and from the energy spent."""
    return replace(report, energy=_energy(spent))


def _energy(spent: Spent) -> Energy | None:
    if spent.method is None:
        return None
    return Energy(
        joules=spent.joules,
        scoring_joules=spent.scoring_joules or None,
        idle_share_joules=spent.idle_share_joules,
        scope=spent.scope,
        method=spent.method,
    )

"""Whose joules they are: what meters counted, shared among jobs, other programs and idling. Pure; docs/energy.md.

In an interval of Δt seconds in which a domain took ΔE joules, a job that used the part ``u_i`` of all use ``u``
(processor seconds; for a GPU the utilisation of its units) gets ``max(0, ΔE − P_idle·Δt) · u_i/u``. Other programs get
theirs in the same way, and idling what remains: the three add up to the meter. ``P_idle·Δt`` is told beside it, in
equal parts for the jobs that were not paused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ffrtmp_worker.events import ChildId, Joules

# An account with a larger part of its time unmetered has no figure.
UNMETERED_MOST: Final = 0.05
# Power of a quiet moment says little; that of half a minute is taken for the node's.
QUIET_S: Final = 30.0
# The slowest counters are renewed ten times a second: in a shorter interval they may show nothing of what was taken.
RENEWED_S: Final = 0.1
IDLE_UNKNOWN: Final = "idle unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A part of the machine that is metered by itself: its processors, or one GPU."""

    key: str
    scope: str
    method: str


@dataclass(frozen=True, slots=True)
class Use:
    """Who used a domain in an interval, all in one unit. ``total`` is everybody's, jobs among them."""

    jobs: Mapping[ChildId, float]
    total: float


@dataclass(slots=True)
class Totals:
    """Joules of a domain since the ledger was opened."""

    jobs_j: float = 0.0
    other_j: float = 0.0
    idle_j: float = 0.0

    @property
    def meter_j(self) -> float:
        """All of it."""
        return self.jobs_j + self.other_j + self.idle_j


class IdlePower:
    """What each domain takes when nothing runs: as set, else the lowest mean power of a quiet window.

    Args:
        given_w: watts by domain key, from the settings.
        learnt_w: watts by domain key, from earlier lives.
    """

    def __init__(self, given_w: Mapping[str, float] | None = None, learnt_w: Mapping[str, float] | None = None) -> None:
        self._given_w = dict(given_w or {})
        self.learnt_w = dict(learnt_w or {})
        self._windows: dict[str, tuple[float, float]] = {}

    def of(self, key: str) -> float | None:
        """Return watts, None while they are not known."""
        return self._given_w.get(key, self.learnt_w.get(key))

    def look(self, key: str, seconds: float, joules: float | None, *, quiet: bool) -> bool:
        """Learn from an interval; ``quiet`` if no job and hardly anything else ran. Tell whether a power was learnt."""
        if joules is None or not quiet or key in self._given_w:
            self._windows.pop(key, None)
            return False
        before_s, before_j = self._windows.pop(key, (0.0, 0.0))
        window_s, window_j = before_s + seconds, before_j + joules
        if window_s < QUIET_S:
            self._windows[key] = window_s, window_j
            return False
        watts = window_j / window_s
        # A machine that runs takes something: a counter that stands still has measured nothing.
        if not 0 < watts < self.learnt_w.get(key, float("inf")):
            return False
        self.learnt_w[key] = watts
        return True


@dataclass(slots=True)
class _Account:
    marginal_j: float = 0.0
    idle_share_j: float = 0.0
    metered_s: float = 0.0
    unmetered_s: float = 0.0
    metered: bool = False
    idle_known: bool = True
    paused: bool = False


class Ledger:
    """Accounts of children, and totals of each domain."""

    def __init__(self, domains: Sequence[Domain], idle: IdlePower) -> None:
        self._domains = tuple(domains)
        self._idle = idle
        self._accounts: dict[ChildId, _Account] = {}
        self._owed_j = dict.fromkeys((domain.key for domain in self._domains), 0.0)
        self.totals = {domain.key: Totals() for domain in self._domains}
        self.scope = "+".join(dict.fromkeys(domain.scope for domain in self._domains))
        self.method = "+".join(dict.fromkeys(domain.method for domain in self._domains))

    def begin(self, child: ChildId) -> None:
        """Open an account."""
        self._accounts[child] = _Account()

    def pause(self, child: ChildId, *, paused: bool) -> None:
        """Leave a child out of the shares of idle power, or take it in again. What it uses it pays all the same."""
        if child in self._accounts:
            self._accounts[child].paused = paused

    def spend(self, seconds: float, joules: Mapping[str, float | None], use: Mapping[str, Use | None]) -> None:
        """Book an interval, by domain key. None: not measured in this interval."""
        running = [account for account in self._accounts.values() if not account.paused]
        whole = True
        for domain in self._domains:
            taken_j, used = joules.get(domain.key), use.get(domain.key)
            if taken_j is None or used is None:
                whole = False
            else:
                self._book(domain.key, seconds, taken_j, used, running)
        for account in self._accounts.values():
            account.metered = account.metered or whole
        for account in running:
            if whole:
                account.metered_s += seconds
            else:
                account.unmetered_s += seconds

    def _book(self, key: str, seconds: float, taken_j: float, used: Use, running: Sequence[_Account]) -> None:
        idle_w, totals = self._idle.of(key), self.totals[key]
        # Idling that a counter has not shown yet is paid from its next step, or many short intervals would hide it.
        owed_j = self._owed_j[key] + (idle_w or 0.0) * seconds
        idle_j = min(taken_j, owed_j)
        self._owed_j[key] = min(owed_j - idle_j, (idle_w or 0.0) * RENEWED_S)
        marginal_j = taken_j - idle_j
        shares = {child: amount for child, amount in used.jobs.items() if child in self._accounts}
        jobs = sum(shares.values())
        # Two clocks, of the machine and of the jobs: neither is exact to the millisecond.
        everybody = max(used.total, jobs)
        if everybody <= 0:
            totals.idle_j += taken_j
        else:
            for child, amount in shares.items():
                self._accounts[child].marginal_j += marginal_j * amount / everybody
            totals.jobs_j += marginal_j * jobs / everybody
            totals.other_j += marginal_j * (everybody - jobs) / everybody
            totals.idle_j += idle_j
        for account in running:
            account.idle_share_j += idle_j / len(running)
            account.idle_known = account.idle_known and idle_w is not None

    def end(self, child: ChildId) -> Joules | None:
        """Close an account; None where too much of the child's time was not metered."""
        account = self._accounts.pop(child, None)
        if account is None:
            return None
        all_s = account.metered_s + account.unmetered_s
        if not account.metered or account.unmetered_s > UNMETERED_MOST * all_s:
            return None
        return Joules(
            marginal_j=account.marginal_j,
            idle_share_j=account.idle_share_j if account.idle_known else None,
            scope=self.scope,
            method=self.method if account.idle_known else f"{self.method}, {IDLE_UNKNOWN}",
        )

    def joules_total(self) -> dict[str, float]:
        """Return all joules metered since the start, by scope."""
        found: dict[str, float] = {}
        for domain in self._domains:
            found[domain.scope] = found.get(domain.scope, 0.0) + self.totals[domain.key].meter_j
        return found

"""Looks at meters and at who uses the machine: at each start, end, pause and resume of a child, and between them.

It reads small files of the kernel, some microseconds each, in the daemon's own thread. Without a meter it does nothing.
"""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ffrtmp_worker.energy import Domain, IdlePower, Ledger, Use
from ffrtmp_worker.events import ChildId, Joules
from ffrtmp_worker.meters import Meter, Meters
from ffrtmp_worker.usage import PROC, TICKS_A_SECOND, Tree, Trees, machine_cpu_s
from ffrtmpd.base.logs import Logger

# Between two looks while no job runs: often enough to learn what the node takes then, and to tell its power.
IDLE_EVERY_S: Final = 10.0
# Part of the interval by which a look may come early.
SOON: Final = 0.25
# A node counts as quiet below this busy share of its processors.
QUIET_SHARE: Final = 0.05
# Watts are told over at least this time: shorter ones show the steps of the counter.
POWER_LEAST_S: Final = 1.0
# Looks in a row that a meter may miss before it is written about.
MISSED: Final = 3


class Group(Protocol):
    """A control group, as far as it is read here."""

    def cpu_s(self) -> float | None:
        """Return the processor seconds of all that ever ran inside."""

    def pids(self) -> set[int]:
        """Return the processes inside."""


@dataclass(slots=True)
class _Job:
    pid: int
    group: Group | None
    tree: Tree
    cpu_s: float = 0.0
    booked_s: float = 0.0
    settled: bool = False


class Sampler:
    """Meters children from their start to their end.

    Args:
        meters: what there is.
        idle_w: what the processors take when nothing runs, from the settings.
        sample_s: seconds between looks while jobs run.
        memory: file that keeps what was learnt of idle power.
        log: is told when a meter fails and when it is back.
        proc: where the kernel tells of processes.
        machine_s: returns the processor seconds of all programs.
    """

    def __init__(
        self,
        meters: Meters | None = None,
        *,
        idle_w: float | None = None,
        sample_s: float = 1.0,
        memory: Path | None = None,
        log: Logger | None = None,
        proc: Path = PROC,
        machine_s: Callable[[], float | None] | None = None,
    ) -> None:
        self._meters = meters or Meters()
        self._every_s = sample_s
        self._memory = memory
        self._log = log
        self._machine_s = machine_s or (lambda: machine_cpu_s(proc))
        given_w = {} if self._meters.cpu is None or idle_w is None else {self._meters.cpu.domain.key: idle_w}
        self.idle = IdlePower(given_w, _remembered(memory, self._meters.domains))
        self.ledger = Ledger(self._meters.domains, self.idle)
        self._trees = Trees(proc)
        self._jobs: dict[ChildId, _Job] = {}
        self._at: float | None = None
        self._busy_s: float | None = None
        self._ahead_s = 0.0
        self._cpus = os.cpu_count() or 1
        self._read_j: dict[str, float] = {}
        self._missed: dict[str, int] = {}
        self._watts: float | None = None
        self._power_s, self._power_j = 0.0, 0.0

    def begin(self, child: ChildId, pid: int, group: Group | None, now_s: float) -> None:
        """Meter a child that was just started, the leader of its session; ``group`` holds it alone."""
        if self._meters.domains:
            self._sample(now_s)
            self._jobs[child] = _Job(pid, group, self._trees.add(pid))
            self.ledger.begin(child)

    def pause(self, child: ChildId, now_s: float, *, paused: bool) -> None:
        """Its processes were stopped, or go on."""
        if child in self._jobs:
            self._sample(now_s)
            self.ledger.pause(child, paused=paused)

    def settle(self, child: ChildId) -> None:
        """Read for the last time what a child has used: it has ended and will be waited for."""
        job = self._jobs.get(child)
        if job is not None:
            self._look(child)

    def end(self, child: ChildId, cpu_s: float, now_s: float) -> Joules | None:
        """Return what a child took, None if it was not metered. ``cpu_s`` is its processor time as ``wait4`` tells."""
        job = self._jobs.get(child)
        if job is None:
            return None
        job.cpu_s, job.settled = max(job.cpu_s, cpu_s), True
        self._sample(now_s)
        del self._jobs[child]
        self._trees.drop(job.pid)
        return self.ledger.end(child)

    def due_at(self) -> float | None:
        """Return when ``tick`` has something to do; None: never."""
        if not self._meters.domains:
            return None
        return 0.0 if self._at is None else self._at + (self._every_s if self._jobs else IDLE_EVERY_S)

    def tick(self, now_s: float) -> None:
        """Look, if it is time to, or will be soon.

        Whoever calls is awake for something else, such as progress, and to be woken beside a busy encoder costs as much
        as the look.
        """
        due_at = self.due_at()
        if due_at is not None and now_s >= due_at - (SOON * self._every_s if self._jobs else 0.0):
            self._sample(now_s)

    def power_watts(self) -> float | None:
        """Return the mean power of all domains over the last second or more, None if one of them cannot tell."""
        return self._watts

    # ── an interval ───────────────────────────────────────────────────────────────────────────────────────────

    def _sample(self, now_s: float) -> None:
        if self._at is not None and now_s <= self._at:
            return
        seconds = None if self._at is None else now_s - self._at
        self._at = now_s
        joules = {meter.domain.key: self._step(meter, now_s) for meter in self._all()}
        use = self._use()
        if seconds is None:
            return
        self.ledger.spend(seconds, joules, use)
        self._learn(seconds, joules, use)
        self._tell_power(seconds, list(joules.values()))

    def _all(self) -> tuple[Meter, ...]:
        return (*(() if self._meters.cpu is None else (self._meters.cpu,)), *self._meters.gpus)

    def _step(self, meter: Meter, now_s: float) -> float | None:
        key = meter.domain.key
        total_j = meter.read(now_s)
        self._watch(key, failed=total_j is None)
        if total_j is None:
            return None
        before_j, self._read_j[key] = self._read_j.get(key, 0.0), total_j
        return total_j - before_j

    def _watch(self, key: str, *, failed: bool) -> None:
        missed = self._missed.get(key, 0)
        self._missed[key] = missed + 1 if failed else 0
        if self._log is None:
            return
        if failed and missed + 1 == MISSED:
            self._log.warning("energy_meter_lost", meter=key, reason="it cannot be read, or what it counts is absurd")
        elif not failed and missed >= MISSED:
            self._log.info("energy_meter_back", meter=key)

    def _use(self) -> dict[str, Use | None]:
        self._look(*self._jobs)
        use: dict[str, Use | None] = {}
        if self._meters.cpu is not None:
            use[self._meters.cpu.domain.key] = self._cpu_use()
        if self._meters.gpus:
            owners = {pid: child for child, job in self._jobs.items() for pid in job.tree.pids}
            for gpu in self._meters.gpus:
                use[gpu.domain.key] = _shared(gpu.use(), owners)
        return use

    def _look(self, *children: ChildId) -> None:
        """Read what children have used so far."""
        in_groups = {child: _group_cpu_s(self._jobs[child]) for child in children}
        if any(cpu_s is None for cpu_s in in_groups.values()):
            self._trees.look()
        for child, cpu_s in in_groups.items():
            job = self._jobs[child]
            job.cpu_s = max(job.cpu_s, job.tree.cpu_s if cpu_s is None else cpu_s)
            if self._meters.gpus and job.group is not None and not job.settled:
                job.tree.pids |= job.group.pids()

    def _cpu_use(self) -> Use | None:
        jobs: dict[ChildId, float] = {}
        for child, job in self._jobs.items():
            jobs[child] = max(0.0, job.cpu_s - job.booked_s)
            job.booked_s = job.cpu_s
        before_s, self._busy_s = self._busy_s, self._machine_s()
        if before_s is None or self._busy_s is None:
            return None
        # The machine counts in ticks, a control group does not: what is shown late was counted before.
        shown_s = max(0.0, self._busy_s - before_s)
        everybody_s = max(sum(jobs.values()), shown_s - self._ahead_s)
        self._ahead_s = min(self._ahead_s + everybody_s - shown_s, self._cpus / TICKS_A_SECOND)
        return Use(jobs, everybody_s)

    # ── power ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _learn(self, seconds: float, joules: Mapping[str, float | None], use: Mapping[str, Use | None]) -> None:
        cpu_key = None if self._meters.cpu is None else self._meters.cpu.domain.key
        learnt = False
        for key, joules_taken in joules.items():
            used = use[key]
            most = QUIET_SHARE * seconds * self._cpus if key == cpu_key else 0.0
            quiet = not self._jobs and used is not None and used.total <= most
            learnt |= self.idle.look(key, seconds, joules_taken, quiet=quiet)
        if learnt and self._memory is not None:
            _remember(self._memory, self.idle.learnt_w)

    def _tell_power(self, seconds: float, joules: list[float | None]) -> None:
        known = [value for value in joules if value is not None]
        if len(known) < len(joules):
            self._watts, self._power_s, self._power_j = None, 0.0, 0.0
            return
        self._power_s, self._power_j = self._power_s + seconds, self._power_j + sum(known)
        if self._power_s >= POWER_LEAST_S:
            self._watts = round(self._power_j / self._power_s, 3)
            self._power_s, self._power_j = 0.0, 0.0


def _group_cpu_s(job: _Job) -> float | None:
    if job.settled:
        return job.cpu_s
    return None if job.group is None else job.group.cpu_s()


def _shared(found: Mapping[int, float] | None, owners: Mapping[int, ChildId]) -> Use | None:
    if found is None:
        return None
    jobs: dict[ChildId, float] = {}
    for pid, amount in found.items():
        if pid in owners:
            jobs[owners[pid]] = jobs.get(owners[pid], 0.0) + amount
    return Use(jobs, sum(found.values()))


def _remembered(memory: Path | None, domains: tuple[Domain, ...]) -> dict[str, float]:
    """Return what an earlier life learnt of these domains; a file that says something else is as good as none."""
    if memory is None:
        return {}
    try:
        kept = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    keys = {domain.key for domain in domains}
    pairs = kept.items() if isinstance(kept, dict) else ()
    return {key: float(watts) for key, watts in pairs if key in keys and _is_power(watts)}


def _is_power(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _remember(memory: Path, learnt_w: Mapping[str, float]) -> None:
    # It is learnt anew where it cannot be kept.
    with contextlib.suppress(OSError):
        fresh = memory.with_name(memory.name + ".new")
        fresh.write_text(json.dumps(dict(learnt_w), indent=2) + "\n", encoding="utf-8")
        fresh.replace(memory)

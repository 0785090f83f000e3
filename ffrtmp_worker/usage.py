"""Processor time of the machine, and of children with all their descendants, as /proc tells it."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
READ_MAX: Final = 4_096
# Of /proc/stat (proc_stat(5)): user, nice, system, irq, softirq. Guests are in user already.
_BUSY: Final = (1, 2, 3, 6, 7)
_STRANGER: Final = 0


def machine_cpu_s(proc: Path = PROC) -> float | None:
    """Return the processor seconds that all programs have used since the machine was started; None if untold.

    What a hypervisor gave to others is not in it.
    """
    try:
        fields = _read(proc / "stat").split(b"\n", 1)[0].split()
        return sum(int(fields[at]) for at in _BUSY) / TICKS_A_SECOND
    except (OSError, ValueError, IndexError):
        return None


def stat_fields(process: Path) -> list[bytes]:
    """Return what the kernel tells of the process in this folder of /proc, from its state on (proc_pid_stat(5)).

    Raises:
        OSError: it is gone.
    """
    # The name before that may hold anything, blanks and brackets among them.
    return _read(process / "stat").rpartition(b")")[2].split()


@dataclass(slots=True)
class Tree:
    """A child and its descendants: all processor seconds so far, and every process that was ever seen of it."""

    cpu_s: float = 0.0
    pids: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    session: int
    cpu_s: float


class Trees:
    """Who descends from which child.

    A process belongs where its session or its parent does when it is first seen, and stays there. So one that left
    both within one interval counts as a stranger; control groups do better where there are any. What ended counts in
    the one that waited for it (cutime), so that nothing of those between two looks is lost.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._owner: dict[int, int] = {}
        self._trees: dict[int, Tree] = {}

    def add(self, leader: int) -> Tree:
        """Watch a child, the leader of its session."""
        tree = self._trees[leader] = Tree(pids={leader})
        self._owner[leader] = leader
        return tree

    def drop(self, leader: int) -> None:
        """Watch it no more."""
        if self._trees.pop(leader, None) is not None:
            self._owner = {pid: owner for pid, owner in self._owner.items() if owner != leader}

    def look(self) -> None:
        """Read the processor time of all trees."""
        if not self._trees:
            return
        try:
            here = {int(name) for name in os.listdir(self._proc) if name.isdecimal()}  # noqa: PTH208 - three times as fast
        except OSError:
            return
        self._owner = {pid: owner for pid, owner in self._owner.items() if pid in here}
        for pid in sorted(here - self._owner.keys()):
            self._find_owner(pid, here)
        sums = dict.fromkeys(self._trees, 0.0)
        # Leaders and parents first: one that ends just now is missed until the next look, and never counted twice.
        for pid, owner in self._owner.items():
            stat = None if owner == _STRANGER else self._stat(pid)
            if stat is not None:
                sums[owner] += stat.cpu_s
                self._trees[owner].pids.add(pid)
        for leader, cpu_s in sums.items():
            # One that nobody waited for takes its time along.
            self._trees[leader].cpu_s = max(self._trees[leader].cpu_s, cpu_s)

    def _find_owner(self, pid: int, here: Collection[int]) -> int:
        known = self._owner.get(pid)
        if known is not None:
            return known
        # While its line of parents is looked through, and for good if nothing is found.
        self._owner[pid] = _STRANGER
        stat = self._stat(pid)
        if stat is None:
            return _STRANGER
        owner = stat.session if stat.session in self._trees else _STRANGER
        if owner == _STRANGER and stat.parent in here:
            owner = self._find_owner(stat.parent, here)
        self._owner[pid] = owner
        return owner

    def _stat(self, pid: int) -> _Stat | None:
        try:
            fields = stat_fields(self._proc / str(pid))
            ticks = sum(int(fields[at]) for at in (11, 12, 13, 14))
            return _Stat(parent=int(fields[1]), session=int(fields[3]), cpu_s=ticks / TICKS_A_SECOND)
        except (OSError, ValueError, IndexError):
            return None


def _read(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(handle, READ_MAX)
    finally:
        os.close(handle)

"""Control groups: one for each child, with its limits, and what is left of them when the child has ended.

``cgroup_search`` finds out which of them this process may use.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

PERIOD_US: Final = 100_000
# The kernel takes no shorter quota.
QUOTA_LEAST_US: Final = 1_000
# The kernel counts memory in pages, of 64 KiB at most.
PAGE_MOST: Final = 65_536
# The weight of nice 0 on v1, and what one step of nice changes it by (sched(7)).
SHARES: Final = 1_024
NICE_STEP: Final = 1.25
# Memory is asked for in pieces, of 2 MiB at most: the one that finds no room may leave this much.
NEAR_BYTES: Final = 2 << 20
GONE_S: Final = 2.0
LOOK_S: Final = 0.005


class Version(StrEnum):
    """The two interfaces of the kernel."""

    V1 = "cgroup-v1"
    V2 = "cgroup-v2"


class Controller(StrEnum):
    """What can be limited."""

    CPU = "cpu"
    MEMORY = "memory"
    TASKS = "pids"


class OutOfMemory(StrEnum):
    """Who wanted the memory back when the kernel killed a process of a group."""

    LIMIT = "limit"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of one child with all its descendants. None: no limit. ``cpu_cores`` is processor time by wall time."""

    cpu_cores: float | None = None
    memory_bytes: int | None = None
    tasks: int | None = None

    def of(self, controller: Controller) -> float | None:
        """Return the limit that a controller holds."""
        match controller:
            case Controller.CPU:
                return self.cpu_cores
            case Controller.MEMORY:
                return self.memory_bytes
            case Controller.TASKS:
                return self.tasks


@dataclass(frozen=True, slots=True)
class Write:
    """A value for a file of a group. An optional one may fail: old kernels lack the file, or swap accounting is off."""

    file: str
    value: str
    optional: bool = False


def writes(version: Version, controller: Controller, limit: float | None, nice: int) -> tuple[Write, ...]:
    """Return what puts a limit into force, for None what a group is given without one.

    A group has a weight of its own, against which the nice value of a process inside counts for nothing: so the
    group is given the weight of ``nice``. Swap is closed, or it would be memory without a limit.
    """
    always: tuple[Write, ...] = ()
    match version, controller:
        case Version.V1, Controller.CPU:
            always = (Write("cpu.shares", str(max(2, round(SHARES / NICE_STEP**nice))), optional=True),)
        case Version.V2, Controller.CPU:
            always = (Write("cpu.weight.nice", str(nice), optional=True),)
        case Version.V2, Controller.MEMORY:
            # A job that lost one of its processes is no job any more.
            always = (Write("memory.oom.group", "1", optional=True),)
    return always if limit is None else (*_limits(version, controller, limit), *always)


def _limits(version: Version, controller: Controller, limit: float) -> tuple[Write, ...]:
    number = str(int(limit))
    quota = str(max(QUOTA_LEAST_US, round(limit * PERIOD_US)))
    match version, controller:
        case Version.V1, Controller.CPU:
            return Write("cpu.cfs_period_us", str(PERIOD_US)), Write("cpu.cfs_quota_us", quota)
        case Version.V2, Controller.CPU:
            return (Write("cpu.max", f"{quota} {PERIOD_US}"),)
        case Version.V1, Controller.MEMORY:
            swap = Write("memory.memsw.limit_in_bytes", number, optional=True)
            return Write("memory.limit_in_bytes", number), swap
        case Version.V2, Controller.MEMORY:
            return Write("memory.max", number), Write("memory.swap.max", "0", optional=True)
        case _:
            return (Write("pids.max", number),)


class Group:
    """One child's group: a folder for each controller on v1, a single one on v2."""

    def __init__(self, version: Version, folders: Mapping[Controller, Path]) -> None:
        self._version = version
        self._folders = folders
        self._all = tuple(dict.fromkeys(folders.values()))

    @property
    def controllers(self) -> frozenset[Controller]:
        """What is or can be limited here."""
        return frozenset(self._folders)

    def add(self, pid: int) -> None:
        """Move a process in; what it starts from now on is born there.

        Raises:
            OSError: it has ended, or may not be moved.
        """
        for folder in self._all:
            write(folder / "cgroup.procs", str(pid))

    def kill(self) -> None:
        """End every process inside at once; none can escape by forking."""
        with contextlib.suppress(OSError):
            if self._version is Version.V2:
                write(self._all[0] / "cgroup.kill", "1")
                return
        # Before Linux 5.14, and on v1: nobody may be born while those that are there are killed.
        with contextlib.suppress(OSError, KeyError):
            write(self._folders[Controller.TASKS] / "pids.max", "0")
        _kill_all(self._all)

    def cpu_s(self) -> float | None:
        """Return the processor seconds of all that ever ran inside; None where the kernel does not count them here."""
        for folder in self._all:
            if self._version is Version.V2:
                used_us = _numbers(folder / "cpu.stat").get("usage_usec")
                return None if used_us is None else used_us / 1e6
            # There where cpu and cpuacct are one hierarchy.
            used_ns = _number(folder / "cpuacct.usage")
            if used_ns is not None:
                return used_ns / 1e9
        return None

    def pids(self) -> set[int]:
        """Return the processes inside."""
        return set[int]().union(*(pids_of(folder) for folder in self._all))

    def out_of_memory(self) -> OutOfMemory | None:
        """Tell whether the kernel killed a process of the group to get memory, and for whom."""
        folder = self._folders.get(Controller.MEMORY)
        if folder is None:
            return None
        if self._version is Version.V2:
            events = _numbers(folder / "memory.events")
            killed, reached = events.get("oom_kill", 0), events.get("oom", 0) > 0
        else:
            killed = _numbers(folder / "memory.oom_control").get("oom_kill", 0)
            # memory.failcnt would tell, but Linux 6.18 leaves it at 0.
            limit, most = (_number(folder / f"memory.{name}_in_bytes") for name in ("limit", "max_usage"))
            reached = limit is not None and most is not None and most > limit - NEAR_BYTES
        if not killed:
            return None
        return OutOfMemory.LIMIT if reached else OutOfMemory.MACHINE

    def remove(self) -> bool:
        """Remove the group; False while something in it has not ended yet."""
        gone = [remove(folder) for folder in self._all]
        return all(gone)


class Cgroups:
    """The groups that this worker makes.

    Args:
        parents: where a group for each usable controller is made.
        prefix: how their names begin; they belong to this worker and to no other.
    """

    def __init__(self, version: Version, parents: Mapping[Controller, Path], prefix: str) -> None:
        self.version = version
        self.controllers = frozenset(parents)
        self._parents = parents
        self._prefix = prefix
        self._spent: list[Group] = []

    def make(self, name: str, bounds: Bounds, *, nice: int = 0) -> Group:
        """Return a new group under ``bounds``, as far as controllers are usable.

        Raises:
            OSError: it cannot be made, or does not take a limit; nothing of it is left.
        """
        self._spent = [group for group in self._spent if not group.remove()]
        folders: dict[Controller, Path] = {}
        try:
            for controller, parent in self._parents.items():
                limit = bounds.of(controller)
                if limit is None and controller is Controller.CPU and self.version is Version.V1:
                    # Without a limit it would only take the weight of the nice value away.
                    continue
                folder = parent / (self._prefix + name)
                if folder not in folders.values():
                    folder.mkdir()
                folders[controller] = folder
                put(folder, writes(self.version, controller, limit, nice))
        except OSError:
            Group(self.version, folders).remove()
            raise
        return Group(self.version, folders)

    def retire(self, group: Group) -> None:
        """Kill what is in a group and remove it, now or when it is empty."""
        group.kill()
        if not group.remove():
            self._spent.append(group)

    def close(self) -> None:
        """Wait until all retired groups are gone, but not for ever: a process may hang in the kernel."""
        until_s = time.monotonic() + GONE_S
        while self._spent and time.monotonic() < until_s:
            self._spent = [group for group in self._spent if not group.remove()]
            time.sleep(LOOK_S if self._spent else 0)

    def sweep(self) -> int:
        """Remove what an earlier life of this worker left behind, with the processes in it; return how many groups."""
        names = {
            folder.name
            for parent in set(self._parents.values())
            for folder in parent.iterdir()
            if folder.name.startswith(self._prefix)
        }
        for name in names:
            self.retire(Group(self.version, {kind: parent / name for kind, parent in self._parents.items()}))
        self.close()
        return len(names)


def put(folder: Path, values: tuple[Write, ...]) -> None:
    """Write values and read them back.

    Raises:
        OSError: one that is not optional is refused or not kept.
    """
    for value in values:
        with contextlib.suppress(OSError) if value.optional else contextlib.nullcontext():
            write(folder / value.file, value.value)
            if not value.optional and not _same(read(folder / value.file), value.value):
                raise OSError(errno.EINVAL, f"{value.file} does not keep what is written")


def _same(kept: str, asked: str) -> bool:
    """Compare two lines of numbers; the kernel rounds memory down to pages."""
    one, other = kept.split(), asked.split()
    if len(one) != len(other) or not all(word.lstrip("-").isdecimal() for word in one):
        return False
    return all(0 <= int(wanted) - int(found) < PAGE_MOST for found, wanted in zip(one, other, strict=True))


def _kill_all(folders: tuple[Path, ...]) -> None:
    """Kill every process in the groups, again until no new one shows up."""
    killed: set[int] = set()
    for _ in range(8):
        # A process of another namespace is shown as 0, which would mean our own process group.
        found = set[int]().union(*(pids_of(folder) for folder in folders)) - killed - {0, os.getpid()}
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= found


def pids_of(folder: Path) -> set[int]:
    """Return the processes in a group."""
    return {int(word) for word in read(folder / "cgroup.procs").split()}


def _number(path: Path) -> int | None:
    text = read(path).strip()
    return int(text) if text.isdecimal() else None


def _numbers(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def read(path: Path) -> str:
    """Return a file's text, nothing where there is none to read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def write(path: Path, value: str) -> None:
    """Write one line. It must stand already: these files are the kernel's."""
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, value.encode())
    finally:
        os.close(handle)


def remove(folder: Path) -> bool:
    """Remove a group and tell whether it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True

"""What keeps a child within bounds: a control group where one is usable, what the kernel offers without it elsewhere.

Without a control group there is the nice value, and ``RLIMIT_DATA`` for memory: since Linux 4.7 it counts the private
writable memory of one process. ``RLIMIT_AS`` would count what is merely reserved too, and GPU drivers reserve more than
any machine has. ``RLIMIT_NPROC`` counts all processes of the user, other jobs and the worker among them, and nothing
holds root to it: it is no limit of a job and left alone.
"""

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ffrtmp_worker.cgroups import Bounds, Cgroups, Controller, Group, OutOfMemory

NOTE_CHARACTERS: Final = 256
NO_GROUP: Final = "no cgroup is usable here"
_NAMES: Final = {Controller.CPU: "cpu", Controller.MEMORY: "memory", Controller.TASKS: "tasks"}


def size_text(size_bytes: int) -> str:
    """Return a size in the largest unit that it fills: ``2 GiB``, ``1.5 MiB``, ``17 B``."""
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{round(size, 2):g} {unit}"


class Confined:
    """One child and the limits it is under; ``note`` says which are in force."""

    def __init__(self, note: str, bounds: Bounds, cgroups: Cgroups | None = None, group: Group | None = None) -> None:
        self.note = note[:NOTE_CHARACTERS]
        self._bounds = bounds
        self._cgroups = cgroups
        self._group = group

    @property
    def group(self) -> Group | None:
        """The child's control group."""
        return self._group

    def kill(self) -> None:
        """End all that is in the child's group, if it has one."""
        if self._group is not None:
            self._group.kill()

    def end(self) -> str | None:
        """Kill what the child left behind and give the group up; return which limit killed the child, if one did."""
        cgroups, group, self._group = self._cgroups, self._group, None
        if cgroups is None or group is None:
            return None
        cause = group.out_of_memory()
        cgroups.retire(group)
        match cause:
            case OutOfMemory.LIMIT if self._bounds.memory_bytes is not None:
                allowed = size_text(self._bounds.memory_bytes)
                return f"out of memory: it needs more than the {allowed} of limits.memory_bytes"
            case None:
                return None
            case _:
                return "out of memory: killed by the kernel, since this machine has no more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limiter:
    """Puts children under the limits of this node.

    Args:
        bounds: what the settings ask for.
        nice: the least nice value of a child.
        cgroups: what is usable; None without any.
        problems: why a controller is not usable.
    """

    bounds: Bounds = field(default_factory=Bounds)
    nice: int = 0
    cgroups: Cgroups | None = None
    problems: Mapping[Controller, str] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What children will be under."""
        return self._note(self.nice, frozenset() if self.cgroups is None else self.cgroups.controllers, None, data=True)

    def confine(self, pid: int) -> Confined:
        """Put a child that was just started under the limits, as far as they can be put into force.

        A child that has ended already is under none.
        """
        nice = _make_nice(pid, self.nice)
        group, problem = self._group_for(pid, nice)
        inside = frozenset() if group is None else group.controllers
        data = False
        if self.bounds.memory_bytes is not None and Controller.MEMORY not in inside:
            data = _limit_data(pid, self.bounds.memory_bytes)
        return Confined(self._note(nice, inside, problem, data=data), self.bounds, self.cgroups, group)

    def close(self) -> None:
        """Remove the groups of children that have ended."""
        if self.cgroups is not None:
            self.cgroups.close()

    def _group_for(self, pid: int, nice: int) -> tuple[Group | None, str | None]:
        if self.cgroups is None:
            return None, None
        try:
            group = self.cgroups.make(str(pid), self.bounds, nice=nice)
        except OSError as error:
            return None, error.strerror or str(error)
        try:
            group.add(pid)
        except OSError as error:
            self.cgroups.retire(group)
            return None, error.strerror or str(error)
        return group, None

    def _note(self, nice: int, inside: frozenset[Controller], problem: str | None, *, data: bool) -> str:
        """Return such as ``cgroup-v1 cpu=1.5 memory=2GiB tasks=256, nice=5``; ``data``: memory by RLIMIT_DATA."""
        wanted = [controller for controller in Controller if self.bounds.of(controller) is not None]
        held = [controller for controller in wanted if controller in inside]
        parts = []
        if self.cgroups is not None and inside:
            parts.append(" ".join([str(self.cgroups.version), *(self._value(controller) for controller in held)]))
        parts.append(f"nice={nice}")
        lacking = [controller for controller in wanted if controller not in inside]
        replaced = [Controller.MEMORY] if data and Controller.MEMORY in lacking else []
        if replaced:
            parts.append(f"{self._value(Controller.MEMORY)} for each process")
        if lacking != replaced:
            parts.append("no limit of " + " and ".join(_NAMES[it] for it in lacking if it not in replaced))
        text = ", ".join(parts)
        if lacking:
            text += ": " + (problem or (NO_GROUP if self.cgroups is None else self._why(lacking)))
        return text

    def _why(self, lacking: list[Controller]) -> str:
        return "; ".join(dict.fromkeys(self.problems.get(controller, "not usable here") for controller in lacking))

    def _value(self, controller: Controller) -> str:
        limit = self.bounds.of(controller) or 0
        text = size_text(int(limit)) if controller is Controller.MEMORY else f"{limit:g}"
        return f"{_NAMES[controller]}={text.replace(' ', '')}"


def _make_nice(pid: int, nice: int) -> int:
    """Make a process nicer, never less nice than it is; return how nice it is."""
    try:
        before = os.getpriority(os.PRIO_PROCESS, pid)
        if before >= nice:
            return before
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    except (ProcessLookupError, PermissionError):
        return os.getpriority(os.PRIO_PROCESS, 0)
    return nice


def _limit_data(pid: int, limit_bytes: int) -> bool:
    """Limit the memory of one process and of each that it starts; tell whether it worked."""
    try:
        _, most = resource.prlimit(pid, resource.RLIMIT_DATA)
        least = limit_bytes if most == resource.RLIM_INFINITY else min(limit_bytes, most)
        resource.prlimit(pid, resource.RLIMIT_DATA, (least, least))
    except (ProcessLookupError, PermissionError):
        return False
    return True

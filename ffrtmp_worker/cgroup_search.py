"""Which control groups this process may really use.

Nothing is believed that was not tried: a group is made, limits are written and read back, a process is moved in. Only
the subtree of the worker's own group is used, so that a child never leaves the limits that the worker itself is under.

On v2 a group that gives controllers to others may hold no process: the worker moves itself into a group below its own
first, which works where it is alone there, as a systemd service with ``Delegate=yes`` is.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ffrtmp_worker.cgroups import Bounds, Cgroups, Controller, Version, pids_of, put, read, remove, write, writes

PROC: Final = Path("/proc")
# Where the worker itself goes on v2.
LEAF: Final = "ffrtmp-worker"
# Written and read back where the settings name no limit.
PROOF: Final = {Controller.CPU: 1.0, Controller.MEMORY: 1 << 30, Controller.TASKS: 1_024}


@dataclass(frozen=True, slots=True)
class Home:
    """The group that a process is in, as a folder, and the controllers that this hierarchy has."""

    version: Version
    controllers: frozenset[Controller]
    folder: Path


def homes(proc: Path = PROC) -> list[Home]:
    """Return the groups that this process is in, those alone that it can see."""
    mounts = list(_mounts(proc))
    found = []
    for line in read(proc / "self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        version = Version.V2 if number == "0" and not names else Version.V1
        for mounted, options, root, point in mounts:
            if mounted is not version or (version is Version.V1 and not set(names.split(",")) <= options):
                continue
            below = _below(path, root)
            if below is None:
                continue
            folder = point / below
            listed = read(folder / "cgroup.controllers").split() if version is Version.V2 else names.split(",")
            found.append(Home(version, frozenset(kind for kind in Controller if kind in listed), folder))
            break
    return found


def _mounts(proc: Path) -> Iterator[tuple[Version, set[str], str, Path]]:
    """Yield version, controllers, root inside the hierarchy and place of each mount (proc_pid_mountinfo(5))."""
    for line in read(proc / "self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or len(kinds) < 3 or kinds[0] not in ("cgroup", "cgroup2"):
            continue
        version = Version.V2 if kinds[0] == "cgroup2" else Version.V1
        yield version, set(kinds[2].split(",")), _unescaped(fields[3]), Path(_unescaped(fields[4]))


def _below(path: str, root: str) -> str | None:
    """Return ``path`` as seen from a mount that shows ``root`` and what lies below it; None if it is not shown."""
    if root == "/":
        return path.lstrip("/")
    if path == root or path.startswith(root + "/"):
        return path[len(root) :].lstrip("/")
    return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What of the control groups is usable; ``problems`` says of each controller that is not why."""

    cgroups: Cgroups | None
    problems: Mapping[Controller, str]


def find(*, prefix: str, pid: int, bounds: Bounds, proc: Path = PROC) -> Found:
    """Try which control groups this process may use.

    Args:
        prefix: begins the name of every group that is made, now and later.
        pid: a child that is moved to and fro.
        bounds: what will be asked of the groups.
        proc: where the kernel tells of processes.
    """
    best: tuple[Version, dict[Controller, Path]] | None = None
    problems: dict[Controller, str] = dict.fromkeys(Controller, "there is no such controller")
    own = homes(proc)
    for version in (Version.V2, Version.V1):
        usable: dict[Controller, Path] = {}
        for home in own:
            if home.version is not version or not home.controllers:
                continue
            parent, back = home.folder, home.folder
            try:
                if version is Version.V2:
                    parent, back = _delegated(home, pid)
                    parents = dict.fromkeys(_enabled(parent) & home.controllers, parent)
                    problems.update(dict.fromkeys(home.controllers - parents.keys(), "it cannot be given to groups"))
                else:
                    parents = dict.fromkeys(home.controllers, parent)
            except OSError as error:
                problems.update(dict.fromkeys(home.controllers, _why(error)))
                continue
            for controller in sorted(parents):
                try:
                    _prove(version, controller, parent / f"{prefix}proof-{pid}", back=back, pid=pid, bounds=bounds)
                    usable[controller] = parent
                except OSError as error:
                    problems[controller] = _why(error)
        if usable and (best is None or len(usable) > len(best[1])):
            best = version, usable
    if best is None:
        return Found(cgroups=None, problems=problems)
    version, usable = best
    problems = {controller: why for controller, why in problems.items() if controller not in usable}
    return Found(cgroups=Cgroups(version, usable, prefix), problems=problems)


def _delegated(home: Home, pid: int) -> tuple[Path, Path]:
    """Return the v2 group below which groups with controllers can be made, and where processes may stay.

    Raises:
        OSError: it does not give its controllers away.
    """
    folder = home.folder
    if folder.name == LEAF and _enabled(folder.parent):
        return folder.parent, folder
    wanted = home.controllers - _enabled(folder)
    if not wanted:
        return folder, folder
    try:
        _enable(folder, wanted)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
    else:
        return folder, folder
    if pids_of(folder) - {os.getpid(), pid}:
        raise OSError(errno.EBUSY, "other processes are in the worker's own group")
    leaf = folder / LEAF
    leaf.mkdir(exist_ok=True)
    moved = sorted(pids_of(folder))
    try:
        for number in moved:
            write(leaf / "cgroup.procs", str(number))
        _enable(folder, wanted)
    except OSError:
        for number in moved:
            write(folder / "cgroup.procs", str(number))
        remove(leaf)
        raise
    return folder, leaf


def _enabled(folder: Path) -> frozenset[Controller]:
    listed = read(folder / "cgroup.subtree_control").split()
    return frozenset(kind for kind in Controller if kind in listed)


def _enable(folder: Path, wanted: frozenset[Controller]) -> None:
    """Give controllers away to the groups below, as many as the kernel lets.

    Raises:
        OSError: none of them can be given.
    """
    refused: OSError | None = None
    for kind in sorted(wanted):
        try:
            write(folder / "cgroup.subtree_control", f"+{kind}")
        except OSError as error:
            refused = error
    if refused is not None and not wanted & _enabled(folder):
        raise refused


def _prove(version: Version, controller: Controller, folder: Path, *, back: Path, pid: int, bounds: Bounds) -> None:
    """Make a group, limit it, move a process in and out, remove it.

    Raises:
        OSError: one of these does not work.
    """
    limit = bounds.of(controller)
    folder.mkdir(exist_ok=True)
    try:
        put(folder, writes(version, controller, PROOF[controller] if limit is None else limit, 0))
        write(folder / "cgroup.procs", str(pid))
        if pid not in pids_of(folder):
            raise OSError(errno.EPERM, "a process does not stay in a group it was moved to")
    finally:
        with contextlib.suppress(OSError):
            write(back / "cgroup.procs", str(pid))
        remove(folder)


def _why(error: OSError) -> str:
    return error.strerror or str(error)

"""Real control groups, where this machine gives some to this user."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmp_worker.cgroup_search import find, homes
from ffrtmp_worker.cgroups import (
    Bounds,
    Cgroups,
    Controller,
    Group,
    OutOfMemory,
    Version,
    Write,
    pids_of,
    put,
    read,
    writes,
)
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.process import Child, kill_marked
from tests.needs import need
from tests.worker.test_process import ENV, MARKED, Start, ended, gone, line, python, start, until

__all__ = ["start"]
PREFIX = f"ffrtmp-test{os.getpid()}."
MIB = 1 << 20


def usable(bounds: Bounds | None = None) -> Cgroups:
    """Return the groups that this machine gives, with every controller."""
    child = Child(("sleep", "60"), env=ENV, cwd="/", mark="tried")
    try:
        found = find(prefix=PREFIX, pid=child.pid, bounds=bounds or Bounds())
    finally:
        child.close()
    if found.cgroups is None or found.cgroups.controllers != frozenset(Controller):
        need(f"control groups: {found.problems}")
    return found.cgroups


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    made = usable()
    yield made
    made.sweep()
    assert names(made) == set()


def names(cgroups: Cgroups) -> set[str]:
    """Return the groups of this worker that stand."""
    folders = (folder for parent in cgroups._parents.values() for folder in parent.iterdir())
    return {folder.name for folder in folders if folder.name.startswith(PREFIX)}


def confined(cgroups: Cgroups, code: str, bounds: Bounds | None = None, *, mark: str = MARKED) -> Child:
    return Child(
        python(code), env=ENV, cwd="/", mark=mark, limiter=Limiter(bounds=bounds or Bounds(), nice=5, cgroups=cgroups)
    )


def folder_of(child: Child, controller: Controller) -> Path:
    group = child.confined.group
    assert group is not None
    return group._folders[controller]


IDLE = "import time; print('up', flush=True); time.sleep(600)"
FORKS = """
import subprocess, sys
try:
    held = [subprocess.Popen(['sleep', '60']) for _ in range(64)]
except OSError as error:
    sys.exit(error.errno)
"""
EATER = "print('up', flush=True); held = [bytearray(1 << 20) for _ in range(4096)]"


def test_trying_leaves_nothing_and_the_tried_process_where_it_was(cgroups: Cgroups) -> None:
    child = Child(("sleep", "60"), env=ENV, cwd="/", mark="tried")
    try:
        before = Path(f"/proc/{child.pid}/cgroup").read_text()
        assert find(prefix=PREFIX, pid=child.pid, bounds=Bounds()).cgroups is not None
        if cgroups.version is Version.V1:
            assert Path(f"/proc/{child.pid}/cgroup").read_text() == before
    finally:
        child.close()
    assert names(cgroups) == set()


def test_limits_stand_in_the_kernel_and_in_the_note(cgroups: Cgroups) -> None:
    child = confined(cgroups, IDLE, Bounds(cpu_cores=1.5, memory_bytes=256 * MIB, tasks=64))
    try:
        assert line(child) == "up"
        assert child.confined.note == f"{cgroups.version} cpu=1.5 memory=256MiB tasks=64, nice=5"
        assert read(folder_of(child, Controller.TASKS) / "pids.max") == "64\n"
        memory = "memory.max" if cgroups.version is Version.V2 else "memory.limit_in_bytes"
        assert read(folder_of(child, Controller.MEMORY) / memory) == f"{256 * MIB}\n"
        quota = "cpu.max" if cgroups.version is Version.V2 else "cpu.cfs_quota_us"
        assert read(folder_of(child, Controller.CPU) / quota).split()[0] == "150000"
        assert all(child.pid in pids_of(folder_of(child, controller)) for controller in Controller)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 5
    finally:
        child.close()
    cgroups.close()
    assert names(cgroups) == set()


def test_child_that_eats_too_much_memory_is_killed_and_the_limit_is_named(cgroups: Cgroups) -> None:
    child = confined(cgroups, EATER, Bounds(memory_bytes=64 * MIB))
    try:
        end = ended(child, limit_s=30)
    finally:
        child.close()
    assert end.exit_code == -9
    assert end.over_limit == "out of memory: it needs more than the 64 MiB of limits.memory_bytes"
    assert end.limits == f"{cgroups.version} memory=64MiB, nice=5"


def test_child_killed_by_somebody_is_not_out_of_memory(cgroups: Cgroups) -> None:
    child = confined(cgroups, IDLE, Bounds(memory_bytes=256 * MIB))
    try:
        assert line(child) == "up"
        child.kill()
        end = ended(child)
    finally:
        child.close()
    assert (end.exit_code, end.over_limit) == (-9, None)


def test_processor_limit_holds_a_busy_child_back(cgroups: Cgroups) -> None:
    child = confined(cgroups, "while True: pass", Bounds(cpu_cores=0.1))
    try:
        stat = folder_of(child, Controller.CPU) / "cpu.stat"

        def throttled() -> bool:
            return any(
                int(count) > 0 for word, count in map(str.split, read(stat).splitlines()) if word == "nr_throttled"
            )

        until(throttled, limit_s=30)
    finally:
        child.close()


def test_task_limit_stops_a_fork(cgroups: Cgroups) -> None:
    child = confined(cgroups, FORKS, Bounds(tasks=16))
    try:
        assert ended(child, limit_s=30).exit_code == 11
    finally:
        child.close()


# Forgets its mark, its session and its parent: only the group still knows it.
FUGITIVE = """
import os, subprocess, time
pid = subprocess.Popen(['sleep', '600'], env={'PATH': os.environ['PATH']}, start_new_session=True).pid
print(pid, flush=True)
"""


@pytest.mark.parametrize("way", ["kill", "end"])
def test_nothing_escapes_by_dropping_its_mark(cgroups: Cgroups, way: str) -> None:
    child = confined(cgroups, FUGITIVE + ("time.sleep(600)" if way == "kill" else ""))
    try:
        fugitive = int(line(child))
        if way == "kill":
            assert not gone(fugitive)
            child.kill()
            # Even before anybody asks how the child has ended.
            until(lambda: gone(fugitive))
        ended(child)
        until(lambda: gone(fugitive))
    finally:
        child.close()
    cgroups.close()
    assert names(cgroups) == set()


LIFE = """
import os, sys, time
sys.path[:0] = {path!r}
from ffrtmp_worker.cgroup_search import find
from ffrtmp_worker.cgroups import Bounds
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.process import Child
tried = Child(('sleep', '60'), env=dict(os.environ), cwd='/', mark='tried')
cgroups = find(prefix={prefix!r}, pid=tried.pid, bounds=Bounds()).cgroups
tried.close()
child = Child((sys.executable, '-c', {code!r}), env=dict(os.environ), cwd='/', limiter=Limiter(cgroups=cgroups))
while (said := child.read(child.stdout)) is None:
    time.sleep(0.01)
print(int(said), flush=True)
time.sleep(600)
"""


def test_leftovers_of_a_killed_worker_are_removed_at_the_next_start(cgroups: Cgroups, start: Start) -> None:
    worker = start(*python(LIFE.format(path=sys.path, prefix=PREFIX, code=FUGITIVE + "time.sleep(600)")))
    fugitive = int(line(worker))
    worker.kill()
    assert ended(worker).exit_code == -9
    # Its child died with it; what that child had hidden lives on in the group.
    assert not gone(fugitive)
    assert len(names(cgroups)) == 1
    assert cgroups.sweep() == 1
    assert gone(fugitive)
    assert names(cgroups) == set()


def test_groups_of_another_worker_are_left_alone(cgroups: Cgroups) -> None:
    other = Cgroups(cgroups.version, cgroups._parents, "ffrtmp-other.")
    child = confined(other, IDLE)
    try:
        assert line(child) == "up"
        assert cgroups.sweep() == 0
        assert child.reap() is None
    finally:
        child.close()
        other.sweep()


def test_group_that_cannot_be_made_is_said_in_the_note_and_the_child_runs(cgroups: Cgroups, tmp_path: Path) -> None:
    elsewhere = Cgroups(cgroups.version, dict.fromkeys(Controller, tmp_path / "gone"), PREFIX)
    child = confined(elsewhere, "print('up')", Bounds(tasks=64))
    try:
        assert line(child) == "up"
        assert child.confined.note == "nice=5, no limit of tasks: No such file or directory"
    finally:
        child.close()


def test_v2_group_is_killed_as_a_whole(start: Start) -> None:
    """Needs no controllers: on a hybrid machine they are all with v1."""
    home = next((home for home in homes() if home.version is Version.V2), None)
    folder = None if home is None else home.folder / f"{PREFIX}whole"
    if folder is None or not os.access(folder.parent, os.W_OK):
        need("a cgroup v2 hierarchy that may be written")
    folder.mkdir()
    try:
        if not (folder / "cgroup.kill").exists():
            need("cgroup.kill, since Linux 5.14")
        # What it starts before it is in the group never is.
        patient = f"while {folder.name!r} not in open('/proc/self/cgroup').read(): pass\n"
        child = start(*python(patient + FUGITIVE + "time.sleep(600)"))
        group = Group(Version.V2, {Controller.TASKS: folder})
        group.add(child.pid)
        fugitive = int(line(child))
        assert pids_of(folder) == group.pids() == {child.pid, fugitive}
        # Counted without the cpu controller too.
        assert (group.cpu_s() or 0) > 0
        group.kill()
        assert ended(child).exit_code == -9
        until(lambda: gone(fugitive))
        until(group.remove)
    finally:
        kill_marked(MARKED)
        if folder.exists():
            folder.rmdir()


# ── what is written ───────────────────────────────────────────────────────────────────────────────────────────────


def test_limits_become_the_kernels_numbers() -> None:
    def plain(version: Version, controller: Controller, limit: float | None) -> list[tuple[str, str]]:
        return [(write.file, write.value) for write in writes(version, controller, limit, 5)]

    v1, v2 = Version.V1, Version.V2
    assert plain(v1, Controller.CPU, 1.5) == [
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "150000"),
        # The weight of nice 5 in the kernel's own table is 335.
        ("cpu.shares", "336"),
    ]
    assert plain(v2, Controller.CPU, 0.001) == [("cpu.max", "1000 100000"), ("cpu.weight.nice", "5")]
    assert plain(v2, Controller.CPU, None) == [("cpu.weight.nice", "5")]
    assert plain(v1, Controller.MEMORY, 5 << 30) == [
        ("memory.limit_in_bytes", "5368709120"),
        ("memory.memsw.limit_in_bytes", "5368709120"),
    ]
    assert plain(v2, Controller.MEMORY, 64 * MIB) == [
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("memory.oom.group", "1"),
    ]
    assert plain(v1, Controller.TASKS, 256) == plain(v2, Controller.TASKS, 256) == [("pids.max", "256")]
    assert plain(v1, Controller.TASKS, None) == []


def test_value_that_is_missing_counts_only_where_it_must_be_kept(tmp_path: Path) -> None:
    (tmp_path / "pids.max").write_text("")
    put(tmp_path, (Write("pids.max", "9"), Write("gone", "1", optional=True)))
    assert (tmp_path / "pids.max").read_text() == "9"
    assert not (tmp_path / "gone").exists()
    with pytest.raises(FileNotFoundError):
        put(tmp_path, (Write("gone", "1"),))
    # A file that keeps nothing of what is written, as /dev/null does.
    (tmp_path / "deaf").symlink_to("/dev/null")
    with pytest.raises(OSError, match="does not keep"):
        put(tmp_path, (Write("deaf", "1"),))


@pytest.mark.parametrize(
    ("oom_kill", "reached", "expected"),
    [(0, 0, None), (0, 5, None), (1, 5, OutOfMemory.LIMIT), (1, 0, OutOfMemory.MACHINE)],
)
@pytest.mark.parametrize("version", Version)
def test_kill_for_memory_tells_whose_memory(
    tmp_path: Path, version: Version, oom_kill: int, reached: int, expected: OutOfMemory | None
) -> None:
    (tmp_path / "memory.events").write_text(f"low 0\nmax 3\noom {reached}\noom_kill {oom_kill}\n")
    (tmp_path / "memory.oom_control").write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {oom_kill}\n")
    (tmp_path / "memory.limit_in_bytes").write_text(f"{64 * MIB}\n")
    (tmp_path / "memory.max_usage_in_bytes").write_text(f"{64 * MIB - 4096 if reached else 32 * MIB}\n")
    assert Group(version, {Controller.MEMORY: tmp_path}).out_of_memory() is expected


def test_processor_time_is_read_where_the_kernel_counts_it(tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    two.mkdir()
    one.mkdir()
    new = Group(Version.V2, {Controller.MEMORY: two})
    assert new.cpu_s() is None
    (two / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n")
    assert new.cpu_s() == 2.5
    old = Group(Version.V1, {Controller.MEMORY: tmp_path, Controller.CPU: one})
    assert old.cpu_s() is None
    (one / "cpuacct.usage").write_text("1500000000\n")
    assert old.cpu_s() == 1.5
    (one / "cgroup.procs").write_text("7\n8\n")
    (tmp_path / "cgroup.procs").write_text("7\n")
    assert old.pids() == {7, 8}

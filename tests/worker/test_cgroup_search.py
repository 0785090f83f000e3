"""The search for usable control groups, on trees that behave as the kernel says they do (cgroup-v2.rst)."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmp_worker import cgroup_search, cgroups
from ffrtmp_worker.cgroup_search import Found, find, homes
from ffrtmp_worker.cgroups import Bounds, Controller, Version, pids_of

ALL = frozenset(Controller)
CHILD = 4_242
FILES = {"cpu": ("cpu.max",), "memory": ("memory.max", "memory.swap.max"), "pids": ("pids.max",)}


def write_proc(proc: Path, groups: str, mounts: str) -> Path:
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text(groups)
    (proc / "self/mountinfo").write_text(mounts)
    return proc


# ── where a process is ────────────────────────────────────────────────────────────────────────────────────────────


def test_hybrid_machine_has_a_home_in_each_hierarchy(tmp_path: Path) -> None:
    mounts = (
        "31 30 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:30 / /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory\n"
        "34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
        "35 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    groups = "4:memory:/user/a:b\n3:cpu,cpuacct:/user\n2:name=systemd:/\n1:pids:/unmounted\n0::/user\n"
    found = {home.folder: (home.version, set(home.controllers)) for home in homes(write_proc(tmp_path, groups, mounts))}
    assert found == {
        Path("/sys/fs/cgroup/my memory/user/a:b"): (Version.V1, {Controller.MEMORY}),
        Path("/sys/fs/cgroup/cpu,cpuacct/user"): (Version.V1, {Controller.CPU}),
        Path("/sys/fs/cgroup/systemd"): (Version.V1, set()),
        Path("/sys/fs/cgroup/unified/user"): (Version.V2, set()),
    }


def test_container_sees_its_part_of_the_tree_alone(tmp_path: Path) -> None:
    mounts = (
        "40 39 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
        "41 39 0:30 /docker/other /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n"
    )
    groups = "4:memory:/docker/abc/inner\n3:pids:/docker/abc\n"
    found = homes(write_proc(tmp_path, groups, mounts))
    assert [home.folder for home in found] == [Path("/sys/fs/cgroup/memory/inner")]


def test_machine_without_control_groups_has_no_home(tmp_path: Path) -> None:
    assert homes(tmp_path / "gone") == []
    found = find(prefix="p.", pid=CHILD, bounds=Bounds(), proc=tmp_path / "gone")
    assert found.cgroups is None
    assert set(found.problems) == ALL


# ── v2 ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Kernel:
    """A v2 tree below a folder: groups hold files as their parent's controllers say, and processes or groups."""

    def __init__(self, root: Path, folder: Path, *, controllers: str = "cpu io memory pids") -> None:
        self._root = root
        self.folder = folder
        self.refused: set[str] = set()
        self.populate(folder, controllers.split())

    def populate(self, folder: Path, controllers: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.controllers").write_text(" ".join(controllers) + "\n")
        for name in ("cgroup.procs", "cgroup.subtree_control", *(file for kind in FILES for file in FILES[kind])):
            if name.startswith("cgroup.") or name.partition(".")[0] in controllers:
                (folder / name).write_text("")

    def write(self, path: Path, value: str) -> None:
        # A group that was made by mkdir alone gets its files when it is first looked at.
        if not (path.parent / "cgroup.procs").exists() and path.parent.is_dir():
            self.populate(path.parent, (path.parent.parent / "cgroup.subtree_control").read_text().split())
        if str(path.name) in self.refused:
            raise PermissionError(13, "Permission denied")
        if not path.exists():
            raise FileNotFoundError(2, "No such file or directory")
        match path.name:
            case "cgroup.procs":
                self._move(path.parent, value)
            case "cgroup.subtree_control":
                if pids_of(path.parent) and path.parent != self._root:
                    raise OSError(16, "Device or resource busy")
                if value in self.refused:
                    raise OSError(22, "Invalid argument")
                path.write_text(f"{path.read_text()} {value.removeprefix('+')}".strip())
                for entry in [entry for entry in path.parent.iterdir() if entry.is_dir()]:
                    (entry / "cgroup.controllers").write_text(path.read_text())
            case _:
                path.write_text(value)

    def _move(self, to: Path, pid: str) -> None:
        if (to / "cgroup.subtree_control").read_text() and to != self._root:
            raise OSError(16, "Device or resource busy")
        for file in self._root.rglob("cgroup.procs"):
            file.write_text("".join(f"{it}\n" for it in file.read_text().split() if it != pid))
        procs = to / "cgroup.procs"
        procs.write_text(f"{procs.read_text()}{pid}\n")

    def remove(self, folder: Path) -> bool:
        if pids_of(folder) or any(entry.is_dir() for entry in folder.iterdir()):
            return False
        shutil.rmtree(folder)
        return True

    def fill(self, *pids: int) -> None:
        (self.folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))

    def search(self, bounds: Bounds | None = None) -> Found:
        mounts = f"35 31 0:32 / {self._root} rw - cgroup2 cgroup2 rw\n"
        place = "/" + str(self.folder.relative_to(self._root))
        proc = self._root.parent / f"proc{len(list(self._root.parent.glob('proc*')))}"
        return find(prefix="p.", pid=CHILD, bounds=bounds or Bounds(), proc=write_proc(proc, f"0::{place}\n", mounts))


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A group of the worker's own below the top, with the worker and the tried child in it."""
    kernel = Kernel(tmp_path / "cgroup", tmp_path / "cgroup/system.slice/worker.service")
    kernel.fill(os.getpid(), CHILD)
    for module in (cgroup_search, cgroups):
        monkeypatch.setattr(module, "write", kernel.write)
        monkeypatch.setattr(module, "remove", kernel.remove)
    yield kernel
    assert not list(kernel.folder.glob("p.*"))


def test_delegated_group_is_used_and_the_worker_moves_below_it(service: Kernel) -> None:
    found = service.search(Bounds(cpu_cores=2, memory_bytes=1 << 30))
    assert found.cgroups is not None
    assert (found.cgroups.version, found.cgroups.controllers, found.problems) == (Version.V2, ALL, {})
    assert pids_of(service.folder) == set()
    assert pids_of(service.folder / "ffrtmp-worker") == {os.getpid(), CHILD}
    assert (service.folder / "cgroup.subtree_control").read_text() == "cpu memory pids"


def test_worker_that_has_moved_already_finds_its_place_again(service: Kernel) -> None:
    service.search()
    service.folder = service.folder / "ffrtmp-worker"
    found = service.search()
    service.folder = service.folder.parent
    assert found.cgroups is not None
    assert set(found.cgroups._parents.values()) == {service.folder}


def test_group_that_others_are_in_is_left_as_it_is(service: Kernel) -> None:
    service.fill(os.getpid(), CHILD, 777)
    found = service.search()
    assert found.cgroups is None
    assert set(found.problems.values()) == {"other processes are in the worker's own group"}
    assert pids_of(service.folder) == {os.getpid(), CHILD, 777}
    assert not (service.folder / "ffrtmp-worker").exists()


def test_group_that_may_not_be_written_is_none(service: Kernel) -> None:
    service.refused = {"cgroup.subtree_control"}
    found = service.search()
    assert found.cgroups is None
    assert set(found.problems.values()) == {"Permission denied"}
    assert pids_of(service.folder) == {os.getpid(), CHILD}


def test_controller_that_takes_no_limit_is_named_and_the_others_are_used(service: Kernel) -> None:
    service.refused = {"memory.max"}
    found = service.search()
    assert found.cgroups is not None
    assert found.cgroups.controllers == ALL - {Controller.MEMORY}
    assert found.problems == {Controller.MEMORY: "Permission denied"}


def test_controller_that_cannot_be_given_away_is_named_and_the_others_are_used(service: Kernel) -> None:
    # So with real-time processes about.
    service.refused = {"+cpu"}
    found = service.search()
    assert found.cgroups is not None
    assert found.cgroups.controllers == ALL - {Controller.CPU}
    assert found.problems == {Controller.CPU: "it cannot be given to groups"}


def test_process_that_cannot_be_moved_proves_nothing(service: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(path: Path, value: str) -> None:
        if path.name != "cgroup.procs" or "p.proof" not in str(path):
            service.write(path, value)

    monkeypatch.setattr(cgroup_search, "write", deaf)
    found = service.search()
    assert found.cgroups is None
    assert set(found.problems.values()) == {"a process does not stay in a group it was moved to"}

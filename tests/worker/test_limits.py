import errno
import os
import resource
import sys
from pathlib import Path

import pytest

from ffrtmp_worker.cgroups import Bounds, Cgroups, Controller, Version
from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.limits import Confined, Limiter, size_text
from ffrtmp_worker.process import Child, marked
from ffrtmp_worker.tools import ToolError, find_tools
from tests.needs import need
from tests.worker.test_process import ENV, MARKED, Start, ended, gone, line, python, start, until, way

__all__ = ["start", "way"]

MIB = 1 << 20


def groups(*controllers: Controller) -> Cgroups:
    return Cgroups(Version.V2, dict.fromkeys(controllers, Path("/gone")), "p.")


@pytest.mark.parametrize(
    ("limiter", "says"),
    [
        (Limiter(), "nice=0"),
        (Limiter(nice=5, cgroups=groups(*Controller)), "cgroup-v2, nice=5"),
        (
            Limiter(bounds=Bounds(cpu_cores=1.5, memory_bytes=2 << 30, tasks=256), nice=5, cgroups=groups(*Controller)),
            "cgroup-v2 cpu=1.5 memory=2GiB tasks=256, nice=5",
        ),
        (
            Limiter(bounds=Bounds(cpu_cores=2, tasks=9), nice=5),
            "nice=5, no limit of cpu and tasks: no cgroup is usable here",
        ),
        (
            Limiter(bounds=Bounds(memory_bytes=64 * MIB), nice=5),
            "nice=5, memory=64MiB for each process: no cgroup is usable here",
        ),
        (
            Limiter(
                bounds=Bounds(cpu_cores=2, tasks=9),
                cgroups=groups(Controller.TASKS),
                problems={Controller.CPU: "Permission denied"},
            ),
            "cgroup-v2 tasks=9, nice=0, no limit of cpu: Permission denied",
        ),
    ],
)
def test_note_tells_what_is_in_force_and_what_is_not(limiter: Limiter, says: str) -> None:
    assert limiter.note == says


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2 << 30, "2 GiB"), (5 << 50, "5120 TiB")]
)
def test_sizes_are_told_in_the_unit_they_fill(size: int, text: str) -> None:
    assert size_text(size) == text


def test_child_without_a_group_is_nice_and_its_memory_limited() -> None:
    limiter = Limiter(bounds=Bounds(memory_bytes=200 * MIB, tasks=64), nice=7)
    eats = "print('up', flush=True)\ntry: bytearray(400 << 20)\nexcept MemoryError: sys.exit(3)"
    child = Child(python("import sys\n" + eats), env=ENV, cwd="/", limiter=limiter)
    try:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 7
        assert resource.prlimit(child.pid, resource.RLIMIT_DATA) == (200 * MIB, 200 * MIB)
        # What is merely reserved is free, and no job's fork fails for what other jobs of the user run.
        assert resource.prlimit(child.pid, resource.RLIMIT_AS) == resource.getrlimit(resource.RLIMIT_AS)
        assert resource.prlimit(child.pid, resource.RLIMIT_NPROC) == resource.getrlimit(resource.RLIMIT_NPROC)
        assert line(child) == "up"
        end = ended(child)
    finally:
        child.close()
    assert (end.exit_code, end.over_limit) == (3, None)
    assert end.limits == "nice=7, memory=200MiB for each process, no limit of tasks: no cgroup is usable here"


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


class Late(Limiter):
    """Confines a child when it has become what it can become until then."""

    def confine(self, pid: int) -> Confined:
        until(lambda: name_of(pid) not in (name_of(os.getpid()), "setpriv"))
        assert name_of(pid) == "sh"
        return super().confine(pid)


class Broken(Limiter):
    def confine(self, pid: int) -> Confined:
        raise OSError(errno.EIO, f"no limits today for {pid}")


STUCK = """
import os, sys, time
sys.path[:] = {path!r}
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.process import Child

class Stuck(Limiter):
    def confine(self, pid):
        print(pid, flush=True)
        time.sleep(600)

Child(('touch', 'begun'), env=dict(os.environ), cwd={folder!r}, mark={mark!r}, limiter=Stuck())
"""


@pytest.mark.usefixtures("way")
def test_child_begins_under_its_limits_however_late_they_come() -> None:
    tells = "import resource, sys; print(resource.getrlimit(resource.RLIMIT_DATA)[0], repr(sys.stdin.read()))"
    child = Child(python(tells), env=ENV, cwd="/", limiter=Late(bounds=Bounds(memory_bytes=200 * MIB)))
    try:
        assert line(child) == f"{200 * MIB} ''"
        assert ended(child).exit_code == 0
    finally:
        child.close()


@pytest.mark.usefixtures("way")
def test_child_that_cannot_be_confined_never_begins(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no limits today"):
        Child(("touch", "begun"), env=ENV, cwd=str(tmp_path), mark=MARKED, limiter=Broken())
    assert list(marked(MARKED)) == []
    assert list(tmp_path.iterdir()) == []


def test_child_with_a_limiter_has_no_other_standard_input() -> None:
    with pytest.raises(ValueError, match="standard input"):
        Child(("cat",), env=ENV, cwd="/", limiter=Limiter(), stdin=0)


def test_child_whose_worker_dies_before_its_limits_are_in_force_never_begins(start: Start, tmp_path: Path) -> None:
    worker = start(*python(STUCK.format(path=sys.path, mark=MARKED, folder=str(tmp_path))))
    child = int(line(worker))
    worker.kill()
    ended(worker)
    until(lambda: gone(child))
    assert list(tmp_path.iterdir()) == []


def test_child_is_never_made_less_nice() -> None:
    with_nice = ("nice", "-n", "12", sys.executable, "-c", "import os, time; print('up', flush=True); time.sleep(60)")
    child = Child(with_nice, env=ENV, cwd="/")
    try:
        assert line(child) == "up"
        assert Limiter(nice=5).confine(child.pid).note == "nice=12"
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 12
    finally:
        child.close()


def test_real_encoder_works_under_the_memory_limit_without_a_group(tmp_path: Path) -> None:
    """A limit on the address space breaks encoders long before they use what it allows."""
    try:
        ffmpeg = find_tools().ffmpeg
    except ToolError as error:
        need(str(error))
    out = tmp_path / "out.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-t", "0.5")
    argv = (ffmpeg, "-nostdin", "-v", "error", *source, "-c:v", "libx264", "-preset", "veryfast", str(out))
    limiter = Limiter(bounds=Bounds(memory_bytes=1 << 30))
    child = Child(argv, env=environment(os.environ), cwd=str(tmp_path), limiter=limiter)
    try:
        assert ended(child, limit_s=60).exit_code == 0, child.read(child.stderr)
    finally:
        child.close()
    assert out.stat().st_size > 10_000

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ffrtmp_worker import process
from ffrtmp_worker.process import Child, Ended, Running, ToolTimeout, kill_marked, marked, run_tool
from tests.needs import need

ENV = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": os.pathsep.join(sys.path)}
# Tests in other processes end what is theirs by its mark.
MARKED = f"test-{os.getpid()}"
Start = Callable[..., Child]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Child] = []

    def begin(*argv: str) -> Child:
        child = Child(argv, env=ENV, cwd="/", mark=MARKED)
        started.append(child)
        return child

    yield begin
    for child in started:
        child.close()


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def until(condition: Callable[[], object], *, limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        select.select([], [], [], 0.005)


def ended(child: Running, *, limit_s: float = 60.0) -> Ended:
    ready, _, _ = select.select([child.pidfd], [], [], limit_s)
    assert ready, "the child did not end in time"
    end = child.reap()
    assert end is not None
    return end


def line(child: Running) -> str:
    said = b""
    deadline = time.monotonic() + 60
    while not said.endswith(b"\n"):
        assert select.select([child.stdout], [], [], max(0, deadline - time.monotonic()))[0], f"only said {said!r}"
        said += child.read(child.stdout) or b""
    return said.decode().strip()


def state(pid: int) -> str | None:
    """Return the one-letter state of a process, None once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def gone(pid: int) -> bool:
    return state(pid) in (None, "Z", "X")


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture(params=["setpriv", "preexec"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to make a child die with its parent."""
    if request.param == "preexec":
        monkeypatch.setattr(process, "_setpriv", lambda: None)
    elif process._setpriv() is None:
        need("setpriv is not installed")
    return str(request.param)


# ── tools ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tool_that_ends_gives_all_it_wrote() -> None:
    ran = run_tool(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), timeout_s=20)
    assert (ran.exit_code, ran.stdout, ran.stderr) == (3, b"out\n", b"err\n")


def test_tool_that_hangs_is_killed_with_its_children() -> None:
    with pytest.raises(ToolTimeout, match=r"still running after 0.2 s"):
        run_tool(("sh", "-c", "sleep 987.5 & wait"), timeout_s=0.2)
    until(lambda: not subprocess.run(["pgrep", "-f", "sleep 987[.]5"], capture_output=True, check=False).stdout)


def test_tool_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        run_tool(("/nonexistent/tool",), timeout_s=1)


# ── children ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_child_that_ends_tells_code_and_processor_time(start: Start, way: str) -> None:
    child = start(*python("sum(range(3_000_000)); import sys; sys.exit(7)"))
    end = ended(child)
    assert end.exit_code == 7
    assert 0.01 < end.cpu_s < 10
    assert child.reap() == end


def test_child_killed_by_a_signal_tells_it_as_negative(start: Start) -> None:
    child = start("sleep", "60")
    child.kill()
    assert ended(child).exit_code == -signal.SIGKILL


def test_child_leads_its_own_session_and_dies_with_the_worker(start: Start, way: str) -> None:
    child = start(*python("import time; print('up', flush=True); time.sleep(60)"))
    assert line(child) == "up"
    assert os.getsid(child.pid) == child.pid
    assert child.reap() is None


def test_program_that_is_not_there_is_an_os_error(start: Start) -> None:
    with pytest.raises(FileNotFoundError):
        start("no-such-program-anywhere")


def test_pipes_are_never_waited_for(start: Start) -> None:
    child = start("sleep", "60")
    assert child.read(child.stdout) is None
    assert child.read(child.stderr) is None


def test_child_that_writes_more_than_a_pipe_holds_is_drained(start: Start) -> None:
    child = start(*python("import sys; sys.stderr.write('x' * 1_000_000)"))
    size = 0

    def drained() -> bool:
        nonlocal size
        data = child.read(child.stderr)
        size += len(data or b"")
        return data == b""

    until(drained)
    assert size == 1_000_000
    assert ended(child).exit_code == 0


# ── stopping ──────────────────────────────────────────────────────────────────────────────────────────────────────

COUNTER = """
import signal, sys, time
count = 0
def heard(number, frame):
    global count
    count += 1
signal.signal(signal.SIGTERM, heard)
print('up', flush=True)
while not count:
    time.sleep(0.01)
time.sleep(0.2)
sys.exit(count)
"""


def test_terminate_sends_exactly_one_signal(start: Start) -> None:
    child = start(*python(COUNTER))
    assert line(child) == "up"
    child.terminate()
    child.terminate()
    child.terminate()
    assert ended(child).exit_code == 1


def test_child_that_ignores_terminate_ends_at_kill(start: Start) -> None:
    child = start(
        *python("import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)")
    )
    assert line(child) == "up"
    child.terminate()
    assert child.reap() is None
    child.kill()
    assert ended(child).exit_code == -signal.SIGKILL


def test_paused_child_can_be_terminated(start: Start) -> None:
    child = start(*python(COUNTER))
    assert line(child) == "up"
    child.pause()
    until(lambda: state(child.pid) == "T")
    child.terminate()
    assert ended(child).exit_code == 1


def test_paused_child_uses_no_processor_and_goes_on(start: Start) -> None:
    child = start(*python("print('up', flush=True)\nwhile True: pass"))
    assert line(child) == "up"
    child.pause()
    until(lambda: state(child.pid) == "T")
    before = ticks(child.pid)
    select.select([], [], [], 0.15)
    assert ticks(child.pid) == before
    child.resume()
    until(lambda: ticks(child.pid) > before)


FAMILY = """
import os, subprocess, sys, time
same = subprocess.Popen(['sleep', '600'])
group = subprocess.Popen(['sleep', '600'], process_group=0)
session = subprocess.Popen(['sleep', '600'], start_new_session=True)
print(same.pid, group.pid, session.pid, flush=True)
{then}
"""


@pytest.fixture
def family(start: Start) -> Iterator[Callable[[str], tuple[Child, list[int]]]]:
    known: list[int] = []

    def begin(then: str) -> tuple[Child, list[int]]:
        child = start(*python(FAMILY.format(then=then)))
        pids = [int(word) for word in line(child).split()]
        known.extend(pids)
        return child, pids

    yield begin
    for pid in known:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_kill_reaches_descendants_in_other_groups_and_sessions(
    family: Callable[[str], tuple[Child, list[int]]],
) -> None:
    child, pids = family("time.sleep(600)")
    child.kill()
    ended(child)
    until(lambda: all(gone(pid) for pid in pids))


def test_what_a_child_leaves_behind_is_killed_when_it_ends(family: Callable[[str], tuple[Child, list[int]]]) -> None:
    child, pids = family("os._exit(0)")
    assert ended(child).exit_code == 0
    until(lambda: all(gone(pid) for pid in pids))


def test_pause_reaches_descendants_in_other_groups(family: Callable[[str], tuple[Child, list[int]]]) -> None:
    child, pids = family("time.sleep(600)")
    child.pause()
    until(lambda: all(state(pid) == "T" for pid in [child.pid, *pids]))
    child.resume()
    until(lambda: all(state(pid) == "S" for pid in pids))


def test_leftovers_of_an_earlier_life_are_found_by_their_mark(start: Start) -> None:
    child = start("sleep", "600")
    other = Child(("sleep", "600"), env=ENV, cwd="/", mark="other-worker")
    try:
        until(lambda: child.pid in set(marked(MARKED)))
        assert kill_marked(MARKED) >= 1
        assert ended(child).exit_code == -signal.SIGKILL
        assert other.reap() is None
    finally:
        other.close()


class Processes:
    """Lists some processes instead of all, so that none is ready by its turn."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def iterdir(self) -> Iterator[Path]:
        return (Path(f"/proc/{pid}") for pid in self._pids)


def test_process_that_is_just_becoming_another_program_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent goes on before the kernel shows its new environment: one look in some 20 meets it without."""
    environment = {**ENV, process.MARK: MARKED}
    for _ in range(200):
        # Returns earlier than Popen, which hears of the new program by a pipe.
        pid = os.posix_spawn("/bin/sleep", ["sleep", "600"], environment)
        monkeypatch.setattr(process, "PROC", Processes(pid))
        found = list(marked(MARKED))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert found == [pid]


def test_process_without_an_environment_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "EXEC_S", 600.0)
    with subprocess.Popen(["/bin/sleep", "600"], env={}) as bare, subprocess.Popen(["true"], env=ENV) as dead:
        try:
            until(lambda: state(dead.pid) == "Z")
            monkeypatch.setattr(process, "PROC", Processes(bare.pid, dead.pid))
            assert list(marked(MARKED)) == []
        finally:
            bare.kill()


PARENT = """
import os, sys, time
from ffrtmp_worker import process
if sys.argv[1] == 'preexec':
    process._setpriv = lambda: None
child = process.Child((sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)'),
                      env=dict(os.environ), cwd='/', mark='orphan')
while child.read(child.stdout) is None:
    time.sleep(0.01)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_child_dies_when_the_worker_is_killed(way: str) -> None:
    with subprocess.Popen([*python(PARENT), way], stdout=subprocess.PIPE, text=True, env=ENV) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert not gone(pid)
        finally:
            parent.kill()
    until(lambda: gone(pid))

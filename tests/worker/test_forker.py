import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmp_worker.appraisal import SHA256, parse_sums
from ffrtmp_worker.cgroups import Bounds
from ffrtmp_worker.forker import AGAIN_S, SPARES, Forker
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.probe import PROBE_AV, probe_command
from ffrtmp_worker.process import Child, Running, kill_marked, marked
from ffrtmp_worker.tools import Tools
from ffrtmpd.base.logs import Logger
from tests.worker.media import make_source
from tests.worker.test_process import ENV, ended, gone, line, state, until

PYAV = Tools(ffmpeg="ffmpeg", ffmpeg_version="9", ffprobe=None, python=sys.executable)
HERE = f"forker-{os.getpid()}"
# Says what it is and then waits for a signal, or does as it is told.
ACTS = """
import os, signal, subprocess, sys

def main(arguments):
    match arguments:
        case ["look"]:
            fds = sorted(int(name) for name in os.listdir("/proc/self/fd"))
            inside = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds if os.path.lexists(f"/proc/self/fd/{fd}")]
            print(os.getpid(), os.getppid(), os.getsid(0), len(inside), os.getcwd(), sys.stdin.read(), flush=True)
            return 7
        case ["hang"]:
            print("up", flush=True)
            signal.pause()
        case ["hide"]:
            hidden = subprocess.Popen(["sleep", "600"], start_new_session=True)
            print(hidden.pid, flush=True)
        case ["crash"]:
            os.kill(os.getpid(), signal.SIGSEGV)
        case ["fail"]:
            raise RuntimeError("no luck")
        case ["eat", size]:
            held = b"x" * int(size)
    return 0
"""


class House:
    """A forker of one program, and what it made."""

    def __init__(self, folder: Path, limiter: Limiter | None = None) -> None:
        self.program = folder / "acts.py"
        self.program.write_text(ACTS)
        self.now_s = 100.0
        self.said = io.StringIO()
        self.forker = Forker(
            (self.program, PROBE_AV, SHA256),
            python=sys.executable,
            env=ENV,
            cwd=str(folder),
            mark=HERE,
            limiter=limiter,
            log=Logger(stream=self.said),
            clock=lambda: self.now_s,
        )
        self.made: list[Running] = []

    def start(self, *argv: str) -> Running | None:
        made = self.forker.start(argv, env=ENV)
        if made is not None:
            self.made.append(made)
        return made

    def act(self, *arguments: str) -> Running:
        """Have a copy act, once the original is ready."""
        made: list[Running] = []

        def try_it() -> bool:
            started = self.start(sys.executable, "-P", str(self.program), *arguments)
            made.extend([] if started is None else [started])
            return bool(made)

        until(try_it)
        return made[0]

    def close(self) -> None:
        for child in self.made:
            child.close()
        self.forker.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()
    assert list(marked(HERE)) == []


def output(child: Running) -> bytes:
    said = b""
    while data := child.read(child.stdout):
        said += data
    return said


def test_copy_is_a_child_of_the_worker_in_a_session_of_its_own_that_holds_its_three_streams_alone(
    house: House, tmp_path: Path
) -> None:
    child = house.act("look")
    assert ended(child).exit_code == 7
    # The fourth is the folder that it reads.
    assert output(child).decode().split() == [*map(str, (child.pid, os.getpid(), child.pid)), "3", str(tmp_path)]
    assert child.pid != house.forker.pid


def test_copies_say_what_the_programs_say(house: House, tmp_path: Path) -> None:
    source, name = make_source(tmp_path), tmp_path / "ü \n.bin"
    name.write_bytes(b"x" * 100_000)
    house.act("look")
    for argv in (probe_command(PYAV, f"file:{source}"), (sys.executable, "-P", str(SHA256), str(name), str(source))):
        copy, program = house.start(*argv), Child(argv, env=ENV, cwd="/", mark=HERE)
        assert copy is not None
        try:
            codes = [ended(child).exit_code for child in (copy, program)]
            said = [output(child) for child in (copy, program)]
        finally:
            program.close()
        assert codes == [0, 0]
        assert said[0] == said[1] != b""
    assert None not in parse_sums(said[0])


def test_file_that_is_no_media_is_refused_by_a_copy_as_by_the_program(house: House, tmp_path: Path) -> None:
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"\x00junk" * 5_000)
    house.act("look")
    child = house.start(*probe_command(PYAV, f"file:{junk}"))
    assert child is not None
    assert ended(child).exit_code == 1
    assert b"junk.mp4" in (child.read(child.stderr) or b"")


def test_what_a_copy_cost_is_told(house: House, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(100_000_000))
    house.act("look")
    child = house.start(sys.executable, "-P", str(SHA256), str(large))
    assert child is not None
    assert 0.01 < ended(child).cpu_s < 10


def test_copy_of_another_program_environment_or_interpreter_or_for_a_url_is_refused(house: House) -> None:
    house.act("look")
    program = str(house.program)
    assert house.start(sys.executable, "-P", "/bin/other.py") is None
    assert house.start(sys.executable, "-I", program) is None
    assert house.start("/usr/bin/other", "-P", program) is None
    assert house.start("ffmpeg") is None
    assert house.start(sys.executable, "-P", program, "https://host/a.mp4") is None
    assert house.start(sys.executable, "-P", program, "x" * 70_000) is None
    assert house.forker.start((sys.executable, "-P", program), env={**ENV, "A": "b"}) is None
    assert ended(house.act("look")).exit_code == 7


def test_program_that_fails_says_why_and_the_next_copy_does_its_work(house: House) -> None:
    child = house.act("fail")
    assert ended(child).exit_code == 1
    assert b"RuntimeError: no luck" in (child.read(child.stderr) or b"")
    before = house.forker.pid
    assert ended(house.act("look")).exit_code == 7
    assert house.forker.pid == before


def test_copy_is_stopped_and_killed_as_any_child(house: House) -> None:
    child = house.act("hang")
    assert line(child) == "up"
    child.pause()
    until(lambda: state(child.pid) == "T")
    child.resume()
    until(lambda: state(child.pid) == "S")
    child.kill()
    assert ended(child).exit_code == -signal.SIGKILL
    assert house.forker.pid is not None, "only what crashed makes an original suspect"


def test_process_that_a_copy_leaves_behind_is_found_by_its_mark(house: House) -> None:
    other, child = house.act("hang"), house.act("hide")
    hidden = int(line(child))
    assert ended(child).exit_code == 0
    until(lambda: gone(hidden))
    assert other.reap() is None, "the mark is that of one copy, not of all"
    assert len({child.mark, other.mark}) == 2


def test_copy_is_confined_before_it_knows_its_command(tmp_path: Path) -> None:
    house = House(tmp_path, Limiter(bounds=Bounds(memory_bytes=200 << 20), nice=7))
    try:
        child = house.act("hang")
        assert line(child) == "up"
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 7
        assert ended(house.act("eat", str(400 << 20))).exit_code == 1
        assert ended(house.act("eat", str(1 << 20))).exit_code == 0
    finally:
        house.close()


def test_spare_copies_wait_for_their_command_are_confined_and_come_first(tmp_path: Path) -> None:
    house = House(tmp_path, Limiter(nice=7))
    try:
        house.act("look")
        house.forker.prepare()
        waiting = {pid for pid in marked(HERE) if pid != house.forker.pid and not gone(pid)}
        assert len(waiting) == SPARES
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in waiting} == {7}
        assert {house.act("look").pid for _ in range(SPARES)} == waiting
        assert house.act("look").pid not in waiting
    finally:
        house.close()


def test_spare_that_was_killed_is_passed_over(house: House) -> None:
    house.act("look")
    house.forker.prepare()
    spares = [pid for pid in marked(HERE) if pid != house.forker.pid]
    for pid in spares:
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(map(gone, spares)))
    assert ended(house.act("look")).exit_code == 7


def test_spares_end_with_an_original_that_a_crash_made_suspect(house: House) -> None:
    child = house.act("crash")
    house.forker.prepare()
    assert ended(child).exit_code == -signal.SIGSEGV
    assert [pid for pid in marked(HERE) if not gone(pid)] == []


def test_copy_that_crashes_costs_one_child_and_the_next_original_is_another(house: House) -> None:
    before, other = house.forker.pid, house.act("hang")
    child = house.act("crash")
    assert ended(child).exit_code == -signal.SIGSEGV
    assert house.forker.pid is None
    house.now_s += AGAIN_S
    assert ended(house.act("look")).exit_code == 7
    assert house.forker.pid != before
    assert other.reap() is None


def test_killed_original_is_noticed_told_of_and_started_again_after_a_while(house: House) -> None:
    kept = house.act("hang")
    before = house.forker.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: gone(before))
    argv = (sys.executable, "-P", str(house.program), "look")
    assert house.start(*argv) is None
    assert "forker_lost" in house.said.getvalue()
    assert house.start(*argv) is None
    assert house.forker.pid is None, "not for every job"
    house.now_s += AGAIN_S
    assert ended(house.act("look")).exit_code == 7
    assert kept.reap() is None


def test_stopped_original_does_not_hold_the_worker_up(house: House) -> None:
    house.act("look")
    assert house.forker.pid is not None
    assert house.forker._control is not None
    house.forker._control.settimeout(0.05)
    os.kill(house.forker.pid, signal.SIGSTOP)
    assert house.start(sys.executable, "-P", str(house.program), "look") is None
    assert "forker_lost" in house.said.getvalue()
    assert house.forker.pid is None


def test_original_that_cannot_load_its_programs_is_given_up_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import no_such_module\n")
    said = io.StringIO()
    argv = (sys.executable, "-P", str(tmp_path / "bad.py"))
    forker = Forker((tmp_path / "bad.py",), python=sys.executable, env=ENV, cwd="/", mark=HERE, log=Logger(stream=said))
    try:
        until(lambda: forker.start(argv, env=ENV) is None and "no_such_module" in said.getvalue())
        assert forker.pid is None
    finally:
        forker.close()


def test_machine_whose_calls_are_not_known_has_no_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    house = House(tmp_path)
    assert house.forker.pid is None
    assert house.start(sys.executable, "-P", str(house.program), "look") is None


WORKER = """
import os, sys, time
from pathlib import Path
from ffrtmp_worker.forker import Forker
program, mark = sys.argv[1:3]
env = dict(os.environ)
forker = Forker((Path(program),), python=sys.executable, env=env, cwd="/", mark=mark)
child = None
while child is None:
    child = forker.start((sys.executable, "-P", program, "hang"), env=env)
while not child.read(child.stdout):
    time.sleep(0.01)
print(forker.pid, child.pid, flush=True)
time.sleep(600)
"""


def test_original_and_copies_die_with_a_worker_that_is_killed(house: House) -> None:
    mark = f"{HERE}-killed"
    argv = (sys.executable, "-c", WORKER, str(house.program), mark)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=ENV) as worker:
        assert worker.stdout is not None
        pids = [int(word) for word in worker.stdout.readline().split()]
        assert len(pids) == 2
        assert sorted(marked(mark)) == sorted(pids)
        worker.kill()
    until(lambda: all(map(gone, pids)))


def test_next_life_of_a_worker_finds_originals_and_copies_by_their_mark(house: House) -> None:
    child = house.act("hang")
    assert line(child) == "up"
    original = house.forker.pid
    assert original is not None
    assert kill_marked(HERE) == 2
    assert ended(child).exit_code == -signal.SIGKILL
    until(lambda: gone(original))

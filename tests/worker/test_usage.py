import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ffrtmp_worker.usage import TICKS_A_SECOND, Tree, Trees, machine_cpu_s

# Uses so many seconds of a processor, says so, and stays.
BURN = "import time\nwhile time.process_time() < {cpu_s}: pass\nprint('burnt', flush=True)\ntime.sleep(600)"
# A program that starts another in a session of its own, as an encoder's wrapper might.
NESTED = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]], start_new_session={session})"


class Proc:
    """A folder like /proc."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(
        self, pid: int, *, parent: int = 1, session: int = 1, ticks: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        u, s, cu, cs = ticks
        # The name of a program may look like anything.
        (folder / "stat").write_text(
            f"{pid} (a) b (c) S {parent} {pid} {session} 0 -1 0 0 0 0 0 {u} {s} {cu} {cs} 20 0\n"
        )

    def end(self, pid: int) -> None:
        (self.root / str(pid) / "stat").unlink()
        (self.root / str(pid)).rmdir()


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def seconds(tree: Tree) -> float:
    return round(tree.cpu_s * TICKS_A_SECOND, 6)


def test_session_and_descendants_belong_to_the_child_and_strangers_do_not(proc: Proc) -> None:
    proc.put(10, session=10, ticks=(1, 2, 4, 8))
    proc.put(11, parent=10, session=10, ticks=(100, 0, 0, 0))
    proc.put(12, parent=11, session=12, ticks=(1_000, 0, 0, 0))
    # Its parent has ended, and it is in the session still.
    proc.put(13, parent=1, session=10, ticks=(10_000, 0, 0, 0))
    proc.put(14, parent=1, session=14, ticks=(5, 5, 5, 5))
    # Parents may have higher numbers, when those have gone round.
    proc.put(8, parent=12, session=12, ticks=(100_000, 0, 0, 0))
    trees = Trees(proc.root)
    tree = trees.add(10)
    trees.look()
    assert seconds(tree) == pytest.approx(111_115)
    assert tree.pids == {10, 11, 12, 13, 8}


def test_two_children_are_kept_apart(proc: Proc) -> None:
    trees = Trees(proc.root)
    proc.put(10, session=10, ticks=(1, 0, 0, 0))
    proc.put(20, session=20, ticks=(2, 0, 0, 0))
    proc.put(21, parent=20, session=20, ticks=(4, 0, 0, 0))
    one, other = trees.add(10), trees.add(20)
    trees.look()
    assert (seconds(one), seconds(other)) == (1, 6)
    trees.drop(10)
    proc.put(20, session=20, ticks=(3, 0, 0, 0))
    trees.look()
    assert (seconds(one), seconds(other)) == (1, 7)


def test_descendant_that_ended_counts_once(proc: Proc) -> None:
    trees = Trees(proc.root)
    proc.put(10, session=10)
    proc.put(11, parent=10, session=10, ticks=(50, 0, 0, 0))
    tree = trees.add(10)
    trees.look()
    proc.end(11)
    proc.put(10, session=10, ticks=(0, 0, 50, 0))
    trees.look()
    assert seconds(tree) == 50
    # One that nobody waited for takes nothing back.
    proc.put(12, parent=10, session=10, ticks=(30, 0, 0, 0))
    trees.look()
    proc.end(12)
    trees.look()
    assert seconds(tree) == 80


def test_number_that_was_a_strangers_before_is_the_childs_now(proc: Proc) -> None:
    trees = Trees(proc.root)
    proc.put(10, session=10)
    trees.add(10)
    proc.put(20, parent=1, session=1)
    trees.look()
    proc.put(20, session=20, ticks=(7, 0, 0, 0))
    tree = trees.add(20)
    trees.look()
    assert seconds(tree) == 7


@pytest.mark.parametrize("text", ["", "10 (", "10 (a) S x y z", "10 (a) S 1 1 1 0 -1 0 0 0 0 0 a b c d"])
def test_line_that_says_nothing_counts_nothing(proc: Proc, text: str) -> None:
    proc.put(10, session=10)
    trees = Trees(proc.root)
    tree = trees.add(10)
    (proc.root / "10" / "stat").write_text(text)
    trees.look()
    assert tree.cpu_s == 0


def test_machine_without_proc_tells_nothing(tmp_path: Path) -> None:
    trees = Trees(tmp_path / "none")
    tree = trees.add(10)
    trees.look()
    assert (tree.cpu_s, machine_cpu_s(tmp_path / "none")) == (0, None)
    (tmp_path / "stat").write_text("cpu  nonsense\n")
    assert machine_cpu_s(tmp_path) is None


def test_busy_is_what_is_neither_idle_nor_waiting_nor_stolen(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  1 2 4 1000 1000 8 16 1000 1 2\ncpu0 9 9 9 9 9 9 9 9 9 9\n")
    assert machine_cpu_s(tmp_path) == pytest.approx(31 / TICKS_A_SECOND)


# ── real processes ────────────────────────────────────────────────────────────────────────────────────────────────

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE, start_new_session=True)
        started.append(child)
        return child

    yield begin
    for child in started:
        child.kill()
        child.communicate()


def heard(child: "subprocess.Popen[bytes]") -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == b"burnt\n"


@pytest.mark.parametrize("session", [False, True])
def test_real_descendant_is_found(start: Start, *, session: bool) -> None:
    trees = Trees()
    before_s = machine_cpu_s()
    child = start(NESTED.format(session=session), BURN.format(cpu_s=0.3))
    tree = trees.add(child.pid)
    heard(child)
    trees.look()
    try:
        assert len(tree.pids) == 2
        assert 0.28 <= tree.cpu_s < 5
        after_s = machine_cpu_s()
        assert before_s is not None
        assert after_s is not None
        # Two clocks, of which one goes in ticks.
        assert after_s - before_s > 0.2
    finally:
        for pid in tree.pids - {child.pid}:
            os.kill(pid, 9)


def test_real_child_keeps_its_time_until_it_is_waited_for(start: Start) -> None:
    trees = Trees()
    child = start(BURN.format(cpu_s=0.2))
    tree = trees.add(child.pid)
    heard(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    trees.look()
    assert tree.cpu_s >= 0.18

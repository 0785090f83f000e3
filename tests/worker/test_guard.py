"""The guard: a push whose lease has run out ends, whatever its worker does."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ffrtmp_worker.guard import LATE_S, Guard, clock_s
from tests.e2e.cluster import wait_until

# Waited for far longer than any of these deadlines.
LONG_S = 600.0


@pytest.fixture
def pushes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started = [
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        for _ in range(2)
    ]
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard()
    yield guard
    guard.close()


def test_push_past_its_deadline_is_killed_and_the_other_lives(
    guard: Guard, pushes: list[subprocess.Popen[bytes]]
) -> None:
    late, renewed = pushes
    guard.keep({late.pid: clock_s(), renewed.pid: clock_s() + LONG_S})
    assert late.wait(20) == -signal.SIGKILL
    assert renewed.poll() is None


def test_renewed_push_and_one_that_ended_are_left_alone(guard: Guard, pushes: list[subprocess.Popen[bytes]]) -> None:
    renewed, marker = pushes
    soon_s = clock_s() + 0.2
    guard.keep({renewed.pid: soon_s})
    guard.keep({renewed.pid: clock_s() + LONG_S})
    # Its end shows that the first deadline of the other has passed too.
    guard.keep({renewed.pid: clock_s() + LONG_S, marker.pid: soon_s + 0.1})
    assert marker.wait(20) == -signal.SIGKILL
    assert clock_s() >= soon_s + LATE_S
    assert renewed.poll() is None


def test_forgotten_push_is_not_touched(guard: Guard, pushes: list[subprocess.Popen[bytes]]) -> None:
    forgotten, marker = pushes
    guard.keep({forgotten.pid: clock_s() + 0.2})
    guard.keep({marker.pid: clock_s() + 0.3})
    assert marker.wait(20) == -signal.SIGKILL
    assert forgotten.poll() is None


def test_guard_that_was_killed_is_started_again(guard: Guard, pushes: list[subprocess.Popen[bytes]]) -> None:
    guard.keep({pushes[0].pid: clock_s() + LONG_S})
    assert guard._process is not None
    first = guard._process
    first.kill()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    guard.keep({pushes[0].pid: clock_s()})
    assert pushes[0].wait(20) == -signal.SIGKILL


def test_guard_ends_with_its_worker() -> None:
    code = (
        "import sys, time; from ffrtmp_worker.guard import Guard; guard = Guard(); guard.keep({1: 1e12}); "
        "print(guard._process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        pidfd = os.pidfd_open(int(worker.stdout.readline()))
        worker.kill()
        try:
            wait_until(lambda: _has_ended(pidfd), dump=lambda: "the guard lives on")
        finally:
            os.close(pidfd)


def _has_ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])


def test_worker_without_a_push_starts_no_guard(guard: Guard) -> None:
    guard.keep({})
    assert guard._process is None

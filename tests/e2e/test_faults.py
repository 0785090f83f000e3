"""kill -9 of either daemon at each step of the protocol: every job is done once, its file whole, nothing left over."""

import itertools
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import BIN, QUICK, Cluster, Program, cluster, wait_until
from tests.e2e.witness import done_once

pytestmark = pytest.mark.e2e

CLIP = ("480p30-h264", "--duration", "1", "--preset", "ultrafast")
FRAMES = 30
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Iterator[Cluster]:
    """Give a master with short times and one worker; each test leaves both running."""
    with cluster(tmp_path_factory.mktemp("faults")) as running:
        running.configure_master(QUICK.replace("lost_after_s = 3.0", "lost_after_s = 8.0"))
        running.start_master()
        running.worker("w1")
        yield running


def new_output(house: Cluster) -> Path:
    return house.media / f"out-{next(numbers)}.mp4"


def died(program: Program) -> None:
    """Wait until it has killed itself."""
    assert program.process.wait(60) == -signal.SIGKILL, program.text()


@pytest.mark.parametrize(
    ("point", "attempt"),
    [
        pytest.param("receive.ASSIGN", 2, id="assigned-not-started"),
        pytest.param("send.PROGRESS", 2, id="encoding"),
        pytest.param("send.RESULT", 1, id="sealed-not-told"),
        pytest.param("receive.COMMIT", 1, id="commit-not-acted-on"),
        pytest.param("rename", 1, id="before-rename"),
        pytest.param("send.COMMITTED", 1, id="renamed-not-told"),
        pytest.param("receive.VERDICT", 1, id="verdict-not-noted"),
    ],
)
def test_worker_killed_at(pair: Cluster, point: str, attempt: int) -> None:
    pair.workers["w1"].stop()
    worker = pair.start_worker("w1", fault=f"{point}:kill")
    output = new_output(pair)
    job = pair.submit(*CLIP, "--output", str(output))
    died(worker)
    pair.start_worker("w1")
    done_once(pair, job, output, frames=FRAMES, attempt=attempt)
    wait_until(lambda: not list((pair.state("w1") / "spool").iterdir()), dump=pair.dump)


# An assignment that was recorded and never sent is given anew, under the next number. What ran is never run again.
@pytest.mark.parametrize(
    ("point", "attempt"),
    [
        pytest.param("receive.SUBMIT", 1, id="submit-not-recorded"),
        pytest.param("send.SUBMITTED", 2, id="submit-recorded-not-answered"),
        pytest.param("send.ASSIGN", 2, id="assignment-recorded-not-sent"),
        pytest.param("receive.PROGRESS", 1, id="encoding"),
        pytest.param("receive.RESULT", 1, id="result-not-recorded"),
        pytest.param("send.COMMIT", 1, id="publishing-recorded-commit-not-sent"),
        pytest.param("receive.COMMITTED", 1, id="published-not-recorded"),
        pytest.param("send.VERDICT", 1, id="completed-not-answered"),
    ],
)
def test_master_killed_at(pair: Cluster, point: str, attempt: int) -> None:
    assert pair.master is not None
    pair.master.stop()
    master = pair.start_master(fault=f"{point}:kill")
    wait_until(lambda: pair.node("w1")["status"] == "active", dump=pair.dump)
    before = pair.json("jobs", "list")["total"]
    output = new_output(pair)
    argv = [str(BIN / "ffrtmp"), "jobs", "submit", *CLIP, "--output", str(output), "-q"]
    # Its answer may be lost with the master: then it asks again, and one job is all that comes of it.
    submit = subprocess.Popen(argv, env=pair.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    died(master)
    pair.start_master()
    printed, problem = submit.communicate(timeout=60)
    assert submit.returncode == 0, problem
    done_once(pair, printed.strip(), output, frames=FRAMES, attempt=attempt)
    assert pair.job(printed.strip())["losses"] == 0
    assert pair.json("jobs", "list")["total"] == before + 1
    wait_until(lambda: not list((pair.state("w1") / "spool").iterdir()), dump=pair.dump)

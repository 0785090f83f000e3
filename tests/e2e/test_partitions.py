"""Silences: a network that stalls, a worker that stands still, a master that is away while a push goes on."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import QUICK, Cluster, cluster, wait_until
from tests.e2e.ingest import ingest
from tests.e2e.relay import Relay, Way, relay_to
from tests.e2e.witness import (
    done_once,
    encoder_of,
    frames_of,
    history,
    processes_with,
    stamp,
)
from tests.ports import free_port

pytestmark = pytest.mark.e2e

LOST_AFTER_S = 3.0
# Longer between fence and giving away than it takes a busy machine to look.
SHORT = QUICK.replace("give_away_s = 4.0", "give_away_s = 6.0")
# Longer than any of these stalls: the node goes offline, its job stays its own.
PATIENT = QUICK.replace("lost_after_s = 3.0", "lost_after_s = 30.0")
# Some seconds of work for the encoder.
CLIP = ("720p30-h264", "--duration", "4", "--preset", "medium")
FRAMES = 120
SHORT_CLIP = ("480p30-h264", "--duration", "1", "--preset", "ultrafast")
GIVE_AWAY_S = 6.0


@contextmanager
def house_of(folder: Path, settings: str) -> Iterator[Cluster]:
    with cluster(folder) as running:
        running.configure_master(settings)
        running.start_master()
        yield running


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Iterator[tuple[Cluster, Relay]]:
    """Give a cluster whose only worker reaches the master through a relay."""
    with house_of(tmp_path_factory.mktemp("remote"), PATIENT) as running, relay_to(running.port("workers")) as relay:
        running.worker("w1", settings=f'[master]\nendpoint = "tcp://127.0.0.1:{relay.port}"\n')
        yield running, relay


def encoding(house: Cluster) -> tuple[str, Path]:
    """Submit a job of some seconds; return it and its output once its encoder runs."""
    output = house.media / f"out-{time.monotonic_ns()}.mp4"
    job = house.submit(*CLIP, "--output", str(output))
    wait_until(lambda: encoder_of(house, job), dump=house.dump)
    return job, output


def is_offline(house: Cluster) -> bool:
    return bool(house.node("w1")["status"] == "offline")


@pytest.mark.parametrize("ways", [(Way.UP, Way.DOWN), (Way.UP,), (Way.DOWN,)], ids=["both-ways", "up", "down"])
def test_run_is_adopted_after_the_network_stalled(remote: tuple[Cluster, Relay], ways: tuple[Way, ...]) -> None:
    house, relay = remote
    job, output = encoding(house)
    relay.stall(*ways)
    wait_until(lambda: is_offline(house), dump=house.dump)
    relay.heal()
    wait_until(lambda: not is_offline(house), dump=house.dump)
    done_once(house, job, output, frames=FRAMES, attempt=1)
    assert house.job(job)["losses"] == 0


def test_run_is_adopted_after_its_connection_was_left_half_open(remote: tuple[Cluster, Relay]) -> None:
    house, relay = remote
    job, output = encoding(house)
    relay.abandon()
    # The worker hears nothing more and takes a fresh socket.
    text = house.workers["w1"].text
    before = text().count("session_opened")
    wait_until(lambda: text().count("session_opened") > before, dump=house.dump)
    done_once(house, job, output, frames=FRAMES, attempt=1)
    assert house.job(job)["losses"] == 0


@pytest.fixture
def two(tmp_path: Path, ffmpeg: str) -> Iterator[Cluster]:
    """Give a master with short times and a worker; the test starts the second."""
    with house_of(tmp_path, SHORT) as running:
        running.enrol("w1")
        running.enrol("w2")
        yield running


def stands_still(house: Cluster, name: str) -> bool:
    stat = Path(f"/proc/{house.workers[name].pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def test_worker_that_stood_still_past_its_lease_finds_its_run_stale(two: Cluster) -> None:
    worker = two.start_worker("w1", fault="send.PROGRESS:stop")
    output = two.media / "out.mp4"
    job = two.submit(*SHORT_CLIP, "--output", str(output))
    wait_until(lambda: stands_still(two, "w1"), dump=two.dump)
    two.start_worker("w2")
    done = two.wait_for(job, "completed")
    assert (done["node_id"], done["attempt"], done["losses"]) == ("w2", 2, 1)
    size, written_at = output.stat().st_size, output.stat().st_mtime_ns
    worker.process.send_signal(signal.SIGCONT)
    wait_until(lambda: two.node("w1")["status"] == "active", dump=two.dump)
    done_once(two, job, output, frames=30, attempt=2)
    assert (output.stat().st_size, output.stat().st_mtime_ns) == (size, written_at)
    assert "output_published" not in worker.text()


def test_worker_that_stood_still_with_leave_to_publish_keeps_its_job(two: Cluster) -> None:
    worker = two.start_worker("w1", fault="rename:stop")
    output = two.media / "out.mp4"
    job = two.submit(*SHORT_CLIP, "--output", str(output))
    wait_until(lambda: stands_still(two, "w1"), dump=two.dump)
    two.start_worker("w2")
    stopped_at = time.monotonic()
    # Past its lease: whether it has published is known to nobody else.
    wait_until(lambda: time.monotonic() > stopped_at + LOST_AFTER_S + 0.5, dump=two.dump)
    waiting = two.job(job)
    assert (waiting["state"], waiting["attempt"], waiting["node_id"]) == ("processing", 1, "w1")
    worker.process.send_signal(signal.SIGCONT)
    done_once(two, job, output, frames=30, attempt=1)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_push_is_fenced_by_its_worker_when_the_master_is_silent(
    two: Cluster, ffmpeg: str, tmp_path: Path, how: signal.Signals
) -> None:
    two.start_worker("w1")
    url = f"rtmp://127.0.0.1:{free_port()}/live/x"
    arguments = ("480p30-h264", "--duration", "8", "--queue", "live", "--output-mode", "rtmp", "--output", url)

    def pushers() -> list[int]:
        return [pid for pid in processes_with(url) if pid != first.pid]

    with ingest(ffmpeg, url, tmp_path / "first.mkv") as first:
        job = two.submit(*arguments)
        wait_until(lambda: two.job(job)["phase"] == "encoding", dump=two.dump)
        assert pushers()
        assert two.master is not None
        two.master.process.send_signal(how)
        wait_until(lambda: not pushers(), dump=two.dump)
        first.wait(30)
    assert "push_fenced" in two.workers["w1"].text()
    with ingest(ffmpeg, url, tmp_path / "second.mkv") as second:
        if how is signal.SIGKILL:
            two.master.process.wait()
            two.start_master()
        else:
            two.master.process.send_signal(signal.SIGCONT)
        done = two.wait_for(job, "completed", "failed")
        assert (done["state"], done["attempt"]) == ("completed", 2), two.dump()
        second.wait(30)
    fenced_at = stamp(two.workers["w1"].text(), "event=push_fenced", f"job={job}")
    left_at = stamp(two.master.text(), f"job={job}", "was=processing")
    assert fenced_at is not None
    assert left_at is not None, two.dump()
    assert fenced_at < left_at
    history(two, job)
    assert frames_of(tmp_path / "second.mkv") == 240


def test_push_of_a_worker_that_stands_still_ends_before_it_is_given_away(
    two: Cluster, ffmpeg: str, tmp_path: Path
) -> None:
    two.start_worker("w1")
    url = f"rtmp://127.0.0.1:{free_port()}/live/y"
    arguments = ("480p30-h264", "--duration", "10", "--queue", "live", "--output-mode", "rtmp", "--output", url)
    with ingest(ffmpeg, url, tmp_path / "first.mkv") as first:
        job = two.submit(*arguments)
        wait_until(lambda: two.job(job)["phase"] == "encoding", dump=two.dump)
        # The worker alone: its encoder goes on, and nobody of it can look at the fence.
        two.workers["w1"].process.send_signal(signal.SIGSTOP)
        try:
            stopped_at = time.monotonic()
            wait_until(lambda: [pid for pid in processes_with(url) if pid != first.pid] == [], dump=two.dump)
            assert time.monotonic() - stopped_at < GIVE_AWAY_S
            first.wait(30)
            with ingest(ffmpeg, url, tmp_path / "second.mkv") as second:
                two.start_worker("w2")
                done = two.wait_for(job, "completed", "failed")
                assert (done["state"], done["node_id"]) == ("completed", "w2"), two.dump()
                second.wait(30)
        finally:
            two.workers["w1"].process.send_signal(signal.SIGCONT)
    assert frames_of(tmp_path / "second.mkv") == 300

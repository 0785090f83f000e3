"""Live pushes to a real ingest: what arrives, what is refused, and what becomes of a push when something dies."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ffrtmp_worker.tools import find_tools
from tests.e2e.cluster import QUICK, Cluster, cluster, wait_until
from tests.e2e.nginx import BAD_KEY, Nginx, ingest
from tests.e2e.witness import probe, processes_with

pytestmark = pytest.mark.e2e

SMALL = ("426x240-h264", "--preset", "ultrafast", "--queue", "live", "--output-mode", "rtmp")
GIVE_AWAY_S = 3.0
# The ingest of these tests is a source of one of them too.
LOCAL = 'url_hosts = ["127.0.0.1"]\n'


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with ingest(tmp_path_factory.mktemp("ingest") / "nginx") as running:
        yield running


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Iterator[Cluster]:
    """Give a master with short leases and two workers of one slot each."""
    with cluster(tmp_path_factory.mktemp("studio")) as running:
        running.configure_master(QUICK)
        running.start_master()
        running.worker("w1", settings=LOCAL)
        running.worker("w2", settings=LOCAL)
        yield running


def push(house: Cluster, url: str, seconds: int, *arguments: str) -> str:
    return house.submit(*SMALL, "--duration", str(seconds), "--output", url, *arguments)


def progress(house: Cluster, job: str) -> dict[str, Any]:
    found: dict[str, Any] = house.job(job)["progress"] or {}
    return found


def on_air(house: Cluster, nginx: Nginx, name: str) -> str:
    """Wait until a stream is published; return the id of its connection."""
    return wait_until(lambda: nginx.publisher(name), dump=lambda: f"{nginx.log()[-2_000:]}\n{house.dump()}")


def experience(house: Cluster, job: str) -> dict[str, Any]:
    found: dict[str, Any] = house.json("jobs", "status", job)["report"]["experience"]
    return found


def test_stream_is_pulled_back_as_it_was_asked_for_and_ends_with_its_push(
    studio: Cluster, nginx: Nginx, tmp_path: Path
) -> None:
    job = push(studio, nginx.url("pulled"), 8)
    on_air(studio, nginx, "pulled")
    recorded = tmp_path / "pulled.mkv"
    pull = [find_tools().ffmpeg, "-nostdin", "-v", "error", "-rw_timeout", "5000000", "-i", nginx.url("pulled")]
    subprocess.run([*pull, "-t", "2", "-c", "copy", str(recorded)], check=True, timeout=30, stdin=subprocess.DEVNULL)
    media = probe(recorded)
    assert media.video is not None
    assert media.audio is not None
    video = media.video
    assert (video.codec, video.width, video.height, video.fps) == ("h264", 426, 240, 30.0)
    assert media.audio.codec == "aac"
    assert studio.wait_for(job, "completed", "failed")["state"] == "completed"
    # Ended, not merely left by its publisher: the ingest has let go of it.
    wait_until(lambda: nginx.publisher("pulled") is None, dump=nginx.log)
    found = experience(studio, job)
    assert (found["reconnects"], found["dropped_frames"]) == (0, 0)
    assert found["stall_ratio"] <= 1
    assert 0.5 < found["real_time_ratio"] < 1.1


def test_ingest_that_dies_and_comes_back_costs_a_reconnect_and_its_gap(
    studio: Cluster, tmp_path: Path, nginx: Nginx
) -> None:
    with ingest(tmp_path / "own") as own:
        job = push(studio, own.url("x"), 14)
        on_air(studio, own, "x")
        wait_until(lambda: progress(studio, job).get("out_time_s", 0) > 2, dump=studio.dump)
        own.kill()
        killed_at = time.monotonic()
        wait_until(lambda: progress(studio, job).get("reconnects") == 1, dump=studio.dump)
        assert studio.job(job)["state"] == "processing"
        # Some tries are refused meanwhile.
        lost = studio.workers[studio.job(job)["node_id"]].text
        wait_until(lambda: lost().count("push_lost") >= 3, dump=studio.dump)
        own.start()
        on_air(studio, own, "x")
        away_s = time.monotonic() - killed_at
        assert "its push was lost 1 time" in studio.ok("jobs", "explain", job)
        done = studio.wait_for(job, "completed", "failed")
    assert (done["state"], done["attempt"]) == ("completed", 1), studio.dump()
    found = experience(studio, job)
    assert found["reconnects"] == 1
    # From its last media to its first again, each seen at a report: two a second.
    assert found["stall_s"] == pytest.approx(away_s, abs=1.5)
    assert done["progress"]["out_time_s"] == pytest.approx(14, abs=0.2)


@pytest.mark.parametrize(("name", "application"), [(BAD_KEY, "live"), ("x", "nowhere")])
def test_push_that_is_turned_down_fails_for_good_and_never_started(
    studio: Cluster, nginx: Nginx, name: str, application: str
) -> None:
    job = push(studio, nginx.url(name, application), 60)
    done = studio.wait_for(job, "failed", "completed")
    assert (done["state"], done["attempt"]) == ("failed", 1)
    assert "turned the push down" in done["reason"]
    assert [step["to_state"] for step in studio.json("jobs", "status", job)["history"]] == [
        "queued",
        "assigned",
        "failed",
    ]


def test_stream_is_back_from_the_other_worker_within_the_lease(studio: Cluster, nginx: Nginx) -> None:
    job = push(studio, nginx.url("moved"), 600)
    first = on_air(studio, nginx, "moved")
    wait_until(lambda: studio.job(job)["state"] == "processing", dump=studio.dump)
    node = studio.job(job)["node_id"]
    studio.workers[node].stop(signal.SIGKILL)
    killed_at = time.monotonic()
    wait_until(lambda: nginx.publisher("moved") not in (None, first), dump=studio.dump)
    away_s = time.monotonic() - killed_at
    # The lease, and the start of an encoder on a busy machine.
    assert away_s < GIVE_AWAY_S + 10
    moved = wait_until(lambda: studio.job(job)["state"] == "processing" and studio.job(job), dump=studio.dump)
    assert (moved["attempt"], moved["losses"]) == (2, 1)
    assert moved["node_id"] != node
    studio.ok("jobs", "cancel", job)
    wait_until(lambda: nginx.publisher("moved") is None, dump=nginx.log)
    wait_until(lambda: not processes_with(nginx.url("moved")), dump=studio.dump)
    studio.start_worker(node)


def test_relay_goes_on_when_its_source_was_away(studio: Cluster, nginx: Nginx) -> None:
    source = nginx.url("camera")
    argv = [find_tools().ffmpeg, "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-pix_fmt", "yuv420p", "-f", "flv", source]
    camera = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        on_air(studio, nginx, "camera")
        job = push(studio, nginx.url("relayed"), 600, "--input", source)
        on_air(studio, nginx, "relayed")
        wait_until(lambda: progress(studio, job).get("out_time_s", 0) > 2, dump=studio.dump)
        camera.kill()
        camera.wait()
        wait_until(lambda: progress(studio, job).get("reconnects") == 1, dump=studio.dump)
        before_s = progress(studio, job)["out_time_s"]
        camera = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: progress(studio, job).get("out_time_s", 0) > before_s + 1, dump=studio.dump)
        assert studio.job(job)["attempt"] == 1
        studio.ok("jobs", "cancel", job)
        wait_until(lambda: nginx.publisher("relayed") is None, dump=nginx.log)
    finally:
        camera.kill()
        camera.wait()

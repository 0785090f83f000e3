"""Live pushes to a real ingest: what arrives, what is refused, and what becomes of a push when something dies."""

import re
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
from tests.e2e.relay import Way, relay_to
from tests.e2e.witness import probe, processes_with
from tests.worker import gst

pytestmark = pytest.mark.e2e

SMALL = ("426x240-h264", "--preset", "ultrafast", "--queue", "live", "--output-mode", "rtmp")
GIVE_AWAY_S = 4.0
STALL_S = 5
# All that happens to a push happens to one of either engine.
both = pytest.mark.parametrize("engine", ["ffmpeg", "gstreamer"])


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with ingest(tmp_path_factory.mktemp("ingest") / "nginx") as running:
        yield running


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Iterator[Cluster]:
    """Give a master with short leases and two workers of one slot each."""
    gst.engine()
    with cluster(tmp_path_factory.mktemp("studio"), gstreamer=True) as running:
        running.configure_master(QUICK)
        running.start_master()
        for name in ("w1", "w2"):
            running.worker(name, settings=f'url_hosts = ["127.0.0.1"]\n[limits]\nstall_live_s = {STALL_S}\n')
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


@both
def test_stream_is_pulled_back_as_it_was_asked_for_and_ends_with_its_push(
    studio: Cluster, nginx: Nginx, tmp_path: Path, engine: str
) -> None:
    job = push(studio, nginx.url("pulled"), 8, "--engine", engine)
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


@both
def test_ingest_that_dies_and_comes_back_costs_a_reconnect_and_its_gap(
    studio: Cluster, tmp_path: Path, engine: str
) -> None:
    with ingest(tmp_path / "own") as own:
        job = push(studio, own.url("x"), 10, "--engine", engine)
        on_air(studio, own, "x")
        wait_until(lambda: progress(studio, job).get("out_time_s", 0) > 2, dump=studio.dump)
        own.kill()
        killed_at = time.monotonic()
        wait_until(lambda: progress(studio, job).get("reconnects") == 1, dump=studio.dump)
        assert studio.job(job)["state"] == "processing"
        # Some tries are refused meanwhile.
        log = studio.workers[studio.job(job)["node_id"]].text
        wait_until(lambda: log().count(f"push_lost job={job}") >= 3, dump=studio.dump)
        own.start()
        on_air(studio, own, "x")
        away_s = time.monotonic() - killed_at
        advanced = progress(studio, job)["out_time_s"]
        wait_until(lambda: progress(studio, job)["out_time_s"] > advanced, dump=studio.dump)
        seen_s = time.monotonic() - killed_at
        assert "its push was lost 1 time" in studio.ok("jobs", "explain", job)
        assert "lost 1 time" in studio.ok("jobs", "status", job)
        done = studio.wait_for(job, "completed", "failed")
    assert (done["state"], done["attempt"]) == ("completed", 1), studio.dump()
    found = experience(studio, job)
    assert found["reconnects"] == 1
    # From its last media to its first again, each seen at a report: two a second.
    assert away_s - 1.5 < found["stall_s"] < seen_s + 1.5
    assert done["progress"]["out_time_s"] == pytest.approx(10, abs=0.2)


@both
@pytest.mark.parametrize(("name", "application"), [(BAD_KEY, "live"), ("x", "nowhere")])
def test_push_that_is_turned_down_fails_for_good_and_never_started(
    studio: Cluster, nginx: Nginx, name: str, application: str, engine: str
) -> None:
    job = push(studio, nginx.url(name, application), 60, "--engine", engine)
    done = studio.wait_for(job, "failed", "completed")
    assert (done["state"], done["attempt"]) == ("failed", 1)
    assert "turned the push down" in done["reason"]
    assert [step["to_state"] for step in studio.json("jobs", "status", job)["history"]] == [
        "queued",
        "assigned",
        "failed",
    ]


@both
def test_ingest_that_takes_nothing_any_more_is_left_and_tried_again(studio: Cluster, nginx: Nginx, engine: str) -> None:
    with relay_to(nginx.rtmp, narrow=True) as between:
        url = nginx.url("held").replace(f":{nginx.rtmp}", f":{between.port}")
        job = push(studio, url, 600, "--engine", engine)
        first = on_air(studio, nginx, "held")
        wait_until(lambda: progress(studio, job).get("out_time_s", 0) > 1, dump=studio.dump)
        between.stall(Way.UP)
        log = studio.workers[studio.job(job)["node_id"]].text
        hung = re.compile(rf"push_lost job={job} .*has not advanced for {STALL_S} s")
        wait_until(lambda: hung.search(log()), dump=studio.dump)
        between.heal()
        wait_until(lambda: nginx.publisher("held") not in (None, first), dump=studio.dump)
        # The buffers between may take a little once more before they are full.
        wait_until(lambda: (progress(studio, job).get("stall_s") or 0) > STALL_S, dump=studio.dump)
        found = studio.job(job)
        assert (found["state"], found["attempt"], found["progress"]["reconnects"]) == ("processing", 1, 1)
        studio.ok("jobs", "cancel", job)
        wait_until(lambda: not processes_with(url), dump=studio.dump)


@both
def test_paused_push_leaves_the_air_and_its_resume_is_no_loss(studio: Cluster, nginx: Nginx, engine: str) -> None:
    job = push(studio, nginx.url("rested"), 8, "--engine", engine)
    on_air(studio, nginx, "rested")
    wait_until(lambda: progress(studio, job).get("out_time_s", 0) > 1, dump=studio.dump)
    studio.ok("jobs", "pause", job)
    studio.wait_for(job, "paused")
    wait_until(lambda: nginx.publisher("rested") is None, dump=nginx.log)
    studio.ok("jobs", "resume", job)
    on_air(studio, nginx, "rested")
    done = studio.wait_for(job, "completed", "failed")
    assert (done["state"], done["attempt"]) == ("completed", 1), studio.dump()
    assert experience(studio, job)["reconnects"] == 0
    assert done["progress"]["out_time_s"] == pytest.approx(8, abs=0.2)
    assert done["progress"]["frame"] == pytest.approx(240, abs=6)


@both
def test_stream_is_back_from_the_other_worker_within_the_lease(studio: Cluster, nginx: Nginx, engine: str) -> None:
    job = push(studio, nginx.url("moved"), 600, "--engine", engine)
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

"""Jobs through real daemons with the second engine."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, cluster, wait_until
from tests.e2e.witness import done_once, encoder_of, frames_of, listens, probe
from tests.ports import free_port
from tests.worker import gst

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Iterator[Cluster]:
    gst.engine()
    with cluster(tmp_path_factory.mktemp("cluster"), gstreamer=True) as running:
        running.start_master()
        running.worker("w1", settings='url_hosts = ["127.0.0.1"]\n')
        yield running


def test_node_tells_its_engines(house: Cluster) -> None:
    hardware = house.node("w1")["hardware"]
    assert hardware["engines"] == ["ffmpeg", "gstreamer"]
    assert {"libx264", "x264enc"} <= set(hardware["encoders"])


@pytest.mark.parametrize(("scenario", "codec"), [("480p30-h264", "h264"), ("480p30-h265", "hevc")])
def test_file_is_made_by_the_engine_asked_for(house: Cluster, scenario: str, codec: str) -> None:
    output = house.media / f"{scenario}.mp4"
    job = house.submit(scenario, "--duration", "2", "--engine", "gstreamer", "--output", str(output))
    done_once(house, job, output, frames=60, attempt=1)
    video = probe(output).video
    assert video is not None
    assert (video.codec, video.width, video.height, video.fps) == (codec, 854, 480, 30.0)
    report = house.json("jobs", "status", job)["report"]
    assert (report["engine"], report["encoder"]) == ("gstreamer", {"h264": "x264enc", "hevc": "x265enc"}[codec])
    assert report["engine_version"].startswith("GStreamer 1.")


def test_paused_and_resumed_file_is_whole_and_a_canceled_one_leaves_nothing(house: Cluster) -> None:
    output = house.media / "paused.mp4"
    arguments = ("--engine", "gstreamer", "--preset", "slow", "--output", str(output))
    job = house.submit("720p30-h264", "--duration", "6", *arguments)
    wait_until(lambda: (house.job(job)["progress"] or {}).get("frame"), dump=house.dump)
    house.ok("jobs", "pause", job)
    house.wait_for(job, "paused")
    house.ok("jobs", "resume", job)
    done_once(house, job, output, frames=180, attempt=1)
    canceled = house.submit("720p30-h264", "--duration", "20", *arguments)
    wait_until(lambda: (house.job(canceled)["progress"] or {}).get("frame"), dump=house.dump)
    assert encoder_of(house, canceled)
    house.ok("jobs", "cancel", canceled)
    wait_until(lambda: not encoder_of(house, canceled), dump=house.dump)
    assert frames_of(output) == 180
    wait_until(lambda: [p.name for p in house.media.glob("paused.mp4*")] == ["paused.mp4"], dump=house.dump)


@contextmanager
def ingest(house: Cluster, ffmpeg: str, recorded: Path) -> Iterator[str]:
    """Record one push to the URL given; recorded is whole at the end."""
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/x"
    argv = [ffmpeg, "-nostdin", "-y", "-v", "error", "-listen", "1", "-f", "flv", "-i", url, "-c", "copy"]
    with subprocess.Popen([*argv, str(recorded)], stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: listens(port, server.pid), dump=house.dump)
            yield url
            server.wait(timeout=30)
        finally:
            server.kill()


def pushed(house: Cluster, url: str, *arguments: str) -> dict[str, Any]:
    """Push there and return the report."""
    job = house.submit("480p30-h264", "--queue", "live", "--output-mode", "rtmp", "--output", url, *arguments)
    done = house.wait_for(job, "completed", "failed")
    assert done["state"] == "completed", done
    report: dict[str, Any] = house.json("jobs", "status", job)["report"]
    return report


def test_push_takes_the_engine_of_lower_latency(house: Cluster, ffmpeg: str, tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.mkv"
    with ingest(house, ffmpeg, recorded) as url:
        assert pushed(house, url, "--duration", "3")["engine"] == "gstreamer"
    media = probe(recorded)
    assert media.video is not None
    assert media.audio is not None
    assert (media.video.codec, media.video.height, media.video.frames) == ("h264", 480, 90)


# A container without a demuxer of GStreamer's, and a trimmed file of which its demuxer loses the end.
@pytest.mark.parametrize(("name", "trim_s"), [("in.nut", 0), ("trimmed.mp4", 1)])
def test_push_that_the_engine_of_lower_latency_cannot_read_is_done_by_the_other(
    house: Cluster, ffmpeg: str, tmp_path: Path, name: str, trim_s: int
) -> None:
    whole, source, recorded = tmp_path / "whole.mp4", house.media / name, tmp_path / "recorded.mkv"
    made = ("-f", "lavfi", "-i", f"testsrc2=s=320x180:r=25:d={trim_s + 2}", "-c:v", "mpeg4", "-g", "100", str(whole))
    copied = ("-ss", str(trim_s), "-i", str(whole), "-c", "copy", str(source))
    for arguments in (made, copied):
        subprocess.run([ffmpeg, "-nostdin", "-y", "-v", "error", *arguments], check=True)
    with ingest(house, ffmpeg, recorded) as url:
        report = pushed(house, url, "--input", str(source))
    assert (report["engine"], report["encoder"]) == ("ffmpeg", "libx264")
    assert report["fallback"].startswith("gstreamer does not read the input: ")
    video = probe(recorded).video
    assert video is not None
    assert (video.height, video.frames) == (480, 60)


def test_what_the_engine_cannot_do_fails_for_good_and_says_why(house: Cluster) -> None:
    arguments = ("--engine", "gstreamer", "--output-mode", "stream", "--output", "http://127.0.0.1:9/put")
    failed = house.wait_for(house.submit("480p30-h264", *arguments), "failed")
    assert "pushes to rtmp, rtmps, srt" in failed["reason"]
    refused = house.ffrtmp("jobs", "submit", "480p30-h264", "--engine", "gstreamer", "--encoder", "libx264")
    assert (refused.returncode, "libx264 is an encoder of ffmpeg" in refused.stderr) == (2, True)

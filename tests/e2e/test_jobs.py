"""Jobs through the real programs: what was asked comes out, and the files show it."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ffrtmp_worker.tools import find_tools
from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.witness import encoder_of, listens, probe, running_job
from tests.ports import free_port

pytestmark = pytest.mark.e2e


def test_generated_source_becomes_a_file_as_asked(house: Cluster) -> None:
    output = house.media / "first.mp4"
    done = house.ffrtmp(
        "jobs", "submit", "720p30-h264", "--duration", "2", "--output", str(output), "--wait", "-o", "json"
    )
    assert done.returncode == 0, done.stderr
    media = probe(output)
    assert media.video is not None
    assert (media.video.codec, media.video.width, media.video.height) == ("h264", 1280, 720)
    assert (media.video.fps, media.video.frames) == (30.0, 60)
    assert sorted(path.name for path in house.media.glob("first.mp4*")) == ["first.mp4"]


def test_file_of_the_user_is_encoded(house: Cluster) -> None:
    source = house.media / "source.mp4"
    first = house.submit("480p30-h264", "--duration", "1", "--output", str(source))
    house.wait_for(first, "completed")
    output = house.media / "again.mkv"
    job = house.submit("1280x720-h265", "--input", str(source), "--output", str(output))
    house.wait_for(job, "completed")
    media = probe(output)
    assert media.video is not None
    assert (media.video.codec, media.video.width, media.video.frames) == ("hevc", 1280, 30)
    assert "matroska" in media.container


def test_4k60_is_really_3840x2160_at_60(house: Cluster) -> None:
    output = house.media / "uhd.mp4"
    job = house.submit("4K60-h264", "--duration", "2", "--preset", "ultrafast", "--output", str(output))
    house.wait_for(job, "completed", patience_s=240)
    media = probe(output)
    assert media.video is not None
    video = media.video
    assert (video.codec, video.width, video.height, video.fps, video.frames) == ("h264", 3840, 2160, 60.0, 120)


def test_status_shows_what_the_file_shows(house: Cluster) -> None:
    output = house.media / "shown.mp4"
    job = house.submit("480p30-h264", "--duration", "1", "--output", str(output))
    house.wait_for(job, "completed")
    status = house.json("jobs", "status", job)
    report = status["report"]
    media = probe(output)
    assert media.video is not None
    assert report["media"]["video"]["frames"] == media.video.frames == 30
    assert report["media"]["size_bytes"] == output.stat().st_size
    assert report["command"][0].endswith(Path(find_tools().ffmpeg).name)
    assert (report["encoder"], report["exit_code"]) == ("libx264", 0)
    assert status["job"]["output"] == str(output)
    states = [entry["to_state"] for entry in status["history"]]
    assert states == ["queued", "assigned", "processing", "completed"]


def test_progress_never_goes_back_and_ends_at_a_hundred(house: Cluster) -> None:
    job = house.submit("1080p30-h264", "--duration", "12", "--preset", "ultrafast")
    seen = []

    def look() -> bool:
        status = house.job(job)
        percent = (status["progress"] or {}).get("percent")
        if percent is not None:
            seen.append(percent)
        return bool(status["state"] == "completed")

    wait_until(look, dump=house.dump)
    assert seen == sorted(seen)
    assert seen[-1] == 100.0
    assert all(percent < 100.0 for percent in seen[:-1] if percent != seen[-1])
    assert any(0.0 < percent < 100.0 for percent in seen)


def test_follow_shows_it_live(house: Cluster) -> None:
    job = house.submit("1080p30-h264", "--duration", "10", "--preset", "ultrafast")
    done = house.ffrtmp("jobs", "status", job, "--follow")
    assert done.returncode == 0
    assert "%" in done.stderr
    assert "completed" in done.stdout


def test_log_of_the_encoder_is_kept(house: Cluster) -> None:
    job = house.submit("480p30-h264", "--duration", "1")
    house.wait_for(job, "completed")
    assert "libx264" in house.ok("jobs", "logs", job)


def test_canceled_job_leaves_no_process_and_no_file(house: Cluster) -> None:
    output = house.media / "never.mp4"
    job = running_job(house, "--output", str(output))
    assert encoder_of(house, job)
    house.ok("jobs", "cancel", job)
    wait_until(lambda: not encoder_of(house, job), dump=house.dump)
    wait_until(lambda: not list(house.media.glob("never.mp4*")), dump=house.dump)
    wait_until(lambda: house.node(house.job(job)["node_id"])["free_slots"] == 1, dump=house.dump)
    assert house.job(job)["state"] == "canceled"


def test_paused_job_uses_no_cpu_and_its_output_is_whole(house: Cluster) -> None:
    output = house.media / "paused.mp4"
    job = house.submit("720p30-h264", "--duration", "10", "--preset", "medium", "--output", str(output))
    wait_until(lambda: house.job(job)["phase"] == "encoding" and encoder_of(house, job), dump=house.dump)
    house.ok("jobs", "pause", job)
    pids = encoder_of(house, job)
    wait_until(lambda: all(states_of(pid) == {"T"} for pid in pids), dump=house.dump)
    before = [cpu_ticks(pid) for pid in pids]
    again = house.ffrtmp("jobs", "pause", job)
    assert again.returncode == 5
    for _ in range(20):
        assert house.job(job)["state"] == "paused"
    assert [cpu_ticks(pid) for pid in pids] == before
    house.ok("jobs", "resume", job)
    house.wait_for(job, "completed")
    media = probe(output)
    assert media.video is not None
    assert media.video.frames == 300


def states_of(pid: int) -> set[str]:
    """Return the states of all threads: the first may stand still while others finish their time slice."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return {(thread / "stat").read_text().rpartition(")")[2].split()[0] for thread in threads}


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_control_of_a_running_job_through_all_its_states(house: Cluster) -> None:
    job = running_job(house)
    node = house.job(job)["node_id"]
    for verb, state in (("pause", "paused"), ("resume", "processing"), ("cancel", "canceled")):
        house.ok("jobs", verb, job)
        assert house.job(job)["state"] == state
        if verb == "pause":
            assert house.ffrtmp("jobs", verb, job).returncode == 5
    assert house.ffrtmp("jobs", "pause", "job-999999").returncode == 3
    wait_until(lambda: house.node(node)["free_slots"] == 1, dump=house.dump)


def test_failure_of_the_input_is_permanent_and_says_why(house: Cluster) -> None:
    broken = house.media / "broken.mp4"
    broken.write_bytes(b"this is no film" * 100)
    done = house.ffrtmp("jobs", "submit", "480p30-h264", "--input", str(broken), "--wait")
    assert done.returncode == 10
    job = house.job("last")
    assert (job["state"], job["attempt"]) == ("failed", 1)
    assert job["reason"]


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        # Only the node knows its roots; the rest no node may open, and there is no job.
        ("/etc/passwd", 10, "input_roots"),
        ("../../etc/passwd", 2, "leads out"),
        ("concat:/etc/passwd|/etc/group", 2, "is not taken here"),
        ("pipe:0", 2, "is not taken here"),
    ],
)
def test_input_outside_the_roots_is_refused(house: Cluster, path: str, code: int, says: str) -> None:
    done = house.ffrtmp("jobs", "submit", "480p30-h264", "--input", path, "--wait")
    assert (done.returncode, says in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
    if code == 10:
        assert house.job("last")["attempt"] == 1


def test_five_at_once_are_each_done_once(house: Cluster) -> None:
    lines = "\n".join(
        json.dumps({"scenario": "480p30-h264", "duration": 1, "output": str(house.media / f"bulk-{index}.mp4")})
        for index in range(5)
    )
    done = house.ffrtmp("jobs", "submit", "-f", "-", "-q", stdin=lines)
    assert done.returncode == 0, done.stderr
    jobs = done.stdout.split()
    assert len(set(jobs)) == 5
    for job in jobs:
        assert house.wait_for(job, "completed")["attempt"] == 1
    assert len(list(house.media.glob("bulk-*.mp4"))) == 5


def test_submit_again_with_the_same_key_is_one_job(house: Cluster) -> None:
    arguments = ("480p30-h264", "--duration", "1", "--idempotency-key", "nightly-0001")
    assert house.submit(*arguments) == house.submit(*arguments)
    other = house.ffrtmp("jobs", "submit", "480p30-h265", "--idempotency-key", "nightly-0001")
    assert other.returncode == 5


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("jobs", "submit", "4K60-h246"), 2),
        (("jobs", "submit", "720p30-h264", "--queue", "fast"), 2),
        (("jobs", "submit", "720p30-h264", "--priority", "urgent"), 2),
        (("jobs", "submit", "720p30-h264", "--encoder", "libx266"), 2),
        (("jobs", "list", "--state", "done"), 2),
        (("jobs", "status", "job-000000"), 3),
        (("jobs", "status", "nonsense"), 3),
        (("nodes", "describe", "w9"), 3),
        (("keys", "revoke", "nobody"), 3),
    ],
)
def test_bad_input_has_its_exit_code_and_stores_nothing(house: Cluster, arguments: tuple[str, ...], code: int) -> None:
    before = house.json("jobs", "list")["total"]
    done = house.ffrtmp(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert house.json("jobs", "list")["total"] == before


def test_live_push_arrives_at_an_ingest(house: Cluster, ffmpeg: str, tmp_path: Path) -> None:
    port = free_port()
    recorded = tmp_path / "recorded.mkv"
    url = f"rtmp://127.0.0.1:{port}/live/x"
    argv = [
        ffmpeg,
        "-nostdin",
        "-y",
        "-v",
        "error",
        "-listen",
        "1",
        "-f",
        "flv",
        "-i",
        url,
        "-c",
        "copy",
        str(recorded),
    ]
    ingest = subprocess.Popen(argv, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: listens(port, ingest.pid), dump=house.dump)
        job = house.submit(
            "480p30-h264", "--duration", "3", "--queue", "live", "--output-mode", "rtmp", "--output", url
        )
        done = house.wait_for(job, "completed", "failed")
        assert done["state"] == "completed", done
        _, problems = ingest.communicate(timeout=30)
        assert ingest.returncode == 0, problems
    finally:
        if ingest.poll() is None:
            ingest.kill()
            ingest.communicate()
    media = probe(recorded)
    assert media.video is not None
    assert (media.video.codec, media.video.width, media.video.height) == ("h264", 854, 480)
    assert media.video.frames == 90


def scenarios() -> list[Any]:
    import tomllib

    path = Path(__file__).parents[2] / "conf" / "scenarios.toml"
    return sorted(tomllib.loads(path.read_text())["scenarios"])


@pytest.mark.parametrize("name", scenarios())
def test_every_known_scenario_probes_as_its_name_says(house: Cluster, name: str) -> None:
    known = {entry["name"]: entry for entry in house.json("scenarios", "list")["scenarios"]}
    wanted = known[name]
    encoders = house.node("w1")["hardware"]["encoders"]
    output = house.media / f"{name}.mp4"
    job = house.submit(name, "--duration", "0.2", "--preset", "ultrafast", "--output", str(output))
    done = house.wait_for(job, "completed", "failed", patience_s=120)
    assert done["state"] == "completed", (done, encoders)
    media = probe(output)
    assert media.video is not None
    codec = {"h265": "hevc"}.get(wanted["codec"], wanted["codec"])
    video = media.video
    assert (video.codec, video.width, video.height) == (codec, wanted["width"], wanted["height"])
    assert video.fps == pytest.approx(wanted["fps"], rel=0.005)


def test_worker_killed_mid_encode_leaves_no_encoder_and_the_job_runs_again(lone: Cluster) -> None:
    lone.worker("w1")
    job = running_job(lone)
    lone.workers["w1"].stop(signal.SIGKILL)
    wait_until(lambda: not encoder_of(lone, job), dump=lone.dump)
    lone.start_worker("w1")
    again = lone.wait_for(job, "processing")
    wait_until(lambda: lone.job(job)["attempt"] == 2, dump=lone.dump)
    assert again["node_id"] == "w1"
    lone.ok("jobs", "cancel", job)


def test_master_killed_mid_encode_loses_nothing(lone: Cluster) -> None:
    lone.worker("w1")
    output = lone.media / "kept.mp4"
    job = lone.submit("720p30-h264", "--duration", "12", "--preset", "medium", "--output", str(output))
    wait_until(lambda: encoder_of(lone, job), dump=lone.dump)
    assert lone.master is not None
    lone.master.stop(signal.SIGKILL)
    lone.start_master()
    done = lone.wait_for(job, "completed")
    assert (done["attempt"], done["losses"]) == (1, 0)
    media = probe(output)
    assert media.video is not None
    assert media.video.frames == 360


def test_stopped_worker_stops_its_encoder_and_gives_the_job_back(lone: Cluster) -> None:
    lone.worker("w1")
    job = running_job(lone)
    assert lone.workers["w1"].stop() == 0
    assert encoder_of(lone, job) == []
    view = lone.job(job)
    assert (view["state"], view["losses"]) == ("queued", 0)
    lone.ok("jobs", "cancel", job)


def test_master_is_stopped_by_sigterm_and_leaves_its_jobs(lone: Cluster) -> None:
    job = lone.submit("720p30-h264")
    assert lone.master is not None
    assert lone.master.stop() == 0
    lone.start_master()
    assert lone.job(job)["state"] == "queued"
    assert os.listdir(lone.home / "run") == ["endpoints.json"]  # noqa: PTH208

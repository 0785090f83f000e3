"""Outputs decoded to their end on request."""

from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmp_worker.decode import DECODE_LEAST_S, decode_command, decode_problem, decode_timeout_s
from ffrtmp_worker.probe import parse_probe, probe_command
from ffrtmp_worker.process import run_tool
from ffrtmp_worker.recipe import StepEnd, StepName
from ffrtmp_worker.tools import Tools
from ffrtmpd.wire.messages.jobs import MediaInfo, VideoStream
from ffrtmpd.wire.vocabulary import VerifyMode
from tests.worker import media
from tests.worker.attempts import BUILDS, node
from tests.worker.test_steps import GOOD, OUTPUT, Make, going, make

__all__ = ["make"]

FOUND = MediaInfo(container="mp4", video=VideoStream(codec="h264", width=320, height=180, frames=300))


def done(frame: int | str, code: int = 0, log: str = "") -> StepEnd:
    return StepEnd(exit_code=code, stdout=f"frame={frame}\nprogress=end\n".encode(), log_tail=log)


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (done(300), None),
        (done(298), None),
        (done(297), "only 297 of 300 frames"),
        (done(300, 1, "[fatal] file:a: corrupt decoded frame in stream 0"), "to its end: file:a: corrupt decoded"),
        (done(300, 0, "[h264 @ 0x1] [error] error while decoding MB 3 4, bytestream -7"), "while decoding MB"),
        (done(300, 0, "[h264 @ 0x1] [warning] Increasing reorder buffer to 1"), None),
        (done(12, -9), "killed by SIGKILL"),
        (done("N/A"), "nobody told"),
        (GOOD, "nobody told"),
    ],
)
def test_what_a_decode_says_of_an_output(end: StepEnd, says: str | None) -> None:
    problem = decode_problem(end, FOUND)
    assert problem is None if says is None else says in (problem or "")


def test_long_output_has_longer() -> None:
    assert decode_timeout_s(FOUND) == DECODE_LEAST_S
    assert FOUND.video is not None
    assert decode_timeout_s(replace(FOUND, video=replace(FOUND.video, frames=100_000))) > DECODE_LEAST_S
    assert decode_timeout_s(replace(FOUND, video=None)) == DECODE_LEAST_S


def test_output_is_decoded_after_its_check_where_that_is_asked_for(make: Make, tmp_path: Path) -> None:
    (tmp_path / "in.mov").write_bytes(b"x")
    names = []
    for verify in VerifyMode:
        recipe = make(replace(media.assign(width=1920, height=1080, fps=30.0), input="in.mov", verify=verify))
        recipe.advance(None)
        recipe.advance(replace(GOOD, stdout=OUTPUT))
        recipe.advance(GOOD)
        names.append(going(recipe.advance(replace(GOOD, stdout=OUTPUT))).name)
        if verify is VerifyMode.DECODE:
            assert going(recipe.advance(done(300))).name is StepName.HASH
    assert names == [StepName.HASH, StepName.VERIFY]


# ── real outputs ──────────────────────────────────────────────────────────────────────────────────────────────────


def judged(tools: Tools, path: Path) -> tuple[MediaInfo, str | None]:
    """Return what a probe says of a file, and what its decode does."""
    target = f"file:{path}"
    found = parse_probe(run_tool(probe_command(tools, target), timeout_s=60).stdout, tools)
    ran = run_tool(decode_command(tools, target, found), timeout_s=60)
    end = StepEnd(exit_code=ran.exit_code, stdout=ran.stdout, log_tail=ran.stderr.decode())
    return found, decode_problem(end, found)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    ("encoder", "suffix"),
    [
        ("libx264", ".mp4"),
        ("libx264", ".ts"),
        ("libx264", ".flv"),
        ("libx265", ".mov"),
        ("libsvtav1", ".mkv"),
        ("libvpx-vp9", ".webm"),
    ],
)
def test_whole_output_passes(build: str, encoder: str, suffix: str, tmp_path: Path) -> None:
    tools = BUILDS[build]()
    path = encoded(tmp_path, encoder, suffix)
    found, problem = judged(tools, path)
    assert problem is None
    assert found.audio is not None


@pytest.mark.parametrize("build", BUILDS)
def test_damage_that_no_probe_sees_is_found(build: str, tmp_path: Path) -> None:
    tools = BUILDS[build]()
    path = encoded(tmp_path, "libx264", ".mp4")
    whole, _ = judged(tools, path)
    data = bytearray(path.read_bytes())
    for part in (3, 4, 5):
        begin = len(data) * part // 8
        data[begin : begin + 400] = bytes(byte ^ 0x5A for byte in data[begin : begin + 400])
    path.write_bytes(data)
    found, problem = judged(tools, path)
    assert (found.video, found.duration_s) == (whole.video, whole.duration_s)
    assert problem is not None
    assert "does not decode to its end" in problem


@pytest.mark.parametrize("build", BUILDS)
def test_job_with_a_whole_decode_runs_to_its_end(build: str, tmp_path: Path) -> None:
    with node(tmp_path, BUILDS[build]()) as here:
        ran = here.attempt(duration_s=1.0, verify=VerifyMode.DECODE)
    assert ran.media is not None, ran.failure
    assert "frame=25" in ran.said


def encoded(folder: Path, encoder: str, suffix: str) -> Path:
    """Return an output of two seconds with sound."""
    if encoder not in media.proven():
        pytest.skip(f"{encoder} is not here")
    path = folder / f"out{suffix}"
    sound = "libopus" if suffix == ".webm" else "aac"
    graph = "testsrc2=size=320x180:rate=25:duration=2[out0];sine=duration=2[out1]"
    media.succeed(
        (
            *(media.tools().ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", graph),
            *("-c:v", encoder, "-b:v", "500k", "-pix_fmt", "yuv420p", "-c:a", sound, str(path)),
        )
    )
    return path

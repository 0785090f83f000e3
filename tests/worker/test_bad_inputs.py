"""Inputs as users have them: each ends right, and what is refused says what is wrong and what to do."""

import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ffrtmp_worker.places import PlaceError, Places
from ffrtmpd.wire.messages.jobs import MediaInfo
from tests.worker.attempts import BUILDS, Node, Ran, node
from tests.worker.media import run, succeed, tools


@cache
def _made(options: str, suffix: str) -> bytes:
    """Return media that ffmpeg makes with the options between program and output."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"made.{suffix}"
        succeed((tools().ffmpeg, "-v", "error", *options.split(), str(path)))
        return path.read_bytes()


def picture(size: str = "128x72", rate: int = 25, seconds: float = 1.0) -> str:
    return f"-f lavfi -i testsrc2=size={size}:rate={rate}:duration={seconds}"


TONE = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=1"
X264 = "-c:v libx264 -preset ultrafast -g 10"


@pytest.fixture(params=list(BUILDS))
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    with node(tmp_path, BUILDS[request.param]()) as made:
        yield made


def put(here: Node, name: str, content: bytes) -> None:
    (here.folder / "in" / name).write_bytes(content)


def video_of(ran: Ran) -> MediaInfo:
    assert ran.failure is None, ran.failure
    assert ran.media is not None
    assert ran.media.video is not None
    assert (ran.media.video.codec, ran.media.video.pixel_format) == ("h264", "yuv420p")
    return ran.media


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def refusals() -> dict[str, tuple[str, bytes, str]]:
    mp4 = _made(f"{picture()} {X264}", "mp4")
    front = _made(f"{picture()} {X264} -movflags +faststart", "mp4")
    mkv = _made(f"{picture()} {X264}", "mkv")
    return {
        "cut before its index": ("a.mp4", mp4[: len(mp4) * 2 // 3], "cut short"),
        "cut after its index": ("a.mp4", front[: len(front) * 2 // 3], "cut short or damaged"),
        "cut mkv": ("a.mkv", mkv[: len(mkv) * 2 // 3], "cut short or damaged"),
        "zero bytes": ("a.mp4", b"", "is empty (0 bytes)"),
        "text": ("a.mp4", b"This is a letter, not a video.\n" * 500, "or no MP4"),
        "text named so": ("notes.txt", b"This is a letter, not a video.\n" * 500, "no video file"),
        "zeroes": ("a.mp4", bytes(50_000), "or no MP4"),
        "noise": ("a.mp4", bytes((i * 7919 + i * i) % 251 for i in range(50_000)), ""),
        "sound only": ("a.m4a", _made(f"{TONE} -c:a aac", "m4a"), "no video (only sound)"),
        "sound and cover": (
            "a.mp4",
            _made(f"{TONE} {picture(seconds=0.04)} -c:a aac -c:v mjpeg -disposition:v attached_pic", "mp4"),
            "no video (only sound)",
        ),
    }


@pytest.mark.parametrize("which", list(refusals()))
def test_input_that_is_no_video_is_refused_for_good(here: Node, which: str) -> None:
    name, content, says = refusals()[which]
    put(here, name, content)
    kind, reason = here.attempt(input=name).told
    assert kind == "permanent", reason
    assert says in reason
    assert "Errno" not in reason
    assert len(reason) > 20


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("gone.mp4", "missing", "no such file"),
        (".", "not_a_file", "a folder"),
        ("folder", "not_a_file", "name one file"),
    ],
)
def test_name_without_a_file_is_refused(tmp_path: Path, name: str, code: str, says: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(PlaceError, match=says) as caught:
        Places(input_roots=(tmp_path,), output_roots=(tmp_path,)).resolve_input(name)
    assert caught.value.code == code


def test_file_that_may_not_be_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        (folder / "a.mp4").write_bytes(b"x")
        (folder / "a.mp4").chmod(0)
        (folder / "closed").mkdir()
        (folder / "closed" / "a.mp4").write_bytes(b"x")
        (folder / "closed").chmod(0)
        places = Places(input_roots=(folder,), output_roots=(folder,))
        root = os.geteuid() == 0
        if root:
            # Root may read everything.
            os.seteuid(65_534)
        try:
            for text in ("a.mp4", "closed/a.mp4"):
                with pytest.raises(PlaceError, match="owner or mode") as caught:
                    places.resolve_input(text)
                assert caught.value.code == "unreadable"
        finally:
            if root:
                os.seteuid(0)
            (folder / "closed").chmod(0o755)


# ── encoded ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", ["127x71", "17x129", "2x2"])
def test_odd_size_becomes_the_scenarios(here: Node, size: str) -> None:
    put(here, "a.mkv", _made(f"{picture(size)} -pix_fmt yuv444p -c:v ffv1", "mkv"))
    media = video_of(here.attempt(input="a.mkv"))
    assert media.video is not None
    assert (media.video.width, media.video.height, media.video.frames) == (128, 72, 25)


@pytest.mark.parametrize(
    "source", ["-c:v ffv1 -pix_fmt yuv422p10le", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le"]
)
def test_ten_bits_become_eight(here: Node, source: str) -> None:
    put(here, "a.mkv", _made(f"{picture()} {source}", "mkv"))
    video_of(here.attempt(input="a.mkv"))


@pytest.mark.parametrize("fps", [None, 25.0])
def test_variable_rate_keeps_picture_and_sound_together(here: Node, fps: float | None) -> None:
    # A second at 30, then a second at 10 frames per second.
    uneven = "select=lt(t\\,1)+not(mod(n\\,3))"
    tone = TONE.replace("duration=1", "duration=2")
    options = f"{picture(rate=30, seconds=2)} {tone} -vf {uneven} -vsync vfr {X264} -c:a aac"
    put(here, "a.mp4", _made(options, "mp4"))
    media = video_of(here.attempt(input="a.mp4", fps=fps))
    assert media.video is not None
    assert media.audio is not None
    assert media.duration_s == pytest.approx(2.0, abs=0.15)
    assert media.video.frames is not None
    assert media.video.fps is not None
    assert media.video.frames / media.video.fps == pytest.approx(2.0, abs=0.15)


def test_picture_comes_at_its_time_in_an_input_of_variable_rate(here: Node) -> None:
    # White for the first second at 30, black for the next at 10: the change must stay at one second.
    halves = "color=white:s=128x72:r=30:d=1[a];color=black:s=128x72:r=30:d=1[b]"
    graph = f"{halves};[a][b]concat,select=lt(t\\,1)+not(mod(n\\,3))"
    put(here, "a.mp4", _made(f"-filter_complex {graph} -vsync vfr {X264} -pix_fmt yuv420p", "mp4"))
    ran = here.attempt(input="a.mp4", fps=25.0)
    video_of(ran)
    look = (tools().ffmpeg, "-i", str(ran.output), "-vf", "blackdetect=d=0.1:pix_th=0.1", "-f", "null", "-")
    (line,) = [line for line in run(look).stderr.decode().splitlines() if "black_start" in line]
    start = float(line.partition("black_start:")[2].split()[0])
    assert start == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    "name", ["a b.mp4", 'it\'s "so".mp4', "-a.mp4", "%d.mp4", "100%.mp4", "ünï ☃.mp4", "a#b?c.mp4", "a\\b.mp4"]
)
def test_file_of_any_printable_name_is_read_and_written(here: Node, name: str) -> None:
    put(here, name, _made(f"{picture(seconds=0.2)} {X264}", "mp4"))
    video_of(here.attempt(input=f"./{name}", output=f"./{name}"))


def test_eight_k_is_encoded_where_memory_allows_and_else_ends_by_the_limit(tmp_path: Path) -> None:
    with node(tmp_path, tools()) as here:
        put(here, "a.mkv", _made(f"{picture('7680x4320', seconds=0.08)} -c:v mjpeg -q:v 20 -pix_fmt yuvj420p", "mkv"))
        video_of(here.attempt(input="a.mkv"))
        here.memory_bytes = 96 << 20
        kind, reason = here.attempt(input="a.mkv").told
        # Another node may have more.
        assert (kind, "limits.memory_bytes" in reason) == ("transient", True), reason

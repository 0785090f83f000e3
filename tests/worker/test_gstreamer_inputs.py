"""What files say of their pictures and sound beyond the media themselves, as the GStreamer of this machine plays it."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.worker import media
from tests.worker.test_gstreamer_run import difference, gray, run, task

# Matrices of ISO/IEC 14496-12, 6.2.2: how a player turns the picture, here without its place.
ONE = 1 << 16
TURNS = {
    "as it lies": (ONE, 0, 0, ONE),
    "a quarter": (0, ONE, -ONE, 0),
    "half": (-ONE, 0, 0, -ONE),
    "three quarters": (0, -ONE, ONE, 0),
    "mirrored": (-ONE, 0, 0, ONE),
}


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gst") / "lying.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2", "-c:v", "mpeg4", "-q:v", "2")
    media.succeed(("ffmpeg", "-v", "error", *picture, str(path)))
    return path


def turned(source: Path, target: Path, turn: tuple[int, int, int, int]) -> Path:
    """Write a copy of an MP4 of one track that asks for its picture to be turned."""
    a, b, c, d = turn
    data = source.read_bytes()
    # The matrix of the first track header in its version 0.
    at = data.index(b"tkhd") + 44
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target.write_bytes(data[:at] + matrix + data[at + len(matrix) :])
    return target


@pytest.mark.parametrize("turn", TURNS)
def test_picture_of_a_phone_stands_upright(lying: Path, tmp_path: Path, turn: str) -> None:
    source = turned(lying, tmp_path / "in.mp4", TURNS[turn])
    width, height = (144, 256) if "quarter" in turn else (256, 144)
    made = task(source, tmp_path / "a.mkv", width=width, height=height)
    ran = run(made)
    assert ran.exit_code == 0, ran.stderr.decode()
    wanted, seen = gray(str(source)), gray(made.target)
    assert (len(wanted), len(seen)) == (50, 50)
    apart = [difference(*pair) / len(pair[0]) for pair in zip(wanted, seen, strict=True)]
    # Turned otherwise they are 100 of 255 apart.
    assert max(apart) < 15


def test_rest_of_a_push_stands_upright_too(lying: Path, tmp_path: Path) -> None:
    source = turned(lying, tmp_path / "in.mp4", TURNS["a quarter"])
    made = replace(task(source, tmp_path / "a.mkv", width=144, height=256), skip_s=1.0)
    ran = run(made)
    assert ran.exit_code == 0, ran.stderr.decode()
    wanted, seen = gray(str(source)), gray(made.target)
    assert len(seen) == 25
    assert difference(wanted[25], seen[0]) / len(seen[0]) < 15

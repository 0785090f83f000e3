"""What files say of their pictures and sound beyond the media themselves, as the GStreamer of this machine plays it."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmp_worker.verify import verify
from ffrtmpd.wire.vocabulary import FailureClass
from tests.worker import gst, media
from tests.worker.test_gstreamer_run import EXIT_DATA, difference, gray, run, task

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


def test_mp4_that_was_trimmed_is_refused_before_its_end_is_lost(tmp_path: Path) -> None:
    whole, trimmed = tmp_path / "whole.mp4", tmp_path / "trimmed.mp4"
    streams = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=6", "-f", "lavfi", "-i", "sine=d=6")
    media.succeed(("ffmpeg", "-v", "error", *streams, "-c:v", "mpeg4", "-g", "100", "-c:a", "aac", str(whole)))
    # From the middle of a group of pictures: the file has all of it, and an edit list that leaves out its beginning.
    media.succeed(("ffmpeg", "-v", "error", "-ss", "3", "-i", str(whole), "-c", "copy", str(trimmed)))
    made = task(trimmed, tmp_path / "a.mp4")
    ran = run(made)
    told = gst.engine().classify(ran.exit_code, ran.stderr.decode(), live=False)
    assert (ran.exit_code, told.failure_class, told.unreadable) == (EXIT_DATA, FailureClass.PERMANENT, True)
    assert told.reason.startswith("an edit list leaves out 3 s of it")


def test_edit_list_that_leaves_out_an_encoders_lead_is_played(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    streams = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2")
    media.succeed(("ffmpeg", "-v", "error", *streams, "-c:v", "mpeg4", "-bf", "2", "-c:a", "aac", str(source)))
    assert b"elst" in source.read_bytes()
    made = task(source, tmp_path / "a.mp4")
    ran = run(made)
    assert ran.exit_code == 0, ran.stderr.decode()
    assert verify(made, media.probe(made.target)) == []
    assert made.expected_frames == 50


def test_sound_ends_with_the_file_although_a_sound_that_nobody_plays_goes_on(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    # The first sound has a hole of a second, which stays one.
    inputs = ("testsrc2=s=320x180:r=25:d=4", "sine=d=4", "sine=f=880:d=9")
    streams = tuple(word for graph in inputs for word in ("-f", "lavfi", "-i", graph))
    hole = ("-filter:a:0", "aselect='lt(t,1)+gt(t,2)'")
    kept = ("-map", "0", "-map", "1", *hole, "-map", "2", "-c:v", "mpeg4", "-c:a", "aac")
    media.succeed(("ffmpeg", "-v", "error", *streams, *kept, str(source)))
    made = task(source, tmp_path / "a.mkv")
    ran = run(made)
    assert ran.exit_code == 0, ran.stderr.decode()
    assert verify(made, media.probe(made.target)) == []
    sound = ("-map", "0:a", "-ac", "1", "-ar", "8000", "-f", "s16le", "-")
    raw = media.succeed(("ffmpeg", "-v", "error", "-i", made.target, *sound)).stdout
    assert [any(raw[round(second * 16_000) :][:4_000]) for second in (0.5, 1.5, 3.0)] == [True, False, True]

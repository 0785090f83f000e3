import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from ffrtmp_worker.sources import (
    Generated,
    SourceCache,
    generated_for,
    live_graph,
    needs_loop,
    source_command,
)
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.vocabulary import Codec
from tests.worker.media import probe, succeed, tools


def _source(width: int = 320) -> Generated:
    return Generated(width=width, height=180, rate=Fraction(30), duration_s=1.0)


def _made(cache: SourceCache, generated: Generated, size: int, used_at: int) -> Path:
    temporary = cache.temporary(generated)
    temporary.write_bytes(b"x" * size)
    os.utime(temporary, (used_at, used_at))
    return cache.keep(temporary, generated)


def test_source_has_the_size_and_rate_of_the_job_and_ten_seconds() -> None:
    encode = Encode(codec=Codec.H264, width=1280, height=720, fps=59.94, bitrate_bps=1_000_000)
    made = generated_for(encode, None)
    assert (made.width, made.height, made.rate, made.duration_s) == (1280, 720, Fraction(60_000, 1_001), 10.0)
    assert made.name == "testsrc2-1-1280x720-60000-1001-10.000s.mkv"


def test_long_source_is_a_short_one_played_again() -> None:
    encode = Encode(codec=Codec.H264, width=1280, height=720, bitrate_bps=1_000_000)
    assert generated_for(encode, 3_600.0).duration_s == 30.0
    assert needs_loop(3_600.0)
    assert not needs_loop(30.0)
    assert not needs_loop(None)


@pytest.mark.parametrize("encoders", [("libx264",), ()], ids=["x264", "mjpeg"])
def test_real_source_holds_picture_and_sound(tmp_path: Path, encoders: tuple[str, ...]) -> None:
    target = tmp_path / "a.mkv"
    succeed(source_command(tools(), _source(), target, encoders))
    _assert_is_as_told(target, _source())


@pytest.mark.parametrize(("rate", "duration_s"), [(Fraction(30_000, 1_001), 0.5), (Fraction(25), 0.1)])
def test_real_source_is_what_is_told_without_a_look(tmp_path: Path, rate: Fraction, duration_s: float) -> None:
    generated = Generated(width=320, height=180, rate=rate, duration_s=duration_s)
    succeed(source_command(tools(), generated, tmp_path / "a.mkv", ("libx264",)))
    _assert_is_as_told(tmp_path / "a.mkv", generated)


def _assert_is_as_told(target: Path, generated: Generated) -> None:
    media, told = probe(f"file:{target}"), generated.media
    assert media.video is not None
    assert told.video is not None
    # Matroska rounds its time stamps to milliseconds, and a rate measured over a few of them with them.
    assert media.video.fps == pytest.approx(told.video.fps, rel=0.05)
    assert media.video.moving_fps == pytest.approx(told.video.moving_fps, rel=0.05)
    assert media.video.duration_s == pytest.approx(told.video.duration_s, abs=0.002)
    measured = replace(media.video, codec="", fps=None, moving_fps=None, duration_s=None)
    assert replace(measured, pixel_format=None, bitrate_bps=None) == replace(
        told.video, codec="", fps=None, moving_fps=None, duration_s=None
    )
    assert media.audio == told.audio
    assert media.duration_s == pytest.approx(told.duration_s, abs=0.05)


def test_live_graph_names_picture_and_sound() -> None:
    graph = live_graph(_source())
    assert graph.startswith("testsrc2=size=320x180:rate=30/1,noise=")
    assert graph.endswith("[out1]")


def test_source_made_once_is_taken_again(tmp_path: Path) -> None:
    cache = SourceCache(tmp_path, 1_000)
    assert cache.take(_source()) is None
    path = _made(cache, _source(), 10, 1)
    assert cache.take(_source()) == path
    assert SourceCache(tmp_path, 1_000).take(_source()) == path


def test_source_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = SourceCache(tmp_path, 25)
    for step, width in enumerate((320, 640), 1):
        cache.release(_made(cache, _source(width), 10, step))
    first = cache.take(_source(320))
    assert first is not None
    cache.release(first)
    cache.release(_made(cache, _source(960), 10, 2**31))
    assert cache.take(_source(640)) is None
    assert cache.take(_source(320)) == first


def test_source_in_use_stays_beyond_the_limit_until_released(tmp_path: Path) -> None:
    cache = SourceCache(tmp_path, 5)
    path = _made(cache, _source(), 10, 1)
    assert cache.take(_source()) == path
    cache.release(path)
    assert path.exists()
    cache.release(path)
    assert not path.exists()


def test_what_was_left_half_made_is_removed_at_the_start(tmp_path: Path) -> None:
    cache = SourceCache(tmp_path, 1_000)
    one, other = cache.temporary(_source()), cache.temporary(_source())
    assert one != other
    one.write_bytes(b"x")
    SourceCache(tmp_path, 1_000)
    assert list(tmp_path.iterdir()) == []

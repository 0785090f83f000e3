from pathlib import Path

import pytest

from ffrtmp_worker.progress import Block, ProgressMeter, ProgressReader
from tests.worker.media import assign, encode, make_source, probe, proven, task

TEXT = (
    b"frame=38\nfps=0.00\nstream_0_0_q=24.0\nbitrate= 512.5kbits/s\ntotal_size=65536\nout_time_us=2030000\n"
    b"out_time_ms=2030000\nout_time=00:00:02.030000\ndup_frames=1\ndrop_frames=2\nspeed=1.5x\nprogress=continue\n"
)


def test_block_is_read_with_microseconds() -> None:
    (block,) = ProgressReader().feed(TEXT)
    assert block == Block(
        frame=38, out_time_s=2.03, size_bytes=65536, bitrate_bps=512_500.0, dropped_frames=2, duplicated_frames=1
    )


def test_block_cut_anywhere_reads_the_same() -> None:
    (whole,) = ProgressReader().feed(TEXT)
    for cut in range(1, len(TEXT)):
        reader = ProgressReader()
        assert [*reader.feed(TEXT[:cut]), *reader.feed(TEXT[cut:])] == [whole]


def test_what_is_not_available_is_none() -> None:
    (block,) = ProgressReader().feed(
        b"frame=5\nbitrate=N/A\ntotal_size=N/A\nout_time_us=N/A\nspeed=N/A\nprogress=end\n"
    )
    assert block == Block(frame=5, end=True)


def test_negative_time_at_the_start_is_zero() -> None:
    (block,) = ProgressReader().feed(b"out_time_us=-21333\nprogress=continue\n")
    assert block.out_time_s == 0.0


def test_garbage_is_passed_over_and_does_not_grow() -> None:
    reader = ProgressReader()
    assert reader.feed(b"\xff\xfe nonsense\n=\nframe=x\nout_time_us=inf\n" + b"a" * 100_000) == []
    (block,) = reader.feed(b"\nframe=7\nprogress=continue\n")
    assert block.frame == 7


def _meter(frames: int | None = 300, duration_s: float | None = 10.0) -> ProgressMeter:
    return ProgressMeter(expected_frames=frames, duration_s=duration_s, now_s=100.0)


def test_percent_follows_frames_though_sound_runs_ahead() -> None:
    progress = _meter().update(Block(frame=30, out_time_s=9.0), 101.0, 0.0)
    assert progress.percent == pytest.approx(10.0)
    assert progress.fps == pytest.approx(30.0)
    assert progress.eta_s == pytest.approx(9.0)


def test_percent_never_goes_back_nor_reaches_a_hundred() -> None:
    meter = _meter()
    said = [
        meter.update(Block(frame=frame), 101.0 + step, 0.0).percent
        for step, frame in enumerate([30, 90, 60, None, 400, 300])
    ]
    assert said == [10.0, 30.0, 30.0, 30.0, 99.9, 99.9]


def test_percent_of_sound_alone_follows_media_time() -> None:
    assert _meter(frames=None).update(Block(out_time_s=2.5), 101.0, 0.0).percent == 25.0


def test_nothing_expected_tells_no_percent_and_no_eta() -> None:
    progress = _meter(frames=None, duration_s=None).update(Block(frame=30, out_time_s=1.0), 101.0, 0.0)
    assert (progress.percent, progress.eta_s) == (None, None)
    assert (progress.fps, progress.speed) == (30.0, 1.0)


def test_rates_are_of_the_last_seconds() -> None:
    meter = _meter(frames=10_000, duration_s=None)
    frame = 0
    for second in range(1, 31):
        frame += 100 if second <= 15 else 10
        progress = meter.update(Block(frame=frame), 100.0 + second, 0.0)
    assert progress.fps == pytest.approx(10.0)
    assert progress.eta_s == pytest.approx((10_000 - frame) / 10.0)


def test_pause_is_left_out_of_rates_and_eta() -> None:
    meter = _meter()
    meter.update(Block(frame=30), 101.0, 0.0)
    progress = meter.update(Block(frame=60), 1_002.0, 900.0)
    assert progress.fps == pytest.approx(30.0)
    assert progress.eta_s == pytest.approx(8.0)


def test_stalled_time_grows_without_advance_and_pauses_do_not_count() -> None:
    meter = _meter()
    assert meter.stalled_s(103.0, 0.0) == 3.0
    meter.update(Block(frame=1, out_time_s=0.1), 104.0, 0.0)
    meter.update(Block(frame=1, out_time_s=0.1), 109.0, 0.0)
    assert meter.stalled_s(110.0, 0.0) == 6.0
    assert meter.stalled_s(170.0, 60.0) == 6.0
    meter.update(Block(frame=1, out_time_s=0.2), 171.0, 60.0)
    assert meter.stalled_s(171.0, 60.0) == 0.0


def test_real_encode_reports_every_frame_and_ends(tmp_path: Path) -> None:
    source = f"file:{make_source(tmp_path, width=640, height=360, seconds=2.0)}"
    made = task(
        assign(width=1280, height=720, fps=None, preset="medium"),
        source=source,
        media=probe(source),
        destination=tmp_path / "o.mp4",
        encoders=proven(),
    )
    blocks = ProgressReader().feed(encode(made).stdout)
    meter = ProgressMeter(expected_frames=made.expected_frames, duration_s=made.expected_duration_s, now_s=0.0)
    said = [meter.update(block, 0.5 * step, 0.0) for step, block in enumerate(blocks, 1)]
    percents = [progress.percent or 0.0 for progress in said]
    assert percents == sorted(percents)
    assert percents[-1] == 99.9
    assert (said[-1].frame, blocks[-1].end) == (60, True)
    assert [block.end for block in blocks[:-1]] == [False] * (len(blocks) - 1)

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.known import Known
from ffrtmp_worker.places import Places
from ffrtmp_worker.recipe import AttemptFailed, Cause, Recipe, Step, StepEnd, StepName
from ffrtmp_worker.sources import SourceCache
from ffrtmp_worker.steps import Workshop
from ffrtmp_worker.tools import Tools
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import FailureClass
from tests.worker.bench import assign

TOOLS = Tools(ffmpeg="/usr/bin/ffmpeg", ffmpeg_version="5.1", ffprobe="/usr/bin/ffprobe", python="/usr/bin/python3")
SOURCE = b"""{"format": {"format_name": "matroska,webm", "duration": "10.0", "size": "99"}, "streams": [
  {"codec_type": "video", "codec_name": "h264", "width": 1920, "height": 1080, "avg_frame_rate": "30/1",
   "nb_read_packets": "300"},
  {"codec_type": "audio", "codec_name": "pcm_s16le", "sample_rate": "48000", "channels": 2}]}"""
OUTPUT = SOURCE.replace(b"matroska,webm", b"mov,mp4")
GOOD = StepEnd(exit_code=0, stdout=b"", log_tail="")

Make = Callable[[Assign], Recipe]


def workshop(tmp_path: Path) -> Workshop:
    return Workshop(
        tools=TOOLS,
        encoders=("libx264",),
        places=Places(input_roots=(tmp_path,), output_roots=(tmp_path / "out",)),
        sources=SourceCache(tmp_path / "sources", 1 << 20),
        render_node=None,
        environment=environment(os.environ),
    )


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return workshop(tmp_path).recipe


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A source that was last changed a while ago, as the worker's clock tells."""
    source = tmp_path / "a.mkv"
    source.write_bytes(b"source")
    return source


@pytest.fixture
def shop(tmp_path: Path, old: Path) -> Workshop:
    changed_s = old.stat().st_ctime
    return replace(workshop(tmp_path), probes=Known(lambda: changed_s + 60.0))


def going(step: Step | None) -> Step:
    assert step is not None
    return step


def test_job_without_input_makes_its_source_then_encodes_and_checks(make: Make, tmp_path: Path) -> None:
    recipe = make(replace(assign(), duration_s=10.0))
    step = going(recipe.advance(None))
    assert (step.name, step.argv[0]) == (StepName.SOURCE, TOOLS.ffmpeg)
    Path(step.argv[-1].removeprefix("file:")).write_bytes(b"source")
    assert (recipe.partial, recipe.encoder) == (None, None)
    step = going(recipe.advance(GOOD))
    assert (step.name, step.timeout_s) == (StepName.ENCODE, None)
    (source,) = (tmp_path / "sources").iterdir()
    assert f"file:{source}" in step.argv
    assert (recipe.encoder, recipe.output) == ("libx264", str(tmp_path / "out" / "out.mp4"))
    assert step.argv[-1] == f"file:{recipe.partial}"
    assert going(recipe.advance(GOOD)).name is StepName.CHECK
    assert going(recipe.advance(replace(GOOD, stdout=OUTPUT))).name is StepName.HASH
    assert recipe.advance(GOOD) is None
    assert recipe.media is not None
    assert recipe.media.video is not None
    recipe.close()
    # Made once: the next job finds it.
    assert going(make(replace(assign(), duration_s=10.0)).advance(None)).name is StepName.ENCODE


def test_unfinished_source_is_removed(make: Make, tmp_path: Path) -> None:
    recipe = make(assign())
    target = Path(going(recipe.advance(None)).argv[-1].removeprefix("file:"))
    target.write_bytes(b"half")
    recipe.close()
    assert list((tmp_path / "sources").iterdir()) == []


def test_job_with_a_file_is_probed_first(make: Make, tmp_path: Path) -> None:
    (tmp_path / "in.mov").write_bytes(b"x")
    step = going(make(replace(assign(), input="in.mov")).advance(None))
    assert step.name is StepName.PROBE
    assert f"file:{tmp_path}/in.mov" in step.argv


def test_file_that_was_probed_before_is_encoded_at_once_as_it_was(shop: Workshop, old: Path) -> None:
    order = replace(assign(), input=str(old))
    first, again = shop.recipe(order), shop.recipe(order)
    assert going(first.advance(None)).name is StepName.PROBE
    encode = going(first.advance(replace(GOOD, stdout=SOURCE)))
    assert going(again.advance(None)) == encode
    assert encode.name is StepName.ENCODE


def test_file_that_was_changed_since_or_could_not_be_read_is_probed_again(shop: Workshop, old: Path) -> None:
    order = replace(assign(), input=str(old))
    first = shop.recipe(order)
    first.advance(None)
    with pytest.raises(AttemptFailed):
        first.advance(replace(GOOD, exit_code=1))
    second, third = shop.recipe(order), shop.recipe(order)
    assert going(second.advance(None)).name is StepName.PROBE
    # Changed while it is looked at.
    old.write_bytes(b"another")
    second.advance(replace(GOOD, stdout=SOURCE))
    assert going(third.advance(None)).name is StepName.PROBE
    third.advance(replace(GOOD, stdout=SOURCE))
    old.write_bytes(b"a third")
    assert going(shop.recipe(order).advance(None)).name is StepName.PROBE


@pytest.mark.parametrize(
    ("change", "failure", "says"),
    [
        ({"input": "/etc/passwd"}, FailureClass.PERMANENT, "input_roots"),
        ({"input": "gone.mp4"}, FailureClass.PERMANENT, "no such file"),
        ({"output": "/escape.mp4"}, FailureClass.PERMANENT, "output_root"),
    ],
)
def test_place_that_may_not_be_reached_fails_for_good(
    make: Make, change: dict[str, str], failure: FailureClass, says: str
) -> None:
    with pytest.raises(AttemptFailed, match=says) as caught:
        make(replace(assign(), **change)).advance(None)  # type: ignore[arg-type]
    assert caught.value.failure_class is failure


def test_encoder_that_is_not_here_may_be_elsewhere(make: Make, tmp_path: Path) -> None:
    (tmp_path / "in.mov").write_bytes(b"x")
    recipe = make(replace(assign(), input="in.mov", encoder="h264_nvenc"))
    recipe.advance(None)
    with pytest.raises(AttemptFailed, match="h264_nvenc") as caught:
        recipe.advance(replace(GOOD, stdout=SOURCE))
    assert caught.value.failure_class is FailureClass.TRANSIENT


def encoding(make: Make, tmp_path: Path) -> Recipe:
    (tmp_path / "in.mov").write_bytes(b"x")
    recipe = make(replace(assign(), input="in.mov"))
    recipe.advance(None)
    recipe.advance(replace(GOOD, stdout=SOURCE))
    return recipe


def test_failed_encode_is_classed_by_its_log(make: Make, tmp_path: Path) -> None:
    recipe = encoding(make, tmp_path)
    log = "[error] av_interleaved_write_frame(): No space left on device\n"
    with pytest.raises(AttemptFailed, match="No space left") as caught:
        recipe.advance(StepEnd(exit_code=1, stdout=b"", log_tail=log))
    assert caught.value.failure_class is FailureClass.TRANSIENT


@pytest.mark.parametrize("end", [replace(GOOD, exit_code=1), replace(GOOD, stdout=b"?")])
def test_output_that_cannot_be_read_is_a_failure(make: Make, tmp_path: Path, end: StepEnd) -> None:
    recipe = encoding(make, tmp_path)
    recipe.advance(GOOD)
    with pytest.raises(AttemptFailed, match="the output cannot be read"):
        recipe.advance(end)


def test_output_that_was_cut_short_is_a_failure(make: Make, tmp_path: Path) -> None:
    recipe = encoding(make, tmp_path)
    recipe.advance(GOOD)
    short = OUTPUT.replace(b'"300"', b'"211"')
    with pytest.raises(AttemptFailed, match="211 frames, expected 300"):
        recipe.advance(replace(GOOD, stdout=short))


def block(frame: int, out_time_s: float) -> bytes:
    return f"frame={frame}\nout_time_us={int(out_time_s * 1e6)}\ntotal_size={frame}\nprogress=continue\n".encode()


def test_progress_is_measured_from_the_start_of_the_encoder(make: Make, tmp_path: Path) -> None:
    recipe = encoding(make, tmp_path)
    recipe.begun(100.0, 0.0)
    progress = recipe.read(block(30, 1.0), 101.0, 0.0)
    assert progress is not None
    assert (progress.frame, progress.percent, progress.fps) == (30, 10.0, 30.0)


def test_push_goes_on_where_its_pause_began(make: Make) -> None:
    recipe = make(replace(assign(live=True), duration_s=10.0))
    step = going(recipe.advance(None))
    assert (step.name, recipe.partial, recipe.pushes) == (StepName.ENCODE, None, True)
    recipe.begun(0.0, 0.0)
    before = recipe.read(block(120, 4.0), 4.0, 0.0)
    again = recipe.again()
    assert again.argv[again.argv.index("-t") + 1] == "6.000000"
    recipe.begun(100.0, 96.0)
    after = recipe.read(block(30, 1.0), 101.0, 96.0)
    assert before is not None
    assert after is not None
    assert (after.frame, after.out_time_s) == (150, 5.0)
    assert (after.percent or 0) > (before.percent or 0)
    assert recipe.advance(GOOD) is None
    assert recipe.output == "rtmp://host/live/key"


def test_sums_go_on_over_connections_and_do_not_fall_where_the_last_report_tells_nothing(make: Make) -> None:
    recipe = make(replace(assign(live=True), duration_s=60.0))
    recipe.advance(None)
    recipe.begun(0.0, 0.0)
    recipe.read(b"frame=120\nout_time_us=4000000\ntotal_size=900\ndrop_frames=3\nprogress=continue\n", 4.0, 0.0)
    recipe.read(b"frame=121\nout_time_us=N/A\ntotal_size=N/A\nprogress=end\n", 4.1, 0.0)
    recipe.again()
    recipe.begun(5.0, 0.0)
    after = recipe.read(b"frame=30\nout_time_us=1000000\ntotal_size=100\ndrop_frames=1\nprogress=continue\n", 6.0, 0.0)
    assert after is not None
    assert (after.frame, after.out_time_s, after.size_bytes, after.dropped_frames) == (151, 5.0, 1_000, 4)


@pytest.mark.parametrize(("duration_s", "pushed_s", "skipped"), [(None, 4.0, "4.000000"), (60.0, 34.0, "4.000000")])
def test_pushed_file_goes_on_where_it_was(
    make: Make, tmp_path: Path, duration_s: float | None, pushed_s: float, skipped: str
) -> None:
    (tmp_path / "in.mov").write_bytes(b"x")
    recipe = make(replace(assign(live=True), input="in.mov", duration_s=duration_s))
    recipe.advance(None)
    first = going(recipe.advance(replace(GOOD, stdout=SOURCE)))
    assert "-ss" not in first.argv
    recipe.begun(0.0, 0.0)
    recipe.read(block(1, pushed_s), pushed_s, 0.0)
    again = recipe.again().argv
    assert again[again.index("-ss") + 1] == skipped
    assert again.index("-ss") < again.index("-i")
    assert ("-stream_loop" in again) == (duration_s is not None)


ENDLESS = SOURCE.replace(b'"duration": "10.0", ', b"")
PULL_LOST = "[error] rtmp://host/in/x: Input/output error\n"


def pulling(make: Make, duration_s: float | None) -> Recipe:
    recipe = make(replace(assign(live=True), input="rtmp://host/in/x", duration_s=duration_s))
    assert going(recipe.advance(None)).name is StepName.PROBE
    step = going(recipe.advance(replace(GOOD, stdout=ENDLESS)))
    assert "-re" not in step.argv
    recipe.begun(0.0, 0.0)
    return recipe


@pytest.mark.parametrize(
    ("duration_s", "log", "cause"),
    [(None, "", Cause.ENDED), (None, PULL_LOST, Cause.CONNECTION), (60.0, "", Cause.CONNECTION)],
)
def test_live_source_that_ends_is_a_loss(make: Make, duration_s: float | None, log: str, cause: Cause) -> None:
    recipe = pulling(make, duration_s)
    recipe.read(block(300, 10.0), 10.0, 0.0)
    with pytest.raises(AttemptFailed, match="the source") as caught:
        recipe.advance(replace(GOOD, log_tail=log))
    assert (caught.value.failure_class, caught.value.cause) == (FailureClass.TRANSIENT, cause)


def test_live_source_is_done_when_it_gave_what_was_asked(make: Make) -> None:
    recipe = pulling(make, 10.0)
    recipe.read(block(300, 9.9), 10.0, 0.0)
    assert recipe.advance(GOOD) is None

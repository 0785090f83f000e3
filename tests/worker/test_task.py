from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from ffrtmp_worker.task import ImpossibleTask, NotHere, choose_encoder, container_for, plan
from ffrtmpd.wire.messages.jobs import MediaInfo
from ffrtmpd.wire.vocabulary import Codec, FailureClass, OutputMode
from tests.worker.media import ALL, SOFTWARE, assign, found, task


def test_proven_hardware_is_preferred_and_software_is_the_fallback() -> None:
    assert choose_encoder(assign(), ALL).name == "h264_nvenc"
    assert choose_encoder(assign(), ("libx264", "h264_vaapi")).name == "h264_vaapi"
    assert choose_encoder(assign(codec=Codec.AV1), SOFTWARE).name == "libsvtav1"
    assert choose_encoder(assign(codec=Codec.VP9), SOFTWARE).name == "libvpx-vp9"


def test_pinned_encoder_is_taken_though_hardware_is_there() -> None:
    assert choose_encoder(assign(encoder="libx264"), ALL).name == "libx264"


def test_required_gpu_forbids_the_fallback_and_may_be_found_elsewhere() -> None:
    with pytest.raises(NotHere) as caught:
        choose_encoder(assign(require_gpu=True), SOFTWARE)
    assert caught.value.failure_class is FailureClass.TRANSIENT
    with pytest.raises(NotHere):
        choose_encoder(assign(encoder="h264_nvenc"), SOFTWARE)


@pytest.mark.parametrize(
    "order",
    [
        assign(encoder="libnosuch"),
        assign(encoder="libx265"),
        assign(encoder="libx264", require_gpu=True),
        assign(width=255),
        assign(height=143),
    ],
)
def test_job_that_no_node_can_do_is_permanent(order: object) -> None:
    with pytest.raises(ImpossibleTask) as caught:
        task(order)  # type: ignore[arg-type]
    assert caught.value.failure_class is FailureClass.PERMANENT


@pytest.mark.parametrize(
    ("name", "codec", "muxer", "audio"),
    [
        ("a.mp4", Codec.VP9, "mp4", "aac"),
        ("a.MKV", Codec.AV1, "matroska", "aac"),
        ("a.mov", Codec.H265, "mov", "aac"),
        ("a.webm", Codec.VP9, "webm", "libopus"),
        ("a.ts", Codec.H264, "mpegts", "aac"),
        ("a.flv", Codec.H264, "flv", "aac"),
    ],
)
def test_suffix_decides_container_and_sound(name: str, codec: Codec, muxer: str, audio: str) -> None:
    made = task(assign(codec=codec), destination=Path("/out") / name)
    assert (made.muxer, made.audio) == (muxer, audio)


@pytest.mark.parametrize(("name", "codec"), [("a.webm", Codec.H264), ("a.flv", Codec.AV1), ("a.ts", Codec.VP9)])
def test_container_that_does_not_carry_the_codec_is_refused(name: str, codec: Codec) -> None:
    with pytest.raises(ImpossibleTask, match="does not carry"):
        container_for(Path("/out") / name, codec)


def test_unknown_suffix_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ImpossibleTask, match=r"\.mp4, \.mkv"):
        container_for(Path("/out/a.sh"), Codec.H264)


def test_file_is_staged_beside_its_target_under_job_and_attempt() -> None:
    made = task(assign(), destination=Path("/out/a.mp4"))
    assert made.partial == Path("/out/a.mp4.job-000001.2.74747474.partial")
    assert made.target == "file:/out/a.mp4.job-000001.2.74747474.partial"
    assert (made.final, made.output, made.live) == (Path("/out/a.mp4"), "/out/a.mp4", False)


def test_output_that_would_replace_its_input_is_refused() -> None:
    with pytest.raises(ImpossibleTask, match="replace the input"):
        task(assign(), source="file:/out/a.mp4", destination=Path("/out/a.mp4"))


def test_expected_frames_follow_the_output_rate() -> None:
    assert task(assign(fps=25.0)).expected_frames == 25
    assert task(assign(fps=None)).expected_frames == 30
    assert task(assign(fps=59.94)).expected_frames == 60
    half = task(assign(fps=30.0, duration_s=0.5))
    assert (half.expected_frames, half.expected_duration_s, half.limit_s) == (15, 0.5, 0.5)


def test_duration_beyond_the_input_expects_the_input() -> None:
    made = task(assign(duration_s=60.0))
    assert (made.expected_frames, made.expected_duration_s, made.loop) == (25, 1.0, False)


def test_readings_of_the_input_that_disagree_leave_frames_unknown_and_the_duration_stands() -> None:
    made = task(assign(), media=found(seconds=2.0, frames=4))
    assert (made.expected_frames, made.expected_duration_s) == (None, 2.0)
    assert task(assign(), media=found(frames=None)).expected_frames is None


@pytest.mark.parametrize(
    ("start_s", "limit_s", "frames"),
    [(1.0, None, 100), (1.0, 3.0, 50), (0.023, 3.0, 74), (0.0, 3.0, 75), (0.3, 1.019, 18), (1.0, 9.0, 100)],
)
def test_cut_leaves_the_frames_between_the_first_picture_and_its_time(
    start_s: float, limit_s: float | None, frames: int
) -> None:
    media = found(seconds=4.0 + start_s, fps=25.0, frames=100)
    assert media.video is not None
    late = replace(media, video=replace(media.video, start_s=start_s, duration_s=4.0))
    made = task(assign(duration_s=limit_s), media=late)
    assert made.expected_frames == frames
    assert made.expected_duration_s == min(limit_s or 9.0, 4.0 + start_s)
    assert made.picture_s == start_s


def test_frames_of_more_time_than_the_file_tells_leave_its_length_unknown() -> None:
    twice = found(seconds=4.0, fps=25.0, frames=200)
    made = task(assign(), media=twice)
    assert (made.expected_frames, made.expected_duration_s) == (None, None)
    cut = task(assign(duration_s=3.0), media=twice)
    assert (cut.expected_frames, cut.expected_duration_s) == (75, 3.0)


def test_gstreamer_is_not_held_to_a_time_between_picture_and_sound() -> None:
    media = found(seconds=5.0, fps=25.0, frames=100)
    assert media.video is not None
    for start_s, frames, seconds in ((0.02, 100, 5.0), (1.0, None, None)):
        late = replace(media, duration_s=5.0, video=replace(media.video, start_s=start_s, duration_s=4.0))
        made = task(assign(encoder="x264enc"), media=late, encoders=("x264enc",))
        assert (made.expected_frames, made.expected_duration_s, made.picture_s) == (frames, seconds, 0.0)


def test_source_without_a_rate_keeps_its_own() -> None:
    made = task(assign(fps=None), media=found(fps=None))
    assert (made.rate, made.expected_frames) == (None, None)
    assert task(assign(fps=None), media=found(fps=90_000.0)).rate is None


def test_rate_that_is_kept_is_that_of_the_moving_picture() -> None:
    media = found(seconds=26.0, fps=59 / 26, frames=59)
    assert media.video is not None
    still = replace(media, video=replace(media.video, duration_s=26.0, moving_fps=30.0))
    made = task(assign(fps=None), media=still)
    assert (made.rate, made.expected_frames, made.expected_duration_s) == (Fraction(30), 780, 26.0)


def test_input_without_video_is_refused_and_without_sound_gives_none() -> None:
    with pytest.raises(ImpossibleTask, match="no video"):
        task(assign(), media=MediaInfo(container="wav", duration_s=1.0))
    assert task(assign(), media=found(sound=False)).audio is None


def test_live_push_of_a_short_file_plays_it_again() -> None:
    order = assign(mode=OutputMode.RTMP, duration_s=5.0)
    made = task(order, destination="rtmp://127.0.0.1/live/x")
    assert (made.loop, made.expected_frames, made.muxer) == (True, 125, "flv")
    assert (made.partial, made.final, made.output) == (None, None, "rtmp://127.0.0.1/live/x")


def test_live_push_takes_the_container_of_its_protocol() -> None:
    assert task(assign(mode=OutputMode.SRT), destination="srt://h:1").muxer == "mpegts"
    assert task(assign(mode=OutputMode.STREAM), destination="https://h/x").muxer == "mpegts"
    assert task(assign(mode=OutputMode.STREAM), destination="rtmps://h/x").muxer == "flv"
    with pytest.raises(ImpossibleTask):
        task(assign(codec=Codec.H265, mode=OutputMode.RTMP), destination="rtmp://h/x")


def test_generated_live_source_lasts_ten_seconds_unless_asked() -> None:
    def live(duration_s: float | None) -> tuple[float | None, int | None, str | None]:
        made = plan(
            assign(fps=None, mode=OutputMode.RTMP, duration_s=duration_s),
            encoders=SOFTWARE,
            source="testsrc2",
            media=None,
            destination="rtmp://h/x",
            lavfi=True,
        )
        return made.limit_s, made.expected_frames, made.audio

    assert live(None) == (10.0, 300, "aac")
    assert live(2.0) == (2.0, 60, "aac")


@pytest.mark.parametrize(
    ("source", "seconds", "live"),
    [
        ("rtmp://h/in/x", 3.0, True),
        ("http://h/live.ts", None, True),
        ("http://h/film.mp4", 90.0, False),
        ("file:/in/a.mkv", 90.0, False),
    ],
)
def test_source_by_url_is_live_unless_it_has_a_length(source: str, seconds: float | None, *, live: bool) -> None:
    media = replace(found(), duration_s=seconds)
    made = task(assign(mode=OutputMode.RTMP), source=source, media=media, destination="rtmp://h/live/x")
    assert made.live_source is live
    assert made.expected_duration_s == (None if live else seconds)

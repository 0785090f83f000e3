import dataclasses
from pathlib import Path

import pytest

from ffrtmp_worker.ffmpeg import encode_command
from ffrtmp_worker.verify import verify
from ffrtmpd.wire.messages.jobs import AudioStream, MediaInfo, VideoStream
from ffrtmpd.wire.vocabulary import Codec
from tests.worker.media import assign, encode, found, make_source, probe, proven, run, task, tools

GOOD = VideoStream(codec="h264", width=256, height=144, fps=25.0, frames=25)
SOUND = AudioStream(codec="aac")


def _problems(
    video: VideoStream | None = GOOD, audio: AudioStream | None = SOUND, duration_s: float | None = 1.0
) -> list[str]:
    return verify(task(assign()), MediaInfo(container="mp4", duration_s=duration_s, video=video, audio=audio))


def test_output_as_asked_has_no_problems() -> None:
    assert _problems() == []
    assert _problems(dataclasses.replace(GOOD, frames=26, fps=25.05), duration_s=1.04) == []


@pytest.mark.parametrize(
    ("video", "said"),
    [
        (dataclasses.replace(GOOD, codec="hevc"), "codec is hevc, expected h264"),
        (dataclasses.replace(GOOD, width=254), "254x144, expected 256x144"),
        (dataclasses.replace(GOOD, fps=30.0), "30.000 frames per second, expected 25.000"),
        (dataclasses.replace(GOOD, fps=25.2), "25.200 frames per second"),
        (dataclasses.replace(GOOD, frames=20), "20 frames, expected 25"),
        (dataclasses.replace(GOOD, frames=0), "no frames"),
    ],
)
def test_picture_not_as_asked_is_a_problem(video: VideoStream, said: str) -> None:
    (problem,) = _problems(video)
    assert said in problem


def test_missing_parts_are_problems() -> None:
    assert _problems(video=None) == ["the output has no video"]
    assert _problems(audio=None) == ["the output has no sound, and the input has"]
    assert _problems(duration_s=None) == ["the output tells no duration"]
    assert _problems(duration_s=0.5) == [
        "the output lasts 0.500 s, expected 1.000 s (is the input cut short or damaged?)"
    ]
    silent = task(assign(), media=found(sound=False))
    assert verify(silent, MediaInfo(container="mp4", duration_s=1.0, video=GOOD)) == []


def test_only_a_broadcast_may_begin_later_and_by_no_more_than_a_group_of_pictures() -> None:
    video = dataclasses.replace(GOOD, frames=13, start_s=0.48)
    late = MediaInfo(container="mp4", duration_s=1.0, video=video, audio=SOUND)
    made = task(assign())
    assert verify(dataclasses.replace(made, joined=True), late) == []
    assert verify(made, late) == ["the output has 13 frames, expected 25 (is the input cut short or damaged?)"]
    long = dataclasses.replace(made, joined=True, expected_frames=500, expected_duration_s=20.0)
    lost = dataclasses.replace(late, duration_s=20.0, video=dataclasses.replace(video, frames=200, start_s=12.0))
    assert verify(long, lost) == ["the output has 200 frames, expected 250 (is the input cut short or damaged?)"]


def test_last_picture_may_be_shown_longer_and_not_shorter() -> None:
    made = dataclasses.replace(task(assign()), last_s=0.4)
    for frames, seconds, problems in ((35, 1.4, 0), (15, 0.6, 2), (39, 1.7, 2)):
        video = dataclasses.replace(GOOD, frames=frames)
        found_s = MediaInfo(container="mp4", duration_s=seconds, video=video, audio=SOUND)
        assert len(verify(made, found_s)) == problems


def test_codec_is_compared_by_the_name_a_probe_gives() -> None:
    made = task(assign(codec=Codec.H265))
    video = dataclasses.replace(GOOD, codec="hevc")
    assert verify(made, MediaInfo(container="mp4", duration_s=1.0, video=video, audio=SOUND)) == []


def test_real_output_cut_short_is_found_out(tmp_path: Path) -> None:
    source = f"file:{make_source(tmp_path, seconds=2.0)}"
    for name in ("o.mp4", "o.mkv"):
        made = task(
            assign(fps=None, preset="ultrafast"),
            source=source,
            media=probe(source),
            destination=tmp_path / name,
            encoders=proven(),
        )
        encode(made)
        assert verify(made, probe(made.target)) == []
        assert made.partial is not None
        made.partial.write_bytes(made.partial.read_bytes()[: made.partial.stat().st_size * 2 // 3])
        assert any("frames, expected 60" in problem for problem in verify(made, probe(made.target)))


def test_real_damaged_input_does_not_pass_for_a_whole_one(tmp_path: Path) -> None:
    whole = make_source(tmp_path, seconds=2.0)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 3] + b"\xa5" * 4_096 + content[len(content) // 3 + 4_096 :][:20_000])
    source = f"file:{whole}"
    made = task(
        assign(preset="ultrafast"),
        source=source,
        media=probe(source),
        destination=tmp_path / "o.mp4",
        encoders=proven(),
    )
    ran = run(encode_command(tools(), made))
    assert ran.exit_code != 0 or verify(made, probe(made.target)) != []

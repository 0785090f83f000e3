import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ffrtmp_worker.probe import ProbeError, parse_probe, probe_command, worth_counting
from ffrtmp_worker.tools import Tools
from tests.worker.media import make_source, probe, run, succeed, tools

FFPROBE = Tools(ffmpeg="/usr/bin/ffmpeg", ffmpeg_version="5.1", ffprobe="/usr/bin/ffprobe", python="python3")


def _printed(**document: object) -> bytes:
    return json.dumps(document).encode()


def test_real_source_is_described(tmp_path: Path) -> None:
    source = make_source(tmp_path)
    media = probe(f"file:{source}")
    assert (media.container, media.size_bytes) == ("matroska,webm", source.stat().st_size)
    assert media.duration_s == pytest.approx(1.0, abs=0.05)
    assert media.video is not None
    assert (media.video.codec, media.video.width, media.video.height) == ("h264", 320, 180)
    assert (media.video.fps, media.video.frames) == (30.0, 30)
    assert media.audio is not None
    assert (media.audio.codec, media.audio.sample_rate, media.audio.channels) == ("pcm_s16le", 48_000, 2)
    assert media.probe in ("ffprobe", "pyav")


def test_file_cut_short_shows_fewer_frames(tmp_path: Path) -> None:
    source = make_source(tmp_path)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    media = probe(f"file:{source}")
    assert media.video is not None
    assert media.video.frames is not None
    assert 0 < media.video.frames < 30


def test_file_that_is_no_media_ends_with_an_error(tmp_path: Path) -> None:
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"\x00junk" * 5_000)
    ran = run(probe_command(tools(), f"file:{junk}"))
    assert ran.exit_code != 0
    assert b"junk.mp4" in ran.stderr
    with pytest.raises(ProbeError):
        parse_probe(ran.stdout, tools())


def test_list_that_names_another_file_is_refused(tmp_path: Path) -> None:
    source = make_source(tmp_path, seconds=0.2)
    trap = tmp_path / "trap.mkv"
    trap.write_text(f"ffconcat version 1.0\nfile {source.name}\n")
    assert run(probe_command(tools(), f"file:{trap}")).exit_code != 0
    trap.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{source}\n#EXT-X-ENDLIST\n")
    assert run(probe_command(tools(), f"file:{trap}")).exit_code != 0


def test_ffprobe_and_pyav_get_the_same_fences() -> None:
    for kit in (FFPROBE, Tools(ffmpeg="f", ffmpeg_version="9", ffprobe=None, python="python3")):
        command = probe_command(kit, "file:/in/a.mkv")
        assert "file" in command
        assert any(word.startswith("mov,matroska") for word in command)
        assert "file:/in/a.mkv" in command


def test_answer_of_ffprobe_is_read() -> None:
    media = parse_probe(
        _printed(
            streams=[
                {"codec_type": "video", "codec_name": "mjpeg", "disposition": {"attached_pic": 1}},
                {"codec_type": "data"},
                {
                    "codec_type": "video",
                    "codec_name": "hevc",
                    "width": 1920,
                    "height": 1080,
                    "pix_fmt": "yuv420p",
                    "avg_frame_rate": "30000/1001",
                    "nb_frames": "300",
                    "nb_read_packets": "299",
                    "duration": "9.976667",
                    "bit_rate": "5000000",
                },
                {"codec_type": "audio", "codec_name": "aac", "sample_rate": "48000", "channels": 2, "duration": "10.1"},
                {"codec_type": "subtitle", "duration": "99.0"},
            ],
            format={"format_name": "mov,mp4", "duration": "99.0", "size": "1234"},
        ),
        FFPROBE,
    )
    assert media.video is not None
    assert (media.video.codec, media.video.frames, media.video.bitrate_bps) == ("hevc", 299, 5_000_000.0)
    assert media.video.fps == pytest.approx(29.97003)
    assert (media.duration_s, media.size_bytes, media.probe) == (10.1, 1234, "ffprobe")


def test_duration_is_the_containers_when_a_stream_tells_none() -> None:
    streams = [{"codec_type": "video", "duration": "1.0"}, {"codec_type": "audio"}]
    assert (
        parse_probe(_printed(streams=streams, format={"format_name": "x", "duration": "3"}), FFPROBE).duration_s == 3.0
    )
    tagged = [{"codec_type": "video", "tags": {"DURATION": "01:00:02.500000000"}}]
    assert parse_probe(_printed(streams=tagged, format={"format_name": "x"}), FFPROBE).duration_s == 3_602.5


def _timed(video: Mapping[str, object], audio: Mapping[str, object], **form: str) -> tuple[object, ...]:
    streams = [{"codec_type": "video", **video}, {"codec_type": "audio", **audio}]
    media = parse_probe(_printed(streams=streams, format={"format_name": "x", **form}), FFPROBE)
    assert media.video is not None
    assert media.audio is not None
    return media.duration_s, media.video.start_s, media.video.duration_s, media.audio.start_s


def test_length_is_from_the_first_beginning_to_the_last_end() -> None:
    video, audio = {"start_time": "11.0", "duration": "4.0"}, {"start_time": "10.0", "duration": "4.0"}
    assert _timed(video, audio) == (5.0, 1.0, 4.0, 0.0)
    # Another stream begins before both.
    assert _timed(video, audio, start_time="9.0") == (5.0, 2.0, 4.0, 1.0)
    assert _timed(video, audio, start_time="9.0", format_name="mpegts") == (5.0, 1.0, 4.0, 0.0)
    # The container's, where a stream tells none.
    assert _timed(video, {"start_time": "10.0"}, duration="6.0") == (6.0, 1.0, 4.0, 0.0)


@pytest.mark.parametrize("clock", ["00:00:05.000000000", "00:00:04.000000000"])
def test_matroska_of_ffmpeg_tells_an_end_and_that_of_mkvmerge_a_length(clock: str) -> None:
    video = {"start_time": "1.000000", "tags": {"DURATION": clock}}
    audio = {"start_time": "0.000000", "tags": {"DURATION": "00:00:04.000000000"}}
    assert _timed(video, audio, duration="5.0") == (5.0, 1.0, 4.0, 0.0)


def test_matroska_that_begins_later_than_its_clock_is_as_long_as_its_media() -> None:
    video = {"start_time": "10.000000", "tags": {"DURATION": "00:00:14.000000000"}}
    audio = {"start_time": "9.500000", "tags": {"DURATION": "00:00:13.500000000"}}
    assert _timed(video, audio, duration="14.0") == (4.5, 0.5, 4.0, 0.0)


def test_unknown_figures_are_none() -> None:
    media = parse_probe(
        _printed(
            streams=[{"codec_type": "video", "avg_frame_rate": "0/0", "nb_frames": "N/A"}, 7],
            format={"format_name": "x", "duration": "N/A", "size": True},
        ),
        FFPROBE,
    )
    assert media.video is not None
    assert media.video.moving_fps is None
    assert (media.video.fps, media.video.frames, media.video.codec) == (None, None, "unknown")
    assert (media.duration_s, media.size_bytes, media.audio) == (None, None, None)


@pytest.mark.parametrize("printed", [b"", b"{}", b"[]", b"{", b'{"format": 3}', b"[" * 100_000, b"\xff"])
def test_answer_that_is_no_description_is_refused(printed: bytes) -> None:
    with pytest.raises(ProbeError):
        parse_probe(printed, FFPROBE)


def test_packets_are_counted_where_no_index_tells_them(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(b"x")
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert worth_counting(f"file:{tmp_path}/a.mkv")
    assert not worth_counting(f"file:{tmp_path}/a.mp4")
    assert not worth_counting(f"file:{tmp_path}/gone.mkv")
    assert not worth_counting("https://h/a.mkv")


def test_probe_without_counting_still_tells_size_and_rate(tmp_path: Path) -> None:
    source = make_source(tmp_path, seconds=0.2)
    printed = succeed(probe_command(tools(), f"file:{source}", count=False)).stdout
    media = parse_probe(printed, tools())
    assert media.video is not None
    assert (media.video.width, media.video.frames) == (320, None)

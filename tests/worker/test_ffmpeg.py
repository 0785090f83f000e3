import os
from pathlib import Path

import pytest

from ffrtmp_worker.ffmpeg import WORDS, InvalidPreset, encode_command, environment, preset_for
from ffrtmp_worker.sources import generated_for, live_graph
from ffrtmp_worker.task import Task, plan
from ffrtmp_worker.tools import Tools
from ffrtmp_worker.verify import verify
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.vocabulary import OutputMode
from tests.needs import need
from tests.worker.media import ALL, assign, encode, found, make_source, probe, proven, succeed, task, tools

TOOLS = Tools(ffmpeg="/usr/bin/ffmpeg", ffmpeg_version="5.1", ffprobe="/usr/bin/ffprobe", python="python3")


def _task(encoder: str, **order: object) -> Task:
    return task(
        assign(codec=ENCODERS[encoder].codec, encoder=encoder, **order),  # type: ignore[arg-type]
        encoders=ALL,
        destination=Path("/out/a.mkv"),
        render_node="/dev/dri/renderD128",
    )


def _after(command: tuple[str, ...], option: str) -> str:
    return command[command.index(option) + 1]


@pytest.mark.parametrize(
    ("encoder", "name"),
    [
        ("libx264", "o.mp4"),
        ("libx264", "o.mkv"),
        ("libx264", "o.ts"),
        ("libx264", "o.flv"),
        ("libx265", "o.mov"),
        ("libsvtav1", "o.webm"),
        ("libaom-av1", "o.mkv"),
        ("libvpx-vp9", "o.mp4"),
        ("libvpx-vp9", "o.webm"),
    ],
)
def test_command_of_each_codec_makes_what_was_asked(tmp_path: Path, encoder: str, name: str) -> None:
    if encoder not in proven():
        need(f"{encoder} is not in this ffmpeg")
    source = f"file:{make_source(tmp_path)}"
    order = assign(codec=ENCODERS[encoder].codec, encoder=encoder, fps=25.0, preset="ultrafast")
    made = task(order, source=source, media=probe(source), destination=tmp_path / name, encoders=proven())
    encode(made)
    media = probe(made.target)
    assert verify(made, media) == []
    assert media.video is not None
    assert media.video.pixel_format == "yuv420p"
    assert media.video.frames == 25


@pytest.mark.parametrize(
    ("width", "height"), [(640, 360), (180, 320), (1280, 90), (16, 16)], ids=["same", "tall", "flat", "tiny"]
)
def test_picture_of_any_shape_fills_exactly_the_size_asked_for(tmp_path: Path, width: int, height: int) -> None:
    source = f"file:{make_source(tmp_path, width=width, height=height, seconds=0.2)}"
    order = assign(width=854, height=480, fps=None, preset="ultrafast")
    made = task(order, source=source, media=probe(source), destination=tmp_path / "o.mp4", encoders=proven())
    encode(made)
    assert verify(made, probe(made.target)) == []


def test_input_name_with_signs_of_a_pattern_is_read(tmp_path: Path) -> None:
    plain = make_source(tmp_path, seconds=0.2)
    odd = plain.rename(tmp_path / "100%03d -i 'x' [a].mkv")
    made = task(
        assign(), source=f"file:{odd}", media=probe(f"file:{odd}"), destination=tmp_path / "%d o.mp4", encoders=proven()
    )
    encode(made)
    assert made.partial is not None
    assert made.partial.is_file()


def test_live_command_paces_the_source_and_limits_its_rate() -> None:
    order = assign(mode=OutputMode.RTMP, duration_s=3.0)
    command = encode_command(TOOLS, task(order, destination="rtmp://h/live/x"))
    assert command.index("-re") < command.index("-i")
    assert _after(command, "-stream_loop") == "-1"
    assert _after(command, "-maxrate") == _after(command, "-b:v") == "300000"
    assert _after(command, "-tune") == "zerolatency"
    assert command[-3:] == ("-f", "flv", "rtmp://h/live/x")


def test_generated_live_source_really_flows(tmp_path: Path) -> None:
    order = assign(mode=OutputMode.RTMP, duration_s=0.4, preset="ultrafast")
    pushed = plan(
        order,
        encoders=proven(),
        source=live_graph(generated_for(order.encode, order.duration_s)),
        media=None,
        destination="rtmp://h/live/x",
        lavfi=True,
    )
    # The same command into a file: only the ingest is missing.
    succeed((*encode_command(tools(), pushed)[:-1], f"file:{tmp_path}/o.flv"))
    media = probe(f"file:{tmp_path}/o.flv")
    assert media.video is not None
    assert media.audio is not None
    assert (media.video.width, media.video.frames) == (256, 10)


def test_generated_source_played_again_is_frame_exact(tmp_path: Path) -> None:
    source = f"file:{make_source(tmp_path)}"
    made = plan(
        assign(fps=None, preset="ultrafast", duration_s=2.5),
        encoders=proven(),
        source=source,
        media=probe(source),
        destination=tmp_path / "o.mp4",
        loop=True,
    )
    encode(made)
    media = probe(made.target)
    assert verify(made, media) == []
    assert media.video is not None
    assert media.video.frames == 75


def test_live_input_by_url_keeps_its_own_pace() -> None:
    order = assign(mode=OutputMode.RTMP)
    command = encode_command(TOOLS, task(order, source="rtmp://h/in/x", destination="rtmp://h/live/x"))
    assert "-re" not in command
    assert _after(command, "-protocol_whitelist") == "rtmp,tcp"
    assert "-analyzeduration" not in command


def test_sound_that_the_probe_did_not_find_is_not_waited_for_again() -> None:
    order, live = assign(mode=OutputMode.RTMP), {"source": "rtmp://h/in/x", "destination": "rtmp://h/live/x"}
    command = encode_command(TOOLS, task(order, media=found(sound=False), **live))
    assert _after(command, "-analyzeduration") == "1000000"
    assert command.index("-analyzeduration") < command.index("-i")
    of_file = task(assign(), media=found(sound=False))
    assert "-analyzeduration" not in encode_command(TOOLS, of_file)


def test_command_never_reads_the_terminal_and_reports_progress() -> None:
    command = encode_command(TOOLS, task(assign()))
    assert "-nostdin" in command
    assert _after(command, "-progress") == "pipe:1"
    assert _after(command, "-protocol_whitelist") == "file"
    assert command.index("-protocol_whitelist") < command.index("-i")
    assert _after(command, "-f") == "mp4"


def test_rate_is_made_constant_once() -> None:
    assert _after(encode_command(TOOLS, task(assign())), "-fps_mode") == "passthrough"
    unknown = task(assign(fps=None), media=found(fps=None))
    assert "-fps_mode" not in encode_command(TOOLS, unknown)


def test_large_output_is_not_rewritten_to_move_its_index() -> None:
    assert "+faststart" in encode_command(TOOLS, task(assign()))
    long = found(seconds=40_000.0, frames=1_200_000)
    assert "+faststart" not in encode_command(TOOLS, task(assign(), media=long))


def test_vaapi_uploads_frames_to_its_device() -> None:
    command = encode_command(TOOLS, _task("h264_vaapi"))
    assert _after(command, "-init_hw_device") == "vaapi=va:/dev/dri/renderD128"
    assert _after(command, "-vf").endswith("format=nv12,hwupload")
    assert "-preset" not in command


@pytest.mark.parametrize("encoder", ALL)
def test_word_of_x264_means_something_to_every_encoder(encoder: str) -> None:
    for word in WORDS:
        made = _task(encoder, preset=word)
        assert (preset_for(made) is None) == (ENCODERS[encoder].hardware == "vaapi")
        assert encode_command(TOOLS, made)[0] == "/usr/bin/ffmpeg"


@pytest.mark.parametrize(
    ("encoder", "preset"), [("h264_nvenc", "p4"), ("libsvtav1", "13"), ("libvpx-vp9", "0"), ("libaom-av1", "8")]
)
def test_preset_in_the_encoders_own_scale_is_taken(encoder: str, preset: str) -> None:
    assert preset_for(_task(encoder, preset=preset)) == preset


@pytest.mark.parametrize(
    ("encoder", "preset"),
    [("libx264", "p4"), ("libx264", "turbo"), ("libsvtav1", "14"), ("libx265", "fast:log=/etc/x"), ("h264_qsv", "1")],
)
def test_unknown_preset_is_refused(encoder: str, preset: str) -> None:
    with pytest.raises(InvalidPreset, match="no preset"):
        encode_command(TOOLS, _task(encoder, preset=preset))


def test_environment_passes_on_nothing_that_makes_ffmpeg_write_files() -> None:
    made = environment({"PATH": "/bin", "FFREPORT": "file=/tmp/x", "HOME": "/root", "LD_PRELOAD": "x.so"})
    assert made == {"PATH": "/bin", "LC_ALL": "C.UTF-8"}
    assert environment(os.environ)["PATH"] == os.environ["PATH"]

"""Real media for the tests of the worker: programs found once, small sources, small tasks."""

import os
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

from ffrtmp_worker.encoders import prove, render_node
from ffrtmp_worker.ffmpeg import encode_command, environment
from ffrtmp_worker.probe import parse_probe, probe_command
from ffrtmp_worker.process import ToolRun, run_tool
from ffrtmp_worker.sources import Generated, source_command
from ffrtmp_worker.task import Task, plan
from ffrtmp_worker.tools import Tools, find_tools
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.jobs import AudioStream, MediaInfo, VideoStream
from ffrtmpd.wire.messages.session import Assign, Encode
from ffrtmpd.wire.vocabulary import Codec, Engine, OutputMode

ALL = tuple(name for name, encoder in ENCODERS.items() if encoder.engine is Engine.FFMPEG)
SOFTWARE = tuple(name for name in ALL if ENCODERS[name].hardware is None)


@cache
def tools() -> Tools:
    return find_tools()


@cache
def proven() -> tuple[str, ...]:
    return prove(tools(), node=render_node())


def run(argv: Sequence[str]) -> ToolRun:
    return run_tool(argv, timeout_s=60, env=environment(os.environ))


def succeed(argv: Sequence[str]) -> ToolRun:
    ran = run(argv)
    assert ran.exit_code == 0, ran.stderr.decode()
    return ran


def probe(source: str, *, count: bool = True) -> MediaInfo:
    return parse_probe(succeed(probe_command(tools(), source, count=count)).stdout, tools())


def make_source(folder: Path, *, width: int = 320, height: int = 180, fps: int = 30, seconds: float = 1.0) -> Path:
    generated = Generated(width=width, height=height, rate=Fraction(fps), duration_s=seconds)
    path = folder / generated.name
    succeed(source_command(tools(), generated, path, proven()))
    return path


def found(
    *, seconds: float = 1.0, fps: float | None = 30.0, frames: int | None = 30, sound: bool = True, codec: str = "h264"
) -> MediaInfo:
    """What a probe of ``make_source`` finds, without running one."""
    return MediaInfo(
        container="matroska,webm",
        duration_s=seconds,
        video=VideoStream(codec=codec, width=320, height=180, fps=fps, frames=frames),
        audio=AudioStream(codec="pcm_s16le") if sound else None,
    )


def assign(
    *,
    codec: Codec = Codec.H264,
    width: int = 256,
    height: int = 144,
    fps: float | None = 25.0,
    preset: str | None = None,
    mode: OutputMode = OutputMode.FILE,
    duration_s: float | None = None,
    encoder: str | None = None,
    require_gpu: bool = False,
) -> Assign:
    return Assign(
        job_id="job-000001",
        attempt=2,
        token=b"t" * 16,
        encode=Encode(codec=codec, width=width, height=height, fps=fps, bitrate_bps=300_000, preset=preset),
        output_mode=mode,
        duration_s=duration_s,
        encoder=encoder,
        require_gpu=require_gpu,
    )


def task(
    order: Assign,
    *,
    destination: Path | str = Path("/out/a.mp4"),
    source: str = "file:/in/a.mkv",
    media: MediaInfo | None = None,
    encoders: Sequence[str] = SOFTWARE,
    render_node: str | None = None,
) -> Task:
    return plan(
        order,
        encoders=encoders,
        source=source,
        media=found() if media is None else media,
        destination=destination,
        render_node=render_node,
    )


def encode(made: Task) -> ToolRun:
    return succeed(encode_command(tools(), made))

"""Whole attempts with real programs and without a daemon: each step is run to its end, one after the other."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ffrtmp_worker.egress import Egress
from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.places import Places
from ffrtmp_worker.process import run_tool
from ffrtmp_worker.reach import Hosts
from ffrtmp_worker.recipe import AttemptFailed, StepEnd
from ffrtmp_worker.scorer import Scorer
from ffrtmp_worker.sources import SourceCache
from ffrtmp_worker.steps import Workshop
from ffrtmp_worker.tools import ToolError, Tools, find_tools
from ffrtmpd.wire.messages.jobs import MediaInfo
from ffrtmpd.wire.messages.measures import Quality
from ffrtmpd.wire.messages.session import Assign, Encode
from ffrtmpd.wire.vocabulary import Codec
from tests.needs import module, need, program

STEP_S = 60.0


@cache
def system() -> Tools:
    """Return the system's ffmpeg and ffprobe."""
    try:
        return find_tools("/usr/bin/ffmpeg", "/usr/bin/ffprobe")
    except ToolError as error:
        need(str(error))


@cache
def embedded() -> Tools:
    """Return imageio-ffmpeg's ffmpeg, with PyAV to probe."""
    module("av")
    found = find_tools(module("imageio_ffmpeg").get_ffmpeg_exe())
    return Tools(ffmpeg=found.ffmpeg, ffmpeg_version=found.ffmpeg_version, ffprobe=None, python=found.python)


BUILDS = {"system": system, "embedded": embedded}


@dataclass
class Ran:
    """What became of an attempt: the output, or why there is none, and all that its programs said."""

    media: MediaInfo | None
    output: Path | None
    failure: AttemptFailed | None
    said: str
    quality: Quality | None = None

    @property
    def told(self) -> tuple[str, str]:
        """Class and reason of the failure."""
        assert self.failure is not None, f"it went well: {self.media}"
        return str(self.failure.failure_class), self.failure.reason


@dataclass
class Node:
    """A node whose jobs read ``in`` and write ``out`` below a folder, and reach the hosts listed."""

    shop: Workshop
    folder: Path
    memory_bytes: int | None = None

    def attempt(self, **order: object) -> Ran:
        """Run an assignment up to what the worker would report."""
        recipe = self.shop.recipe(assignment(**order))
        said, end = [], None
        try:
            while (step := recipe.advance(end)) is not None:
                ran = run_tool((*self._limit(), *step.argv), timeout_s=STEP_S, env=step.env)
                said.append((ran.stdout + ran.stderr).decode("utf-8", "replace"))
                log = ran.stderr.decode("utf-8", "replace")
                end = StepEnd(exit_code=ran.exit_code, stdout=ran.stdout, log_tail=log)
        except AttemptFailed as failure:
            return Ran(media=None, output=None, failure=failure, said="\n".join(said), quality=recipe.quality)
        finally:
            recipe.close()
        assert recipe.partial is not None
        return Ran(
            media=recipe.media, output=Path(recipe.partial), failure=None, said="\n".join(said), quality=recipe.quality
        )

    def _limit(self) -> tuple[str, ...]:
        """Return what holds a step to the memory, as the worker does without control groups."""
        return () if self.memory_bytes is None else (program("prlimit"), f"--data={self.memory_bytes}", "--")


def assignment(**order: object) -> Assign:
    """Return an order for a small and fast H.264 file; ``order`` replaces fields."""
    scene = {"width": 128, "height": 72, "fps": 25.0, "bitrate_bps": 200_000, "preset": "ultrafast"}
    scene.update({name: order.pop(name) for name in tuple(order) if name in scene})
    encode = Encode(codec=Codec.H264, **scene)  # type: ignore[arg-type]
    given = {"output": "o.mp4", "encode": encode, "encoder": "libx264", **order}
    return Assign(job_id="job-000001", attempt=1, token=b"t" * 16, **given)  # type: ignore[arg-type]


@contextmanager
def node(
    folder: Path,
    tools: Tools,
    *,
    hosts: tuple[str, ...] = ("*",),
    outer: Mapping[str, str] = os.environ,
    scorer: Scorer | None = None,
) -> Iterator[Node]:
    """Give a node whose programs are confined as the worker's own main program confines them."""
    for name in ("in", "out"):
        (folder / name).mkdir(exist_ok=True)
    egress = Egress(Hosts(hosts))
    try:
        shop = Workshop(
            tools=tools,
            encoders=("libx264",),
            places=Places(input_roots=(folder / "in",), output_roots=(folder / "out",), hosts=hosts),
            sources=SourceCache(folder / "sources", 1 << 30),
            render_node=None,
            environment={**environment(outer), **egress.environment},
            scorer=scorer,
        )
        yield Node(shop, folder)
    finally:
        egress.close()

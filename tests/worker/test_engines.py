from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from ffrtmp_worker.engines import MediaEngine, choose
from ffrtmp_worker.failures import Failure, classify
from ffrtmp_worker.task import ImpossibleTask, NotHere, Task
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import Codec, Engine, OutputMode
from tests.worker import media
from tests.worker.media import assign

URL = "rtmp://host/live/key"


@dataclass(frozen=True)
class Known:
    """An engine with these encoders that refuses for this reason."""

    name: Engine
    encoders: tuple[str, ...]
    why: str | None = None
    version: str = "1"
    environment: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, task: Task) -> str | None:
        return None if task.live and self.why == "no files" else self.why

    def command(self, task: Task) -> tuple[str, ...]:
        return (self.name, task.target)

    def classify(self, exit_code: int, log_tail: str, *, live: bool) -> Failure:
        return classify(exit_code, log_tail, live=live)


FFMPEG = Known(Engine.FFMPEG, ("libx264", "libx265"))
GPU = Known(Engine.FFMPEG, ("h264_nvenc", "libx264"))
GST = Known(Engine.GSTREAMER, ("x264enc", "av1enc"))
BOTH = (FFMPEG, GST)
FILE = assign()
PUSH = assign(mode=OutputMode.RTMP)


def chosen(engines: tuple[MediaEngine, ...], order: Assign) -> tuple[Engine, str]:
    live = order.output_mode is not OutputMode.FILE

    def planned(engine: MediaEngine) -> Task:
        where = {"destination": URL} if live else {}
        return media.task(order, encoders=engine.encoders, **where)  # type: ignore[arg-type]

    engine, task = choose(engines, order, planned)
    return engine.name, task.encoder.name


@pytest.mark.parametrize(
    ("engines", "order", "expected"),
    [
        (BOTH, FILE, (Engine.FFMPEG, "libx264")),
        (BOTH, PUSH, (Engine.GSTREAMER, "x264enc")),
        ((FFMPEG,), PUSH, (Engine.FFMPEG, "libx264")),
        # Software of lower latency is no better than hardware.
        ((GPU, GST), PUSH, (Engine.FFMPEG, "h264_nvenc")),
        ((GPU, GST), replace(PUSH, require_gpu=True), (Engine.FFMPEG, "h264_nvenc")),
        ((FFMPEG, replace(GST, why="no files")), PUSH, (Engine.GSTREAMER, "x264enc")),
        ((FFMPEG, replace(GST, why="no")), PUSH, (Engine.FFMPEG, "libx264")),
        (BOTH, assign(codec=Codec.AV1), (Engine.GSTREAMER, "av1enc")),
        (BOTH, replace(FILE, encoder="x264enc"), (Engine.GSTREAMER, "x264enc")),
        (BOTH, replace(PUSH, encoder="libx264"), (Engine.FFMPEG, "libx264")),
        (BOTH, replace(FILE, engine=Engine.GSTREAMER), (Engine.GSTREAMER, "x264enc")),
        (BOTH, replace(PUSH, engine=Engine.FFMPEG), (Engine.FFMPEG, "libx264")),
    ],
)
def test_engine_is_chosen_by_job_and_node(
    engines: tuple[MediaEngine, ...], order: Assign, expected: tuple[Engine, str]
) -> None:
    assert chosen(engines, order) == expected


@pytest.mark.parametrize(
    ("engines", "order", "error", "says"),
    [
        ((FFMPEG,), replace(FILE, engine=Engine.GSTREAMER), NotHere, "gstreamer does not work"),
        ((FFMPEG,), replace(FILE, encoder="x264enc"), NotHere, "gstreamer does not work"),
        (BOTH, replace(FILE, engine=Engine.FFMPEG, encoder="x264enc"), ImpossibleTask, "an encoder of gstreamer"),
        ((FFMPEG, replace(GST, why="no such")), replace(FILE, engine=Engine.GSTREAMER), ImpossibleTask, "no such"),
        (BOTH, assign(codec=Codec.VP9), NotHere, "no encoder for vp9"),
        (BOTH, replace(FILE, encoder="libx266"), ImpossibleTask, "unknown encoder"),
    ],
)
def test_job_that_no_engine_can_do_says_why(
    engines: tuple[MediaEngine, ...], order: Assign, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        chosen(engines, order)

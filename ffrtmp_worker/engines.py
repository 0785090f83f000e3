"""Which program encodes a job: what an engine must be able to say, and the choice between those of a node. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ffrtmp_worker.failures import Failure, classify
from ffrtmp_worker.ffmpeg import encode_command, preset_for
from ffrtmp_worker.task import ImpossibleTask, NotHere, Task, TaskError
from ffrtmp_worker.tools import Tools
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import Engine, OutputMode


class MediaEngine(Protocol):
    """A program that encodes and tells its progress in the words of ffmpeg's ``-progress``.

    It ends cleanly, with a playable file, at one SIGTERM.
    """

    @property
    def name(self) -> Engine:
        """Which one it is."""

    @property
    def version(self) -> str:
        """Its build."""

    @property
    def encoders(self) -> tuple[str, ...]:
        """Its encoders that were proved here, preferred first for each codec."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The whole environment of its process."""

    def refusal(self, task: Task) -> str | None:
        """Return why it cannot do ``task``, None if it can.

        Raises:
            TaskError: the same, with a class of its own.
        """

    def command(self, task: Task) -> tuple[str, ...]:
        """Return what runs a task that was not refused."""

    def classify(self, exit_code: int, log_tail: str, *, live: bool) -> Failure:
        """Return why its process failed; arguments as of ``failures.classify``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FfmpegEngine:
    """ffmpeg, which every node has."""

    tools: Tools
    encoders: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def name(self) -> Engine:
        """Always ffmpeg."""
        return Engine.FFMPEG

    @property
    def version(self) -> str:
        """The build of ffmpeg."""
        return self.tools.ffmpeg_version

    def refusal(self, task: Task) -> str | None:
        """Return None: what a ``Task`` can say, ffmpeg can do.

        Raises:
            InvalidPreset: the preset is not one of the encoder's.
        """
        preset_for(task)
        return None

    def command(self, task: Task) -> tuple[str, ...]:
        """Return the ffmpeg command."""
        return encode_command(self.tools, task)

    def classify(self, exit_code: int, log_tail: str, *, live: bool) -> Failure:
        """Return what ffmpeg's log tells."""
        return classify(exit_code, log_tail, live=live)


def choose(
    engines: Sequence[MediaEngine], assign: Assign, plan: Callable[[MediaEngine], Task]
) -> tuple[MediaEngine, Task]:
    """Return the engine for a job and the task as that engine will run it.

    The one asked for, or that of the pinned encoder. Where neither says: GStreamer for a push unless ffmpeg would use
    hardware, ffmpeg for the rest; and where the first cannot do it, the other.

    Args:
        engines: those of this node.
        assign: the job.
        plan: makes the task for an engine; raises ``TaskError`` where its encoders do not fit.

    Raises:
        TaskError: no engine can do it; where there was a choice, what ffmpeg lacks.
    """
    able: dict[Engine, Task] = {}
    refused: dict[Engine, TaskError] = {}
    candidates = {engine.name: engine for engine in engines if engine.name in _allowed(assign)}
    for name, engine in candidates.items():
        try:
            task = plan(engine)
            why = engine.refusal(task)
        except TaskError as error:
            refused[name] = error
            continue
        if why is None:
            able[name] = task
        else:
            refused[name] = ImpossibleTask(f"{name}: {why}")
    if not able:
        wanted = _allowed(assign)[0]
        raise refused.get(wanted) or NotHere(f"{wanted} does not work on this node")
    name = _preferred(assign, able)
    return candidates[name], able[name]


def others(engines: Sequence[MediaEngine], assign: Assign, failed: Engine) -> tuple[MediaEngine, ...]:
    """Return the engines that may read what ``failed`` turned out not to: none where the job names one."""
    is_free = assign.engine is Engine.AUTO and assign.encoder is None
    return tuple(engine for engine in engines if is_free and engine.name is not failed)


def _allowed(assign: Assign) -> tuple[Engine, ...]:
    """Return the engines that may run it, that first whose complaint is told."""
    pinned = ENCODERS.get(assign.encoder) if assign.encoder is not None else None
    if pinned is not None and assign.engine not in (Engine.AUTO, pinned.engine):
        raise ImpossibleTask(f"{pinned.name} is an encoder of {pinned.engine}, and the job asks for {assign.engine}")
    if pinned is not None:
        return (pinned.engine,)
    return (Engine.FFMPEG, Engine.GSTREAMER) if assign.engine is Engine.AUTO else (assign.engine,)


def _preferred(assign: Assign, able: Mapping[Engine, Task]) -> Engine:
    ffmpeg = able.get(Engine.FFMPEG)
    live = assign.output_mode is not OutputMode.FILE
    if ffmpeg is None or (live and Engine.GSTREAMER in able and ffmpeg.encoder.hardware is None):
        return Engine.GSTREAMER
    return Engine.FFMPEG

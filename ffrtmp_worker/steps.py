"""The steps of an attempt with ffmpeg: source, probe, encode, check, and what the appraisal adds."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn

from ffrtmp_worker.appraisal import Appraisal, Means
from ffrtmp_worker.failures import Failure, classify, classify_problems
from ffrtmp_worker.ffmpeg import encode_command
from ffrtmp_worker.places import FILE_PREFIX, PlaceError, Places
from ffrtmp_worker.probe import ProbeError, parse_probe, probe_command, worth_counting
from ffrtmp_worker.progress import Block, ProgressMeter, ProgressReader
from ffrtmp_worker.recipe import AttemptFailed, Step, StepEnd, StepName
from ffrtmp_worker.room import Room, expected_bytes
from ffrtmp_worker.scorer import Scorer
from ffrtmp_worker.sources import Generated, SourceCache, generated_for, live_graph, needs_loop, source_command
from ffrtmp_worker.task import Task, TaskError, plan
from ffrtmp_worker.tools import Tools
from ffrtmp_worker.verify import verify
from ffrtmpd.wire.messages.jobs import MediaInfo, Progress
from ffrtmpd.wire.messages.measures import Provenance, Quality
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import Engine, FailureClass, OutputMode

# A probe of a URL waits for the network; one of a file takes hundredths of a second, or a read of the whole file.
PROBE_S: Final = 60.0
CHECK_S: Final = 3_600.0
SOURCE_S: Final = 600.0
# What is left of a push when its pause came at its very end.
LEFT_LEAST_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What the attempts of a node share.

    ``encoders`` were proved here; ``environment`` is the whole environment of every child; ``room`` is that on disk.
    ``scorer`` None: nothing is scored; ``scoring_threads`` are those of one comparison; ``hashes``: files are hashed.
    """

    tools: Tools
    encoders: tuple[str, ...]
    places: Places
    sources: SourceCache
    render_node: str | None
    environment: Mapping[str, str]
    room: Room = field(default_factory=Room)
    scorer: Scorer | None = None
    scoring_threads: int = 1
    hashes: bool = True

    @property
    def means(self) -> Means:
        """What an appraisal needs of it."""
        return Means(
            python=self.tools.python,
            environment=self.environment,
            scorer=self.scorer,
            threads=self.scoring_threads,
            hashes=self.hashes,
        )

    def recipe(self, assign: Assign) -> "FfmpegRecipe":
        """Return the steps of an assignment."""
        return FfmpegRecipe(self, assign)


class FfmpegRecipe:
    """One attempt with ffmpeg; the docstrings of ``Recipe`` say what each part is for."""

    def __init__(self, shop: Workshop, assign: Assign) -> None:
        self._shop = shop
        self._assign = assign
        self._appraisal = Appraisal(assign, shop.means)
        self._step: StepName | None = None
        self._generated: Generated | None = None
        self._temporary: Path | None = None
        self._cached: Path | None = None
        self._source = ""
        self._destination: Path | str = ""
        self._task: Task | None = None
        self._encode_log = ""
        self._reader = ProgressReader()
        self._meter: ProgressMeter | None = None
        self._pushed_frames = 0
        self._pushed_s = 0.0
        self._last = Block()
        self._media: MediaInfo | None = None

    @property
    def pushes(self) -> bool:
        """Whether the encode itself reaches the audience."""
        return self._assign.output_mode is not OutputMode.FILE

    @property
    def encoder(self) -> str | None:
        """The encoder chosen."""
        return None if self._task is None else self._task.encoder.name

    @property
    def engine(self) -> Engine:
        """Always ffmpeg."""
        return Engine.FFMPEG

    @property
    def engine_version(self) -> str | None:
        """The build of ffmpeg."""
        return self._shop.tools.ffmpeg_version

    @property
    def output(self) -> str | None:
        """Path or URL of the output."""
        return None if self._task is None else self._task.output

    @property
    def partial(self) -> str | None:
        """What is written before it is published."""
        return None if self._task is None or self._task.partial is None else str(self._task.partial)

    @property
    def media(self) -> MediaInfo | None:
        """The output as probed."""
        return self._media

    @property
    def quality(self) -> Quality | None:
        """The output's scores."""
        return self._appraisal.quality

    @property
    def provenance(self) -> Provenance | None:
        """What went in and came out."""
        written = self._last.size_bytes if self._media is None else self._media.size_bytes
        return self._appraisal.provenance(written)

    def advance(self, end: StepEnd | None) -> Step | None:
        """Return the next step."""
        try:
            step = self._begin() if end is None else self._after(end)
        except PlaceError as error:
            raise AttemptFailed(FailureClass.PERMANENT, str(error)) from None
        except TaskError as error:
            raise AttemptFailed(error.failure_class, str(error)) from None
        except OSError as error:
            raise AttemptFailed(FailureClass.TRANSIENT, str(error)) from None
        self._step = None if step is None else step.name
        return step

    def again(self) -> Step:
        """Return the encode of what is left of a push."""
        task = self._planned()
        self._pushed_frames, self._pushed_s = self._last.frame or 0, self._last.out_time_s or 0.0
        if task.limit_s is not None:
            task = replace(task, limit_s=max(LEFT_LEAST_S, task.limit_s - self._pushed_s))
        self._step = StepName.ENCODE
        return self._encode(task)

    def begun(self, now_s: float, paused_s: float) -> None:
        """Start to measure."""
        self._reader = ProgressReader()
        if self._meter is None:
            task = self._planned()
            self._meter = ProgressMeter(
                expected_frames=task.expected_frames, duration_s=task.expected_duration_s, now_s=now_s - paused_s
            )

    def read(self, data: bytes, now_s: float, paused_s: float) -> Progress | None:
        """Return the figures of the last whole report in ``data``."""
        progress = None
        for block in self._reader.feed(data):
            self._last = self._whole(block)
            if self._meter is not None:
                progress = self._meter.update(self._last, now_s, paused_s)
        return progress

    def close(self) -> None:
        """Let go of the source and of the room on disk."""
        if self._task is not None and self._task.partial is not None:
            self._shop.room.release(self._task.partial)
        if self._cached is not None:
            self._shop.sources.release(self._cached)
            self._cached = None
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            self._temporary = None

    def _begin(self) -> Step:
        assign, shop = self._assign, self._shop
        self._destination = shop.places.resolve_output(assign.output, job_id=assign.job_id, mode=assign.output_mode)
        if assign.input is not None:
            self._source = shop.places.resolve_input(assign.input)
            argv = probe_command(shop.tools, self._source, count=worth_counting(self._source))
            return self._made(StepName.PROBE, argv, PROBE_S)
        self._generated = generated_for(assign.encode, assign.duration_s)
        if self.pushes:
            self._source = live_graph(self._generated)
            return self._planned_encode(media=None)
        self._cached = shop.sources.take(self._generated)
        if self._cached is not None:
            return self._generated_encode(self._generated, self._cached)
        self._temporary = shop.sources.temporary(self._generated)
        argv = source_command(shop.tools, self._generated, self._temporary, shop.encoders)
        return self._made(StepName.SOURCE, argv, SOURCE_S)

    def _after(self, end: StepEnd) -> Step | None:
        match self._step:
            case StepName.SOURCE:
                self._require(end, live=False)
                if self._temporary is None or self._generated is None:
                    raise RuntimeError("no source was being made")
                self._cached = self._shop.sources.keep(self._temporary, self._generated)
                self._temporary = None
                return self._generated_encode(self._generated, self._cached)
            case StepName.PROBE:
                self._require(end, live=False)
                return self._planned_encode(media=self._parsed(end))
            case StepName.ENCODE:
                self._require(end, live=self.pushes)
                if self.partial is None:
                    return None
                self._encode_log = end.log_tail
                argv = probe_command(self._shop.tools, FILE_PREFIX + self.partial)
                return self._made(StepName.CHECK, argv, CHECK_S)
            case StepName.SCORE | StepName.HASH:
                return self._appraisal.after(self._step, end)
            case _:
                return self._appraisal.first(self._checked(end))

    def _generated_encode(self, generated: Generated, path: Path) -> Step:
        self._source = FILE_PREFIX + str(path)
        return self._planned_encode(media=generated.media)

    def _planned_encode(self, media: MediaInfo | None) -> Step:
        self._task = plan(
            self._assign,
            encoders=self._shop.encoders,
            source=self._source,
            media=media,
            destination=self._destination,
            lavfi=media is None,
            loop=self._generated is not None and media is not None and needs_loop(self._assign.duration_s),
            render_node=self._shop.render_node,
        )
        self._appraisal.expect(self._task, media)
        if self._task.partial is not None:
            self._shop.room.claim(self._task.partial, expected_bytes(self._task))
        return self._encode(self._task)

    def _encode(self, task: Task) -> Step:
        return self._made(StepName.ENCODE, encode_command(self._shop.tools, task), None)

    def _checked(self, end: StepEnd) -> MediaInfo:
        """Return the output as probed; raise when it is not what was asked for."""
        media = None
        if end.exit_code != 0:
            problems = [f"the output cannot be read: {classify(end.exit_code, end.log_tail, live=False).reason}"]
        else:
            try:
                media = self._media = parse_probe(end.stdout, self._shop.tools)
                problems = verify(self._planned(), media)
            except ProbeError as error:
                problems = [f"the output cannot be read: {error}"]
        if problems or media is None:
            _fail(classify_problems(problems, self._encode_log))
        return media

    def _parsed(self, end: StepEnd) -> MediaInfo:
        try:
            return parse_probe(end.stdout, self._shop.tools)
        except ProbeError as error:
            raise AttemptFailed(FailureClass.PERMANENT, f"the input cannot be read: {error}") from None

    def _made(self, name: StepName, argv: tuple[str, ...], timeout_s: float | None) -> Step:
        return Step(name=name, argv=argv, env=self._shop.environment, timeout_s=timeout_s)

    def _planned(self) -> Task:
        if self._task is None:
            raise RuntimeError("the encode was not planned yet")
        return self._task

    def _require(self, end: StepEnd, *, live: bool) -> None:
        if end.exit_code != 0:
            _fail(classify(end.exit_code, end.log_tail, live=live))

    def _whole(self, block: Block) -> Block:
        """Return ``block`` with what was pushed before a pause counted in."""
        if not self._pushed_s and not self._pushed_frames:
            return block
        return replace(
            block,
            frame=None if block.frame is None else self._pushed_frames + block.frame,
            out_time_s=None if block.out_time_s is None else self._pushed_s + block.out_time_s,
        )


def _fail(failure: Failure) -> NoReturn:
    raise AttemptFailed(failure.failure_class, failure.reason)

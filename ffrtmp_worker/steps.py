"""The steps of an attempt: source, probe, encode, check, and what the appraisal adds."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn

from ffrtmp_worker.appraisal import Appraisal, Means
from ffrtmp_worker.decode import decode_command, decode_problem, decode_timeout_s
from ffrtmp_worker.encoder_sessions import EncoderSessions
from ffrtmp_worker.engines import FfmpegEngine, MediaEngine, choose, others
from ffrtmp_worker.failures import Failure, classify, classify_problems, io_trouble
from ffrtmp_worker.known import Known, Sighting, Sums
from ffrtmp_worker.null import NullRecipe
from ffrtmp_worker.places import FILE_PREFIX, PlaceError, Places
from ffrtmp_worker.probe import ProbeError, parse_probe, probe_command, worth_counting
from ffrtmp_worker.progress import Block, ProgressMeter, ProgressReader, summed
from ffrtmp_worker.recipe import AttemptFailed, Cause, Recipe, Step, StepEnd, StepName
from ffrtmp_worker.room import Room, expected_bytes
from ffrtmp_worker.scorer import Scorer
from ffrtmp_worker.sources import Generated, SourceCache, generated_for, live_graph, needs_loop, source_command
from ffrtmp_worker.task import NotHere, Task, TaskError, plan
from ffrtmp_worker.tools import Tools
from ffrtmp_worker.verify import verify
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.jobs import MediaInfo, Progress
from ffrtmpd.wire.messages.measures import Provenance, Quality
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import Engine, FailureClass, OutputMode, VerifyMode

# A probe of a URL waits for the network; one of a file takes hundredths of a second, or a read of the whole file.
PROBE_S: Final = 60.0
CHECK_S: Final = 3_600.0
SOURCE_S: Final = 600.0
# What is left of a push when its pause came at its very end.
LEFT_LEAST_S: Final = 0.1
# A live source that ends so close to the end asked for was not lost.
SOURCE_SHORT_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What the attempts of a node share.

    ``encoders`` of ffmpeg were proved here; ``environment`` is the whole environment of every child of FFmpeg's;
    ``room`` is that on disk; ``more_engines`` stand beside ffmpeg. ``scorer`` None: nothing is scored;
    ``scoring_threads`` are those of one comparison; ``hashes``: files are hashed, and ``sums`` are those known,
    as ``probes`` are what is in inputs.
    ``sessions`` are those of the hardware encoders. ``null``: this node takes jobs that encode nothing.
    """

    tools: Tools
    encoders: tuple[str, ...]
    places: Places
    sources: SourceCache
    render_node: str | None
    environment: Mapping[str, str]
    room: Room = field(default_factory=Room)
    more_engines: tuple[MediaEngine, ...] = ()
    scorer: Scorer | None = None
    scoring_threads: int = 1
    hashes: bool = True
    sums: Sums = field(default_factory=Sums)
    probes: Known[MediaInfo] = field(default_factory=Known)
    sessions: EncoderSessions = field(default_factory=EncoderSessions)
    null: bool = False

    @property
    def means(self) -> Means:
        """What an appraisal needs of it."""
        return Means(
            python=self.tools.python,
            environment=self.environment,
            scorer=self.scorer,
            threads=self.scoring_threads,
            hashes=self.hashes,
            sums=self.sums,
        )

    @property
    def engines(self) -> tuple[MediaEngine, ...]:
        """The engines of this node."""
        ffmpeg = FfmpegEngine(tools=self.tools, encoders=self.encoders, environment=self.environment)
        return (ffmpeg, *self.more_engines)

    def recipe(self, assign: Assign) -> Recipe:
        """Return the steps of an assignment."""
        return NullRecipe() if self.null and assign.engine is Engine.NULL else MediaRecipe(self, assign)


class MediaRecipe:
    """One attempt; the docstrings of ``Recipe`` say what each part is for."""

    def __init__(self, shop: Workshop, assign: Assign) -> None:
        self._shop = shop
        self._assign = assign
        self._engines = shop.engines
        self._engine = self._engines[0]
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
        # Sums over the connections of a push before this one, and with it.
        self._pushed = Block()
        self._last = Block()
        self._media: MediaInfo | None = None
        self._source_media: MediaInfo | None = None
        self._source_before: Sighting | None = None
        self._fallback: str | None = None
        self._has_session = False

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
        """The engine chosen; ffmpeg until then."""
        return self._engine.name

    @property
    def engine_version(self) -> str | None:
        """Its build."""
        return self._engine.version

    @property
    def fallback(self) -> str | None:
        """Why this encoder took the place of the one chosen first."""
        return self._fallback

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
        self._pushed = self._last
        pushed_s = self._pushed.out_time_s or 0.0
        if task.limit_s is not None:
            task = replace(task, limit_s=max(LEFT_LEAST_S, task.limit_s - pushed_s))
        if not task.lavfi and not task.live_source:
            task = replace(task, skip_s=pushed_s % task.length_s if task.loop and task.length_s else pushed_s)
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
            self._last = summed(self._pushed, block, self._last)
            if self._meter is not None:
                progress = self._meter.update(self._last, now_s, paused_s)
        return progress

    def close(self) -> None:
        """Let go of the source, of the room on disk and of the encoder's session."""
        self._free_session()
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
        if assign.engine is Engine.NULL:
            raise NotHere("this node does not offer the engine null")
        self._destination = shop.places.resolve_output(assign.output, job_id=assign.job_id, mode=assign.output_mode)
        if assign.input is not None:
            self._source = shop.places.resolve_input(assign.input)
            if self._source.startswith(FILE_PREFIX):
                path = self._source.removeprefix(FILE_PREFIX)
                media = shop.probes.known(path)
                if media is not None:
                    return self._planned_encode(media)
                self._source_before = shop.probes.see(path)
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
                self._require(end)
                if self._temporary is None or self._generated is None:
                    raise RuntimeError("no source was being made")
                self._cached = self._shop.sources.keep(self._temporary, self._generated)
                self._temporary = None
                return self._generated_encode(self._generated, self._cached)
            case StepName.PROBE:
                self._require(end)
                media = self._parsed(end)
                if self._source_before is not None:
                    self._shop.probes.remember(self._source_before, media)
                return self._planned_encode(media)
            case StepName.ENCODE:
                if end.exit_code != 0:
                    return self._encode_failed(end)
                if self.partial is None:
                    self._require_source(end)
                    return None
                self._free_session()
                self._encode_log = end.log_tail
                argv = probe_command(self._shop.tools, FILE_PREFIX + self.partial)
                return self._made(StepName.CHECK, argv, CHECK_S)
            case StepName.SCORE | StepName.HASH:
                return self._appraisal.after(self._step, end)
            case StepName.VERIFY:
                return self._appraisal.first(self._decoded(end))
            case _:
                return self._verified(self._checked(end))

    def _generated_encode(self, generated: Generated, path: Path) -> Step:
        self._source = FILE_PREFIX + str(path)
        return self._planned_encode(media=generated.media)

    def _planned_encode(self, media: MediaInfo | None) -> Step:
        self._source_media = media
        task = self._choose(hardware=True)
        if task.encoder.hardware is not None:
            self._has_session = self._shop.sessions.take()
            if not self._has_session:
                task = self._in_software(self._shop.sessions.full)
        if task.partial is not None:
            self._shop.room.claim(task.partial, expected_bytes(task))
        return self._encode(task)

    def _choose(self, *, hardware: bool) -> Task:
        """Plan the encode, with software encoders alone unless ``hardware`` may be used."""
        media = self._source_media

        def planned(engine: MediaEngine) -> Task:
            return plan(
                self._assign,
                encoders=engine.encoders if hardware else software_of(engine.encoders),
                source=self._source,
                media=media,
                destination=self._destination,
                lavfi=media is None,
                loop=self._generated is not None and media is not None and needs_loop(self._assign.duration_s),
                render_node=self._shop.render_node,
            )

        self._engine, self._task = choose(self._engines, self._assign, planned)
        self._appraisal.expect(self._task, media)
        return self._task

    def _in_software(self, why: str) -> Task:
        """Plan it anew for software, if the job leaves that choice to this node.

        Raises:
            AttemptFailed: it does not, or no software here can do it: another node may.
        """
        assign = self._assign
        if assign.encoder is not None or assign.require_gpu:
            raise AttemptFailed(FailureClass.BUSY, why)
        try:
            task = self._choose(hardware=False)
        except TaskError as error:
            raise AttemptFailed(FailureClass.BUSY, f"{why}; in software: {error}") from None
        self._fallback = why
        self._free_session()
        return task

    def _by_another(self, failure: Failure) -> Task:
        """Plan it anew for another engine, unless some of it was pushed: it was readable then.

        Raises:
            AttemptFailed: it was, or no other engine may or can do it.
        """
        unable, self._engines = self._engine.name, others(self._engines, self._assign, self._engine.name)
        if not self._engines or (self._last.out_time_s or 0.0) > (self._pushed.out_time_s or 0.0):
            _fail(failure)
        try:
            task = self._choose(hardware=False)
        except TaskError:
            _fail(failure)
        why = f"{unable} does not read the input: {failure.reason}"
        self._fallback = why if self._fallback is None else f"{self._fallback}; {why}"
        return task

    def _encode_failed(self, end: StepEnd) -> Step:
        """Return the encode in software if only the hardware had no room, by another engine if it may read the input.

        Raises:
            AttemptFailed: neither helps.
        """
        failure = self._engine.classify(end.exit_code, end.log_tail, live=self.pushes)
        if failure.unreadable:
            task = self._by_another(failure)
        elif failure.failure_class is FailureClass.BUSY and self._planned().encoder.hardware is not None:
            task = self._in_software(failure.reason)
        else:
            _fail(failure)
        return self.again() if self.pushes else self._encode(task)

    def _free_session(self) -> None:
        if self._has_session:
            self._shop.sessions.free()
            self._has_session = False

    def _encode(self, task: Task) -> Step:
        return Step(name=StepName.ENCODE, argv=self._engine.command(task), env=self._engine.environment)

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

    def _verified(self, media: MediaInfo) -> Step | None:
        """Return the step after the check: the output is decoded if that is asked for."""
        if self._assign.verify is not VerifyMode.DECODE:
            return self._appraisal.first(media)
        argv = decode_command(self._shop.tools, self._planned().target, media)
        return self._made(StepName.VERIFY, argv, decode_timeout_s(media))

    def _decoded(self, end: StepEnd) -> MediaInfo:
        if self._media is None:
            raise RuntimeError("the output was not probed yet")
        problem = decode_problem(end, self._media)
        if problem is not None:
            # Its encoder ended well: a disk, a memory or a GPU that failed it need not do so again.
            raise AttemptFailed(FailureClass.TRANSIENT, problem)
        return self._media

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

    def _require(self, end: StepEnd) -> None:
        if end.exit_code != 0:
            _fail(classify(end.exit_code, end.log_tail, live=False))

    def _require_source(self, end: StepEnd) -> None:
        """Fail if a live source ended before what was asked of it: ffmpeg takes its loss for an end."""
        task = self._planned()
        if not task.live_source:
            return
        if task.limit_s is not None and (self._last.out_time_s or 0.0) >= task.limit_s - SOURCE_SHORT_S:
            return
        trouble = io_trouble(end.log_tail)
        cause = Cause.ENDED if trouble is None and task.limit_s is None else Cause.CONNECTION
        reason = "the source ended" if trouble is None else f"the source was lost: {trouble}"
        raise AttemptFailed(FailureClass.TRANSIENT, reason, cause)


def software_of(encoders: Iterable[str]) -> tuple[str, ...]:
    """Return those that need no hardware."""
    return tuple(name for name in encoders if ENCODERS[name].hardware is None)


def _fail(failure: Failure) -> NoReturn:
    raise AttemptFailed(failure.failure_class, failure.reason, failure.cause)

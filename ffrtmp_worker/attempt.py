"""One attempt at a job on this node, from its first step until its processes are gone. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ffrtmp_worker.ending import ENCODED, Ending, entry_of, failed, leave, report_of
from ffrtmp_worker.events import (
    Action,
    AttemptId,
    ChildExited,
    ChildId,
    KillChild,
    Note,
    PauseChild,
    ResumeChild,
    Send,
    Spawn,
    TerminateChild,
)
from ffrtmp_worker.live import Supervisor
from ffrtmp_worker.measures import Spent, conclude
from ffrtmp_worker.recipe import AttemptFailed, Cause, Recipe, Step, StepEnd, StepName
from ffrtmp_worker.spool import Entry
from ffrtmp_worker.stopwatch import Stopwatch
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.jobs import Progress, Report
from ffrtmpd.wire.messages.session import Assign, Held, ProgressReport, Started
from ffrtmpd.wire.vocabulary import FailureClass, Outcome, Phase

PROGRESS_EVERY_S: Final = 0.5
# Output that is thrown away need not be whole: an encoder that will not end is waited for no longer than this.
DISCARD_GRACE_S: Final = 2.0
STDOUT_MAX: Final = 4 << 20
LOG_TAIL_CHARACTERS: Final = 4_096
COMMAND_WORDS: Final = 512
FALLBACK_CHARACTERS: Final = 512
NO_PROGRESS: Final = Progress()
NO_REPORT: Final = Report()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long things may take, in seconds, and what the disk must keep.

    ``stall_file_s`` and ``stall_live_s``: without any advance of the output, pauses left out, the encoder is taken
    for hung. ``push_grace_s``: what a push gets to end cleanly before it is killed. ``reconnect_s``: without any media,
    a push that was lost is given up. ``min_free_disk_bytes``: with less free where it writes, an attempt is stopped.
    """

    stall_file_s: float = 60.0
    stall_live_s: float = 10.0
    push_grace_s: float = 10.0
    reconnect_s: float = 60.0
    min_free_disk_bytes: int = 0


class Attempt:
    """The steps of one assignment.

    Args:
        assign: what to do.
        recipe: how.
        children: gives the next free number for a child.
        leased_at: from when its lease counts.
        random: numbers from 0 to 1, for jitter.
        now_s: when it begins.
        price_per_kwh: of this node's energy; None: no cost is told.
    """

    def __init__(
        self,
        assign: Assign,
        recipe: Recipe,
        *,
        limits: Limits,
        children: Iterator[ChildId],
        leased_at: float,
        random: Callable[[], float],
        now_s: float,
        price_per_kwh: float | None = None,
    ) -> None:
        self.id: AttemptId = (assign.job_id, assign.attempt)
        self.token = assign.token
        self.leased_at = leased_at
        self.fence_s = assign.fence_s
        # Its encode reaches the audience at once.
        self.pushes = recipe.pushes
        self.started = False
        self._told_encoder: str | None = None
        self.child: ChildId | None = None
        # Set once nothing runs any more; its result is None when nobody shall be told.
        self.over = False
        self.was_killed = False
        self.entry: Entry | None = None
        self._assign = assign
        self._recipe = recipe
        self._limits = limits
        self._stall_s = limits.stall_live_s if self.pushes else limits.stall_file_s
        self._children = children
        self._watch = Stopwatch(now_s)
        self._step: Step | None = None
        self._step_began_s = 0.0
        self._held_step: Step | None = None
        self._suspending = False
        self._ending: Ending | None = None
        self._kill_at: float | None = None
        self._killed = False
        self._stdout = bytearray()
        self._progress: Progress | None = None
        self._told = NO_PROGRESS
        self._progress_due_at = now_s
        self._mark: tuple[int | None, float | None, int | None] = (None, None, None)
        self._advanced_s = 0.0
        self._encode_began_at: float | None = None
        self._paused_before_s = 0.0
        self._report = NO_REPORT
        self._spent = Spent()
        self._push = Supervisor(give_up_s=limits.reconnect_s, random=random) if self.pushes else None
        # Why its push was asked to end, to be connected again; and at which second of its run that is due.
        self._hung: str | None = None
        self._again_s: float | None = None
        self._price_per_kwh = price_per_kwh

    @property
    def paused(self) -> bool:
        """Whether its processes are stopped, or its push is."""
        return self._watch.paused

    @property
    def reaches_audience(self) -> bool:
        """Whether a process of it may push right now, and was not killed yet, or will without being asked again."""
        if self._again_s is not None:
            return not self.paused
        return self.pushes and self.child is not None and not self._killed

    @property
    def is_stopping(self) -> bool:
        """Whether it will not go on."""
        return self._ending is not None or self.over

    @property
    def is_dropped(self) -> bool:
        """Whether it is ending and nobody will be told."""
        return self._ending is not None and self._ending.outcome is None

    @property
    def was_canceled(self) -> bool:
        """Whether it was ended because nobody wanted it any more."""
        return self._ending is not None and self._ending.outcome is Outcome.CANCELED

    @property
    def encode_fps(self) -> tuple[str, float] | None:
        """Codec and frames per second of an encode that goes on, None while it tells none."""
        encoder = ENCODERS.get(self._recipe.encoder or "")
        fps = self._told.fps
        running = self._step is not None and self._step.name is StepName.ENCODE and not self.paused
        return (encoder.codec, fps) if running and encoder is not None and fps is not None else None

    def leased_from(self, sent_s: float) -> None:
        """Count its lease from ``sent_s``, unless it counts from a later moment already."""
        self.leased_at = max(self.leased_at, sent_s)

    def held(self) -> Held:
        """Return its line of the inventory."""
        job_id, attempt = self.id
        return Held(job_id=job_id, attempt=attempt, token=self.token, started=self.started, paused=self.paused)

    def begin(self, step: Step, now_s: float) -> list[Action]:
        """Run the first step."""
        return self._run(step, now_s)

    def wrote(self, data: bytes, now_s: float) -> list[Action]:
        """Take what the running step wrote to its standard output."""
        if self._step is None:
            return []
        if self._step.name is not StepName.ENCODE:
            self._stdout += data[: STDOUT_MAX - len(self._stdout)]
            return []
        progress = self._recipe.read(data, now_s, self._watch.paused_s(now_s))
        if progress is None or self.is_stopping:
            return []
        mark = (progress.frame, progress.out_time_s, progress.size_bytes)
        if mark != self._mark:
            self._mark, self._advanced_s = mark, self._watch.ran_s(now_s)
        actions: list[Action] = []
        if not self.started:
            # The master takes progress for a start, and nothing was accepted yet.
            if not progress.frame and not progress.out_time_s:
                return []
            actions.append(self._start())
        self._progress = progress
        if self._push is not None:
            actions += self._supervised(self._push, progress, now_s)
        if now_s >= self._progress_due_at:
            actions += self._tell_progress(now_s)
        return actions

    def exited(self, event: ChildExited, now_s: float) -> list[Action]:
        """Go on after the running step has ended."""
        step, self._step, self.child, self._kill_at, self._killed = self._step, None, None, None, False
        self._report = replace(self._report, limits=event.limits or self._report.limits)
        if step is not None:
            self._spent.add(event.joules, scoring=step.name is StepName.SCORE)
            if step.name is StepName.ENCODE:
                self._note_encoder(event, now_s)
        if self._ending is not None:
            return self._end(self._ending, now_s)
        hung, self._hung = self._hung, None
        if self._suspending:
            self._suspending = False
            if self._push is not None:
                self._push.rested(self._watch.ran_s(now_s))
            return self._run(self._recipe.again(), now_s)
        if hung is not None:
            return self._lost(AttemptFailed(FailureClass.TRANSIENT, hung, Cause.CONNECTION), now_s)
        if step is not None and event.over_limit is not None and event.exit_code != 0:
            # Transient: nodes differ in their limits, and an encoder's need in the processors it finds.
            reason = f"{step.name}: {event.over_limit}"
            return self._end(Ending(Outcome.FAILED, FailureClass.TRANSIENT, reason), now_s)
        end = StepEnd(
            exit_code=event.exit_code,
            stdout=bytes(self._stdout),
            log_tail=event.log_tail,
            seconds=self._watch.ran_s(now_s) - self._step_began_s,
            cpu_s=event.cpu_s,
        )
        told = self._tell_progress(now_s)
        try:
            return [*told, *self._advance(end, now_s)]
        except AttemptFailed as failure:
            if step is not None and step.name is StepName.ENCODE:
                return [*told, *self._lost(failure, now_s)]
            return [*told, *self._end(failed(failure), now_s)]

    def pause(self, now_s: float) -> list[Action]:
        """Stop where it is: a file's processes freeze; a push ends cleanly, since frozen it would only be late."""
        if self.is_stopping or self.paused:
            return []
        self._watch.pause(now_s)
        if self._again_s is not None and self._push is not None:
            self._push.rested(self._watch.ran_s(now_s))
        if self.child is None or self._step is None:
            return []
        if self._suspending:
            return []
        if self.pushes and self._step.name is StepName.ENCODE:
            self._suspending = True
            self._kill_at = now_s + self._limits.push_grace_s
            return [TerminateChild(self.child)]
        return [PauseChild(self.child)]

    def resume(self, now_s: float) -> list[Action]:
        """Go on."""
        if self.is_stopping or not self.paused:
            return []
        self._watch.resume(now_s)
        self._advanced_s = self._watch.ran_s(now_s)
        if self.child is not None:
            # A push that is still ending is started again when it has ended.
            return [] if self._suspending else [ResumeChild(self.child)]
        if self._again_s is not None:
            return self._connect_again(now_s)
        step, self._held_step = self._held_step, None
        return [] if step is None else self._run(step, now_s)

    def stop(self, ending: Ending, now_s: float, *, grace_s: float = DISCARD_GRACE_S) -> list[Action]:
        """End it so. Its output is thrown away."""
        if self.over:
            return []
        self._ending = ending
        if self.child is None:
            return self._end(ending, now_s)
        kill_at = now_s + grace_s
        self._kill_at = kill_at if self._kill_at is None else min(kill_at, self._kill_at)
        return self.tick(now_s) if grace_s == 0 else [TerminateChild(self.child)]

    def fence(self, now_s: float) -> list[Action]:
        """End a push whose lease has run out, at once: another node may push to the same place soon."""
        if not self.is_stopping and not (self._suspending and self.paused):
            reason = "the master was silent for too long: push stopped"
            return self.stop(Ending(Outcome.FAILED, FailureClass.TRANSIENT, reason), now_s, grace_s=0.0)
        # It was asked to end already, and has no time left for it.
        self._kill_at = now_s
        return self.tick(now_s)

    def tick(self, now_s: float) -> list[Action]:
        """Do what is due."""
        if self._kill_at is not None and now_s >= self._kill_at and self.child is not None:
            self._kill_at, self._killed, self.was_killed = None, True, True
            return [KillChild(self.child)]
        if self.is_stopping:
            return []
        for due_at, what, limit_s in self._deadlines():
            if due_at is not None and now_s >= due_at:
                reason = f"{what}not done after {limit_s:g} s"
                return self.stop(Ending(Outcome.FAILED, FailureClass.TRANSIENT, reason), now_s)
        due_at = self._hung_at()
        if due_at is not None and now_s >= due_at:
            reason = f"the output has not advanced for {self._stall_s:g} s"
            if not self.pushes or self.child is None:
                return self.stop(Ending(Outcome.FAILED, FailureClass.TRANSIENT, reason), now_s)
            self._hung, self._kill_at = reason, now_s + DISCARD_GRACE_S
            return [TerminateChild(self.child)]
        due_at = None if self._again_s is None else self._watch.reaches_at(self._again_s)
        if due_at is not None and now_s >= due_at:
            return self._connect_again(now_s)
        return self._tell_progress(now_s) if now_s >= self._progress_due_at else []

    def wakeup(self) -> float | None:
        """Return when ``tick`` has something to do next."""
        if self.is_stopping:
            return self._kill_at
        moments = [self._kill_at, self._hung_at()]
        moments += [due_at for due_at, _, _ in self._deadlines()]
        if self._again_s is not None:
            moments.append(self._watch.reaches_at(self._again_s))
        if self._progress is not None:
            moments.append(self._progress_due_at)
        return min([moment for moment in moments if moment is not None], default=None)

    def _deadlines(self) -> Iterator[tuple[float | None, str, float]]:
        """Yield when something has taken too long, what it is, and the seconds it may take."""
        if self._assign.timeout_s is not None:
            yield self._watch.reaches_at(self._assign.timeout_s), "", self._assign.timeout_s
        step = self._step
        if step is not None and step.timeout_s is not None and not self._suspending:
            yield self._watch.reaches_at(self._step_began_s + step.timeout_s), f"{step.name}: ", step.timeout_s

    def _hung_at(self) -> float | None:
        """Return when the encoder is taken for hung if it does not get on."""
        encodes = self._step is not None and self._step.name is StepName.ENCODE
        if not encodes or self._suspending or self._hung is not None:
            return None
        return self._watch.reaches_at(self._advanced_s + self._stall_s)

    def _supervised(self, push: Supervisor, progress: Progress, now_s: float) -> list[Action]:
        ran_s = self._watch.ran_s(now_s)
        away_s = push.took(progress, ran_s)
        self._progress = push.shown(progress, ran_s)
        return [] if away_s is None else [self._note("info", "push_is_back", away_s=round(away_s, 1))]

    def _lost(self, failure: AttemptFailed, now_s: float) -> list[Action]:
        """Wait to connect a lost push again, or end."""
        if self._push is None:
            return self._end(failed(failure), now_s)
        ran_s = self._watch.ran_s(now_s)
        loss = self._push.lost(failure, ran_s)
        if loss.failure is not None:
            return self._end(failed(loss.failure), now_s)
        if loss.again_s is None:
            return self._end(ENCODED, now_s)
        self._again_s = loss.again_s
        actions: list[Action] = [
            self._note("warning", "push_lost", reason=failure.reason, again_in_s=round(loss.again_s - ran_s, 1))
        ]
        if not self.started:
            return actions
        self._progress = self._push.shown(self._progress or self._told, ran_s)
        return [*actions, *self._tell_progress(now_s)]

    def _connect_again(self, now_s: float) -> list[Action]:
        self._again_s = None
        return self._run(self._recipe.again(), now_s)

    def _note(self, level: str, event: str, **fields: object) -> Note:
        job_id, attempt = self.id
        return Note(level, event, {"job": job_id, "attempt": attempt, **fields})

    def _advance(self, end: StepEnd, now_s: float) -> list[Action]:
        step = self._recipe.advance(end)
        return self._end(ENCODED, now_s) if step is None else self._run(step, now_s)

    def _run(self, step: Step, now_s: float) -> list[Action]:
        if self.paused:
            self._held_step = step
            return []
        self._step = step
        self._step_began_s = self._advanced_s = self._watch.ran_s(now_s)
        self._stdout.clear()
        self.child = next(self._children)
        encodes = step.name is StepName.ENCODE
        partial = self._recipe.partial if encodes else None
        spawn = Spawn(child=self.child, attempt=self.id, argv=step.argv, env=dict(step.env), partial=partial)
        if not encodes:
            return [spawn, *self._tell_phase()] if step.name is StepName.SCORE else [spawn]
        self._recipe.begun(now_s, self._watch.paused_s(now_s))
        if self._push is not None:
            self._push.connecting(self._watch.ran_s(now_s))
        if self._encode_began_at is None:
            self._encode_began_at, self._paused_before_s = now_s, self._watch.paused_s(now_s)
        self._report = replace(
            self._report,
            encoder=self._recipe.encoder,
            engine=self._recipe.engine,
            engine_version=self._recipe.engine_version,
            command=step.argv[:COMMAND_WORDS],
            output=self._recipe.output,
        )
        # A push has begun when the first media was taken, a file when its encoder runs.
        starts = not self.pushes if not self.started else self._recipe.encoder != self._told_encoder
        return [*self._note_fallback(), spawn, *((self._start(),) if starts else ())]

    def _note_fallback(self) -> list[Action]:
        why = None if self._recipe.fallback is None else self._recipe.fallback[:FALLBACK_CHARACTERS]
        if why is None or why == self._report.fallback:
            return []
        self._report = replace(self._report, fallback=why)
        chosen = {"encoder": self._recipe.encoder, "engine": str(self._recipe.engine)}
        return [self._note("warning", "other_encoder", **chosen, reason=why)]

    def _start(self) -> Action:
        self.started = True
        self._told_encoder = self._recipe.encoder
        job_id, attempt = self.id
        return Send(
            Started(
                job_id=job_id,
                attempt=attempt,
                token=self.token,
                encoder=self._recipe.encoder or "unknown",
                engine=self._recipe.engine,
                command=self._report.command,
            )
        )

    def _tell_progress(self, now_s: float) -> list[Action]:
        if self._progress is None:
            return []
        self._told, self._progress = self._progress, None
        self._progress_due_at = now_s + PROGRESS_EVERY_S
        return [Send(self._progress_report(Phase.ENCODING))]

    def _tell_phase(self) -> list[Action]:
        return [Send(self._progress_report(Phase.SCORING))]

    def _progress_report(self, phase: Phase) -> ProgressReport:
        job_id, attempt = self.id
        return ProgressReport(job_id=job_id, attempt=attempt, token=self.token, phase=phase, progress=self._told)

    def _note_encoder(self, event: ChildExited, now_s: float) -> None:
        before = self._report
        cpu_s = before.cpu_s if event.cpu_s is None else (before.cpu_s or 0.0) + event.cpu_s
        began_at = now_s if self._encode_began_at is None else self._encode_began_at
        self._report = replace(
            before,
            encode_s=now_s - began_at,
            paused_s=self._watch.paused_s(now_s) - self._paused_before_s,
            cpu_s=cpu_s,
            exit_code=event.exit_code,
            log_tail=event.log_tail[-LOG_TAIL_CHARACTERS:],
        )

    def _end(self, ending: Ending, now_s: float) -> list[Action]:
        self.over = True
        self._ending = ending
        live = None if self._push is None else self._push.meter.figures(self._watch.ran_s(now_s))
        report = report_of(self._recipe, ending, self._report)
        report = conclude(report, self._spent, live=live, price_per_kwh=self._price_per_kwh)
        self.entry = entry_of(self._assign, self._recipe, ending, report)
        return leave(self._assign, self._recipe, ending)

"""The worker's mind: events in, actions out. No socket, no clock, no thread, no process."""

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any, ClassVar, Final

from ffrtmp_worker import session
from ffrtmp_worker.attempt import Attempt, Limits
from ffrtmp_worker.begun import Begun
from ffrtmp_worker.ending import ENCODED, Ending, canceled, entry_of, failed, leave, refused, report_of
from ffrtmp_worker.events import (
    Action,
    AttemptId,
    ChildExited,
    ChildId,
    ChildOutput,
    CloseLog,
    Event,
    LinkUp,
    MessageCame,
    Note,
    Published,
    Quit,
    ReadLog,
    RoomRead,
    Sealed,
    Send,
    StopAsked,
    TimeCame,
)
from ffrtmp_worker.finished import RESEND_EVERY_S, Finished, Stage
from ffrtmp_worker.recipe import AttemptFailed, Recipes
from ffrtmp_worker.room import short_of_room
from ffrtmp_worker.spool import Entry, Fate
from ffrtmp_worker.tally import Tally
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.messages.session import (
    About,
    Assign,
    Bye,
    Commit,
    Denied,
    FetchLog,
    HeartbeatAck,
    Held,
    Hello,
    Kill,
    PauseAttempt,
    Reset,
    ResultVerdict,
    ResumeAttempt,
    Welcome,
)
from ffrtmpd.wire.vocabulary import ErrorCode, FailureClass, Outcome, OutputMode, Verdict

# A stop waits this long for processes and disk; whoever asked for it will kill the worker in the end.
STOP_S: Final = 30.0
READY_FINISHED_MAX: Final = 4_096
WAY_OUT: Final = (
    "to let this node in again: on the master `ffrtmp keys invite {node} --role worker`; here stop the worker, "
    "`ffrtmp-worker join --replace LINE`, start it"
)


class Agent:
    """One node's part of the protocol.

    Args:
        boot_id: random, new at each start of the process.
        slots: attempts run at once.
        recipes: makes the steps of an assignment.
        load: readings for a beat.
        spooled: what an earlier life left unanswered.
        random: numbers from 0 to 1, for jitter.
        price_per_kwh: of this node's energy; None: no cost is told.
    """

    def __init__(
        self,
        *,
        boot_id: str,
        slots: int,
        hardware: Hardware,
        recipes: Recipes,
        load: Callable[[], Load | None],
        random: Callable[[], float],
        limits: Limits | None = None,
        spooled: Iterable[tuple[Entry, Fate]] = (),
        price_per_kwh: float | None = None,
    ) -> None:
        self._slots = slots
        self._recipes = recipes
        self._limits = limits or Limits()
        self._random = random
        self._price_per_kwh = price_per_kwh
        self._children = count(1)
        self._attempts: dict[AttemptId, Attempt] = {}
        self._finished: dict[AttemptId, Finished] = {}
        # No result is to be told again before this; they can be many, and are not asked at each turn.
        self._resend_at = math.inf
        self._begun = Begun()
        self._stop_by: float | None = None
        self.tally = Tally()
        for entry, fate in spooled:
            finished = Finished.recovered(entry, fate)
            self._finished[finished.id] = finished
            self._begun.answered(finished.id, finished.token)
            self._resend_at = 0.0
        self.session = session.Session(
            boot_id=boot_id,
            slots=slots,
            hardware=hardware,
            running=self._running_held,
            finished=self._finished_held,
            load=load,
            random=random,
        )

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stop_by is not None

    def open(self, now_s: float) -> list[Action]:
        """Return the first actions."""
        return self.session.connect(now_s, busy=False)

    def handle(self, event: Event, now_s: float) -> list[Action]:
        """Return what to do about ``event``. The fence is looked at before anything else."""
        actions = self._fence(now_s) if self._attempts else []
        actions += self._EVENTS[type(event)](self, event, now_s)
        if self._attempts:
            actions += self._settle(now_s)
        if self._finished:
            # Whichever was told in this event is told again no sooner.
            self._resend_at = min(self._resend_at, now_s + RESEND_EVERY_S)
        if self.session.stage is not session.Stage.READY:
            # Before READY the master knows no such session; what matters is in the inventory or sent again.
            actions = [
                action for action in actions if not isinstance(action, Send) or isinstance(action.message, Hello)
            ]
        if self._stop_by is not None and (now_s >= self._stop_by or not self._is_working()):
            actions += [Send(Bye()), Quit()]
        return actions

    def wakeup(self) -> float | None:
        """Return when to call with ``TimeCame`` at the latest."""
        moments: list[float | None] = [self.session.wakeup(), self._stop_by]
        for attempt in self._attempts.values():
            moments += (attempt.wakeup(), self._fenced_at(attempt))
        if self._finished and self.session.stage is session.Stage.READY:
            moments.append(self._resend_at)
        return min([moment for moment in moments if moment is not None], default=None)

    def fences(self) -> dict[ChildId, float]:
        """Return the children that push now, and when each must have ended unless a beat is acknowledged before."""
        moments = {attempt.child: self._fenced_at(attempt) for attempt in self._attempts.values()}
        return {child: at_s for child, at_s in moments.items() if child is not None and at_s is not None}

    @property
    def active(self) -> int:
        """Attempts that run or are paused."""
        return len(self._attempts)

    def encode_fps(self) -> dict[str, float]:
        """Return the frames per second of all encodes that tell theirs, by codec."""
        total: dict[str, float] = {}
        for codec, fps in filter(None, (attempt.encode_fps for attempt in self._attempts.values())):
            total[codec] = total.get(codec, 0.0) + fps
        return total

    # ── events ────────────────────────────────────────────────────────────────────────────────────────────────

    def _time_came(self, _: TimeCame, now_s: float) -> list[Action]:
        actions = self.session.tick(now_s, busy=bool(self._attempts or self._finished))
        for attempt in self._attempts.values():
            actions += attempt.tick(now_s)
        if self.session.stage is session.Stage.READY and now_s >= self._resend_at:
            for finished in self._finished.values():
                actions += finished.tick(now_s)
            self._resend_at = _least(finished.wakeup() for finished in self._finished.values())
        return actions

    def _link_up(self, _: LinkUp, now_s: float) -> list[Action]:
        return self.session.link_up(now_s)

    def _message_came(self, event: MessageCame, now_s: float) -> list[Action]:
        self.session.heard(now_s)
        message = event.message
        hear = self._MESSAGES.get(type(message))
        if hear is None:
            return [Note("warning", "message_ignored", {"type": message.TYPE})]
        return hear(self, message, now_s)

    def _child_output(self, event: ChildOutput, now_s: float) -> list[Action]:
        attempt = self._attempt_of(event.child)
        return [] if attempt is None else attempt.wrote(event.data, now_s)

    def _child_exited(self, event: ChildExited, now_s: float) -> list[Action]:
        attempt = self._attempt_of(event.child)
        return [] if attempt is None else attempt.exited(event, now_s)

    def _sealed(self, event: Sealed, now_s: float) -> list[Action]:
        finished = self._finished.get(event.attempt)
        return [] if finished is None else self._dropped(finished, finished.sealed(event.error, now_s))

    def _published(self, event: Published, now_s: float) -> list[Action]:
        finished = self._finished.get(event.attempt)
        return [] if finished is None else finished.published(event.error, now_s)

    def _room_read(self, event: RoomRead, now_s: float) -> list[Action]:
        stopping = {attempt.id: attempt.is_stopping for attempt in self._attempts.values()}
        actions: list[Action] = []
        for key, reason in short_of_room(event, stopping, self._limits.min_free_disk_bytes):
            actions.append(Note("warning", "disk_full", {"job": key[0], "attempt": key[1], "reason": reason}))
            actions += self._attempts[key].stop(Ending(Outcome.FAILED, FailureClass.TRANSIENT, reason), now_s)
        return actions

    def _stop_asked(self, _: StopAsked, now_s: float) -> list[Action]:
        actions: list[Action] = []
        hurry = self.stopping
        if not hurry:
            self._stop_by = now_s + STOP_S
            actions.append(Note("info", "stopping", {"running": len(self._attempts)}))
        for attempt in self._attempts.values():
            grace_s = 0.0 if hurry else self._limits.push_grace_s if attempt.pushes else None
            ending = Ending(None)
            stop = attempt.stop(ending, now_s) if grace_s is None else attempt.stop(ending, now_s, grace_s=grace_s)
            actions += stop
        return actions

    # ── messages ──────────────────────────────────────────────────────────────────────────────────────────────

    def _welcome(self, message: Welcome, now_s: float) -> list[Action]:
        self._begun.serve(message.life)
        actions = self.session.welcome(message, now_s)
        for finished in self._finished.values():
            actions += finished.resend(now_s)
        return actions

    def _heartbeat_ack(self, message: HeartbeatAck, _: float) -> list[Action]:
        for key in self.session.acknowledged(message):
            if key in self._attempts:
                self._attempts[key].leased_from(message.sent_ms / 1000)
        return []

    def _reset(self, _: Reset, now_s: float) -> list[Action]:
        return self.session.reset(now_s)

    def _denied(self, message: Denied, now_s: float) -> list[Action]:
        problem = message.problem
        note = Note("error", "refused_by_master", {"code": problem.code, "reason": problem.message})
        # The channel is encrypted and the master's key known, so this is the master's own word, and it has one meaning:
        # this key is not good any more. Every other code is about one message. A refused handshake says nothing: that
        # answer is not encrypted and anybody on the way can give it.
        if problem.code is ErrorCode.NOT_ALLOWED:
            return self._revoked(note, now_s)
        return [note, *self.session.denied(now_s)]

    def _revoked(self, note: Note, now_s: float) -> list[Action]:
        actions: list[Action] = []
        if self.session.revoked(now_s):
            node = self.session.node_id or "NAME"
            note.fields.update(stopped=len(self._attempts) or None, way_out=WAY_OUT.format(node=node))
            actions.append(note)
        for attempt in self._attempts.values():
            if not attempt.is_dropped:
                actions += attempt.stop(Ending(None), now_s)
        for finished in list(self._finished.values()):
            actions += self._dropped(finished, finished.revoked())
        return actions

    def _assign(self, message: Assign, now_s: float) -> list[Action]:
        key = (message.job_id, message.attempt)
        if key in self._attempts or key in self._finished:
            # The same one; or, after the master was restored from a backup, another with its number, which must wait
            # until that one has ended here. Beats do not show it, so the master says it again.
            return []
        pushes = message.output_mode is not OutputMode.FILE
        if pushes and self._is_over(self.session.leased_at, message.fence_s, now_s):
            # It lay here while this worker was held up, and may be another's by now. If not, it is said again.
            return [_note(message, "warning", "assignment_ignored", why="its lease is over")]
        refusal = self._refusal(message)
        if refusal == "":
            # It has ended here, and whoever assigns it again does not know.
            return [Send(canceled(message))]
        if refusal is not None:
            return [_note(message, "warning", "assignment_refused", reason=refusal), Send(refused(message, refusal))]
        self._begun.remember(message)
        recipe = self._recipes(message)
        ending = ENCODED
        try:
            step = recipe.advance(None)
        except AttemptFailed as failure:
            step, ending = None, failed(failure)
        if step is None:
            # It has begun nothing, and its end is all there is to tell.
            left = leave(message, recipe, ending)
            return left + self._finish(entry_of(message, recipe, ending, report_of(recipe, ending)), now_s)
        attempt = Attempt(
            message,
            recipe,
            limits=self._limits,
            children=self._children,
            leased_at=self.session.leased_at,
            random=self._random,
            now_s=now_s,
            price_per_kwh=self._price_per_kwh,
        )
        self._attempts[key] = attempt
        return [_note(message, "info", "attempt_begun"), *attempt.begin(step, now_s)]

    def _pause(self, message: PauseAttempt, now_s: float) -> list[Action]:
        attempt = self._running(message)
        if attempt is None:
            return [_note(message, "warning", "pause_ignored", why="it does not run")]
        # The master gives the slot to another as soon as a beat shows the attempt paused.
        return [_note(message, "info", "attempt_paused"), *attempt.pause(now_s), *self.session.beat_now(now_s)]

    def _resume(self, message: ResumeAttempt, now_s: float) -> list[Action]:
        attempt = self._running(message)
        if attempt is None:
            return [_note(message, "warning", "resume_ignored", why="it does not run")]
        if attempt.pushes and self._is_over(attempt.leased_at, attempt.fence_s, now_s):
            return [_note(message, "warning", "resume_ignored", why="its lease is over")]
        return [_note(message, "info", "attempt_resumed"), *attempt.resume(now_s)]

    def _kill(self, message: Kill, now_s: float) -> list[Action]:
        note = _note(message, "info", "attempt_killed", reason=message.reason)
        held = self._find(message)
        if held is None:
            # Should its assignment still be on the way, it must not begin any more.
            self._begun.remember(message)
            return [note, Send(canceled(message))]
        if isinstance(held, Attempt):
            return [note, *held.stop(Ending(Outcome.CANCELED), now_s)]
        return [note, *self._dropped(held, held.kill(now_s))]

    def _commit(self, message: Commit, now_s: float) -> list[Action]:
        held = self._find(message)
        if isinstance(held, Finished):
            return held.commit(now_s)
        if held is not None:
            return [_note(message, "warning", "commit_ignored", why="it still runs")]
        reason = "this node does not hold the attempt any more"
        return [_note(message, "warning", "commit_refused", reason=reason), Send(refused(message, reason))]

    def _verdict(self, message: ResultVerdict, now_s: float) -> list[Action]:
        held = self._find(message)
        stale = message.verdict is Verdict.STALE
        if isinstance(held, Finished):
            if not stale:
                self.tally.recorded(held.result, message.sla)
            return self._dropped(held, held.verdict(stale=stale))
        return held.stop(Ending(None), now_s) if held is not None and stale else []

    def _fetch_log(self, message: FetchLog, _: float) -> list[Action]:
        return [ReadLog(request=message, running=(message.job_id, message.attempt) in self._attempts)]

    # ── the rest ──────────────────────────────────────────────────────────────────────────────────────────────

    def _refusal(self, assign: Assign) -> str | None:
        """Return why not to run it, an empty text for a duplicate of one that has ended, None to run it."""
        if self._begun.knows(assign):
            return ""
        if self._begun.is_outdated(assign):
            return "a later attempt was begun here"
        if self.stopping:
            return "the worker is stopping"
        if len(self._attempts) < self._slots:
            return None
        running = sum(not (held.is_stopping or held.paused) for held in self._attempts.values())
        return "no free slot" if running >= self._slots else None

    def _fenced_at(self, attempt: Attempt) -> float | None:
        """Return when a push must end unless a beat that shows it is acknowledged; None when nothing is pushed."""
        if not attempt.pushes or not attempt.reaches_audience:
            return None
        return self._lease_ends(attempt.leased_at, attempt.fence_s)

    def _lease_ends(self, leased_at: float, own_s: float | None) -> float | None:
        """Return when a push must have ended whose lease counts from then; None before the first session."""
        longest_s = self.session.fence_s
        if longest_s is None:
            return None
        return leased_at + (longest_s if own_s is None else min(own_s, longest_s))

    def _is_over(self, leased_at: float, own_s: float | None, now_s: float) -> bool:
        ends_at = self._lease_ends(leased_at, own_s)
        return ends_at is not None and now_s >= ends_at

    def _fence(self, now_s: float) -> list[Action]:
        actions: list[Action] = []
        for attempt in self._attempts.values():
            due_at = self._fenced_at(attempt)
            if due_at is not None and now_s >= due_at:
                actions.append(Note("warning", "push_fenced", {"job": attempt.id[0], "attempt": attempt.id[1]}))
                actions += attempt.fence(now_s)
        return actions

    def _settle(self, now_s: float) -> list[Action]:
        """Move attempts that have ended on to their results."""
        actions: list[Action] = []
        for attempt in [attempt for attempt in self._attempts.values() if attempt.over]:
            del self._attempts[attempt.id]
            if attempt.was_canceled:
                self.tally.canceled(forceful=attempt.was_killed)
            actions.append(CloseLog(attempt.id))
            actions += self._finish(attempt.entry, now_s)
        return actions

    def _finish(self, entry: Entry | None, now_s: float) -> list[Action]:
        """Bring a result, if there is one, to the master."""
        if entry is None:
            return []
        finished = Finished(entry)
        self._finished[finished.id] = finished
        return finished.begin(now_s)

    def _dropped(self, finished: Finished, actions: list[Action]) -> list[Action]:
        """Forget a result that is answered; ``actions`` are what came of the answer."""
        if finished.stage is Stage.OVER:
            self._finished.pop(finished.id, None)
        return actions

    def _is_working(self) -> bool:
        return bool(self._attempts) or any(finished.is_writing for finished in self._finished.values())

    def _attempt_of(self, child: int) -> Attempt | None:
        return next((attempt for attempt in self._attempts.values() if attempt.child == child), None)

    def _find(self, about: About) -> Attempt | Finished | None:
        key = (about.job_id, about.attempt)
        held = self._attempts.get(key) or self._finished.get(key)
        return held if held is not None and held.token == about.token else None

    def _running(self, about: About) -> Attempt | None:
        held = self._find(about)
        return held if isinstance(held, Attempt) and not held.is_stopping else None

    def _running_held(self) -> tuple[Held, ...]:
        # An output on its way to the disk says nothing by itself for as long as the disk takes: beats keep its lease.
        writing = (held.held() for held in self._finished.values() if held.is_writing)
        return (*(attempt.held() for attempt in self._attempts.values()), *writing)

    def _finished_held(self) -> tuple[Held, ...]:
        held = (held.held() for held in self._finished.values() if not held.is_writing)
        return tuple(held)[:READY_FINISHED_MAX]

    # Tables, since a dispatch by annotations costs as much as what it leads to. What a handler takes is the key's kind.
    _EVENTS: ClassVar[Mapping[type, Callable[[Any, Any, float], list[Action]]]] = {
        TimeCame: _time_came,
        LinkUp: _link_up,
        MessageCame: _message_came,
        ChildOutput: _child_output,
        ChildExited: _child_exited,
        Sealed: _sealed,
        Published: _published,
        RoomRead: _room_read,
        StopAsked: _stop_asked,
    }
    _MESSAGES: ClassVar[Mapping[type, Callable[[Any, Any, float], list[Action]]]] = {
        Welcome: _welcome,
        HeartbeatAck: _heartbeat_ack,
        Reset: _reset,
        Denied: _denied,
        Assign: _assign,
        PauseAttempt: _pause,
        ResumeAttempt: _resume,
        Kill: _kill,
        Commit: _commit,
        ResultVerdict: _verdict,
        FetchLog: _fetch_log,
    }


def _note(about: About, level: str, event: str, **fields: object) -> Note:
    return Note(level, event, {"job": about.job_id, "attempt": about.attempt, **fields})


def _least(moments: Iterable[float | None]) -> float:
    return min((moment for moment in moments if moment is not None), default=math.inf)

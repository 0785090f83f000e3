"""The turn: wait, drain what has arrived, decide, commit once, send. One thread, one poller.

Whatever leaves this process is on disk before it leaves. The broker decides; this shell gives it events and performs
its actions after the commit.
"""

import errno
import math
import os
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import zmq

from ffrtmpd.base import faults
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.service import Bell, Watchdog
from ffrtmpd.events import (
    Action,
    Event,
    MessageCame,
    Note,
    Now,
    Peer,
    PeerLost,
    Send,
    Side,
    TimeCame,
)
from ffrtmpd.inbox import Inbox
from ffrtmpd.listener import Listener
from ffrtmpd.recorder import Recorder
from ffrtmpd.store import StoreReadOnly
from ffrtmpd.wire.codec import MESSAGE_MAX, Message, encode, encode_all
from ffrtmpd.wire.frames import send
from ffrtmpd.wire.messages.common import Error, Problem, Reply
from ffrtmpd.wire.messages.session import Committed, ProgressReport, Result, Started
from ffrtmpd.wire.vocabulary import ErrorCode

# What nobody waits for an answer to. A turn of nothing else waits for company for so long before it is committed: at
# hundreds of jobs a second something else comes sooner, and both share a sync of the disk.
UNHURRIED: Final = frozenset({Started, ProgressReport})
PUT_OFF_S: Final = 0.005
# That a job has ended is no great hurry while neither another job nor a client waits for it. A client that submits one
# by one sends its next submit within a round trip, and finds the slot free and the result decided.
UNHURRIED_IF_UNAWAITED: Final = UNHURRIED | {Result, Committed}
END_PUT_OFF_S: Final = 0.001
# A client that asks one thing after another asks the next within a millisecond or two of an answer. To fall asleep and
# be woken takes a virtual processor a good part of a tenth of one: for that long the next is looked for before each
# sleep, where there is another processor for the others.
ALERT_S: Final = 0.002
LOOK_S: Final = 0.0001 if len(os.sched_getaffinity(0)) > 1 else 0.0
# After a failed write, how long only what changes nothing on disk is done before a write is tried again.
READ_ONLY_S: Final = 5.0
# If the process itself stood still for longer than this (stopped, or a starved machine), what peers sent meanwhile is
# still on its way through the kernel: nobody is called silent before it had as long to arrive.
STALL_S: Final = 1.0
POLL_MAX_MS: Final = 3_600_000
_BOTH: Final = frozenset(Side)


class Brain(Protocol):
    """What the daemon asks of the broker."""

    def open(self, now: Now, /) -> list[Action]:
        """Begin after a start."""

    def foresee(self, events: Sequence[Event], /) -> None:
        """Read at once what the events of a turn will ask for one after the other."""

    def handle(self, event: Event, now: Now, /) -> list[Action]:
        """Decide what follows from one event."""

    def rest(self) -> None:
        """Do of the turn's end what can be done before more comes, or raise ``StoreReadOnly``."""

    def settle(self, now: Now, /) -> list[Action]:
        """End the turn."""

    def wakeup(self) -> float | None:
        """Return the monotonic second at which ``TimeCame`` is due, None if never."""

    def is_awaited(self) -> bool:
        """Tell whether a job waits for the slot of another, or a client for news of jobs."""

    def has_room(self) -> bool:
        """Tell whether a slot is free."""

    def reload(self, now: Now, /) -> list[Action]:
        """Make memory what it was before a turn that could not be committed."""

    def serve(self, event: Event, now: Now, /) -> list[Action]:
        """Decide on one event, and change nothing on disk."""


class Ledger(Protocol):
    """What the daemon asks of the store: one transaction a turn."""

    def begin(self) -> None:
        """Begin the turn's transaction."""

    def commit(self) -> None:
        """Put the turn on disk, or raise ``StoreReadOnly``."""

    def rollback(self) -> None:
        """Undo the turn."""


@dataclass(slots=True)
class Turn:
    """A turn that is not on disk yet: what came in it, and what is to be done once it is.

    Monotonic seconds: when it began, and until when it waits for company; ``took_s``: how long it took without waiting,
    ``commit_s``: its commit, None if it was not committed.
    """

    began_s: float
    until_s: float = -math.inf
    took_s: float = 0.0
    commit_s: float | None = None
    events: list[Event] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)


def read_clock() -> Now:
    """Return the time of a turn."""
    return Now(time.monotonic(), time.time())


class Daemon:
    """Takes turns until the bell rings.

    Args:
        listener: bound sockets and their door.
        brain: decides.
        ledger: the store's transaction.
        bell: ends the run.
        log: where the broker's notes go.
        recorder: counts what happens; nothing: nobody counts.
        watchdog: is told that turns come to their end.
        clock: the time of a turn, read once in each.
    """

    def __init__(
        self,
        *,
        listener: Listener,
        brain: Brain,
        ledger: Ledger,
        bell: Bell,
        log: Logger,
        recorder: Recorder | None = None,
        watchdog: Watchdog | None = None,
        clock: Callable[[], Now] = read_clock,
    ) -> None:
        self._listener = listener
        self._brain = brain
        self._ledger = ledger
        self._bell = bell
        self._log = log
        self._recorder = recorder
        self._watchdog = watchdog or Watchdog({})
        self._clock = clock
        self._lost: list[Peer] = []
        self._inbox = Inbox(listener, log)
        self._open: Turn | None = None
        self._alert_until_s = -math.inf
        self._time_held_until_s = -math.inf
        self._read_only_until_s = -math.inf
        self._poller = zmq.Poller()
        self._poller.register(bell, zmq.POLLIN)
        for socket in (listener.door.socket, *listener.sockets.values()):
            self._poller.register(socket, zmq.POLLIN)

    def run(self) -> None:
        """Take turns until the bell rings.

        Raises:
            StoreError: the first turn could not be committed.
        """
        now = self._clock()
        self._ledger.begin()
        actions = self._brain.open(now)
        self._ledger.commit()
        self._perform(actions)
        if self._recorder is not None:
            self._recorder.opened(now)
        self._watchdog.ready()
        while self._turn(now):
            now = self._clock()
        self._watchdog.stopping()

    def _turn(self, before: Now) -> bool:
        """Take one turn; ``before`` is when the last one ended. Return whether to go on."""
        timeout_ms = self._timeout_ms(before)
        ready = self._wait(timeout_ms)
        if self._bell.fileno() in ready and self._bell.stops_heard():
            return False
        now = self._clock()
        if self._listener.door.socket in ready:
            self._listener.door.answer()
        self._watch_for_stall(before, timeout_ms, now)
        waiting = {side for side, socket in self._listener.sockets.items() if socket in ready}
        turn = self._decide(self._collect(now, waiting), now)
        if self._open is None:
            self._perform(turn.actions)
        ended = self._clock()
        self._watch_for_stall(now, 0, ended)
        turn.took_s += ended.mono_s - now.mono_s
        if self._recorder is not None and self._open is None:
            # Behind the answers: nobody waits for it.
            self._recorder.read_only = now.mono_s < self._read_only_until_s
            self._recorder.said([action.message for action in turn.actions if isinstance(action, Send)])
            if turn.commit_s is not None:
                self._recorder.committed(turn.commit_s)
            self._recorder.turned(turn.events, turn.took_s, ended)
        self._watchdog.turned(ended.mono_s)
        return True

    def _wait(self, timeout_ms: int | None) -> dict[Any, int]:
        """Return what there is to read as soon as there is something, or after ``timeout_ms``."""
        if timeout_ms != 0:
            look_until_s = min(time.monotonic() + LOOK_S, self._alert_until_s)
            while time.monotonic() < look_until_s:
                ready = dict(self._poller.poll(0))
                if ready:
                    return ready
        return dict(self._poller.poll(timeout_ms))

    def _timeout_ms(self, now: Now) -> int | None:
        if self._lost or not self._inbox.all_heard:
            return 0
        due_s = self._brain.wakeup()
        moments = [] if due_s is None else [max(due_s, self._time_held_until_s)]
        if self._open is not None:
            moments.append(self._open.until_s)
        elif self._recorder is not None and (publish_s := self._recorder.due_s()) < math.inf:
            moments.append(publish_s)
        if now.mono_s < self._read_only_until_s:
            moments.append(self._read_only_until_s)
        if (watchdog_s := self._watchdog.due_s()) < math.inf:
            moments.append(watchdog_s)
        if not moments:
            return None
        return min(max(math.ceil((min(moments) - now.mono_s) * 1_000), 0), POLL_MAX_MS)

    def _watch_for_stall(self, since: Now, expected_ms: int | None, now: Now) -> None:
        expected_s = math.inf if expected_ms is None else expected_ms / 1_000
        if now.mono_s - since.mono_s - expected_s > STALL_S:
            self._time_held_until_s = now.mono_s + STALL_S
            self._log.warning("stalled", stalled_s=now.mono_s - since.mono_s - expected_s)

    # ── what has arrived ──────────────────────────────────────────────────────────────────────────────────────────

    def _collect(self, now: Now, waiting: Set[Side]) -> list[Event]:
        lost, self._lost = self._lost, []
        events: list[Event] = [PeerLost(peer) for peer in lost]
        due_s = self._brain.wakeup()
        is_due = due_s is not None and max(due_s, self._time_held_until_s) <= now.mono_s
        if is_due:
            # Whoever is called silent must have been heard to the end; what clients want has no part in that.
            waiting = waiting | {Side.WORKERS}
        clients_first = waiting == _BOTH and self._brain.has_room() and not self._brain.is_awaited()
        events += self._inbox.take(waiting, clients_first=clients_first)
        if is_due and self._inbox.workers_heard:
            events.append(TimeCame())
        return events

    def _patience_s(self, events: list[Event]) -> float:
        """Return for how long a turn of these may wait for company, in seconds."""
        kinds = {type(event.message) if isinstance(event, MessageCame) else type(event) for event in events}
        if not kinds:
            return 0.0
        if kinds <= UNHURRIED:
            return PUT_OFF_S
        if kinds <= UNHURRIED_IF_UNAWAITED and not self._brain.is_awaited():
            return END_PUT_OFF_S
        return 0.0

    # ── what follows from it ──────────────────────────────────────────────────────────────────────────────────────

    def _decide(self, events: list[Event], now: Now) -> Turn:
        """Take ``events`` into the turn. It is over, and its actions are to be done, unless it waits for company."""
        turn = self._open or Turn(now.mono_s)
        turn.events += events
        if now.mono_s < self._read_only_until_s:
            turn.actions = self._serve(events, now)
            return turn
        try:
            if self._open is None:
                self._ledger.begin()
                self._open = turn
            self._brain.foresee(events)
            for event in events:
                turn.actions += self._brain.handle(event, now)
            turn.until_s = turn.began_s + self._patience_s(turn.events)
            if now.mono_s < turn.until_s:
                # Whoever comes finds this much done.
                self._brain.rest()
                return turn
            turn.actions += self._brain.settle(now)
            began_s = time.monotonic()
            self._ledger.commit()
            turn.commit_s = time.monotonic() - began_s
        except StoreReadOnly as error:
            self._log.error("read_only", reason=str(error), again_s=READ_ONLY_S)
            self._read_only_until_s = now.mono_s + READ_ONLY_S
            turn.actions = self._undo(now) + self._serve(turn.events, now)
        self._open = None
        return turn

    def _undo(self, now: Now) -> list[Action]:
        self._ledger.rollback()
        return self._brain.reload(now)

    def _serve(self, events: list[Event], now: Now) -> list[Action]:
        """Do what changes nothing on disk."""
        actions: list[Action] = []
        for event in events:
            try:
                self._ledger.begin()
                decided = self._brain.serve(event, now)
                self._ledger.commit()
            except StoreReadOnly:
                decided = self._undo(now)
            actions += decided
        return actions

    # ── what is to be done ────────────────────────────────────────────────────────────────────────────────────────

    def _perform(self, actions: list[Action]) -> None:
        # Clients first: a send wakes other threads, which may take this processor, and who sends one request after the
        # other is held up by each answer, while a worker has other jobs to do.
        to_workers: dict[Peer, list[Message]] = {}
        to_clients: list[Send] = []
        for action in actions:
            if isinstance(action, Note):
                self._log.log(*action)
                continue
            faults.point("send", action.message.TYPE)
            if action.peer.side is Side.WORKERS:
                to_workers.setdefault(action.peer, []).append(action.message)
            else:
                to_clients.append(action)
        for peer, message in to_clients:
            self._reply(peer, message)
        if to_clients:
            self._alert_until_s = time.monotonic() + ALERT_S
        for peer, messages in to_workers.items():
            self._tell(peer, messages)

    def _reply(self, peer: Peer, message: Message) -> None:
        frames = encode(message)
        size_bytes = len(frames[-1])
        if size_bytes > MESSAGE_MAX and isinstance(message, Reply):
            self._log.error("message_too_large", type=message.TYPE, size_bytes=size_bytes)
            frames = encode(_too_large(message, size_bytes))
        self._send(peer, [peer.route, b"", *frames])

    def _tell(self, peer: Peer, messages: Sequence[Message]) -> None:
        """Send a worker what the turn says to it, in as few parts as limits allow."""
        for part, frames in encode_all(messages):
            size_bytes = len(frames[-1])
            if size_bytes > MESSAGE_MAX:
                # Workers take no such message; what hangs on it is given away when its lease ends.
                self._log.error("message_too_large", type=part[0].TYPE, size_bytes=size_bytes)
            elif not self._send(peer, [peer.route, *frames]):
                return

    def _send(self, peer: Peer, frames: list[bytes]) -> bool:
        """Send; return False where nobody is there any more."""
        try:
            send(self._listener.sockets[peer.side], frames)
        except zmq.Again:
            self._lose(peer)
            return False
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            self._lose(peer)
            return False
        return True

    def _lose(self, peer: Peer) -> None:
        # libzmq checks at the route, before anything is queued: no half message is left behind.
        if peer not in self._lost:
            self._lost.append(peer)


def _too_large(reply: Reply, size_bytes: int) -> Error:
    problem = Problem(
        code=ErrorCode.INTERNAL,
        message=f"the answer has {size_bytes} bytes, and a message takes {MESSAGE_MAX}",
        hint="ask for less at once",
    )
    return Error(request_id=reply.request_id, problem=problem)

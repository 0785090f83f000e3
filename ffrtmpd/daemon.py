"""The turn: wait, drain what has arrived, decide, commit once, send. One thread, one poller.

Whatever leaves this process is on disk before it leaves. The broker decides; this shell gives it events and performs
its actions after the commit.
"""

import errno
import math
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import zmq

from ffrtmpd.auth import ZapDoor, plain_address
from ffrtmpd.base import faults
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.service import Bell
from ffrtmpd.events import (
    Action,
    Event,
    GarbageCame,
    MessageCame,
    Note,
    Now,
    Peer,
    PeerLost,
    Send,
    Side,
    TimeCame,
)
from ffrtmpd.store import StoreReadOnly
from ffrtmpd.wire.catalogue import CLIENT_REQUESTS, PERMISSIONS, READERS, WORKER_TO_MASTER
from ffrtmpd.wire.codec import FRAMES, MESSAGE_MAX, Message, ProtocolError, decode, encode
from ffrtmpd.wire.curve import server_socket
from ffrtmpd.wire.messages.common import Error, Problem, Reply, Request
from ffrtmpd.wire.messages.session import Heartbeat
from ffrtmpd.wire.vocabulary import ErrorCode

# Taken from one socket in one turn. Enough for a burst to share an fsync, few enough that a turn stays short.
MESSAGES_MAX: Final = 512
# Bodies held in memory at once: a thousand messages of a mebibyte each would be a gibibyte.
BYTES_MAX: Final = 8 * MESSAGE_MAX
# A client's envelope has one frame more than a worker's; frames beyond this are read and thrown away.
FRAMES_KEPT: Final = FRAMES + 3
# After a failed write, how long only reads and heartbeats are served before a write is tried again.
READ_ONLY_S: Final = 5.0
# If the process itself stood still for longer than this (stopped, or a starved machine), what peers sent meanwhile is
# still on its way through the kernel: nobody is called silent before it had as long to arrive.
STALL_S: Final = 1.0
POLL_MAX_MS: Final = 3_600_000
# At the end, how long the last turn's replies may take to leave. Not 0: libzmq then asserts now and then when it is
# closed between two frames of a message (session_base.cpp, clean_pipes; seen with 4.3.4).
LINGER_MS: Final = 500

_CATALOGUES: Final = {Side.WORKERS: WORKER_TO_MASTER, Side.CLIENTS: CLIENT_REQUESTS}
# What changes nothing on disk, and so goes on while the disk takes no writes.
_READS: Final = frozenset({Heartbeat} | {cls for cls, roles in PERMISSIONS.items() if roles is READERS})


class Brain(Protocol):
    """What the daemon asks of the broker."""

    def open(self, now: Now, /) -> list[Action]:
        """Begin after a start."""

    def handle(self, event: Event, now: Now, /) -> list[Action]:
        """Decide what follows from one event."""

    def settle(self, now: Now, /) -> list[Action]:
        """End the turn."""

    def wakeup(self) -> float | None:
        """Return the monotonic second at which ``TimeCame`` is due, None if never."""

    def reload(self, now: Now, /) -> list[Action]:
        """Make memory anew from disk after a turn that could not be committed."""


class Ledger(Protocol):
    """What the daemon asks of the store: one transaction a turn."""

    def begin(self) -> None:
        """Begin the turn's transaction."""

    def commit(self) -> None:
        """Put the turn on disk, or raise ``StoreReadOnly``."""

    def rollback(self) -> None:
        """Undo the turn."""


class PortTaken(Exception):
    """Another program listens there, or this machine has no such address; the message says which port."""


class Received(NamedTuple):
    """One message as it came. ``frames`` are without the route and cut to ``FRAMES_KEPT``."""

    peer: Peer
    user_id: str
    address: str
    frames: list[bytes]


class Listener:
    """The two server sockets behind the door.

    Args:
        context: the context in which the door stands already.
        door: answers for both sockets; asking for it here makes sure that it exists before anything is bound.
        secret: the master's secret key.
    """

    def __init__(self, context: zmq.Context[Any], door: ZapDoor, *, secret: str) -> None:
        self.door = door
        self.sockets = {side: server_socket(context, secret=secret, domain=side.value) for side in Side}

    def bind(self, side: Side, endpoint: str) -> int:
        """Listen on ``endpoint`` and return its port, chosen by the system where it was 0.

        Raises:
            PortTaken: it cannot be bound.
        """
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        try:
            self.sockets[side].bind(endpoint)
        except zmq.ZMQError as error:
            raise PortTaken(_cannot_bind(side, host, port, error)) from None
        bound = self.sockets[side].get(zmq.LAST_ENDPOINT)
        return int(bytes(bound).rstrip(b"\0").rpartition(b":")[2])

    def close(self) -> None:
        """Close both sockets, with a moment for what was sent, then the door."""
        for socket in self.sockets.values():
            socket.close(linger=LINGER_MS)
        self.door.close()


def _cannot_bind(side: Side, host: str, port: str, error: zmq.ZMQError) -> str:
    key = f"listen.{side.value}_port"
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use: stop the program that has it (is a master running already?) or set {key}"
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
        return f"this machine has no address {host}: set listen.address"
    return f"cannot listen on port {port} of {host}: {error.strerror}; set {key} or listen.address"


def receive(socket: zmq.Socket[bytes], side: Side) -> Received | None:
    """Take one message, None if none waits.

    A message has as many frames as its sender likes: those beyond ``FRAMES_KEPT`` are read and dropped.
    """
    try:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
    route = frame.bytes
    frames: list[bytes] = []
    while frame.more:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
        if len(frames) < FRAMES_KEPT:
            frames.append(frame.bytes)
    address = plain_address(_metadata(frame, "Peer-Address"))
    return Received(Peer(side, route), _metadata(frame, "User-Id"), address, frames)


def _metadata(frame: zmq.Frame, name: str) -> str:
    try:
        value = frame.get(name)
    except zmq.ZMQError:
        # libzmq has no other word for "not set".
        return ""
    return value if isinstance(value, str) else ""


def understand(received: Received) -> Event:
    """Return what a message says, or that it says nothing."""
    peer, user_id, address, frames = received
    try:
        if peer.side is Side.CLIENTS:
            frames = _without_delimiter(frames)
        message = decode(frames, _CATALOGUES[peer.side])
    except ProtocolError as problem:
        return GarbageCame(peer, user_id, problem)
    return MessageCame(peer, user_id, message, address)


def _without_delimiter(frames: list[bytes]) -> list[bytes]:
    if not frames or frames[0]:
        raise ProtocolError(ErrorCode.MALFORMED, "a request begins with an empty frame, as a REQ socket sends it")
    return frames[1:]


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
        clock: Callable[[], Now] = read_clock,
    ) -> None:
        self._listener = listener
        self._brain = brain
        self._ledger = ledger
        self._bell = bell
        self._log = log
        self._clock = clock
        self._lost: list[Peer] = []
        self._drained = True
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
        while self._turn(now):
            now = self._clock()

    def _turn(self, before: Now) -> bool:
        """Take one turn; ``before`` is when the last one ended. Return whether to go on."""
        timeout_ms = self._timeout_ms(before)
        ready = dict(self._poller.poll(timeout_ms))
        if self._bell.fileno() in ready and self._bell.stops_heard():
            return False
        now = self._clock()
        self._listener.door.answer()
        self._watch_for_stall(before, timeout_ms, now)
        self._perform(self._decide(self._collect(now), now))
        self._watch_for_stall(now, 0, self._clock())
        return True

    def _timeout_ms(self, now: Now) -> int | None:
        if self._lost or not self._drained:
            return 0
        if now.mono_s < self._read_only_until_s:
            due_s: float | None = self._read_only_until_s
        else:
            due_s = self._brain.wakeup()
        if due_s is None:
            return None
        due_s = max(due_s, self._time_held_until_s)
        return min(max(math.ceil((due_s - now.mono_s) * 1_000), 0), POLL_MAX_MS)

    def _watch_for_stall(self, since: Now, expected_ms: int | None, now: Now) -> None:
        expected_s = math.inf if expected_ms is None else expected_ms / 1_000
        if now.mono_s - since.mono_s - expected_s > STALL_S:
            self._time_held_until_s = now.mono_s + STALL_S
            self._log.warning("stalled", stalled_s=now.mono_s - since.mono_s - expected_s)

    # ── what has arrived ──────────────────────────────────────────────────────────────────────────────────────────

    def _collect(self, now: Now) -> list[Event]:
        lost, self._lost = self._lost, []
        events: list[Event] = [PeerLost(peer) for peer in lost]
        # Workers first: their results free slots, and submits must not starve them.
        workers_drained = self._drain(Side.WORKERS, events)
        self._drained = self._drain(Side.CLIENTS, events) and workers_drained
        due_s = self._brain.wakeup()
        if due_s is not None and max(due_s, self._time_held_until_s) <= now.mono_s and self._drained:
            events.append(TimeCame())
        return events

    def _drain(self, side: Side, events: list[Event]) -> bool:
        """Take what waits at one socket, within bounds; return whether that was all."""
        socket = self._listener.sockets[side]
        taken_bytes = 0
        for _ in range(MESSAGES_MAX):
            received = receive(socket, side)
            if received is None:
                return True
            if not received.user_id:
                self._log.warning("no_user_id", side=side.value, address=received.address)
                continue
            event = understand(received)
            if isinstance(event, MessageCame):
                faults.point("receive", event.message.TYPE)
            events.append(event)
            taken_bytes += sum(map(len, received.frames))
            if taken_bytes >= BYTES_MAX:
                break
        return False

    # ── what follows from it ──────────────────────────────────────────────────────────────────────────────────────

    def _decide(self, events: list[Event], now: Now) -> list[Action]:
        if now.mono_s < self._read_only_until_s:
            return self._decide_reads(events, now)
        actions: list[Action] = []
        try:
            self._ledger.begin()
            for event in events:
                actions += self._brain.handle(event, now)
            actions += self._brain.settle(now)
            self._ledger.commit()
        except StoreReadOnly as error:
            self._log.error("read_only", reason=str(error), again_s=READ_ONLY_S)
            self._read_only_until_s = now.mono_s + READ_ONLY_S
            return self._undo(now) + self._decide_reads(events, now)
        return actions

    def _undo(self, now: Now) -> list[Action]:
        self._ledger.rollback()
        return self._brain.reload(now)

    def _decide_reads(self, events: list[Event], now: Now) -> list[Action]:
        """Decide on what changes nothing and refuse the rest. Workers send theirs again until it is answered."""
        actions: list[Action] = []
        for event in events:
            match event:
                case MessageCame(peer=peer, message=message) if type(message) not in _READS:
                    if isinstance(message, Request):
                        actions.append(Send(peer, _read_only(message)))
                case MessageCame() | GarbageCame() | PeerLost():
                    try:
                        self._ledger.begin()
                        decided = self._brain.handle(event, now)
                        self._ledger.commit()
                    except StoreReadOnly:
                        decided = self._undo(now)
                    actions += decided
                case TimeCame():
                    # Time is told again as soon as its consequences can be written.
                    continue
        return actions

    # ── what is to be done ────────────────────────────────────────────────────────────────────────────────────────

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(peer, message):
                    self._send(peer, message)
                case Note(level, event, fields):
                    self._log.log(level, event, fields)

    def _send(self, peer: Peer, message: Message) -> None:
        faults.point("send", message.TYPE)
        frames = encode(message)
        if len(frames[-1]) > MESSAGE_MAX:
            self._log.error("message_too_large", type=message.TYPE, size_bytes=len(frames[-1]))
            if not isinstance(message, Reply):
                # Workers take no such message; what hangs on it is given away when its lease ends.
                return
            frames = encode(_too_large(message, len(frames[-1])))
        envelope = [peer.route, b""] if peer.side is Side.CLIENTS else [peer.route]
        try:
            self._listener.sockets[peer.side].send_multipart(envelope + frames, zmq.NOBLOCK)
        except zmq.Again:
            self._lose(peer)
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            self._lose(peer)

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


def _read_only(request: Request) -> Error:
    problem = Problem(
        code=ErrorCode.READ_ONLY,
        message="the master's disk takes no writes now; nothing was changed",
        hint="make room on the master's disk, then try again",
        retryable=True,
    )
    return Error(request_id=request.request_id, problem=problem)

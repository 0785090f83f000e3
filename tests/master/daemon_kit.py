"""A real daemon behind real sockets, with a broker that only records."""

import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import zmq

from ffrtmpd import inbox
from ffrtmpd.auth import ZapDoor
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.service import Bell
from ffrtmpd.daemon import Daemon, read_clock
from ffrtmpd.events import (
    Action,
    Event,
    GarbageCame,
    MessageCame,
    Now,
    Send,
    Side,
    TimeCame,
)
from ffrtmpd.listener import Listener, Received
from ffrtmpd.principals import Principal, Principals
from ffrtmpd.store import StoreReadOnly
from ffrtmpd.wire.catalogue import CLIENT_REPLIES, MASTER_TO_WORKER
from ffrtmpd.wire.codec import Message, ProtocolError, decode, decode_all, encode
from ffrtmpd.wire.curve import KeyPair, client_socket, new_key_pair
from ffrtmpd.wire.messages.acts import Cancel
from ffrtmpd.wire.messages.common import Error, Ping, Pong, Problem, Request
from ffrtmpd.wire.messages.keys import KeyList, KeyView, ListKeys
from ffrtmpd.wire.messages.session import Denied, Heartbeat, HeartbeatAck
from ffrtmpd.wire.vocabulary import ErrorCode, Role

PATIENCE_MS = 10_000


class Recorder:
    """A broker that notes what it was told and answers the simplest questions."""

    def __init__(self, principals: Principals) -> None:
        self.principals = principals
        self.events: list[Event] = []
        self.calls: list[str] = []
        self.due: float | None = None
        self.awaited = False
        self.room = False
        self.rest_fails = False
        self.extra: list[Action] = []
        self.fails: Callable[[Event], bool] = lambda _: False

    def open(self, _now: Now) -> list[Action]:
        self.calls.append("open")
        return []

    def foresee(self, events: Sequence[Event]) -> None:
        """Read nothing."""

    def handle(self, event: Event, now: Now) -> list[Action]:
        self.calls.append("handle")
        self.events.append(event)
        if self.fails(event):
            raise StoreReadOnly("disk full")
        return self._answer(event, now)

    def _answer(self, event: Event, now: Now) -> list[Action]:
        match event:
            case MessageCame(peer, user_id, Request() as request):
                return [Send(peer, self._reply(request, user_id, now))]
            case MessageCame(peer, _, Heartbeat() as beat):
                return [Send(peer, HeartbeatAck(sent_ms=beat.sent_ms))]
            case GarbageCame(peer, _, problem):
                refused = Problem(code=problem.code, message=problem.message)
                if peer.side is Side.CLIENTS:
                    return [Send(peer, Error(request_id=problem.request_id or "", problem=refused))]
                return [Send(peer, Denied(problem=refused))]
            case TimeCame():
                self.due = None
        return []

    def serve(self, event: Event, now: Now) -> list[Action]:
        self.calls.append("serve")
        if self.fails(event):
            raise StoreReadOnly("disk full")
        match event:
            case MessageCame(peer, _, Cancel() as request):
                problem = Problem(code=ErrorCode.READ_ONLY, message="disk full", retryable=True)
                return [Send(peer, Error(request_id=request.request_id, problem=problem))]
        return self._answer(event, now)

    def _reply(self, request: Request, user_id: str, now: Now) -> Message:
        by = self.principals.of(user_id, now.wall_s)
        if by is None:
            problem = Problem(code=ErrorCode.NOT_ALLOWED, message="revoked")
            return Error(request_id=request.request_id, problem=problem)
        if isinstance(request, ListKeys):
            view = KeyView(name="n" * 65_000, role=Role.ADMIN, fingerprint="f", created_at=0.0)
            return KeyList(request_id=request.request_id, keys=(view,) * 17)
        return Pong(
            request_id=request.request_id,
            version="1",
            cluster="c",
            epoch=1,
            uptime_s=0.0,
            principal=by.name,
            role=by.role,
            workers_port=1,
        )

    def rest(self) -> None:
        self.calls.append("rest")
        if self.rest_fails:
            raise StoreReadOnly("disk full")

    def settle(self, _now: Now) -> list[Action]:
        self.calls.append("settle")
        taken, self.extra = self.extra, []
        return taken

    def wakeup(self) -> float | None:
        return self.due

    def is_awaited(self) -> bool:
        return self.awaited

    def has_room(self) -> bool:
        return self.room

    def reload(self, _now: Now) -> list[Action]:
        self.calls.append("reload")
        return []

    def messages(self) -> list[Message]:
        return [event.message for event in self.events if isinstance(event, MessageCame)]


class Ledger:
    """A transaction that can be told to fail."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls
        self.full = False

    def begin(self) -> None:
        self.calls.append("begin")

    def commit(self) -> None:
        self.calls.append("commit")
        if self.full:
            raise StoreReadOnly("disk full")

    def rollback(self) -> None:
        self.calls.append("rollback")


class Master:
    """A daemon on ports of the system's choice; it takes turns in a thread once ``start`` is called."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.context: zmq.Context[Any] = zmq.Context()
        stack.callback(self.context.term)
        self.key = new_key_pair()
        self.principals = Principals()
        self.lines = io.StringIO()
        log = Logger(stream=self.lines)
        self.listener = Listener(self.context, ZapDoor(self.context, self.principals, log=log), secret=self.key.secret)
        stack.callback(self.listener.close)
        self.ports = {side: self.listener.bind(side, "tcp://127.0.0.1:0") for side in Side}
        self.brain = Recorder(self.principals)
        self.ledger = Ledger(self.brain.calls)
        self.bell = Bell()
        stack.callback(self.bell.close)
        self.skew_s = 0.0
        self.daemon = Daemon(
            listener=self.listener, brain=self.brain, ledger=self.ledger, bell=self.bell, log=log, clock=self.clock
        )

    def clock(self) -> Now:
        now = read_clock()
        return Now(now.mono_s + self.skew_s, now.wall_s + self.skew_s)

    def start(self) -> None:
        raised: list[BaseException] = []

        def work() -> None:
            try:
                self.daemon.run()
            except BaseException as error:
                raised.append(error)
                raise

        # Left behind by a test that fails before its end, it must not keep the run from ending.
        thread = threading.Thread(target=work, daemon=True)
        thread.start()

        def stop() -> None:
            self.bell.stop()
            thread.join(10)
            assert not thread.is_alive()
            assert not raised

        self.stack.callback(stop)

    def turn(self) -> None:
        """Take one turn in this thread."""
        assert self.daemon._turn(self.clock())

    def enrol(self, role: Role) -> KeyPair:
        pair = new_key_pair()
        number = len(self.principals.everyone()) + 1
        self.principals.put(
            Principal(id=number, name=f"{role}-{number}", role=role, public=pair.public, created_at=0.0)
        )
        return pair

    def connect(self, kind: int, own: KeyPair, side: Side) -> zmq.Socket[bytes]:
        peer = client_socket(self.context, kind, own=own, server_public=self.key.public)
        peer.set(zmq.RCVTIMEO, PATIENCE_MS)
        peer.set(zmq.SNDTIMEO, PATIENCE_MS)
        self.stack.callback(peer.close)
        peer.connect(f"tcp://127.0.0.1:{self.ports[side]}")
        return peer

    def client(self, role: Role = Role.OPERATOR) -> zmq.Socket[bytes]:
        return self.connect(zmq.REQ, self.enrol(role), Side.CLIENTS)

    def worker(self) -> zmq.Socket[bytes]:
        return self.connect(zmq.DEALER, self.enrol(Role.WORKER), Side.WORKERS)

    def wait_for(self, side: Side) -> None:
        """Wait until something has arrived at a socket, letting newcomers in meanwhile."""
        poller = zmq.Poller()
        poller.register(self.listener.door.socket, zmq.POLLIN)
        poller.register(self.listener.sockets[side], zmq.POLLIN)
        while self.listener.sockets[side] not in (ready := dict(poller.poll(PATIENCE_MS))):
            assert ready, f"nothing came to the {side} socket"
            self.listener.door.answer()

    def let_in(self, *peers: zmq.Socket[bytes]) -> None:
        """Answer handshakes until all ``peers`` can send."""
        waiting = set(peers)
        poller = zmq.Poller()
        poller.register(self.listener.door.socket, zmq.POLLIN)
        for peer in peers:
            poller.register(peer, zmq.POLLOUT)
        while waiting:
            ready = dict(poller.poll(PATIENCE_MS))
            assert ready, "a handshake did not end"
            self.listener.door.answer()
            for peer in waiting & ready.keys():
                poller.unregister(peer)
                waiting.discard(peer)


def take_from(monkeypatch: pytest.MonkeyPatch, waiting: Mapping[Side, list[Received]]) -> None:
    """Let masters find these messages at their sockets, in this order, whatever is there."""
    wait = Daemon._wait

    def both(daemon: Daemon, timeout_ms: int | None) -> dict[Any, int]:
        return wait(daemon, timeout_ms) | dict.fromkeys(daemon._listener.sockets.values(), int(zmq.POLLIN))

    def receive(_: zmq.Socket[bytes], side: Side) -> Received | None:
        there = waiting.get(side)
        return there.pop(0) if there else None

    monkeypatch.setattr(Daemon, "_wait", both)
    monkeypatch.setattr(inbox, "receive", receive)


@contextmanager
def new_master() -> Iterator[Master]:
    """Give a master with everything closed at the end."""
    with ExitStack() as stack:
        yield Master(stack)


def ask(peer: zmq.Socket[bytes], request: Message) -> Message:
    peer.send_multipart(encode(request))
    return decode(peer.recv_multipart(), CLIENT_REPLIES)


def ping(peer: zmq.Socket[bytes], number: int = 1) -> Message:
    return ask(peer, Ping(request_id=f"r{number}"))


def refused(reply: Message) -> ErrorCode:
    assert isinstance(reply, Error)
    return reply.problem.code


def hear(worker: zmq.Socket[bytes], count: int) -> list[Message]:
    """Return the next messages that a worker gets, alone or in batches."""
    heard: list[Message] = []
    while len(heard) < count:
        for message in decode_all(worker.recv_multipart(), MASTER_TO_WORKER):
            assert not isinstance(message, ProtocolError), message
            heard.append(message)
    return heard


def handshake(peer: zmq.Socket[bytes], connect: Callable[[], Any]) -> int:
    """Return the event that ends the handshake of a connection."""
    from zmq.utils.monitor import recv_monitor_message

    monitor = peer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    try:
        connect()
        assert monitor.poll(PATIENCE_MS)
        return int(recv_monitor_message(monitor)["event"])
    finally:
        peer.disable_monitor()
        monitor.close()

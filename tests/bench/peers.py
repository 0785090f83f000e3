"""A crowd of workers in one process: real agents, each behind a CURVE socket of its own. Only programs are not run.

``python -m tests.bench.peers`` reads one line of JSON: the master's ``endpoint`` and ``server_public``, ``keys`` (the
public and the secret half of each worker's) and ``slots``. Then each empty line is answered with a tally, and the end
of input ends it.
"""

import json
import os
import random
import select
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final

import zmq

from ffrtmp_worker.agent import Agent
from ffrtmp_worker.events import (
    Action,
    ChildExited,
    Event,
    LinkUp,
    MessageCame,
    Note,
    Publish,
    Published,
    Reconnect,
    Seal,
    Sealed,
    Send,
    Spawn,
    TimeCame,
)
from ffrtmp_worker.recipe import Recipe, StepName
from ffrtmp_worker.uplink import RECONNECT_MOST_MS, RECONNECT_MS
from ffrtmpd.timers import Timers
from ffrtmpd.wire.catalogue import MASTER_TO_WORKER
from ffrtmpd.wire.codec import Message, ProtocolError, decode_all, encode
from ffrtmpd.wire.curve import KeyPair, client_socket
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.messages.session import Assign, HeartbeatAck, ResultVerdict
from ffrtmpd.wire.vocabulary import Engine
from tests.simulator.media import Course, Script, ScriptedRecipe

# libzmq allows a context about a thousand sockets unless told otherwise; one that is closed counts until it is gone.
SOCKETS_A_PEER: Final = 4
NO_OP: Final = Script(course=Course.WELL, steps=(StepName.ENCODE,), encode_s=0.0, step_s=0.0, stubborn=False)


def no_op(assign: Assign) -> Recipe:
    return ScriptedRecipe(assign, NO_OP)


def load() -> Load:
    """Return readings that change with each beat, as those of a machine do."""
    return Load(cpu_load_percent=round(random.uniform(0, 100), 1), ram_free_bytes=8 << 30, disk_free_bytes=1 << 40)


class Tally:
    """What the crowd has seen. Times are seconds of the machine's monotonic clock, which all processes share."""

    def __init__(self) -> None:
        self.assigned: dict[str, float] = {}
        self.online: Counter[int] = Counter()
        self.online_at: dict[int, float] = {}
        # A verdict comes again when a result did.
        self.done: set[str] = set()
        self.done_at = 0.0

    def take(self) -> dict[str, Any]:
        """Return it all; assignments are told once."""
        assigned, self.assigned = self.assigned, {}
        return {
            "assigned": assigned,
            "online": self.online,
            "online_at": self.online_at,
            "done": len(self.done),
            "done_at": self.done_at,
            "cpu_s": time.process_time(),
        }


class Peer:
    """One worker: the agent and the part of the shell that knows the socket."""

    def __init__(self, crowd: "Crowd", number: int, own: KeyPair, slots: int) -> None:
        self._crowd, self._own = crowd, own
        self._socket: zmq.Socket[bytes] | None = None
        self._linked = False
        self._epoch: int | None = None
        self._events: deque[Event] = deque()
        self._agent = Agent(
            boot_id=f"crowd-{os.getpid()}-{number}",
            slots=slots,
            hardware=Hardware(
                hostname=f"host-{number}",
                cpu_model="simulated",
                cpu_count=8,
                ram_total_bytes=16 << 30,
                encoders=("libx264", "libx265"),
                engines=(Engine.FFMPEG,),
            ),
            recipes=no_op,
            load=load,
            random=random.random,
        )

    def open(self) -> None:
        self._perform(self._agent.open(time.monotonic()))
        self.pump()

    def tick(self) -> None:
        self._handle(TimeCame())
        self.pump()

    def pump(self) -> None:
        """Take all there is: a socket's descriptor only says that something has changed."""
        while self._socket is not None:
            flags = int(self._socket.get(zmq.EVENTS))
            if flags & zmq.POLLOUT and not self._linked:
                self._linked = True
                self._handle(LinkUp())
            elif flags & zmq.POLLIN:
                for message in decode_all(self._socket.recv_multipart(zmq.DONTWAIT), MASTER_TO_WORKER):
                    if isinstance(message, ProtocolError):
                        raise message
                    self._hear(message)
            else:
                break
        self._crowd.wake(self, self._agent.wakeup())

    def close(self) -> None:
        if self._socket is not None:
            self._crowd.forget(self._socket)
            self._socket.close()
            self._socket = None

    def _hear(self, message: Message) -> None:
        tally = self._crowd.tally
        match message:
            case Assign():
                tally.assigned.setdefault(message.job_id, time.monotonic())
            case ResultVerdict():
                tally.done.add(message.job_id)
                tally.done_at = time.monotonic()
            case HeartbeatAck() if self._epoch is not None:
                # An answered beat proves the session; WELCOME only offers one.
                tally.online[self._epoch] += 1
                tally.online_at[self._epoch] = time.monotonic()
                self._epoch = None
        self._handle(MessageCame(message))

    def _handle(self, event: Event) -> None:
        self._events.append(event)
        while self._events:
            self._perform(self._agent.handle(self._events.popleft(), time.monotonic()))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(message) if self._socket is not None:
                    try:
                        self._socket.send_multipart(encode(message), zmq.DONTWAIT)
                    except zmq.Again:
                        continue
                case Reconnect():
                    self._reconnect()
                case Spawn(child=child):
                    self._events.append(ChildExited(child=child, exit_code=0, cpu_s=0.0))
                case Seal(entry):
                    self._events.append(Sealed(attempt=entry.attempt))
                case Publish(entry):
                    self._events.append(Published(attempt=entry.attempt))
                case Note(_, "session_opened", fields):
                    self._epoch = fields["epoch"]

    def _reconnect(self) -> None:
        self.close()
        self._linked = False
        self._socket = self._crowd.connect(self, self._own)


class Crowd:
    """The workers and their one loop."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.tally = Tally()
        self._endpoint, self._server_public = said["endpoint"], said["server_public"]
        self._context: zmq.Context[Any] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, len(said["keys"]) * SOCKETS_A_PEER)
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Peer] = {}
        self._timers: Timers[Peer] = Timers()
        self._peers = [Peer(self, number, KeyPair(*own), said["slots"]) for number, own in enumerate(said["keys"], 1)]

    def connect(self, peer: Peer, own: KeyPair) -> "zmq.Socket[bytes]":
        socket = client_socket(self._context, zmq.DEALER, own=own, server_public=self._server_public)
        socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.set(zmq.RECONNECT_IVL_MAX, RECONNECT_MOST_MS)
        self._by_descriptor[socket.fileno()] = peer
        self._epoll.register(socket.fileno(), select.EPOLLIN)
        socket.connect(self._endpoint)
        return socket

    def forget(self, socket: "zmq.Socket[bytes]") -> None:
        del self._by_descriptor[socket.fileno()]
        self._epoll.unregister(socket.fileno())

    def wake(self, peer: Peer, when_s: float | None) -> None:
        if when_s is None:
            self._timers.drop(peer)
        else:
            self._timers.set(peer, when_s)

    def run(self, control: int, out: int) -> None:
        """Work until ``control`` ends."""
        self._epoll.register(control, select.EPOLLIN)
        for peer in self._peers:
            peer.open()
        while True:
            due_s = self._timers.next()
            patience_s = -1 if due_s is None else max(0.0, due_s - time.monotonic())
            for descriptor, _ in self._epoll.poll(patience_s, 1_024):
                if descriptor == control:
                    asked = os.read(control, 1_024)
                    if not asked:
                        return
                    for _ in range(asked.count(b"\n")):
                        _write(out, json.dumps(self.tally.take()).encode() + b"\n")
                elif descriptor in self._by_descriptor:
                    self._by_descriptor[descriptor].pump()
            for peer in self._timers.due(time.monotonic()):
                peer.tick()

    def close(self) -> None:
        for peer in self._peers:
            peer.close()
        self._context.term()
        self._epoll.close()


def _write(out: int, data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]


def main() -> int:
    # Unbuffered: what comes behind the first line must still be seen by the poll.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as control:
        crowd = Crowd(json.loads(control.readline()))
    try:
        crowd.run(sys.stdin.fileno(), sys.stdout.fileno())
    finally:
        crowd.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

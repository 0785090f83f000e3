"""A node on the real wire that says what a test makes it say."""

import time
from collections import deque
from types import TracebackType
from typing import Any, TypeVar

import zmq

from ffrtmpd.wire.catalogue import MASTER_TO_WORKER
from ffrtmpd.wire.codec import Message, ProtocolError, decode_all, encode
from ffrtmpd.wire.curve import client_socket
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.messages.session import (
    Assign,
    Bye,
    Heartbeat,
    HeartbeatAck,
    Held,
    Hello,
    Kill,
    PauseAttempt,
    Ready,
    Result,
    ResultVerdict,
    ResumeAttempt,
    Started,
    Welcome,
)
from ffrtmpd.wire.vocabulary import Engine, Outcome
from tests.tui.masters import RealMaster

M = TypeVar("M", bound=Message)

PATIENCE_S = 60.0


class Node:
    """A worker with one slot and no GPU, connected between ``with`` and its end."""

    def __init__(self, master: RealMaster, name: str = "node-1") -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = client_socket(self._context, zmq.DEALER, own=master.pairs[name], server_public=master.key.public)
        self._socket.connect(master.workers_endpoint)
        self._came: deque[Message | ProtocolError] = deque()

    def __enter__(self) -> "Node":
        hardware = Hardware(hostname="host", encoders=("libx264",), engines=(Engine.FFMPEG,))
        self.say(Hello(versions=(1,), boot_id="boot", slots=1, hardware=hardware))
        self.say(Ready(nonce=self.expect(Welcome).nonce))
        self.beat()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._context.term()

    def say(self, message: Message) -> None:
        assert self._socket.poll(int(PATIENCE_S * 1000), zmq.POLLOUT)
        self._socket.send_multipart(encode(message))

    def expect(self, kind: type[M]) -> M:
        """Return the next message of a kind and forget those before it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            while self._came:
                message = self._came.popleft()
                assert not isinstance(message, ProtocolError), message
                if isinstance(message, kind):
                    return message
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"no {kind.TYPE}"
            if self._socket.poll(int(left_s * 1000) + 1):
                self._came += decode_all(self._socket.recv_multipart(), MASTER_TO_WORKER)

    def beat(self, *held: Held) -> None:
        """Tell what is held; return when the master has heard it."""
        self.say(Heartbeat(sent_ms=1, running=held))
        self.expect(HeartbeatAck)

    def run(self, *others: Held) -> Held:
        """Take the next job and begin to encode; ``others`` are held as well."""
        assign = self.expect(Assign)
        self.say(Started(job_id=assign.job_id, attempt=assign.attempt, token=assign.token, encoder="libx264"))
        held = Held(job_id=assign.job_id, attempt=assign.attempt, token=assign.token, started=True)
        self.beat(held, *others)
        return held

    def freeze(self, held: Held) -> Held:
        """Stop what the master wants paused; its slot is free from now on."""
        assert self.expect(PauseAttempt).job_id == held.job_id
        frozen = Held(job_id=held.job_id, attempt=held.attempt, token=held.token, started=True, paused=True)
        self.beat(frozen)
        return frozen

    def thaw(self, held: Held) -> None:
        """Let go on what the master wants resumed."""
        assert self.expect(ResumeAttempt).job_id == held.job_id
        self.beat(held)

    def stop(self, held: Held) -> None:
        """Stop what the master wants killed."""
        assert self.expect(Kill).job_id == held.job_id
        self.say(
            Result(
                job_id=held.job_id,
                attempt=held.attempt,
                token=held.token,
                outcome=Outcome.CANCELED,
                report=Report(),
            )
        )
        self.expect(ResultVerdict)

    def leave(self) -> None:
        """Say goodbye."""
        self.say(Bye())

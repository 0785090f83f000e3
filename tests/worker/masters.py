"""A master that does as the test says, on the real wire: CURVE, frames, schema."""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import zmq

from ffrtmpd.wire.catalogue import WORKER_TO_MASTER
from ffrtmpd.wire.codec import Message, ProtocolError, decode_all, encode_all
from ffrtmpd.wire.curve import new_key_pair
from ffrtmpd.wire.messages.session import Heartbeat, HeartbeatAck, Hello, Ready, Welcome

M = TypeVar("M", bound=Message)

PATIENCE_S = 60.0
NONCE = b"n" * 16


class ScriptedMaster:
    """Speaks with one worker from the test's own thread; beats are acknowledged as long as it listens."""

    def __init__(self) -> None:
        self.key = new_key_pair()
        self.heard: list[Message] = []
        self.parts: list[list[bytes]] = []
        self._came: deque[Message] = deque()
        self.acknowledges = True
        self.port = 0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._route: bytes | None = None
        self._welcome: Welcome | None = None

    @property
    def endpoint(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listen, on the same port as before."""
        socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.ROUTER_MANDATORY, 1)
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self.key.secret.encode())
        self._socket = socket
        if self.port:
            self._bind_again(socket)
        else:
            self.port = socket.bind_to_random_port("tcp://127.0.0.1")

    def _bind_again(self, socket: "zmq.Socket[bytes]") -> None:
        # libzmq closes the old socket in a thread of its own, some milliseconds after close() returns.
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.bind(self.endpoint)
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                    raise
            else:
                return

    def close(self) -> None:
        """Be gone, as a master that was killed."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def end(self) -> None:
        self.close()
        self._context.term()

    def say(self, *messages: Message) -> None:
        """Say one thing, or several as a turn of a master does."""
        assert self._socket is not None
        assert self._route is not None
        for _, frames in encode_all(messages):
            self._socket.send_multipart([self._route, *frames])

    def expect(
        self, kind: type[M], such: Callable[[M], object] = lambda _: True, *, patience_s: float = PATIENCE_S
    ) -> M:
        """Return the next message of a kind; others are kept in ``heard``.

        A worker that greets again meanwhile, since one of the two was held up for some beats, is let in again.
        """
        deadline = time.monotonic() + patience_s
        while True:
            message = self._next(deadline, f"no {kind.__name__}; heard {[heard.TYPE for heard in self.heard]}")
            self.heard.append(message)
            if isinstance(message, kind) and such(message):
                return message
            if isinstance(message, Hello) and self._welcome is not None:
                # It may have given up waiting and have left this route for another.
                with contextlib.suppress(zmq.ZMQError):
                    self.say(self._welcome)

    def greet(self, *, heartbeat_s: float = 0.2, fence_s: float = 10.0) -> Ready:
        """Take a worker in."""
        self.expect(Hello)
        return self.welcome(heartbeat_s=heartbeat_s, fence_s=fence_s)

    def welcome(self, *, heartbeat_s: float = 0.2, fence_s: float = 10.0) -> Ready:
        """Answer a greeting."""
        self._welcome = Welcome(
            version=1,
            node_id="node-1",
            epoch=1,
            nonce=NONCE,
            heartbeat_s=heartbeat_s,
            fence_s=fence_s,
            lost_after_s=60.0,
        )
        self.say(self._welcome)
        return self.expect(Ready)

    def _next(self, deadline: float, problem: str) -> Message:
        assert self._socket is not None
        while not self._came:
            left_s = deadline - time.monotonic()
            assert left_s > 0, problem
            assert self._socket.poll(int(left_s * 1000) + 1), problem
            self._route, *frames = self._socket.recv_multipart()
            self.parts.append(frames)
            for message in decode_all(frames, WORKER_TO_MASTER):
                assert not isinstance(message, ProtocolError), message
                self._came.append(message)
        message = self._came.popleft()
        if isinstance(message, Heartbeat) and self.acknowledges:
            # A worker may beat once more and be gone before the answer.
            with contextlib.suppress(zmq.ZMQError):
                self.say(HeartbeatAck(sent_ms=message.sent_ms))
        return message

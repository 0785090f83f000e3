"""The line to the master: one request, one reply, however often either is lost."""

import os
import struct
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar

import zmq

from ffrtmp_tui.failures import Exit, Failure, exit_for
from ffrtmpd.wire.codec import ProtocolError, catalogue, decode, encode
from ffrtmpd.wire.curve import KeyPair, client_socket, fingerprint
from ffrtmpd.wire.messages.common import Error, Problem, Reply, Request

R = TypeVar("R", bound=Reply)

# Doubling from what a loaded master needs: one lost packet costs two seconds, a master that is gone costs fourteen.
TRIES_S: Final = (2.0, 4.0, 8.0)
# The master closes at once on a peer that has another master's key in mind; twice is no accident of its restart.
CLOSES_TO_BE_SURE: Final = 2
_MONITOR_FRAME: Final = struct.Struct("=HI")


class Refused(Failure):
    """The master answered that it will not do this; nothing was changed."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(
            exit_for(problem.code),
            problem.message,
            code=str(problem.code),
            hint=problem.hint,
            retryable=problem.retryable,
        )
        self.problem = problem


class Unreachable(Failure):
    """No answer came from the master."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(Exit.UNREACHABLE, message, code="unreachable", hint=hint, retryable=True)


class KeyRefused(Failure):
    """The master is there and does not let this key in."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(Exit.NOT_ALLOWED, message, code="key_refused", hint=hint)


def new_id() -> str:
    """Return an id that no other request has: 32 hexadecimal digits."""
    return os.urandom(16).hex()


@dataclass(slots=True)
class _Signs:
    """What the socket's monitor has shown during one try."""

    connected: bool = False
    greeted: bool = False
    closes: int = 0
    refused: bool = False
    unresolved: bool = False
    key_refused: bool = False
    stranger: bool = False

    def note(self, event: int, value: int) -> None:
        """Take one monitor event into account."""
        if event == zmq.EVENT_CONNECTED:
            self.connected = True
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.greeted = True
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self.key_refused = True
        elif event in (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
            # A handshake that ran into its time limit says nothing about keys: the peer may only be busy.
            self.closes += value != zmq.EAGAIN
        elif event == zmq.EVENT_DISCONNECTED:
            # Without a failed handshake before it: the peer hung up on the greeting itself.
            self.stranger = not self.greeted and not self.closes and not self.key_refused
        elif event == zmq.EVENT_CLOSED:
            self.refused = True
        elif event == zmq.EVENT_CONNECT_RETRIED and not self.connected and not self.refused:
            self.unresolved = True


class Link:
    """Asks the master and waits for its answer.

    Args:
        endpoint: such as ``tcp://host:5571``.
        server_public: the master's public key in Z85.
        own: the key pair that says who asks.
        tries_s: seconds for each try.
    """

    def __init__(
        self, endpoint: str, server_public: str, own: KeyPair, *, tries_s: tuple[float, ...] = TRIES_S
    ) -> None:
        self.endpoint = endpoint
        self._server_public = server_public
        self._own = own
        self._tries_s = tries_s
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None

    def __enter__(self) -> "Link":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the sockets."""
        self._hang_up()
        self._context.term()

    def ask(self, request: Request, *expected: type[R], wait_s: float = 0.0, patient: bool = False) -> R:
        """Return the reply to ``request``, which must be one of ``expected``.

        Each try has a fresh socket and sends the same request with the same id, so that the master can tell a
        repetition. ``wait_s`` is added to each try: seconds for which the master itself may wait. With ``patient``
        a master that is away for the moment is waited for; without, that is told at once.

        Raises:
            Refused: the master answered with an error.
            KeyRefused: the master does not know the key.
            Unreachable: no answer, after all tries or at once where more tries could change nothing.
            Failure: the answer is not of this protocol.
        """
        frames = encode(request)
        signs = _Signs()
        greeted = False
        for try_s in self._tries_s:
            signs = _Signs(greeted=self._socket is not None)
            # A request that may have arrived is worth all tries: the reply says what became of it.
            answer = self._try(frames, try_s + wait_s, signs, certain=not (patient or greeted))
            if answer is not None:
                return self._read(answer, request, expected)
            greeted = greeted or signs.greeted
            self._hang_up()
            self._raise_if_certain(signs, away_is_certain=not (patient or greeted))
        raise self._silent(signs, greeted=greeted, waited_s=sum(self._tries_s))

    def _try(self, frames: list[bytes], limit_s: float, signs: _Signs, *, certain: bool) -> list[bytes] | None:
        socket, monitor = self._call()
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLOUT)
        poller.register(monitor, zmq.POLLIN)
        deadline = time.monotonic() + limit_s
        sent = False
        while (left_s := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(int(left_s * 1000) + 1))
            if monitor in ready:
                signs.note(*_MONITOR_FRAME.unpack(monitor.recv_multipart()[0]))
                if _hopeless(signs, away=certain and not signs.greeted):
                    return None
            if socket not in ready:
                continue
            if sent:
                return socket.recv_multipart()
            socket.send_multipart(frames)
            sent = signs.greeted = True
            poller.register(socket, zmq.POLLIN)
        return None

    def _call(self) -> tuple["zmq.Socket[bytes]", "zmq.Socket[bytes]"]:
        if self._socket is None or self._monitor is None:
            self._socket = client_socket(self._context, zmq.REQ, own=self._own, server_public=self._server_public)
            self._monitor = self._socket.get_monitor_socket()
            try:
                self._socket.connect(self.endpoint)
            except zmq.ZMQError:
                self._hang_up()
                raise Failure(
                    Exit.USAGE,
                    f"{self.endpoint!r} is no address of a master",
                    code="usage",
                    hint="an address looks like tcp://host:5571",
                ) from None
        return self._socket, self._monitor

    def _hang_up(self) -> None:
        if self._socket is None:
            return
        self._socket.disable_monitor()
        self._socket.close()
        if self._monitor is not None and not self._monitor.closed:
            self._monitor.close()
        self._socket = self._monitor = None

    def _read(self, frames: list[bytes], request: Request, expected: tuple[type[R], ...]) -> R:
        try:
            message = decode(frames, catalogue(Error, *expected))
        except ProtocolError as error:
            self._hang_up()
            raise self._strange(error.message) from None
        if isinstance(message, Error):
            raise Refused(message.problem)
        if not isinstance(message, expected) or message.request_id != request.request_id:
            self._hang_up()
            raise self._strange("an answer to another request")
        return message

    def _strange(self, what: str) -> Failure:
        return Failure(
            Exit.FAILED,
            f"the master at {self.endpoint} answered what this program does not understand: {what}",
            code="protocol",
            hint="compare `ffrtmp --version` with the version of the master",
        )

    def _raise_if_certain(self, signs: _Signs, *, away_is_certain: bool) -> None:
        if signs.key_refused:
            name = fingerprint(self._own.public)
            raise KeyRefused(
                f"the master at {self.endpoint} does not know this key ({name}): revoked, or of another cluster",
                "ask an admin for `ffrtmp keys invite NAME --role ROLE`, then run `ffrtmp join LINE`",
            )
        if signs.closes >= CLOSES_TO_BE_SURE and not signs.greeted:
            raise Unreachable(
                f"{self.endpoint} is not the master that this context knows: it does not hold the expected key",
                "check the address, and the context's server_key; a master that was set up anew needs a new invitation",
            )
        if signs.stranger:
            raise Unreachable(
                f"what answers at {self.endpoint} is no ffrtmp master",
                "check host and port; clients connect to the clients port, 5571 unless changed",
            )
        if signs.unresolved and away_is_certain:
            raise Unreachable(f"cannot find the host of {self.endpoint}", "check the name and the DNS of this machine")
        if signs.refused and away_is_certain and not signs.connected:
            raise Unreachable(
                f"nothing listens at {self.endpoint}: connection refused",
                "is ffrtmpd running there, and is this its clients port?",
            )

    def _silent(self, signs: _Signs, *, greeted: bool, waited_s: float) -> Unreachable:
        if greeted:
            return Unreachable(
                f"the master at {self.endpoint} does not answer ({len(self._tries_s)} tries, {waited_s:g} s)",
                "it is stopped, overloaded, or this key was revoked a moment ago; look at the master's log",
            )
        if signs.connected:
            return Unreachable(
                f"{self.endpoint} takes connections but does not greet",
                "is this the clients port of an ffrtmpd, and is that program alive?",
            )
        return Unreachable(
            f"no answer from {self.endpoint} ({len(self._tries_s)} tries, {waited_s:g} s)",
            "check the address, the network and the firewall between here and there",
        )


def _hopeless(signs: _Signs, *, away: bool) -> bool:
    """Tell whether waiting on can change nothing; ``away`` when a master that is away counts as that."""
    if signs.key_refused or signs.stranger or (signs.closes >= CLOSES_TO_BE_SURE and not signs.greeted):
        return True
    return away and (signs.unresolved or (signs.refused and not signs.connected))

"""A question to the master without a session: a fresh REQ socket each try, and a monitor that tells why none came."""

import struct
import time
from enum import Enum, auto
from typing import Any, Final

import zmq

from ffrtmpd.wire.curve import KeyPair, client_socket

# Doubling from what a loaded master needs: one lost packet costs two seconds, a master that is gone costs fourteen.
TRIES_S: Final = (2.0, 4.0, 8.0)
# The master closes at once on a peer that has another master's key in mind; twice is no accident of its restart.
CLOSES_TO_BE_SURE: Final = 2
_MONITOR_FRAME: Final = struct.Struct("=HI")


class Cause(Enum):
    """Why no answer came."""

    KEY_REFUSED = auto()
    """The master is there and does not let this key in."""
    OTHER_MASTER = auto()
    """What is there does not hold the key that is expected of the master."""
    STRANGER = auto()
    """What is there is no master."""
    NO_HOST = auto()
    """The host's name has no address."""
    NOT_LISTENING = auto()
    """The host refuses connections on this port."""
    NO_REPLY = auto()
    """The master let the key in and did not answer."""
    NO_GREETING = auto()
    """Something takes connections and says nothing."""
    NOTHING = auto()
    """Nothing came back at all."""


class NoAnswer(Exception):
    """No answer came. ``sent`` when the request was sent at least once, and so may have been carried out."""

    def __init__(self, cause: Cause, *, sent: bool) -> None:
        super().__init__(cause.name)
        self.cause = cause
        self.sent = sent


class NoAddress(ValueError):
    """The endpoint has no form that a socket knows."""


class _Signs:
    """What the socket's monitor has shown during one try."""

    def __init__(self, *, greeted: bool) -> None:
        self.greeted = greeted
        self.connected = self.refused = self.unresolved = self.key_refused = self.stranger = False
        self.stood_still = False
        self.closes = 0

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
            self.stood_still |= value == zmq.EAGAIN
            self.closes += value != zmq.EAGAIN
        elif event == zmq.EVENT_DISCONNECTED:
            # Without a failed handshake before it: the peer hung up on the greeting itself. After a time limit it is we
            # who hung up.
            explained = self.greeted or self.closes or self.key_refused or self.stood_still
            self.stranger = not explained
        elif event == zmq.EVENT_CLOSED:
            self.refused = True
        elif event == zmq.EVENT_CONNECT_RETRIED and not self.connected and not self.refused:
            self.unresolved = True

    def certain(self, *, away: bool) -> Cause | None:
        """Return what waiting on cannot change; with ``away``, that a master is away for the moment counts too."""
        if self.key_refused:
            return Cause.KEY_REFUSED
        if self.closes >= CLOSES_TO_BE_SURE and not self.greeted:
            return Cause.OTHER_MASTER
        if self.stranger:
            return Cause.STRANGER
        if away and self.unresolved:
            return Cause.NO_HOST
        if away and self.refused and not self.connected:
            return Cause.NOT_LISTENING
        return None


class Asker:
    """Sends requests and waits for their replies, one at a time; not for several threads.

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
        self.tries_s = tries_s
        self._server_public = server_public
        self._own = own
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._sent = False

    def close(self) -> None:
        """Give back the sockets."""
        self.hang_up()
        self._context.term()

    def hang_up(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is None:
            return
        self._socket.disable_monitor()
        self._socket.close()
        if self._monitor is not None and not self._monitor.closed:
            self._monitor.close()
        self._socket = self._monitor = None

    def ask(self, frames: list[bytes], *, wait_s: float = 0.0, patient: bool = False) -> list[bytes]:
        """Return the frames that answer ``frames``.

        The first try goes on with the connection of the last request; every other has a fresh one and repeats the
        same frames, by whose request id the master can tell. ``wait_s`` is added to each try: seconds for which the
        master itself may wait. With ``patient`` a master that is away for the moment is waited for; without, that is
        told at once.

        Raises:
            NoAnswer: after all tries, or at once where more tries could change nothing.
            NoAddress: the endpoint is no address.
        """
        signs = _Signs(greeted=False)
        greeted = self._sent = False
        for try_s in self.tries_s:
            signs = _Signs(greeted=self._socket is not None)
            # A request that may have arrived is worth all tries: the reply says what became of it.
            away_is_certain = not (patient or greeted)
            answer = self._try(frames, try_s + wait_s, signs, away_is_certain=away_is_certain)
            if answer is not None:
                return answer
            self.hang_up()
            greeted = greeted or signs.greeted
            cause = signs.certain(away=away_is_certain and not greeted)
            if cause is not None:
                raise NoAnswer(cause, sent=self._sent)
        if greeted:
            raise NoAnswer(Cause.NO_REPLY, sent=self._sent)
        raise NoAnswer(Cause.NO_GREETING if signs.connected else Cause.NOTHING, sent=self._sent)

    def _try(self, frames: list[bytes], limit_s: float, signs: _Signs, *, away_is_certain: bool) -> list[bytes] | None:
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
                if signs.certain(away=away_is_certain and not signs.greeted):
                    return None
            if socket not in ready:
                continue
            if sent:
                return socket.recv_multipart()
            socket.send_multipart(frames)
            sent = self._sent = signs.greeted = True
            poller.register(socket, zmq.POLLIN)
        return None

    def _call(self) -> tuple["zmq.Socket[bytes]", "zmq.Socket[bytes]"]:
        if self._socket is None or self._monitor is None:
            self._socket = client_socket(self._context, zmq.REQ, own=self._own, server_public=self._server_public)
            self._monitor = self._socket.get_monitor_socket()
            try:
                self._socket.connect(self.endpoint)
            except zmq.ZMQError:
                self.hang_up()
                raise NoAddress(self.endpoint) from None
        return self._socket, self._monitor

"""The worker's connection to the master: what is said leaves in few parts, what comes becomes events."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import zmq

from ffrtmp_worker.events import Event, LinkUp, MessageCame
from ffrtmpd.base import faults
from ffrtmpd.base.logs import Logger
from ffrtmpd.wire import frames
from ffrtmpd.wire.catalogue import MASTER_TO_WORKER
from ffrtmpd.wire.codec import FRAMES, Message, ProtocolError, decode_all, encode_all
from ffrtmpd.wire.curve import KeyPair, client_socket

# Messages that leave as one. Enough that the way costs each next to nothing, and few enough that the master decides on
# the first results of a long turn while the worker is at the others.
SAID_AT_ONCE: Final = 32
# BYE may take this long to leave.
FAREWELL_MS: Final = 500
# The master of a stopped network is looked for no more often; the agent takes a fresh socket on top of it.
RECONNECT_MS: Final = 250
RECONNECT_MOST_MS: Final = 2_000


class Uplink:
    """One DEALER socket at a time, in the poller of its daemon.

    Args:
        endpoint, server_public: of the master.
        own: the worker's keys.
        poller: the socket is in it from ``connect`` on.
        log: is told of what is not understood and of what could not leave.
    """

    def __init__(self, *, endpoint: str, own: KeyPair, server_public: str, poller: zmq.Poller, log: Logger) -> None:
        self._endpoint, self._own, self._server_public = endpoint, own, server_public
        self._poller = poller
        self._log = log
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._linked = False
        self._unsent: list[Message] = []

    def connect(self) -> None:
        """Take a fresh socket, in place of any there was."""
        self.send()
        if self._socket is not None:
            self._poller.unregister(self._socket)
            self._socket.close()
        self._linked = False
        self._socket = client_socket(self._context, zmq.DEALER, own=self._own, server_public=self._server_public)
        self._socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.set(zmq.RECONNECT_IVL_MAX, RECONNECT_MOST_MS)
        # A socket that connects only when there is somebody can send as soon as it has greeted.
        self._poller.register(self._socket, zmq.POLLIN | zmq.POLLOUT)
        self._socket.connect(self._endpoint)

    def hear(self, ready: Mapping[Any, int]) -> Iterator[Event]:
        """Yield what follows from what the poller found of the socket."""
        socket = self._socket
        if socket is None or socket not in ready:
            return
        if not self._linked and ready[socket] & zmq.POLLOUT:
            self._linked = True
            self._poller.register(socket, zmq.POLLIN)
            yield LinkUp()
        # One alone: all that a turn of the master says comes as one, and to look for another costs as much as to read.
        received = frames.receive(socket, FRAMES + 1)
        if received is None:
            return
        for message in decode_all(received[0], MASTER_TO_WORKER):
            if isinstance(message, ProtocolError):
                self._log.warning("message_not_understood", type=message.type_name, reason=message.message)
                continue
            faults.point("receive", message.TYPE)
            yield MessageCame(message)

    def say(self, message: Message) -> None:
        """Send a message with the next ``send``, or with its dozen."""
        self._unsent.append(message)
        if len(self._unsent) >= SAID_AT_ONCE:
            self.send()

    def send(self) -> None:
        """Send what was said and has not left yet, in as few parts as limits allow."""
        if not self._unsent:
            return
        unsent, self._unsent = self._unsent, []
        if self._socket is None:
            return
        for message in unsent:
            faults.point("send", message.TYPE)
        for part, encoded in encode_all(unsent):
            try:
                frames.send(self._socket, encoded)
            except zmq.Again:
                # What matters of it is said again.
                for message in part:
                    self._log.debug("message_dropped", type=message.TYPE)

    def close(self) -> None:
        """Let what was sent leave, and end the connection."""
        if self._socket is not None:
            self._socket.set(zmq.LINGER, FAREWELL_MS)
            self._socket.close()
        self._context.term()

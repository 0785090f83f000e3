"""The two server sockets: what arrives there becomes events."""

import errno
from typing import Any, Final, NamedTuple

import zmq

from ffrtmpd.auth import ZapDoor, plain_address
from ffrtmpd.events import Event, GarbageCame, MessageCame, Peer, Side
from ffrtmpd.wire import frames
from ffrtmpd.wire.catalogue import CLIENT_REQUESTS, WORKER_TO_MASTER
from ffrtmpd.wire.codec import FRAMES, Message, ProtocolError, decode_all, decode_one
from ffrtmpd.wire.curve import server_socket
from ffrtmpd.wire.messages.session import Hello
from ffrtmpd.wire.vocabulary import ErrorCode

# A client's envelope has one frame more than a worker's; frames beyond this are read and thrown away.
FRAMES_KEPT: Final = FRAMES + 3
# At the end, how long the last turn's replies may take to leave. Not 0: libzmq then asserts now and then when it is
# closed between two frames of a message (session_base.cpp, clean_pipes; seen with 4.3.4).
LINGER_MS: Final = 500
_HELLO: Final = [Hello.TYPE.encode()]


class PortTaken(Exception):
    """Another program listens there, or this machine has no such address; the message says which port."""


class Received(NamedTuple):
    """One message or batch as it came. ``frames`` are without the route and cut to ``FRAMES_KEPT``.

    ``address`` is the IP of a peer that greets or has no user id, else empty.
    """

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
    """Take one message or batch, None if none waits."""
    taken = frames.receive(socket, 1 + FRAMES_KEPT)
    if taken is None:
        return None
    (route, *said), last = taken
    user_id = _metadata(last, "User-Id")
    # Asked for where it is used: that takes as long as to read a frame.
    address = plain_address(_metadata(last, "Peer-Address")) if said[1:2] == _HELLO or not user_id else ""
    return Received(Peer(side, route), user_id, address, said)


def _metadata(frame: zmq.Frame, name: str) -> str:
    try:
        value = frame.get(name)
    except zmq.ZMQError:
        # libzmq has no other word for "not set".
        return ""
    return value if isinstance(value, str) else ""


def understand(received: Received) -> list[Event]:
    """Return what a worker's message or batch says, or a client's request; for each that says nothing, that."""
    peer, user_id, address, parts = received
    said = decode_all(parts, WORKER_TO_MASTER) if peer.side is Side.WORKERS else [_request(parts)]
    return [
        GarbageCame(peer, user_id, message)
        if isinstance(message, ProtocolError)
        else MessageCame(peer, user_id, message, address)
        for message in said
    ]


def _request(parts: list[bytes]) -> Message | ProtocolError:
    if not parts or parts[0]:
        return ProtocolError(ErrorCode.MALFORMED, "a request begins with an empty frame, as a REQ socket sends it")
    return decode_one(parts[1:], CLIENT_REQUESTS)

"""One request of an invitation's key to the master."""

import struct
import time
from typing import Any, Final

import zmq

from ffrtmpd.wire.codec import ProtocolError, catalogue, decode, encode
from ffrtmpd.wire.curve import Invitation, KeyPair, client_socket
from ffrtmpd.wire.messages.common import Error
from ffrtmpd.wire.messages.keys import Enrol, Enrolled

TRIES_S: Final = (2.0, 4.0, 8.0)
_MONITOR_FRAME: Final = struct.Struct("=HI")


class EnrolError(Exception):
    """There is no enrolment; the message says why."""


class Unreachable(EnrolError):
    """No master answered."""


class Refused(EnrolError):
    """The master does not take the invitation, or not any more."""


def ask_to_enrol(request: Enrol, invitation: Invitation, *, tries_s: tuple[float, ...] = TRIES_S) -> Enrolled:
    """Return the master's answer; each try has a fresh socket and repeats the same request.

    Raises:
        Refused: the master knows no such invitation, or refuses it.
        Unreachable: no answer after all tries.
    """
    one_time = KeyPair(zmq.curve_public(invitation.secret.encode()).decode(), invitation.secret)
    context: zmq.Context[Any] = zmq.Context()
    try:
        for try_s in tries_s:
            frames = _try(context, encode(request), invitation, one_time, try_s)
            if frames is not None:
                return _read(frames)
    finally:
        context.term()
    raise Unreachable(
        f"no answer from the master at {invitation.endpoint}: is it running, and does a firewall let this host in?"
    )


def _try(
    context: "zmq.Context[Any]", frames: list[bytes], invitation: Invitation, one_time: KeyPair, limit_s: float
) -> list[bytes] | None:
    socket = client_socket(context, zmq.REQ, own=one_time, server_public=invitation.server_public)
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    try:
        try:
            socket.connect(invitation.endpoint)
        except zmq.ZMQError:
            raise EnrolError(f"{invitation.endpoint} is no address: ask for a new invitation") from None
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLOUT)
        poller.register(monitor, zmq.POLLIN)
        deadline = time.monotonic() + limit_s
        while (left_s := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(int(left_s * 1000) + 1))
            if monitor in ready:
                event, _ = _MONITOR_FRAME.unpack(monitor.recv_multipart()[0])
                if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    raise Refused("the master does not take this invitation: it was used, has run out, or was revoked")
            if ready.get(socket, 0) & zmq.POLLOUT:
                socket.send_multipart(frames)
                poller.register(socket, zmq.POLLIN)
            elif socket in ready:
                return socket.recv_multipart()
        return None
    finally:
        socket.disable_monitor()
        monitor.close()
        socket.close()


def _read(frames: list[bytes]) -> Enrolled:
    try:
        reply = decode(frames, catalogue(Enrolled, Error))
    except ProtocolError as error:
        raise EnrolError(f"the master's answer is not understood: {error.message}") from None
    if isinstance(reply, Error):
        raise Refused(reply.problem.message)
    if not isinstance(reply, Enrolled):
        raise EnrolError(f"the master answered {reply.TYPE}")
    return reply

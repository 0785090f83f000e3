"""The door: libzmq asks it about every key that connects (ZAP, RFC 27), and it must be seen to be closed.

It is a plain socket in the master's own poller, so that a key revoked in a turn is out from the next turn on.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from ffrtmpd.base.logs import Logger
from ffrtmpd.events import Side
from ffrtmpd.principals import Principals
from ffrtmpd.wire.curve import client_socket, fingerprint, new_key_pair

ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
ZAP_VERSION: Final = b"1.0"
# Empty delimiter, version, request id, domain, address, routing id, mechanism, key; before them the route.
ZAP_FRAMES: Final = 9
KEY_BYTES: Final = 32
# Handshakes answered in one go, so that a crowd of newcomers cannot hold up the turn.
ANSWERS_MAX: Final = 512
# Strangers knock as often as they like; the log hears of them once a second.
REFUSALS_LOGGED_EVERY_S: Final = 1.0
PROOF_WITHIN_S: Final = 10.0


class DoorOpen(Exception):
    """A key that nobody knows was let in, or was not seen to be refused: the master must not run."""


class ZapDoor:
    """Answers who may connect. It must exist before a server socket is bound, or libzmq lets every key in.

    Args:
        context: the context of the sockets it guards.
        principals: the known keys, looked up at each request.
        log: where refused keys are noted.
        wall: Unix seconds.

    Raises:
        zmq.ZMQError: the context has a door already.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        principals: Principals,
        *,
        log: Logger,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._principals = principals
        self._log = log
        self._wall = wall
        self._refused = 0
        self._logged_at: float | None = None
        self._expected: set[str] = set()
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.set(zmq.LINGER, 0)
        try:
            self.socket.bind(ZAP_ENDPOINT)
        except zmq.ZMQError:
            self.socket.close()
            raise

    def close(self) -> None:
        """Close the socket; from then on libzmq refuses everybody."""
        self.socket.close()

    def expect(self, public: str) -> None:
        """Refuse this key without a log line: the master itself knocks with it."""
        self._expected.add(public)

    def answer(self) -> None:
        """Answer the requests that wait, ``ANSWERS_MAX`` at most."""
        for _ in range(ANSWERS_MAX):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.socket.send_multipart(self._decide(frames), zmq.NOBLOCK)

    def _decide(self, frames: list[bytes]) -> list[bytes]:
        # Only libzmq itself can reach an inproc endpoint: frames of another shape are our own bug.
        if len(frames) != ZAP_FRAMES or frames[2] != ZAP_VERSION:
            raise ValueError(f"ZAP request of {len(frames)} frames, mechanism {frames[7:8]}")
        route, delimiter, version, request_id, domain, address, _routing_id, mechanism, key = frames
        user_id = self._admit(domain, mechanism, key, address)
        if user_id is None:
            return [route, delimiter, version, request_id, b"400", b"key not known here", b"", b""]
        return [route, delimiter, version, request_id, b"200", b"OK", user_id.encode(), b""]

    def _admit(self, domain: bytes, mechanism: bytes, key: bytes, address: bytes) -> str | None:
        side = _SIDES.get(domain)
        if side is None or mechanism != b"CURVE" or len(key) != KEY_BYTES:
            return None
        public = z85.encode(key).decode("ascii")
        wall_s = self._wall()
        user_id = self._principals.admit(public, side, wall_s)
        if user_id is None and public not in self._expected:
            self._note_refusal(public, side, address, wall_s)
        return user_id

    def _note_refusal(self, public: str, side: Side, address: bytes, wall_s: float) -> None:
        self._refused += 1
        if self._logged_at is not None and 0 <= wall_s - self._logged_at < REFUSALS_LOGGED_EVERY_S:
            return
        self._log.warning(
            "key_refused",
            side=side.value,
            address=plain_address(address.decode("ascii", "replace")),
            key=fingerprint(public),
            refused=self._refused,
        )
        self._refused = 0
        self._logged_at = wall_s


def plain_address(address: str) -> str:
    """Return an IP address as people write it: sockets that take IPv6 too show IPv4 peers as ``::ffff:192.0.2.1``."""
    return address.removeprefix("::ffff:")


_SIDES: Final = {side.value.encode(): side for side in Side}


def prove_closed(
    context: zmq.Context[Any],
    door: ZapDoor,
    endpoints: Mapping[Side, str],
    *,
    server_public: str,
    within_s: float = PROOF_WITHIN_S,
) -> None:
    """Knock at every endpoint with a key that nobody knows and see it refused.

    Raises:
        DoorOpen: it was let in, or no answer came within ``within_s`` seconds.
    """
    for side, endpoint in endpoints.items():
        unknown = new_key_pair()
        door.expect(unknown.public)
        stranger = client_socket(context, zmq.DEALER, own=unknown, server_public=server_public)
        monitor = stranger.get_monitor_socket(_HANDSHAKES)
        try:
            stranger.connect(endpoint)
            event = _watch(monitor, door, within_s)
        finally:
            stranger.disable_monitor()
            monitor.close()
            stranger.close()
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            raise DoorOpen(f"a key that nobody knows was let in at the {side} port ({endpoint}): refusing to run")
        if event is None:
            raise DoorOpen(
                f"cannot prove that the {side} port ({endpoint}) is closed to unknown keys: no answer within "
                f"{within_s:g} s; is something in the way of connections from this machine to itself?"
            )


_HANDSHAKES: Final = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH


def _watch(monitor: zmq.Socket[Any], door: ZapDoor, within_s: float) -> int | None:
    """Return how the handshake ended, None if it did not."""
    poller = zmq.Poller()
    poller.register(monitor, zmq.POLLIN)
    poller.register(door.socket, zmq.POLLIN)
    deadline = time.monotonic() + within_s
    while (left_s := deadline - time.monotonic()) > 0:
        ready = dict(poller.poll(math.ceil(left_s * 1000)))
        if door.socket in ready:
            door.answer()
        if monitor in ready:
            return int(recv_monitor_message(monitor, zmq.NOBLOCK)["event"])
    return None

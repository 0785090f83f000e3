"""The door, asked as libzmq asks it, and seen to be closed."""

import io
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from zmq.utils import z85

from ffrtmpd.auth import ZAP_ENDPOINT, DoorOpen, ZapDoor, prove_closed
from ffrtmpd.base.logs import Logger
from ffrtmpd.events import Side
from ffrtmpd.principals import Principal, Principals
from ffrtmpd.wire.curve import KeyPair, new_key_pair, server_socket
from ffrtmpd.wire.vocabulary import Role

NOW = 1_000.0


class Hall:
    """A context with a door in it, and somebody to ask the door."""

    def __init__(self) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.principals = Principals()
        self.lines = io.StringIO()
        self.wall = NOW
        log = Logger(stream=self.lines, wall=lambda: 0.0)
        self.door = ZapDoor(self.context, self.principals, log=log, wall=lambda: self.wall)
        self.asker: zmq.Socket[bytes] = self.context.socket(zmq.REQ)
        self.asker.set(zmq.LINGER, 0)
        self.asker.set(zmq.RCVTIMEO, 5_000)
        self.asker.connect(ZAP_ENDPOINT)

    def enrol(self, role: Role, **more: Any) -> KeyPair:
        pair = new_key_pair()
        number = len(self.principals.everyone()) + 1
        principal = Principal(id=number, name=f"p{number}", role=role, public=pair.public, created_at=NOW, **more)
        self.principals.put(principal)
        return pair

    def ask(self, key: bytes, *, domain: str, mechanism: bytes = b"CURVE") -> tuple[bytes, bytes]:
        """Return status and user id."""
        self.asker.send_multipart([b"1.0", b"7", domain.encode(), b"::ffff:192.0.2.1", b"", mechanism, key])
        self.door.answer()
        version, request_id, status, _text, user_id, _metadata = self.asker.recv_multipart()
        assert (version, request_id) == (b"1.0", b"7")
        return status, user_id

    def close(self) -> None:
        self.asker.close()
        self.door.close()
        self.context.term()


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.close()


def raw(pair: KeyPair) -> bytes:
    return bytes(z85.decode(pair.public))


def test_known_key_gets_in_with_its_user_id(hall: Hall) -> None:
    hall.enrol(Role.VIEWER)
    admin = hall.enrol(Role.ADMIN)
    assert hall.ask(raw(admin), domain="clients") == (b"200", b"2")


@pytest.mark.parametrize(
    ("role", "side", "status"),
    [
        (Role.VIEWER, "clients", b"200"),
        (Role.OPERATOR, "clients", b"200"),
        (Role.ENROL, "clients", b"200"),
        (Role.WORKER, "workers", b"200"),
        (Role.WORKER, "clients", b"400"),
        (Role.VIEWER, "workers", b"400"),
        (Role.ADMIN, "workers", b"400"),
        (Role.ENROL, "workers", b"400"),
        (Role.ADMIN, "elsewhere", b"400"),
        (Role.ADMIN, "", b"400"),
    ],
)
def test_role_decides_the_port(hall: Hall, role: Role, side: str, status: bytes) -> None:
    assert hall.ask(raw(hall.enrol(role)), domain=side)[0] == status


def test_unknown_key_is_refused(hall: Hall) -> None:
    hall.enrol(Role.ADMIN)
    assert hall.ask(raw(new_key_pair()), domain="clients") == (b"400", b"")


@pytest.mark.parametrize("mechanism", [b"NULL", b"PLAIN", b"GSSAPI", b"curve", b""])
def test_other_mechanism_is_refused_even_with_a_known_key(hall: Hall, mechanism: bytes) -> None:
    assert hall.ask(raw(hall.enrol(Role.ADMIN)), domain="clients", mechanism=mechanism)[0] == b"400"


@pytest.mark.parametrize("length", [0, 1, 31, 33, 40])
def test_key_of_another_length_is_refused(hall: Hall, length: int) -> None:
    hall.enrol(Role.ADMIN)
    assert hall.ask(b"k" * length, domain="clients")[0] == b"400"


def test_revoked_key_is_refused(hall: Hall) -> None:
    assert hall.ask(raw(hall.enrol(Role.ADMIN, revoked_at=NOW - 1)), domain="clients")[0] == b"400"


def test_invitation_is_refused_once_its_hour_is_over(hall: Hall) -> None:
    key = raw(hall.enrol(Role.ENROL, grants=Role.WORKER, expires_at=NOW + 3_600))
    assert hall.ask(key, domain="clients")[0] == b"200"
    hall.wall = NOW + 3_600
    assert hall.ask(key, domain="clients")[0] == b"400"


def test_crowd_of_strangers_gets_one_log_line_a_second(hall: Hall) -> None:
    for _ in range(5):
        hall.ask(raw(new_key_pair()), domain="clients")
    assert hall.lines.getvalue().count("key_refused") == 1
    hall.wall += 1.0
    hall.ask(raw(new_key_pair()), domain="clients")
    lines = hall.lines.getvalue().splitlines()
    assert len(lines) == 2
    assert "refused=5" in lines[1]
    assert "side=clients address=192.0.2.1" in lines[1]


def test_closed_ports_are_proven_closed(hall: Hall) -> None:
    master = new_key_pair()
    servers = {side: server_socket(hall.context, secret=master.secret, domain=side.value) for side in Side}
    try:
        endpoints = {}
        for side, server in servers.items():
            port = server.bind_to_random_port("tcp://127.0.0.1")
            endpoints[side] = f"tcp://127.0.0.1:{port}"
        prove_closed(hall.context, hall.door, endpoints, server_public=master.public)
    finally:
        for server in servers.values():
            server.close()
    assert hall.lines.getvalue() == "", "the master's own knock alarmed the operator"


def test_port_that_asks_nobody_is_found_open(hall: Hall) -> None:
    master = new_key_pair()
    careless: zmq.Socket[bytes] = hall.context.socket(zmq.ROUTER)
    careless.set(zmq.LINGER, 0)
    # Enforcing a domain that is not set turns the question off: the mistake that the proof is there to find.
    careless.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
    careless.set(zmq.CURVE_SERVER, 1)
    careless.set(zmq.CURVE_SECRETKEY, master.secret.encode())
    try:
        port = careless.bind_to_random_port("tcp://127.0.0.1")
        with pytest.raises(DoorOpen, match="was let in at the clients port"):
            prove_closed(
                hall.context, hall.door, {Side.CLIENTS: f"tcp://127.0.0.1:{port}"}, server_public=master.public
            )
    finally:
        careless.close()


def test_port_that_never_answers_is_not_taken_for_closed(hall: Hall) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(DoorOpen, match="cannot prove"):
            prove_closed(
                hall.context, hall.door, {Side.WORKERS: endpoint}, server_public=new_key_pair().public, within_s=0.1
            )


def test_second_door_in_a_context_is_refused(hall: Hall) -> None:
    with pytest.raises(zmq.ZMQError):
        ZapDoor(hall.context, hall.principals, log=Logger(stream=hall.lines))

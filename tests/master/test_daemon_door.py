"""Who gets in, and what happens to garbage."""

import socket
from collections.abc import Iterator

import msgpack
import pytest
import zmq

from ffrtmpd.events import (
    MessageCame,
    Side,
)
from ffrtmpd.listener import FRAMES_KEPT
from ffrtmpd.principals import Principal
from ffrtmpd.wire.catalogue import CLIENT_REPLIES, MASTER_TO_WORKER
from ffrtmpd.wire.codec import MESSAGE_MAX, decode, encode
from ffrtmpd.wire.curve import client_socket, new_key_pair
from ffrtmpd.wire.messages.common import Ping, Pong
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.messages.session import Denied, Heartbeat, HeartbeatAck, Hello
from ffrtmpd.wire.vocabulary import ErrorCode, Role
from tests.master.daemon_kit import PATIENCE_MS, Master, handshake, new_master, ping, refused


@pytest.fixture
def master() -> Iterator[Master]:
    with new_master() as made:
        yield made


# ── who gets in ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_admitted_key_gets_a_reply_and_is_known_by_its_user_id(master: Master) -> None:
    master.enrol(Role.VIEWER)
    client = master.client()
    master.start()
    reply = ping(client)
    assert isinstance(reply, Pong)
    assert (reply.request_id, reply.principal) == ("r1", "operator-2")
    (event,) = (event for event in master.brain.events if isinstance(event, MessageCame))
    assert (event.user_id, event.peer.side) == ("2", Side.CLIENTS)


def test_worker_that_greets_is_known_by_its_address(master: Master) -> None:
    worker = master.worker()
    master.let_in(worker)
    worker.send_multipart(encode(Hello(versions=(1,), boot_id="b", slots=1, hardware=Hardware(hostname="h"))))
    master.wait_for(Side.WORKERS)
    master.turn()
    (event,) = (event for event in master.brain.events if isinstance(event, MessageCame))
    assert (event.user_id, event.address) == ("1", "127.0.0.1")


@pytest.mark.parametrize(
    ("role", "side"),
    [
        (None, Side.CLIENTS),
        (None, Side.WORKERS),
        (Role.WORKER, Side.CLIENTS),
        (Role.VIEWER, Side.WORKERS),
        (Role.ADMIN, Side.WORKERS),
    ],
)
def test_key_without_business_at_a_port_is_refused_at_the_handshake(
    master: Master, role: Role | None, side: Side
) -> None:
    own = new_key_pair() if role is None else master.enrol(role)
    peer = client_socket(master.context, zmq.DEALER, own=own, server_public=master.key.public)
    master.stack.callback(peer.close)
    master.start()
    endpoint = f"tcp://127.0.0.1:{master.ports[side]}"
    assert handshake(peer, lambda: peer.connect(endpoint)) == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    assert ping(master.client()).TYPE == "PONG"
    assert len(master.brain.messages()) == 1


def test_client_without_curve_gets_no_answer(master: Master) -> None:
    plain: zmq.Socket[bytes] = master.context.socket(zmq.REQ)
    plain.set(zmq.LINGER, 0)
    master.stack.callback(plain.close)
    plain.connect(f"tcp://127.0.0.1:{master.ports[Side.CLIENTS]}")
    plain.send_multipart(encode(Ping(request_id="r1")))
    master.start()
    assert ping(master.client()).TYPE == "PONG"
    assert len(master.brain.messages()) == 1
    assert not plain.poll(0)


def test_revoked_key_is_refused_on_its_next_message_though_its_connection_stays(master: Master) -> None:
    client = master.client()
    master.start()
    assert ping(client, 1).TYPE == "PONG"
    (principal,) = master.principals.everyone()
    master.principals.put(
        Principal(
            id=principal.id,
            name=principal.name,
            role=principal.role,
            public=principal.public,
            created_at=0.0,
            revoked_at=1.0,
        )
    )
    assert refused(ping(client, 2)) is ErrorCode.NOT_ALLOWED
    routes = {event.peer.route for event in master.brain.events if isinstance(event, MessageCame)}
    assert len(routes) == 1, "the client connected anew, so the test shows nothing"


def test_three_hundred_silent_connections_do_not_lock_out_a_newcomer(master: Master) -> None:
    master.start()
    for side in Side:
        for _ in range(300):
            silent = socket.create_connection(("127.0.0.1", master.ports[side]), timeout=10)
            master.stack.callback(silent.close)
    assert ping(master.client()).TYPE == "PONG"
    worker = master.worker()
    worker.send_multipart(encode(Heartbeat(sent_ms=7)))
    assert decode(worker.recv_multipart(), MASTER_TO_WORKER) == HeartbeatAck(sent_ms=7)


def test_message_without_a_user_id_is_dropped(master: Master) -> None:
    open_router: zmq.Socket[bytes] = master.context.socket(zmq.ROUTER)
    open_router.set(zmq.LINGER, 0)
    master.stack.callback(open_router.close)
    open_router.bind("inproc://open")
    anyone: zmq.Socket[bytes] = master.context.socket(zmq.DEALER)
    anyone.set(zmq.LINGER, 0)
    master.stack.callback(anyone.close)
    anyone.connect("inproc://open")
    master.stack.callback(master.listener.sockets[Side.WORKERS].close)
    master.listener.sockets[Side.WORKERS] = open_router
    anyone.send_multipart(encode(Heartbeat(sent_ms=1)))
    assert open_router.poll(PATIENCE_MS)
    assert master.daemon._collect(master.clock(), set(Side)) == []
    assert "no_user_id" in master.lines.getvalue()


# ── garbage ───────────────────────────────────────────────────────────────────────────────────────────────────────

BODY: bytes = msgpack.packb({"request_id": "r9"})


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"1", b"PING", BODY], ErrorCode.MALFORMED),
        ([b"PING"], ErrorCode.MALFORMED),
        ([b""], ErrorCode.MALFORMED),
        ([b"", b"1", b"PING"], ErrorCode.MALFORMED),
        ([b"", b"1", b"PING", BODY, b""], ErrorCode.MALFORMED),
        ([b"", b"1", b"PING", BODY] + [b"x"] * 5_000, ErrorCode.MALFORMED),
        ([b"", b"1", b"PING", b"\xc1"], ErrorCode.MALFORMED),
        ([b"", b"1", b"PING", b""], ErrorCode.MALFORMED),
        ([b"", b"1", b"PING", b"\x90"], ErrorCode.MALFORMED),
        ([b"", b"1", b"", BODY], ErrorCode.MALFORMED),
        ([b"", b"1", b"\xff", BODY], ErrorCode.MALFORMED),
        ([b"", b"1", b"PING", b"\x81\xa1a" + b"\xdb\x00\x0f\x00\x00" + b"x" * 0xF0000], ErrorCode.MALFORMED),
        ([b"", b"2", b"PING", BODY], ErrorCode.UNSUPPORTED_VERSION),
        ([b"", b"", b"PING", BODY], ErrorCode.UNSUPPORTED_VERSION),
        ([b"", b"1", b"HEARTBEAT", BODY], ErrorCode.UNKNOWN_TYPE),
        ([b"", b"1", b"STATUS", BODY], ErrorCode.INVALID_ARGUMENT),
    ],
)
def test_garbage_from_a_client_is_answered_and_stops_nothing(
    master: Master, frames: list[bytes], code: ErrorCode
) -> None:
    peer = master.connect(zmq.DEALER, master.enrol(Role.VIEWER), Side.CLIENTS)
    master.start()
    peer.send_multipart(frames)
    delimiter, *reply = peer.recv_multipart()
    assert delimiter == b""
    assert refused(decode(reply, CLIENT_REPLIES)) is code
    peer.send_multipart([b"", *encode(Ping(request_id="r1"))])
    assert decode(peer.recv_multipart()[1:], CLIENT_REPLIES).TYPE == "PONG"


def test_garbage_from_a_worker_is_denied_and_stops_nothing(master: Master) -> None:
    worker = master.worker()
    master.start()
    for frames in ([b"1", b"PING", BODY], [b""], [b"", *encode(Heartbeat(sent_ms=1))]):
        worker.send_multipart(frames)
        assert isinstance(decode(worker.recv_multipart(), MASTER_TO_WORKER), Denied)
    worker.send_multipart(encode(Heartbeat(sent_ms=7)))
    assert decode(worker.recv_multipart(), MASTER_TO_WORKER) == HeartbeatAck(sent_ms=7)


def test_frame_above_the_limit_cuts_the_connection_and_no_other(master: Master) -> None:
    hostile = master.connect(zmq.DEALER, master.enrol(Role.VIEWER), Side.CLIENTS)
    other = master.client()
    master.start()
    assert ping(other, 1).TYPE == "PONG"
    monitor = hostile.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    master.stack.callback(monitor.close)
    hostile.send_multipart([b"", b"1", b"PING", b"x" * (MESSAGE_MAX + 1)])
    assert monitor.poll(PATIENCE_MS), "the connection was kept"
    hostile.disable_monitor()
    assert ping(other, 2).TYPE == "PONG"
    assert len(master.brain.events) == 2


def test_frames_beyond_the_limit_are_not_kept(master: Master) -> None:
    from ffrtmpd.listener import receive

    peer = master.connect(zmq.DEALER, master.enrol(Role.VIEWER), Side.CLIENTS)
    master.let_in(peer)
    peer.send_multipart([b"x"] * 1_000)
    peer.send_multipart([b"y"])
    master.wait_for(Side.CLIENTS)
    received = receive(master.listener.sockets[Side.CLIENTS], Side.CLIENTS)
    assert received is not None
    assert received.frames == [b"x"] * FRAMES_KEPT
    master.wait_for(Side.CLIENTS)
    following = receive(master.listener.sockets[Side.CLIENTS], Side.CLIENTS)
    assert following is not None
    assert following.frames == [b"y"]

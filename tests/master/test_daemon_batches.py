"""What a turn says to a worker, and hears of it, in one message: real sockets, and a broker that only records."""

from collections.abc import Iterator

import msgpack
import pytest
import zmq

from ffrtmpd.base import faults
from ffrtmpd.events import (
    Action,
    GarbageCame,
    MessageCame,
    Peer,
    PeerLost,
    Send,
    Side,
    TimeCame,
)
from ffrtmpd.inbox import MESSAGES_MAX
from ffrtmpd.listener import Received
from ffrtmpd.wire.catalogue import CLIENT_REPLIES, MASTER_TO_WORKER
from ffrtmpd.wire.codec import MESSAGE_MAX, Message, ProtocolError, decode, decode_all, encode, encode_all
from ffrtmpd.wire.messages.common import Ping, Problem
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.session import (
    TOKEN_BYTES,
    Assign,
    Bye,
    Denied,
    Encode,
    Heartbeat,
    HeartbeatAck,
    Reset,
    Result,
)
from ffrtmpd.wire.vocabulary import Codec, ErrorCode, Outcome, Role
from tests.master.daemon_kit import Master, hear, new_master, refused, take_from


@pytest.fixture
def master() -> Iterator[Master]:
    with new_master() as made:
        yield made


# ── said ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def assignments(count: int, **told: str) -> list[Message]:
    encode = Encode(codec=Codec.H264, width=1280, height=720, bitrate_bps=1_000_000)
    return [
        Assign(job_id=f"job-{number:06}", attempt=1, token=b"t" * TOKEN_BYTES, encode=encode, **told)  # type: ignore[arg-type]
        for number in range(count)
    ]


def met(master: Master) -> tuple[zmq.Socket[bytes], Peer]:
    """Give a worker and where the master answers it."""
    worker = master.worker()
    master.let_in(worker)
    worker.send_multipart(encode(Bye()))
    master.wait_for(Side.WORKERS)
    master.turn()
    (came,) = (event for event in master.brain.events if isinstance(event, MessageCame))
    master.brain.events.clear()
    return worker, came.peer


def say(master: Master, *actions: Action) -> None:
    """Let a turn do so."""
    master.brain.extra = list(actions)
    master.brain.due = master.clock().mono_s
    master.turn()


def test_thousand_assignments_reach_one_worker_and_its_results_come_back_in_order(master: Master) -> None:
    worker, peer = met(master)
    assigned = assignments(1_000)
    say(master, *(Send(peer, message) for message in assigned))
    assert hear(worker, len(assigned)) == assigned
    results = [
        Result(job_id=message.job_id, attempt=1, token=message.token, outcome=Outcome.ENCODED, report=Report())
        for message in assigned
        if isinstance(message, Assign)
    ]
    for _, parts in encode_all(results):
        worker.send_multipart(parts)
    while len(master.brain.messages()) < len(results):
        master.turn()
    assert master.brain.messages() == results
    assert {event.user_id for event in master.brain.events if isinstance(event, MessageCame)} == {"1"}
    assert not any(isinstance(event, PeerLost) for event in master.brain.events)


def test_turn_says_all_to_a_worker_in_one_message_and_answers_each_client_by_itself(master: Master) -> None:
    worker, peer = met(master)
    clients = [master.client(), master.client()]
    master.let_in(*clients)
    for client in clients:
        client.send_multipart(encode(Ping(request_id="r1")))
        master.wait_for(Side.CLIENTS)
    other = Peer(Side.WORKERS, b"\0gone")
    master.brain.extra = [Send(peer, Reset()), Send(other, Reset()), Send(peer, HeartbeatAck(sent_ms=2))]
    while master.brain.extra or len(master.brain.messages()) < 2:
        master.turn()
    assert worker.recv_multipart()[:2] == [b"1", b"BATCH"]
    for client in clients:
        assert decode(client.recv_multipart(), CLIENT_REPLIES).TYPE == "PONG"
    say(master, Send(peer, HeartbeatAck(sent_ms=3)))
    assert worker.recv_multipart() == encode(HeartbeatAck(sent_ms=3))
    assert PeerLost(other) in master.brain.events
    assert PeerLost(peer) not in master.brain.events


def test_more_than_a_message_holds_goes_out_as_several(master: Master) -> None:
    worker, peer = met(master)
    assigned = assignments(500, input="/in/" + "x" * 4_000)
    say(master, *(Send(peer, message) for message in assigned))
    parts = []
    heard: list[Message | ProtocolError] = []
    while len(heard) < len(assigned):
        parts.append(worker.recv_multipart())
        heard += decode_all(parts[-1], MASTER_TO_WORKER)
    assert heard == assigned
    assert all(len(part[2]) <= MESSAGE_MAX for part in parts)
    assert len(parts) < 10


def test_message_too_large_for_a_worker_is_left_out_and_no_other(master: Master) -> None:
    worker, peer = met(master)
    huge = Denied(problem=Problem(code=ErrorCode.INTERNAL, message="x" * MESSAGE_MAX))
    say(master, Send(peer, HeartbeatAck(sent_ms=1)), Send(peer, huge), Send(peer, HeartbeatAck(sent_ms=2)))
    assert hear(worker, 2) == [HeartbeatAck(sent_ms=1), HeartbeatAck(sent_ms=2)]
    assert "event=message_too_large type=DENIED" in master.lines.getvalue()


def test_worker_that_takes_nothing_is_lost_once_and_what_was_left_for_it_is_dropped(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []

    class Full:
        def send(self, frame: bytes, _flags: int) -> None:
            sent.append(frame)
            raise zmq.Again

    peer = Peer(Side.WORKERS, b"\0full")
    sockets = {**master.listener.sockets, Side.WORKERS: Full()}
    with monkeypatch.context() as patch:
        patch.setattr(master.listener, "sockets", sockets)
        master.daemon._perform([Send(peer, message) for message in assignments(1_000)])
    assert sent == [peer.route]
    master.brain.due = master.clock().mono_s
    master.turn()
    assert master.brain.events.count(PeerLost(peer)) == 1


def test_points_of_failure_are_met_for_each_message_before_its_batch_has_left(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, peer = met(master)
    points: list[tuple[str, ...]] = []

    def point(*parts: str) -> None:
        points.append(parts)
        assert not worker.poll(20)

    monkeypatch.setattr(faults, "point", point)
    say(master, Send(peer, Reset()), Send(peer, HeartbeatAck(sent_ms=1)))
    assert points == [("send", "RESET"), ("send", "HEARTBEAT_ACK")]
    assert hear(worker, 2) == [Reset(), HeartbeatAck(sent_ms=1)]
    points.clear()
    monkeypatch.setattr(faults, "point", lambda *parts: points.append(parts))
    ((_, batch),) = encode_all([Heartbeat(sent_ms=1), Bye()])
    worker.send_multipart(batch)
    master.wait_for(Side.WORKERS)
    master.turn()
    assert points == [("receive", "HEARTBEAT"), ("receive", "BYE"), ("send", "HEARTBEAT_ACK")]


# ── heard ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_batches_are_taken_in_bounded_turns_and_each_message_in_them_counts(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = MESSAGES_MAX // 2 - 1
    (_, batch), *_ = encode_all([Bye()] * size)
    waiting = [Received(Peer(Side.WORKERS, b"w"), "1", "", batch)] * 5
    take_from(monkeypatch, {Side.WORKERS: waiting})
    master.brain.due = master.clock().mono_s
    master.turn()
    assert [type(event) for event in master.brain.events] == [MessageCame] * size * 3
    master.turn()
    assert [type(event) for event in master.brain.events[size * 3 :]] == [MessageCame] * size * 2 + [TimeCame]


def test_wrong_messages_in_a_workers_batch_are_each_denied_and_the_others_taken(master: Master) -> None:
    worker = master.worker()
    master.start()
    batch = [["HEARTBEAT", {"sent_ms": 1}], ["PING", {}], ["HEARTBEAT", {"sent_ms": -1}], ["HEARTBEAT", {"sent_ms": 2}]]
    worker.send_multipart([b"1", b"BATCH", msgpack.packb(batch)])
    first, unknown, invalid, last = hear(worker, 4)
    assert (first, last) == (HeartbeatAck(sent_ms=1), HeartbeatAck(sent_ms=2))
    assert isinstance(unknown, Denied)
    assert isinstance(invalid, Denied)
    codes = (unknown.problem.code, invalid.problem.code)
    assert codes == (ErrorCode.UNKNOWN_TYPE, ErrorCode.INVALID_ARGUMENT)
    for problem in (event.problem for event in master.brain.events if isinstance(event, GarbageCame)):
        assert problem.__traceback__ is None


def test_batch_that_is_none_is_denied_once_and_a_client_has_no_batches(master: Master) -> None:
    worker, peer = master.worker(), master.connect(zmq.DEALER, master.enrol(Role.VIEWER), Side.CLIENTS)
    master.start()
    worker.send_multipart([b"1", b"BATCH", msgpack.packb([["HEARTBEAT", {"sent_ms": 1}], ["HEARTBEAT"]])])
    (denied,) = hear(worker, 1)
    assert isinstance(denied, Denied)
    assert denied.problem.code is ErrorCode.MALFORMED
    ping_twice = [["PING", {"request_id": "r1"}], ["PING", {"request_id": "r2"}]]
    peer.send_multipart([b"", b"1", b"BATCH", msgpack.packb(ping_twice)])
    assert refused(decode(peer.recv_multipart()[1:], CLIENT_REPLIES)) is ErrorCode.MALFORMED
    assert master.brain.messages() == []

"""The turn, with real sockets and a broker that only records."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ffrtmpd import daemon
from ffrtmpd.base.figures import SEPARATOR
from ffrtmpd.daemon import PUT_OFF_S, READ_ONLY_S, STALL_S
from ffrtmpd.events import (
    Action,
    Event,
    GarbageCame,
    MessageCame,
    Note,
    Now,
    Peer,
    PeerLost,
    Send,
    Side,
    TimeCame,
)
from ffrtmpd.inbox import MESSAGES_MAX
from ffrtmpd.listener import PortTaken, Received
from ffrtmpd.metrics import MasterMetrics
from ffrtmpd.recorder import Recorder
from ffrtmpd.store import StoreReadOnly
from ffrtmpd.wire.catalogue import CLIENT_REPLIES, MASTER_TO_WORKER
from ffrtmpd.wire.codec import MESSAGE_MAX, decode, encode
from ffrtmpd.wire.messages.acts import Cancel
from ffrtmpd.wire.messages.common import Error, Ping, Problem
from ffrtmpd.wire.messages.jobs import JobSpec, Report, Submission, Submit
from ffrtmpd.wire.messages.keys import ListKeys
from ffrtmpd.wire.messages.session import TOKEN_BYTES, Bye, Committed, Heartbeat, HeartbeatAck, Result, Started
from ffrtmpd.wire.vocabulary import ErrorCode, Outcome, Role
from tests.master.daemon_kit import PATIENCE_MS, Master, ask, hear, new_master, ping, refused, take_from
from tests.master.house import House


@pytest.fixture
def master() -> Iterator[Master]:
    with new_master() as made:
        yield made


# ── the turn ──────────────────────────────────────────────────────────────────────────────────────────────────────


def request_and_beat_wait(master: Master) -> None:
    """Let a client's request wait, and a worker's beat that came after it."""
    client, worker = master.client(), master.worker()
    master.let_in(client, worker)
    client.send_multipart(encode(Ping(request_id="r1")))
    master.wait_for(Side.CLIENTS)
    worker.send_multipart(encode(Heartbeat(sent_ms=1)))
    master.wait_for(Side.WORKERS)


def test_workers_are_heard_before_clients_whoever_came_first(master: Master) -> None:
    request_and_beat_wait(master)
    master.turn()
    assert [type(message) for message in master.brain.messages()] == [Heartbeat, Ping]


@pytest.mark.parametrize("awaited", [False, True])
def test_request_has_a_turn_to_itself_while_nobody_waits_for_what_a_worker_says(master: Master, awaited: bool) -> None:
    request_and_beat_wait(master)
    master.brain.room, master.brain.awaited = True, awaited
    master.brain.due = master.clock().mono_s
    master.turn()
    first = len(master.brain.events)
    master.brain.due = master.clock().mono_s
    master.turn()
    kinds = [type(event.message) if isinstance(event, MessageCame) else type(event) for event in master.brain.events]
    # Whoever is called silent was heard before.
    if awaited:
        assert kinds == [Heartbeat, Ping, TimeCame, TimeCame]
    else:
        assert (first, kinds) == (1, [Ping, Heartbeat, TimeCame])


def test_turn_commits_once_and_only_then_sends(master: Master) -> None:
    client, worker = master.client(), master.worker()
    master.let_in(client, worker)
    client.send_multipart(encode(Ping(request_id="r1")))
    worker.send_multipart(encode(Heartbeat(sent_ms=1)))
    master.wait_for(Side.CLIENTS)
    master.wait_for(Side.WORKERS)

    def commit() -> None:
        master.brain.calls.append("commit")
        assert not client.poll(50), "a reply left before it was on disk"

    master.ledger.commit = commit  # type: ignore[method-assign]
    master.turn()
    assert master.brain.calls == ["begin", "handle", "handle", "settle", "commit"]
    assert client.poll(PATIENCE_MS)


def test_client_is_answered_before_the_worker_is_told(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bytes] = []
    monkeypatch.setattr(daemon, "send", lambda _, frames: said.append(frames[0]))
    client, worker = Peer(Side.CLIENTS, b"c"), Peer(Side.WORKERS, b"w")
    problem = Problem(code=ErrorCode.INTERNAL, message="no")
    master.brain.extra = [Send(client, Error(request_id="r1", problem=problem)), Send(worker, HeartbeatAck(sent_ms=1))]
    master.brain.due = master.clock().mono_s
    master.turn()
    assert said == [b"c", b"w"]


def test_flood_is_taken_in_bounded_turns_and_time_waits_for_the_end_of_it(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    bye = encode(Bye())
    waiting = [Received(Peer(Side.WORKERS, b"w"), "1", "", bye)] * (MESSAGES_MAX + 10)
    take_from(monkeypatch, {Side.WORKERS: waiting})
    master.brain.due = master.clock().mono_s
    master.turn()
    assert [type(event) for event in master.brain.events] == [MessageCame] * MESSAGES_MAX
    master.turn()
    assert [type(event) for event in master.brain.events[MESSAGES_MAX:]] == [MessageCame] * 10 + [TimeCame]


def test_worker_that_is_about_to_be_called_silent_is_listened_to_once_more(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = master.worker()
    master.let_in(worker)
    worker.send_multipart(encode(Heartbeat(sent_ms=1)))
    master.wait_for(Side.WORKERS)
    # It came just after the look at the sockets.
    monkeypatch.setattr(master.daemon, "_wait", lambda _: {})
    master.brain.due = master.clock().mono_s
    master.turn()
    assert [type(event) for event in master.brain.events] == [MessageCame, TimeCame]


def test_large_messages_are_taken_few_at_a_time(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"x" * MESSAGE_MAX
    waiting = [Received(Peer(Side.CLIENTS, b"c"), "1", "", [b"", b"1", b"PING", body])] * 20
    take_from(monkeypatch, {Side.CLIENTS: waiting})
    master.brain.due = master.clock().mono_s
    master.turn()
    assert [type(event) for event in master.brain.events] == [GarbageCame] * 8 + [TimeCame]
    for event in master.brain.events:
        # Its frames would hold the turn, which holds it, until the collector comes.
        assert not isinstance(event, GarbageCame) or event.problem.__traceback__ is None


def flooded(monkeypatch: pytest.MonkeyPatch, count: int, jobs: int) -> None:
    """Let so many submits of so many jobs wait, and behind them a word of a worker."""
    spec = JobSpec(scenario="720p30-h264")
    submission = tuple(Submission(key=f"key-{number:05}", spec=spec) for number in range(jobs))
    submit = [b"", *encode(Submit(request_id="s", jobs=submission))]
    clients = [Received(Peer(Side.CLIENTS, b"c"), "1", "", submit)] * count
    workers = [Received(Peer(Side.WORKERS, b"w"), "2", "", encode(Heartbeat(sent_ms=1)))]
    waiting = {Side.CLIENTS: clients, Side.WORKERS: workers}
    take_from(monkeypatch, waiting)


@pytest.mark.parametrize(("jobs", "taken"), [(1_000, 1), (MESSAGES_MAX // 2 - 8, 3), (1, MESSAGES_MAX)])
def test_submits_of_many_jobs_are_taken_few_at_a_time_behind_the_workers(
    master: Master, monkeypatch: pytest.MonkeyPatch, jobs: int, taken: int
) -> None:
    flooded(monkeypatch, MESSAGES_MAX + 20, jobs)
    master.brain.due = master.clock().mono_s
    master.turn()
    kinds = [type(event.message) for event in master.brain.events if isinstance(event, MessageCame)]
    assert kinds == [Heartbeat] + [Submit] * taken


def begun(job: str) -> Received:
    started = Started(job_id=job, attempt=1, token=b"t" * TOKEN_BYTES, encoder="libx264")
    return Received(Peer(Side.WORKERS, b"w"), "2", "", encode(started))


def arriving(monkeypatch: pytest.MonkeyPatch, *workers: Received) -> dict[Side, list[Received]]:
    """Let these words of workers wait, and return what waits at each side, to add to it."""
    waiting: dict[Side, list[Received]] = {Side.WORKERS: list(workers), Side.CLIENTS: []}
    take_from(monkeypatch, waiting)
    return waiting


def test_turn_of_a_word_that_an_encoder_has_begun_waits_a_moment_for_company(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = arriving(monkeypatch, begun("job-1"))
    for _ in range(2):
        master.bell.wake()
        master.turn()
    # It is decided, and as far on its way to the disk as it may be.
    assert master.brain.calls == ["begin", "handle", "rest", "rest"]
    beat = Received(Peer(Side.WORKERS, b"w"), "2", "", encode(Heartbeat(sent_ms=1)))
    waiting[Side.WORKERS] += [begun("job-2"), beat]
    master.bell.wake()
    master.turn()
    assert [type(message) for message in master.brain.messages()] == [Started, Started, Heartbeat]
    assert master.brain.calls[4:] == ["handle", "handle", "settle", "commit"]


def test_word_that_an_encoder_has_begun_is_committed_alone_when_nothing_else_comes(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    arriving(monkeypatch, begun("job-1"))
    master.brain.due = master.clock().mono_s + 60.0
    before = master.clock()
    master.bell.wake()
    master.turn()
    assert "commit" not in master.brain.calls
    # Nothing arrives: the turn ends when the moment is over, and not before.
    master.turn()
    assert master.brain.calls == ["begin", "handle", "rest", "settle", "commit"]
    assert master.clock().mono_s >= before.mono_s + PUT_OFF_S


def ended(job: str) -> list[Received]:
    """Return what a worker says when a job has ended and when its output is published."""
    about: dict[str, Any] = {"job_id": job, "attempt": 1, "token": b"t" * TOKEN_BYTES}
    result = Result(**about, outcome=Outcome.ENCODED, report=Report(encoder="libx264", exit_code=0))
    words = (result, Committed(**about, output="/out/1.mp4"))
    return [Received(Peer(Side.WORKERS, b"w"), "2", "", encode(word)) for word in words]


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("word", [0, 1])
def test_turn_of_the_end_of_a_job_waits_a_moment_for_company_unless_somebody_waits_for_it(
    master: Master, monkeypatch: pytest.MonkeyPatch, word: int, awaited: bool
) -> None:
    arriving(monkeypatch, begun("job-2"), ended("job-1")[word])
    master.brain.awaited = awaited
    master.bell.wake()
    master.turn()
    assert len(master.brain.messages()) == 2
    assert master.brain.calls[-1] == ("commit" if awaited else "rest")


def test_submit_shares_the_turn_of_the_end_of_a_job_and_nothing_is_said_before_both_are_on_disk(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(daemon, "send", lambda _, frames: said.append(frames))
    waiting = arriving(monkeypatch, ended("job-1")[0])
    handle = master.brain.handle

    def answer(event: Event, now: Now) -> list[Action]:
        return [*handle(event, now), Send(Peer(Side.WORKERS, b"w"), HeartbeatAck(sent_ms=1))]

    master.brain.handle = answer  # type: ignore[method-assign]
    master.bell.wake()
    master.turn()
    assert said == []
    submit = encode(Submit(request_id="r", jobs=(Submission(key="key-00001", spec=JobSpec(scenario="720p30-h264")),)))
    waiting[Side.CLIENTS].append(Received(Peer(Side.CLIENTS, b"c"), "1", "", [b"", *submit]))
    master.bell.wake()
    master.turn()
    assert [type(message) for message in master.brain.messages()] == [Result, Submit]
    assert master.brain.calls == ["begin", "handle", "rest", "handle", "settle", "commit"]
    assert len(said) == 2


@pytest.mark.parametrize("fails_at", ["rest", "commit"])
def test_turn_that_waited_and_is_not_taken_by_the_disk_is_served_whole(
    master: Master, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    arriving(monkeypatch, *ended("job-1"))
    master.brain.rest_fails = fails_at == "rest"
    master.bell.wake()
    master.turn()
    if fails_at == "commit":
        master.ledger.full = True
        master.turn()
    calls = master.brain.calls
    assert calls[calls.index("rollback") :].count("serve") == 2
    assert calls.count("handle") == 2


def test_turn_that_waits_is_published_when_it_is_on_disk(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    metrics = MasterMetrics(version="1", sqlite="3")
    master.daemon._recorder = recorder = Recorder(house.broker, metrics)
    recorder.opened(master.clock())
    before = metrics.snapshot
    arriving(monkeypatch, ended("job-1")[0])
    master.skew_s += 60.0
    master.bell.wake()
    master.turn()
    assert metrics.snapshot is before
    master.turn()
    assert metrics.snapshot is not None
    assert metrics.snapshot is not before
    assert metrics.snapshot.own[SEPARATOR.join(("messages", "workers", "RESULT"))] == 1


def test_time_goes_on_while_clients_flood_the_master(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    flooded(monkeypatch, MESSAGES_MAX + 20, 1)
    master.brain.due = master.clock().mono_s
    master.turn()
    assert master.brain.events[-1] == TimeCame()


def test_flood_over_a_real_connection_arrives_whole_and_in_order(master: Master) -> None:
    worker = master.worker()
    master.let_in(worker)
    for number in range(MESSAGES_MAX + 10):
        worker.send_multipart(encode(Heartbeat(sent_ms=number)))
    master.start()
    assert hear(worker, MESSAGES_MAX + 10) == [HeartbeatAck(sent_ms=number) for number in range(MESSAGES_MAX + 10)]


def test_due_time_is_told_when_nothing_arrives(master: Master) -> None:
    master.brain.due = master.clock().mono_s + 0.01
    master.turn()
    assert master.brain.events == [TimeCame()]


def test_after_standing_still_the_master_hears_its_peers_before_it_looks_at_the_clock(master: Master) -> None:
    worker = master.worker()
    master.let_in(worker)
    master.brain.due = master.clock().mono_s + 60.0
    worker.send_multipart(encode(Heartbeat(sent_ms=1)))
    master.wait_for(Side.WORKERS)
    before = master.clock()
    master.skew_s += 3_600.0
    master.daemon._turn(before)
    assert [type(event) for event in master.brain.events] == [MessageCame]
    master.skew_s += STALL_S
    master.turn()
    assert master.brain.events[-1] == TimeCame()


def test_send_to_nobody_is_told_in_the_next_turn_at_once(master: Master) -> None:
    gone = Peer(Side.WORKERS, b"\0gone")
    master.brain.extra = [Send(gone, HeartbeatAck(sent_ms=1)), Send(gone, HeartbeatAck(sent_ms=2))]
    master.brain.due = master.clock().mono_s
    master.turn()
    master.turn()
    assert master.brain.events == [TimeCame(), PeerLost(gone)]


def test_worker_that_left_is_told_as_lost(master: Master) -> None:
    worker = master.worker()
    master.let_in(worker)
    worker.send_multipart(encode(Bye()))
    master.wait_for(Side.WORKERS)
    master.turn()
    (bye,) = (event for event in master.brain.events if isinstance(event, MessageCame))
    worker.close()
    deadline = time.monotonic() + 60
    # libzmq notices a closed connection in its own time; until then a send goes nowhere without a word.
    while PeerLost(bye.peer) not in master.brain.events and time.monotonic() < deadline:
        master.brain.extra = [Send(bye.peer, HeartbeatAck(sent_ms=1))]
        master.brain.due = master.clock().mono_s
        master.turn()
    assert PeerLost(bye.peer) in master.brain.events


def test_note_becomes_a_log_line(master: Master) -> None:
    master.brain.extra = [Note("warning", "node_offline", {"node": "n1"})]
    master.brain.due = master.clock().mono_s
    master.turn()
    assert "level=warning event=node_offline node=n1" in master.lines.getvalue()


def test_reply_larger_than_a_message_becomes_an_error(master: Master) -> None:
    client = master.client()
    master.start()
    reply = ask(client, ListKeys(request_id="r1"))
    assert refused(reply) is ErrorCode.INTERNAL
    assert isinstance(reply, Error)
    assert reply.request_id == "r1"
    assert ping(client).TYPE == "PONG"


def test_fault_of_the_broker_ends_the_run(master: Master) -> None:
    def fail(event: Event, now: Now) -> list[Action]:
        raise KeyError("ours")

    master.brain.handle = fail  # type: ignore[method-assign]
    master.brain.due = master.clock().mono_s
    with pytest.raises(KeyError, match="ours"):
        master.daemon.run()


def test_bell_rung_before_the_first_turn_ends_the_run(master: Master) -> None:
    master.bell.stop()
    master.bell.stop()
    master.daemon.run()
    assert master.brain.calls == ["begin", "open", "commit"]


def test_figures_can_be_read_before_the_first_turn(master: Master) -> None:
    metrics = MasterMetrics(version="1", sqlite="3")
    master.daemon._recorder = Recorder(House().broker, metrics)
    master.bell.stop()
    master.daemon.run()
    assert metrics.snapshot is not None


# ── a disk that takes no writes ───────────────────────────────────────────────────────────────────────────────────


def test_failed_commit_drops_the_replies_refuses_writes_and_goes_on_reading(master: Master) -> None:
    writer, reader, worker = master.client(), master.client(Role.VIEWER), master.worker()
    # The first commit is that of the start.
    takes = iter([True, False])

    def commit() -> None:
        if not next(takes, True):
            raise StoreReadOnly("disk full")

    master.ledger.commit = commit  # type: ignore[method-assign]
    master.let_in(writer, reader, worker)
    writer.send_multipart(encode(Cancel(request_id="w1", job="1")))
    reader.send_multipart(encode(Ping(request_id="r1")))
    worker.send_multipart(encode(Heartbeat(sent_ms=5)))
    worker.send_multipart(encode(Bye()))
    master.start()
    reply = decode(writer.recv_multipart(), CLIENT_REPLIES)
    assert isinstance(reply, Error)
    assert (reply.request_id, reply.problem.code, reply.problem.retryable) == ("w1", ErrorCode.READ_ONLY, True)
    assert decode(reader.recv_multipart(), CLIENT_REPLIES).TYPE == "PONG"
    assert decode(worker.recv_multipart(), MASTER_TO_WORKER) == HeartbeatAck(sent_ms=5)
    assert not writer.poll(0)
    calls = master.brain.calls
    assert calls.index("rollback") < calls.index("reload")
    assert calls.count("reload") == 1


def test_while_read_only_no_write_is_tried_until_the_pause_is_over(master: Master) -> None:
    client = master.client()
    master.let_in(client)
    master.ledger.full = True
    master.brain.due = master.clock().mono_s
    master.turn()
    assert master.brain.calls[-1] == "reload"
    master.brain.calls.clear()
    master.ledger.full = False
    client.send_multipart(encode(Cancel(request_id="w1", job="1")))
    master.wait_for(Side.CLIENTS)
    master.turn()
    assert refused(decode(client.recv_multipart(), CLIENT_REPLIES)) is ErrorCode.READ_ONLY
    assert master.brain.calls == ["begin", "serve", "commit"]
    master.brain.calls.clear()
    master.skew_s += READ_ONLY_S
    client.send_multipart(encode(Cancel(request_id="w2", job="1")))
    master.wait_for(Side.CLIENTS)
    master.turn()
    assert decode(client.recv_multipart(), CLIENT_REPLIES).TYPE == "PONG"
    assert master.brain.calls == ["begin", "handle", "settle", "commit"]


def test_while_read_only_time_is_told_when_it_is_due(master: Master) -> None:
    master.ledger.full = True
    master.brain.due = master.clock().mono_s
    master.turn()
    master.brain.calls.clear()
    master.ledger.full = False
    master.brain.due = master.clock().mono_s + 0.01
    master.turn()
    assert master.brain.calls == ["begin", "serve", "commit"]


def test_write_hidden_in_a_read_is_undone_while_read_only(master: Master) -> None:
    client = master.client()
    master.let_in(client)
    master.brain.fails = lambda _: True
    client.send_multipart(encode(Ping(request_id="r1")))
    master.wait_for(Side.CLIENTS)
    master.turn()
    assert master.brain.calls == ["begin", "handle", "rollback", "reload", "begin", "serve", "rollback", "reload"]
    master.brain.fails = lambda _: False
    assert not client.poll(0)


# ── ports ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_port_in_use_is_named(master: Master) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} on 127.0.0.1 is in use.*listen.workers_port"):
            master.listener.bind(Side.WORKERS, f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-interface"])
def test_address_of_another_machine_is_named(master: Master, host: str) -> None:
    with pytest.raises(PortTaken, match=f"{host}.*listen.address"):
        master.listener.bind(Side.CLIENTS, f"tcp://{host}:0")

"""Whose turn it is: what is taken of what waits at two sockets."""

import io
from collections.abc import Iterator

import pytest

from ffrtmpd.base.logs import Logger
from ffrtmpd.events import MessageCame, Peer, Side
from ffrtmpd.inbox import FEW, Inbox
from ffrtmpd.listener import Received
from ffrtmpd.wire.codec import encode
from ffrtmpd.wire.messages.common import Ping
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from ffrtmpd.wire.messages.session import Heartbeat
from tests.master.daemon_kit import new_master, take_from

Waiting = dict[Side, list[Received]]


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    """What waits at each side, to add to."""
    there: Waiting = {Side.WORKERS: [], Side.CLIENTS: []}
    take_from(monkeypatch, there)
    return there


@pytest.fixture
def box() -> Iterator[Inbox]:
    with new_master() as master:
        yield Inbox(master.listener, Logger(stream=io.StringIO()))


def beats(count: int) -> list[Received]:
    beat = encode(Heartbeat(sent_ms=1))
    return [Received(Peer(Side.WORKERS, b"w"), "2", "", beat)] * count


def requests(count: int) -> list[Received]:
    ping = encode(Ping(request_id="r1"))
    return [Received(Peer(Side.CLIENTS, b"c"), "1", "", [b"", *ping])] * count


def take(box: Inbox, *, clients_first: bool) -> str:
    """Return a letter for each message taken: w from a worker, c from a client."""
    events = box.take(set(Side), clients_first=clients_first)
    return "".join(event.peer.side[0] for event in events if isinstance(event, MessageCame))


def heard(box: Inbox) -> tuple[bool, bool]:
    return box.workers_heard, box.all_heard


def test_few_requests_go_before_workers_once(waiting: Waiting, box: Inbox) -> None:
    waiting[Side.WORKERS] += beats(20)
    waiting[Side.CLIENTS] += requests(FEW)
    assert take(box, clients_first=True) == "c" * FEW
    assert heard(box) == (False, False)
    waiting[Side.CLIENTS] += requests(2)
    assert take(box, clients_first=True) == "w" * 20 + "cc"
    assert heard(box) == (True, True)
    waiting[Side.WORKERS] += beats(1)
    waiting[Side.CLIENTS] += requests(1)
    assert take(box, clients_first=True) == "c"


def test_side_that_does_not_wait_is_not_asked(waiting: Waiting, box: Inbox) -> None:
    waiting[Side.WORKERS] += beats(1)
    waiting[Side.CLIENTS] += requests(1)
    (event,) = box.take({Side.CLIENTS}, clients_first=False)
    assert isinstance(event, MessageCame)
    assert event.peer.side is Side.CLIENTS
    assert heard(box) == (True, True)


def test_more_requests_share_a_turn_with_workers(waiting: Waiting, box: Inbox) -> None:
    waiting[Side.WORKERS] += beats(2)
    waiting[Side.CLIENTS] += requests(FEW + 1)
    assert take(box, clients_first=True) == "ww" + "c" * (FEW + 1)
    assert heard(box) == (True, True)


def test_request_of_many_jobs_shares_a_turn_with_workers(waiting: Waiting, box: Inbox) -> None:
    jobs = tuple(Submission(key=f"key-{number:05}", spec=JobSpec(scenario="720p30-h264")) for number in range(FEW + 1))
    waiting[Side.WORKERS] += beats(2)
    submit = [b"", *encode(Submit(request_id="r1", jobs=jobs))]
    waiting[Side.CLIENTS].append(Received(Peer(Side.CLIENTS, b"c"), "1", "", submit))
    assert take(box, clients_first=True) == "wwc"


def test_workers_are_first_where_somebody_waits_for_them(waiting: Waiting, box: Inbox) -> None:
    waiting[Side.WORKERS] += beats(2)
    waiting[Side.CLIENTS] += requests(1)
    assert take(box, clients_first=False) == "wwc"
    waiting[Side.WORKERS] += beats(2)
    assert take(box, clients_first=True) == "ww"
    assert heard(box) == (True, True)

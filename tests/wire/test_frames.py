"""Messages of several frames through real sockets."""

from collections.abc import Iterator

import pytest
import zmq

from ffrtmpd.wire.frames import receive, send

PATIENCE_MS = 60_000
Ends = tuple[zmq.Socket[bytes], zmq.Socket[bytes]]


@pytest.fixture
def ends() -> Iterator[Ends]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    try:
        router.set(zmq.ROUTER_MANDATORY, 1)
        dealer.set(zmq.ROUTING_ID, b"dealer")
        router.bind("inproc://frames")
        dealer.connect("inproc://frames")
        yield router, dealer
    finally:
        context.destroy(linger=0)


def test_messages_arrive_whole_and_in_order(ends: Ends) -> None:
    router, dealer = ends
    send(dealer, [b"a", b"", b"c"])
    send(dealer, [b"d"])
    assert router.poll(PATIENCE_MS)
    first, second = receive(router, 9), receive(router, 9)
    assert first is not None
    assert first[0] == [b"dealer", b"a", b"", b"c"]
    assert second is not None
    assert second[0] == [b"dealer", b"d"]
    assert second[1].bytes == b"d"


def test_nothing_is_received_when_nothing_waits(ends: Ends) -> None:
    assert receive(ends[0], 9) is None


def test_frames_beyond_the_most_are_dropped_and_the_next_message_begins_behind_them(ends: Ends) -> None:
    router, dealer = ends
    send(dealer, [b"x"] * 1_000)
    send(dealer, [b"y"])
    assert router.poll(PATIENCE_MS)
    taken = receive(router, 3)
    assert taken is not None
    assert taken[0] == [b"dealer", b"x", b"x"]
    following = receive(router, 3)
    assert following is not None
    assert following[0] == [b"dealer", b"y"]


def test_message_to_nobody_is_refused_and_leaves_nothing_behind(ends: Ends) -> None:
    router, dealer = ends
    with pytest.raises(zmq.ZMQError) as raised:
        send(router, [b"gone", b"a", b"b"])
    assert raised.value.errno == zmq.EHOSTUNREACH
    send(dealer, [b"hello"])
    assert router.poll(PATIENCE_MS)
    assert receive(router, 9) is not None
    send(router, [b"dealer", b"c"])
    assert dealer.poll(PATIENCE_MS)
    heard = receive(dealer, 9)
    assert heard is not None
    assert heard[0] == [b"c"]

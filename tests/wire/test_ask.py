"""A question to the master: repeated until it is answered, and why it was not."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from ffrtmpd.wire import ask, curve
from ffrtmpd.wire.ask import Asker, Cause, NoAddress, NoAnswer
from ffrtmpd.wire.catalogue import CLIENT_REPLIES
from ffrtmpd.wire.codec import decode, encode
from ffrtmpd.wire.curve import KeyPair, new_key_pair
from ffrtmpd.wire.messages.common import Ping, Pong, Reply, Request
from tests.tui.masters import ScriptedMaster
from tests.tui.samples import pong

# Longer than any answer takes here, and all that a lost one costs.
SHORT = (1.5, 1.5, 1.5)
# One try, of which what is told at once needs next to nothing, however busy the machine is.
LONG = (60.0,)
PING = encode(Ping(request_id="the-same-id"))


@pytest.fixture
def askers() -> Iterator[list[Asker]]:
    """Those in it are closed at the end."""
    made: list[Asker] = []
    yield made
    for asker in made:
        asker.close()


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that nobody listens on, kept from others."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def asker_of(
    askers: list[Asker],
    endpoint: str,
    *,
    server: str | None = None,
    own: KeyPair | None = None,
    tries_s: tuple[float, ...] = (2.0, 4.0, 8.0),
) -> Asker:
    asker = Asker(endpoint, server or new_key_pair().public, own or new_key_pair(), tries_s=tries_s)
    askers.append(asker)
    return asker


def silence(asker: Asker, **how: Any) -> tuple[Cause, bool]:
    """Return why no answer comes, and whether the request was sent."""
    with pytest.raises(NoAnswer) as raised:
        asker.ask(PING, **how)
    return raised.value.cause, raised.value.sent


def test_connection_is_used_again_for_the_next_question(askers: list[Asker]) -> None:
    with ScriptedMaster(pong) as master:
        asker = asker_of(askers, master.endpoint, server=master.key.public, own=master.own)
        for _ in range(2):
            assert isinstance(decode(asker.ask(PING), CLIENT_REPLIES), Pong)
    assert len({route for route, _ in master.heard}) == 1


def test_lost_replies_are_asked_for_again_on_a_fresh_socket_with_the_same_id(askers: list[Asker]) -> None:
    def third_time(request: Request) -> Reply | None:
        return pong(request) if len(master.heard) == 3 else None

    with ScriptedMaster(third_time) as master:
        asker_of(askers, master.endpoint, server=master.key.public, own=master.own, tries_s=SHORT).ask(PING)
    assert [request.request_id for _, request in master.heard] == ["the-same-id"] * 3
    assert len({route for route, _ in master.heard}) == 3


def test_request_that_was_sent_and_not_answered_is_known_to_have_been_sent(askers: list[Asker]) -> None:
    with ScriptedMaster(lambda _: None) as master:
        asker = asker_of(askers, master.endpoint, server=master.key.public, own=master.own, tries_s=(1.0, 1.0))
        assert silence(asker) == (Cause.NO_REPLY, True)
    assert len(master.heard) == 2


def test_long_poll_waits_longer_than_a_try(askers: list[Asker]) -> None:
    begun = time.monotonic()
    with ScriptedMaster(lambda _: None) as master:
        silence(
            asker_of(askers, master.endpoint, server=master.key.public, own=master.own, tries_s=(0.05,)), wait_s=0.3
        )
    assert time.monotonic() - begun >= 0.35


def test_nobody_listening_is_told_at_once_and_nothing_was_sent(askers: list[Asker], dead_port: int) -> None:
    begun = time.monotonic()
    assert silence(asker_of(askers, f"tcp://127.0.0.1:{dead_port}", tries_s=LONG)) == (Cause.NOT_LISTENING, False)
    assert time.monotonic() - begun < LONG[0] / 2


def test_patient_question_waits_for_a_master_that_comes_back(
    askers: list[Asker], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedMaster(pong) as gone:
        pass
    back = ScriptedMaster(pong, port=int(gone.endpoint.rpartition(":")[2]), key=gone.key)
    asker = asker_of(askers, gone.endpoint, server=gone.key.public, own=back.own, tries_s=(0.2, 5.0))
    first_try = asker._try

    def start_after_it(*args: Any, **kwargs: Any) -> list[bytes] | None:
        answer = first_try(*args, **kwargs)
        monkeypatch.undo()
        back.begin()
        return answer

    monkeypatch.setattr(asker, "_try", start_after_it)
    try:
        assert isinstance(decode(asker.ask(PING, patient=True), CLIENT_REPLIES), Pong)
    finally:
        back.end()


def test_patient_question_gives_up_after_all_tries(askers: list[Asker], dead_port: int) -> None:
    asker = asker_of(askers, f"tcp://127.0.0.1:{dead_port}", tries_s=(0.1, 0.2))
    assert silence(asker, patient=True) == (Cause.NOTHING, False)


def test_unknown_key_is_told_at_once(askers: list[Asker]) -> None:
    begun = time.monotonic()
    with ScriptedMaster(pong) as master:
        asker = asker_of(askers, master.endpoint, server=master.key.public, tries_s=LONG)
        assert silence(asker) == (Cause.KEY_REFUSED, False)
    assert time.monotonic() - begun < LONG[0] / 2
    assert not master.heard


def test_key_revoked_during_a_session_is_told_by_the_next_try(askers: list[Asker]) -> None:
    def once(request: Request) -> Reply | None:
        if len(master.heard) > 1:
            return None
        master.known.clear()
        return pong(request)

    with ScriptedMaster(once) as master:
        asker = asker_of(askers, master.endpoint, server=master.key.public, own=master.own, tries_s=SHORT)
        asker.ask(PING)
        assert silence(asker) == (Cause.KEY_REFUSED, True)


def test_wrong_server_key_is_told_at_once(askers: list[Asker]) -> None:
    begun = time.monotonic()
    with ScriptedMaster(pong) as master:
        asker = asker_of(askers, master.endpoint, own=master.own, tries_s=LONG)
        assert silence(asker) == (Cause.OTHER_MASTER, False)
    assert time.monotonic() - begun < LONG[0] / 2


def test_host_without_an_address_is_told_at_once(askers: list[Asker]) -> None:
    assert silence(asker_of(askers, "tcp://nobody.invalid:5571")) == (Cause.NO_HOST, False)


def test_something_that_takes_connections_and_says_nothing_is_no_greeting(askers: list[Asker]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        asker = asker_of(askers, f"tcp://127.0.0.1:{mute.getsockname()[1]}", tries_s=(0.3,))
        assert silence(asker) == (Cause.NO_GREETING, False)


@pytest.mark.parametrize("patient", [False, True])
def test_peer_that_stands_still_for_longer_than_a_handshake_may_take_is_no_stranger(
    askers: list[Asker], monkeypatch: pytest.MonkeyPatch, patient: bool
) -> None:
    monkeypatch.setattr(curve, "HANDSHAKE_MS", 100)
    seen: list[tuple[int, int]] = []
    note = ask._Signs.note

    def kept(signs: ask._Signs, event: int, value: int) -> None:
        seen.append((event, value))
        note(signs, event, value)

    monkeypatch.setattr(ask._Signs, "note", kept)
    # As of a stopped program: the system takes connections for it.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        asker = asker_of(askers, f"tcp://127.0.0.1:{mute.getsockname()[1]}", tries_s=(1.0, 1.0))
        assert silence(asker, patient=patient) == (Cause.NO_GREETING, False)
    assert (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EAGAIN) in seen
    assert zmq.EVENT_DISCONNECTED in [event for event, _ in seen]


def test_peer_that_hangs_up_without_a_failed_handshake_is_a_stranger() -> None:
    signs = ask._Signs(greeted=False)
    signs.note(zmq.EVENT_CONNECTED, 11)
    signs.note(zmq.EVENT_DISCONNECTED, 11)
    assert signs.certain(away=False) is Cause.STRANGER


def test_address_of_no_known_form_is_no_address(askers: list[Asker]) -> None:
    with pytest.raises(NoAddress):
        asker_of(askers, "tcp://host:port").ask(PING)

"""The link against a real ROUTER with CURVE and a ZAP door."""

import socket
from collections.abc import Iterator

import pytest

from ffrtmp_tui.failures import Exit, Failure, exit_for
from ffrtmp_tui.link import KeyRefused, Link, Refused, Unreachable, new_id
from ffrtmpd.wire.curve import new_key_pair
from ffrtmpd.wire.messages.common import Ping, Pong, Reply, Request
from ffrtmpd.wire.messages.inquiries import ListScenarios, ScenarioList
from ffrtmpd.wire.vocabulary import ErrorCode
from tests.tui.masters import ScriptedMaster
from tests.tui.samples import error, pong


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that nobody listens on, kept from others."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_question_answered_returns_the_reply_and_the_socket_is_used_again() -> None:
    with ScriptedMaster(pong) as master, Link(master.endpoint, master.key.public, master.own) as link:
        first, second = Ping(request_id=new_id()), Ping(request_id=new_id())
        assert link.ask(first, Pong).version == "1.2"
        assert link.ask(second, Pong).request_id == second.request_id
    assert len({route for route, _ in master.heard}) == 1


def test_master_that_never_answers_is_unreachable_after_every_try() -> None:
    with (
        ScriptedMaster(lambda _: None) as master,
        Link(master.endpoint, master.key.public, master.own, tries_s=(0.1, 0.2)) as link,
        pytest.raises(Unreachable, match="does not answer \\(2 tries") as raised,
    ):
        link.ask(Ping(request_id=new_id()), Pong)
    assert raised.value.exit_code == Exit.UNREACHABLE
    assert raised.value.sent


def test_nobody_listening_is_told(dead_port: int) -> None:
    with (
        Link(f"tcp://127.0.0.1:{dead_port}", new_key_pair().public, new_key_pair()) as link,
        pytest.raises(Unreachable, match=f"{dead_port}: connection refused") as raised,
    ):
        link.ask(Ping(request_id=new_id()), Pong)
    assert raised.value.hint
    assert not raised.value.sent


def test_unknown_key_is_told() -> None:
    with (
        ScriptedMaster(pong) as master,
        Link(master.endpoint, master.key.public, new_key_pair()) as link,
        pytest.raises(KeyRefused, match="does not know this key") as raised,
    ):
        link.ask(Ping(request_id=new_id()), Pong)
    assert raised.value.exit_code == Exit.NOT_ALLOWED


def test_wrong_server_key_is_told() -> None:
    with (
        ScriptedMaster(pong) as master,
        Link(master.endpoint, new_key_pair().public, master.own) as link,
        pytest.raises(Unreachable, match="is not the master that this context knows"),
    ):
        link.ask(Ping(request_id=new_id()), Pong)


def test_host_without_an_address_is_told() -> None:
    with (
        Link("tcp://nobody.invalid:5571", new_key_pair().public, new_key_pair()) as link,
        pytest.raises(Unreachable, match="cannot find the host"),
    ):
        link.ask(Ping(request_id=new_id()), Pong)


def test_address_of_no_known_form_is_a_usage_error() -> None:
    with (
        Link("tcp://host:port", new_key_pair().public, new_key_pair()) as link,
        pytest.raises(Failure, match="no address of a master") as raised,
    ):
        link.ask(Ping(request_id=new_id()), Pong)
    assert raised.value.exit_code == Exit.USAGE


def test_error_is_raised_with_what_the_master_said() -> None:
    def refuse(request: Request) -> Reply:
        return error(request, ErrorCode.CONFLICT, "it is done", "leave it")

    with (
        ScriptedMaster(refuse) as master,
        Link(master.endpoint, master.key.public, master.own) as link,
        pytest.raises(Refused, match="it is done") as raised,
    ):
        link.ask(Ping(request_id=new_id()), Pong)
    assert raised.value.as_plain() == {
        "code": "conflict",
        "message": "it is done",
        "hint": "leave it",
        "retryable": False,
    }
    assert raised.value.exit_code == Exit.CONFLICT


def test_reply_of_another_kind_or_for_another_request_is_a_fault() -> None:
    def wrong(request: Request) -> Reply:
        if isinstance(request, ListScenarios):
            return pong(request)
        return pong(Ping(request_id="another"))

    with ScriptedMaster(wrong) as master, Link(master.endpoint, master.key.public, master.own) as link:
        with pytest.raises(Failure, match="does not understand") as raised:
            link.ask(ListScenarios(request_id=new_id()), ScenarioList)
        assert raised.value.exit_code == Exit.FAILED
        with pytest.raises(Failure, match="another request"):
            link.ask(Ping(request_id=new_id()), Pong)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (ErrorCode.INVALID_ARGUMENT, 2),
        (ErrorCode.UNKNOWN_SCENARIO, 2),
        (ErrorCode.NOT_FOUND, 3),
        (ErrorCode.NOT_ALLOWED, 4),
        (ErrorCode.CONFLICT, 5),
        (ErrorCode.UNAVAILABLE, 1),
        (ErrorCode.INTERNAL, 1),
        (ErrorCode.READ_ONLY, 1),
    ],
)
def test_each_error_of_the_master_has_its_exit_code(code: ErrorCode, expected: int) -> None:
    assert exit_for(code) == expected


def test_ids_are_never_the_same() -> None:
    assert len({new_id() for _ in range(100)}) == 100

"""The wire does what ZeroMQ over TCP does, and worse when it is to."""

from dataclasses import replace
from random import Random

import pytest

from ffrtmpd.events import Side
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.session import HeartbeatAck
from tests.simulator.clockwork import Alarm, Clockwork
from tests.simulator.network import Connection, Network
from tests.simulator.plan import Cut, Plan, plan_of

CALM = plan_of(8, "calm")


class Ear:
    def __init__(self) -> None:
        self.heard: list[int] = []

    def arrived(self, connection: Connection, message: Message) -> None:  # noqa: ARG002 - as the master
        self.take(message)

    def admits(self, user_id: str) -> bool:
        return user_id == "1"

    def take(self, message: Message) -> None:
        assert isinstance(message, HeartbeatAck)
        self.heard.append(message.sent_ms)


class Wire:
    """A master's ear and a worker's, and what is between them."""

    def __init__(self, plan: Plan = CALM) -> None:
        self.clock = Clockwork()
        self.network = Network(self.clock, Random(1), plan)
        self.master, self.worker, self.broken = Ear(), Ear(), 0
        self.network.master = self.master
        connection = self.connect()
        assert connection is not None
        self.connection = connection

    def connect(self) -> Connection | None:
        return self.network.connect(Side.WORKERS, "w1", "1", deliver=self.worker.take, broken=self._lost)

    def _lost(self) -> None:
        self.broken += 1

    def up(self, *numbers: int) -> None:
        for number in numbers:
            self.network.up(self.connection, HeartbeatAck(sent_ms=number))

    def down(self, *numbers: int) -> list[bool]:
        return [self.network.down(self.connection.peer, HeartbeatAck(sent_ms=number)) for number in numbers]

    def wait(self, seconds: float = 30.0) -> None:
        self.clock.run_until(self.clock.now_s + seconds)


def test_connection_keeps_order_and_loses_and_doubles_nothing() -> None:
    wire = Wire()
    wire.up(*range(100))
    wire.down(*range(100))
    wire.wait()
    assert wire.master.heard == wire.worker.heard == list(range(100))


def test_cut_holds_back_one_way_until_it_is_healed() -> None:
    wire = Wire()
    wire.network.cut("w1", Cut.UP)
    wire.up(1, 2, 3)
    wire.down(4)
    wire.wait()
    assert (wire.master.heard, wire.worker.heard) == ([], [4])
    assert wire.connect() is None
    wire.network.heal("w1")
    wire.wait()
    assert wire.master.heard == [1, 2, 3]
    assert wire.connect() is not None


def test_severed_connection_loses_what_is_under_way_and_both_ends_notice() -> None:
    wire = Wire()
    wire.up(1)
    wire.down(2)
    wire.network.sever(wire.connection)
    assert wire.down(3) == [True]
    wire.wait()
    assert (wire.master.heard, wire.worker.heard, wire.broken) == ([], [], 1)
    assert wire.down(4) == [False]


def test_what_a_peer_sent_before_it_closed_arrives_and_no_answer_does() -> None:
    wire = Wire()
    wire.up(1)
    wire.down(2)
    wire.network.close(wire.connection)
    wire.wait()
    assert (wire.master.heard, wire.worker.heard) == ([1], [])
    assert wire.down(3) == [False]


def test_dead_master_ends_every_connection() -> None:
    wire = Wire()
    wire.network.master_gone()
    wire.up(1)
    wire.wait()
    assert (wire.master.heard, wire.broken) == ([], 1)
    assert wire.connect() is None


@pytest.mark.parametrize(
    ("fault", "happens"),
    [
        ({"loss": 0.5}, lambda heard: len(heard) < 100),
        ({"loss": 1e-9, "duplication": 0.5}, lambda heard: len(heard) > len(set(heard))),
        ({"loss": 1e-9, "disorder": 0.5}, lambda heard: heard != sorted(heard)),
    ],
)
def test_harsh_wire_loses_doubles_and_reorders(fault: dict[str, float], happens: object) -> None:
    wire = Wire(replace(CALM, **fault))  # type: ignore[arg-type]
    for number in range(100):
        wire.up(number)
        wire.wait(0.1)
    wire.wait()
    assert happens(wire.master.heard)  # type: ignore[operator]


def test_alarm_rings_once_at_the_earliest_moment_asked_for() -> None:
    clock, rung = Clockwork(), list[float]()
    alarm = Alarm(clock, lambda: rung.append(clock.now_s))
    alarm.by(5.0)
    alarm.by(2.0)
    alarm.by(9.0)
    clock.run_until(20.0)
    assert rung == [2.0]
    alarm.by(25.0)
    alarm.stop()
    clock.run_until(30.0)
    assert rung == [2.0]


def test_calls_that_never_come_to_rest_are_noticed() -> None:
    clock = Clockwork()

    def again() -> None:
        clock.after(0.0, again)

    again()
    with pytest.raises(RuntimeError, match="rest"):
        clock.run_until(1.0)

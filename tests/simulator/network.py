"""The wire between the master and its peers.

As ZeroMQ over TCP gives it: within a connection the order is kept, nothing is doubled and nothing is lost until the
connection breaks; then all of it is. A cut holds what is under way back, as TCP does, until it is healed. What a peer
sent before it closed still arrives. A harsh wire loses, doubles and reorders single messages on top of that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from ffrtmpd.events import Peer, Side
from ffrtmpd.wire.catalogue import CLIENT_REPLIES, CLIENT_REQUESTS, MASTER_TO_WORKER, WORKER_TO_MASTER
from ffrtmpd.wire.codec import Message, decode, encode
from tests.simulator.clockwork import Clockwork
from tests.simulator.plan import OVERTAKEN_S, Cut, Plan

LATENCY_S: Final = 0.02
SLOW_S: Final = 3.0
# A side that sends nothing learns late that the other is gone.
NOTICED_S: Final = 8.0

_UP: Final = {Side.WORKERS: WORKER_TO_MASTER, Side.CLIENTS: CLIENT_REQUESTS}
_DOWN: Final = {Side.WORKERS: MASTER_TO_WORKER, Side.CLIENTS: CLIENT_REPLIES}


class Hearer(Protocol):
    """The master's ear."""

    def arrived(self, connection: "Connection", message: Message) -> None:
        """Take a message."""

    def admits(self, user_id: str) -> bool:
        """Tell whether a key is let in."""


@dataclass(slots=True, eq=False)
class Connection:
    """One connection, from its handshake until both ends know that it is gone.

    ``cable`` is what a cut cuts. ``deliver`` hands a message to the peer, ``broken`` tells it that nobody is there.
    """

    peer: Peer
    cable: str
    user_id: str
    deliver: Callable[[Message], None]
    broken: Callable[[], None]
    master: Hearer
    takes_up: bool = True
    takes_down: bool = True
    up_due_s: float = 0.0
    down_due_s: float = 0.0
    held_up: list[Message] = field(default_factory=list)
    held_down: list[Message] = field(default_factory=list)


class Network:
    """All connections to the master, and what is wrong with their cables."""

    def __init__(self, clock: Clockwork, random: Random, plan: Plan) -> None:
        self._clock = clock
        self._random = random
        self._coded = plan.coded
        self._loss, self._duplication, self._disorder = plan.loss, plan.duplication, plan.disorder
        self._harsh = plan.loss > 0
        self._cuts: dict[str, Cut] = {}
        self._open: dict[Peer, Connection] = {}
        self._numbers = 0
        self.slow = False
        self.master: Hearer | None = None

    # ── connections ───────────────────────────────────────────────────────────────────────────────────────────────

    def connect(
        self,
        side: Side,
        cable: str,
        user_id: str,
        *,
        deliver: Callable[[Message], None],
        broken: Callable[[], None],
    ) -> Connection | None:
        """Return a connection, None while the master cannot be reached or does not let that key in."""
        if self.master is None or cable in self._cuts or not self.master.admits(user_id):
            return None
        self._numbers += 1
        connection = Connection(Peer(side, self._numbers.to_bytes(5)), cable, user_id, deliver, broken, self.master)
        self._open[connection.peer] = connection
        return connection

    def close(self, connection: Connection) -> None:
        """The peer closes. What it has sent is on its way; the master notices in a while."""
        connection.takes_down = False
        connection.held_down.clear()
        self._fade(connection, self._latency_s())

    def sever(self, connection: Connection) -> None:
        """The connection breaks, and all that is under way is lost. Each end notices when it does."""
        if not connection.takes_down:
            return
        self._silence(connection)
        self._fade(connection, self._random.random() * NOTICED_S)
        self._clock.after(self._random.random() * NOTICED_S, connection.broken)

    def sever_cable(self, cable: str) -> None:
        """Break every connection over a cable."""
        for connection in list(self._open.values()):
            if connection.cable == cable:
                self.sever(connection)

    def master_gone(self, *, may_flush: bool = True) -> None:
        """The master's process has died: its kernel closes what it had open, and may send what it had been given."""
        self.master = None
        for connection in list(self._open.values()):
            if connection.takes_down:
                flushed = may_flush and self._random.random() < 0.5
                if not flushed:
                    self._silence(connection)
                last_s = max(connection.down_due_s, self._clock.now_s) if flushed else self._clock.now_s
                self._clock.at(last_s + self._latency_s(), self._end, connection)
        self._open.clear()

    def _end(self, connection: Connection) -> None:
        self._silence(connection)
        connection.broken()

    def _fade(self, connection: Connection, delay_s: float) -> None:
        self._clock.after(delay_s, self._forget, connection)

    def _forget(self, connection: Connection) -> None:
        if connection.held_up:
            # Its last words are still held back.
            self._clock.after(NOTICED_S, self._forget, connection)
            return
        self._open.pop(connection.peer, None)

    @staticmethod
    def _silence(connection: Connection) -> None:
        connection.takes_up = connection.takes_down = False
        connection.held_up.clear()
        connection.held_down.clear()

    # ── cables ────────────────────────────────────────────────────────────────────────────────────────────────────

    def cut(self, cable: str, way: Cut) -> None:
        """Let nothing pass that way until it is healed."""
        self._cuts[cable] = way

    def heal(self, cable: str) -> None:
        """Let pass again, beginning with what was held back."""
        self._cuts.pop(cable, None)
        for connection in list(self._open.values()):
            if connection.cable == cable:
                up, connection.held_up = connection.held_up, []
                down, connection.held_down = connection.held_down, []
                for message in up:
                    self.up(connection, message)
                for message in down:
                    self._down(connection, message)

    def calm_down(self) -> None:
        """End everything that is wrong."""
        self._loss = self._duplication = self._disorder = 0.0
        self.slow = False
        for cable in list(self._cuts):
            self.heal(cable)

    # ── messages ──────────────────────────────────────────────────────────────────────────────────────────────────

    def up(self, connection: Connection, message: Message) -> None:
        """Send to the master."""
        if self._coded:
            message = decode(encode(message), _UP[connection.peer.side])
        if self._cuts.get(connection.cable) in (Cut.UP, Cut.BOTH):
            if not self._harsh:
                connection.held_up.append(message)
        elif self._harsh:
            for delay_s in self._harsh_delays():
                self._clock.after(delay_s, self._arrive_up, connection, message)
        else:
            connection.up_due_s = max(connection.up_due_s, self._clock.now_s + self._latency_s())
            self._clock.at(connection.up_due_s, self._arrive_up, connection, message)

    def down(self, peer: Peer, message: Message) -> bool:
        """Send to a peer; return False if the master knows of none."""
        connection = self._open.get(peer)
        if connection is None:
            return False
        if self._coded:
            message = decode(encode(message), _DOWN[peer.side])
        self._down(connection, message)
        return True

    def _down(self, connection: Connection, message: Message) -> None:
        if self._cuts.get(connection.cable) in (Cut.DOWN, Cut.BOTH):
            if connection.takes_down and not self._harsh:
                connection.held_down.append(message)
        elif self._harsh:
            for delay_s in self._harsh_delays():
                self._clock.after(delay_s, self._arrive_down, connection, message)
        else:
            connection.down_due_s = max(connection.down_due_s, self._clock.now_s + self._latency_s())
            self._clock.at(connection.down_due_s, self._arrive_down, connection, message)

    def _arrive_up(self, connection: Connection, message: Message) -> None:
        if connection.takes_up and connection.master is self.master:
            self.master.arrived(connection, message)

    def _arrive_down(self, connection: Connection, message: Message) -> None:
        if connection.takes_down:
            connection.deliver(message)

    def _latency_s(self) -> float:
        return self._random.random() * (SLOW_S if self.slow else LATENCY_S)

    def _harsh_delays(self) -> list[float]:
        draw = self._random.random
        delays = []
        for _ in range(2 if draw() < self._duplication else 1):
            if draw() >= self._loss:
                overtaken = draw() < self._disorder
                delays.append(draw() * OVERTAKEN_S if overtaken else self._latency_s())
        return delays

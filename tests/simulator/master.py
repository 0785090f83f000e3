"""The master's machine: the real broker over the real store in memory, in a shell of virtual time."""

import sqlite3
from collections import deque
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from ffrtmpd.broker.broker import Broker
from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.daemon import READ_ONLY_S, STALL_S
from ffrtmpd.events import Action, Event, MessageCame, Note, Now, Peer, PeerLost, Send, Side, TimeCame
from ffrtmpd.principals import Principal, Principals
from ffrtmpd.scenario import Scenarios, load_scenarios
from ffrtmpd.store import Store, StoreReadOnly
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.vocabulary import Role
from tests.simulator.clockwork import Alarm, Clockwork
from tests.simulator.network import Connection, Network
from tests.simulator.plan import CrashPoint, Plan
from tests.simulator.referee import Referee

WALL_S: Final = 1_700_000_000.0
# A turn takes what came while the one before was at the disk.
TURN_S: Final = 0.003
OPERATOR: Final = "ops"
ADMIN: Final = "root"
_ROLES: Final = {OPERATOR: Role.OPERATOR, ADMIN: Role.ADMIN}


@cache
def scenarios() -> Scenarios:
    """Return those of the project, read once."""
    return load_scenarios([Path(__file__).parents[2] / "conf" / "scenarios.toml"])


class Died(Exception):
    """The process ended in the middle of a turn."""


class Master:
    """One master. What it has committed outlives its process; nothing else does."""

    def __init__(self, plan: Plan, clock: Clockwork, random: Random, network: Network, referee: Referee) -> None:
        self._clock, self._random = clock, random
        self._network, self._referee = network, referee
        self._plan = plan
        self._lives = 0
        self.store = Store.open(None)
        referee.peek = self._peek
        self.broker: Broker | None = None
        self.users: dict[str, str] = {}
        self.disk_full = False
        self._disk_random = Random(f"disk {plan.seed}")
        self.wall_jump_s = 0.0
        self._zero_s = random.random() * 1e5
        self._doom: CrashPoint | None = None
        self._frozen_s: float | None = None
        self._inbox: dict[Side, deque[MessageCame]] = {side: deque() for side in Side}
        self._lost: list[Peer] = []
        self._time_held_until_s = 0.0
        self._read_only_until_s = 0.0
        self._alarm = Alarm(clock, self._turn)
        self._copy: sqlite3.Connection | None = None
        self._replaced = False
        self._keys = 0
        self.store.begin()
        for name in (*plan.names, OPERATOR, ADMIN):
            self._enrol(name)
        self.store.commit()

    def _enrol(self, name: str) -> Principal:
        role = _ROLES.get(name, Role.WORKER)
        principal = self.store.add_principal(name=name, role=role, public=f"{self._keys:040d}", at=WALL_S)
        self._keys += 1
        self.users[name] = principal.user_id
        return principal

    def _settings(self) -> BrokerSettings:
        """Return the settings of this life: somebody may have edited them since the last."""
        plan = self._plan
        self._lives += 1
        return BrokerSettings(
            fence_s=plan.fence_s,
            give_away_s=plan.give_away_s,
            queue_terms=plan.lives[self._lives % len(plan.lives)],
            lost_after_s=plan.lost_after_s,
            back_off_s=1.0,
            back_off_max_s=4.0,
            loss_limit=50,
        )

    # ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def admits(self, user_id: str) -> bool:
        """Tell whether the door lets a key in."""
        return self.broker is not None and self.broker.cluster.principals.of(user_id, self.now.wall_s) is not None

    def fingerprint(self, name: str) -> str | None:
        """Return the fingerprint of the open key of that name, None if there is none."""
        known = [] if self.broker is None else self.broker.cluster.principals.everyone()
        found = (one for one in known if one.name == name and one.is_open(self.now.wall_s))
        return next((principal.fingerprint for principal in found), None)

    def enrol_again(self, name: str) -> bool:
        """Give a node whose key was revoked a new one; return False while that cannot be done."""
        busy = self.broker is None or self.disk_full or self._frozen_s is not None
        if self.broker is None or busy or self.fingerprint(name) is not None:
            return False
        self.store.begin()
        principal = self._enrol(name)
        self.store.commit()
        self.broker.cluster.principals.put(principal)
        self._referee.say("master", "enrols", name=name)
        return True

    # ── copies ────────────────────────────────────────────────────────────────────────────────────────────────────

    def copy(self) -> None:
        """Copy the database, as `ffrtmpd backup` does."""
        copied = sqlite3.connect(":memory:")
        self._connection.backup(copied)
        self._copy = copied
        self._referee.copied()

    def restore(self) -> None:
        """Put the copy in the place of the database, while the process is away."""
        if self.broker is not None:
            # An answer that came later would promise what the copy does not know.
            self._die("is stopped, and its database replaced", may_flush=False)
        if self._copy is not None:
            self._copy.backup(self._connection)
            self._replaced = True
            self._referee.restored()

    @property
    def _connection(self) -> sqlite3.Connection:
        return self.store._database.connection

    def _peek(self, sql: str, values: object) -> list[tuple[object, ...]]:
        return self._connection.execute(sql, values).fetchall()  # type: ignore[arg-type]

    @property
    def now(self) -> Now:
        return Now(self._zero_s + self._clock.now_s, WALL_S + self._clock.now_s + self.wall_jump_s)

    # ── the process ───────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the process, unless it runs."""
        if self.broker is not None:
            return
        before = self.store.counts()
        self.store = Store(self.store._database)
        self.store._load()
        if self.store.counts() != before and not self._replaced:
            raise self._referee.miscounted(f"in memory {before}, on disk {self.store.counts()}")
        self._replaced = False
        self._referee.say("master", "starts")
        self._network.master = self
        self.broker = Broker(
            store=self.store,
            principals=Principals(),
            scenarios=scenarios(),
            settings=self._settings(),
            random_bytes=self._random.randbytes,
        )
        self._time_held_until_s = self._read_only_until_s = 0.0
        self.store.begin()
        actions = self.broker.open(self.now)
        self.store.commit()
        self._perform(actions)
        self._after_turn()

    def kill(self, point: CrashPoint) -> None:
        """End the process with signal 9, at once or when a turn next gets to that point."""
        if self.broker is None:
            return
        if point is CrashPoint.AT_ONCE:
            self._die("is killed")
        else:
            self._doom = point

    @property
    def doomed(self) -> bool:
        """Whether it is to die at a point that it has not come to yet."""
        return self._doom is not None

    def _die(self, how: str, *, may_flush: bool = True) -> None:
        self._referee.say("master", how)
        self.store.rollback()
        self.broker = None
        self._doom = None
        self._frozen_s = None
        for inbox in self._inbox.values():
            inbox.clear()
        self._lost.clear()
        self._alarm.stop()
        self._network.master_gone(may_flush=may_flush)

    def freeze(self) -> None:
        """Let the process stand still."""
        if self.broker is not None and self._frozen_s is None:
            self._referee.say("master", "freezes")
            self._frozen_s = self._clock.now_s

    def thaw(self) -> None:
        """Let it go on."""
        if self._frozen_s is None:
            return
        self._referee.say("master", "thaws")
        if self._clock.now_s - self._frozen_s > STALL_S:
            # As the real shell: what others have sent meanwhile is read before anybody's time is up.
            self._time_held_until_s = self.now.mono_s + STALL_S
        self._frozen_s = None
        self._alarm.by(self._clock.now_s)

    def draining(self) -> list[str]:
        """Return the nodes that take no jobs by an operator's wish."""
        return [] if self.broker is None else [node.node_id for node in self.broker.cluster.roster if node.draining]

    # ── the turn ──────────────────────────────────────────────────────────────────────────────────────────────────

    def arrived(self, connection: Connection, message: Message) -> None:
        """Take a message off the wire."""
        side = connection.peer.side
        self._inbox[side].append(MessageCame(connection.peer, connection.user_id, message, "10.0.0.1"))
        self._alarm.by(self._clock.now_s + self._random.random() * TURN_S)

    def _turn(self) -> None:
        if self.broker is None or self._frozen_s is not None:
            return
        now = self.now
        try:
            self._conclude(self._decide(self.broker, self._collect(self.broker, now), now))
        except Died as death:
            self._die(f"dies {death}")
            return
        self._after_turn()

    def _after_turn(self) -> None:
        if self.broker is None:
            return
        self._referee.committed()
        self._referee.check_roster(self.broker.cluster.roster)
        self._referee.check_queued(self.broker.cluster.queued, self.store.ready_classes())
        due_s = self.broker.wakeup()
        if self._lost:
            self._alarm.by(self._clock.now_s)
            return
        moments = [] if due_s is None else [max(due_s, self._time_held_until_s)]
        if self.now.mono_s < self._read_only_until_s:
            moments.append(self._read_only_until_s)
        if moments:
            self._alarm.by(min(moments) - self._zero_s + 0.0005)

    def _collect(self, broker: Broker, now: Now) -> list[Event]:
        lost, self._lost = self._lost, []
        events: list[Event] = [PeerLost(peer) for peer in lost]
        for side in (Side.WORKERS, Side.CLIENTS):
            for came in self._inbox[side]:
                self._referee.say("master", "←", came.message, user=came.user_id)
            events += self._inbox[side]
            self._inbox[side].clear()
        due_s = broker.wakeup()
        if due_s is not None and max(due_s, self._time_held_until_s) <= now.mono_s:
            events.append(TimeCame())
        return events

    def _decide(self, broker: Broker, events: list[Event], now: Now) -> list[Action]:
        if now.mono_s < self._read_only_until_s:
            return self._serve(broker, events, now)
        self.store.begin()
        actions: list[Action] = []
        # Some disks are full at the first write, others at the commit.
        self._refuse_writes(self.disk_full and self._disk_random.random() < 0.5)
        try:
            for event in events:
                actions += broker.handle(event, now)
            actions += broker.settle(now)
            self._refuse_commit()
        except StoreReadOnly:
            self._referee.say("master", "cannot commit")
            self._read_only_until_s = now.mono_s + READ_ONLY_S
            self.store.rollback()
            return broker.reload(now) + self._serve(broker, events, now)
        finally:
            self._refuse_writes(False)
        return actions

    def _refuse_commit(self) -> None:
        if self.disk_full and self.writes:
            raise StoreReadOnly("the disk is full")

    def _refuse_writes(self, refused: bool) -> None:
        if not self.writes:
            self.store._database.connection.execute(f"PRAGMA query_only = {refused}")

    def _serve(self, broker: Broker, events: list[Event], now: Now) -> list[Action]:
        """As the real shell: each event by itself, and none may write."""
        actions: list[Action] = []
        for event in events:
            self.store.begin()
            actions += broker.serve(event, now)
            if self.writes:
                raise RuntimeError(f"{event} writes while nothing can be written")
            self.store.commit()
        return actions

    def _conclude(self, actions: list[Action]) -> None:
        """Commit, then send: the order on which every promise to a client or a worker stands."""
        writes = self.writes
        self.come_to(CrashPoint.BEFORE_COMMIT, writes=writes)
        self.store.commit()
        self.come_to(CrashPoint.BEFORE_SEND, writes=writes)
        self._perform(actions, writes=writes)

    @property
    def writes(self) -> bool:
        """Whether this turn has written anything."""
        return self.store.is_writing

    def come_to(self, point: CrashPoint, *, writes: bool) -> None:
        """Die here if it is to.

        Raises:
            Died: it is.
        """
        if self._doom is point and writes:
            raise Died(str(point))

    def _perform(self, actions: list[Action], *, writes: bool = False) -> None:
        doomed = self._doom is CrashPoint.AMID_SENDS and writes
        for action in actions:
            match action:
                case Send(peer, message):
                    if doomed and self._random.random() < 0.5:
                        raise Died(str(self._doom))
                    self._referee.say("master", "→", message)
                    if not self._network.down(peer, message) and peer not in self._lost:
                        self._lost.append(peer)
                case Note(_, event, fields):
                    if event != "job":
                        self._referee.say("master", event, **fields)

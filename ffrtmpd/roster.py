"""The nodes as the master knows them now: who is connected, what each holds, which slots are free.

Memory only; after a restart it is made anew from the store and from what the workers say.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ffrtmpd.events import Peer
from ffrtmpd.ranking import Ranking
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.messages.session import Hello
from ffrtmpd.wire.vocabulary import Engine, NodeStatus


@dataclass(slots=True, kw_only=True)
class Hold:
    """An attempt that a node holds, or has been told to drop and has not dropped yet.

    Attributes:
        paused: what the master wants; the worker is told again until it shows the same.
        frozen: the worker has shown it paused, and its slot is free for another.
        resuming: it shall go on as soon as its node has a slot.
        dropped: the reason for which the master told the node to stop it; it keeps its slot until the node has.
        unseen: beats in a row that did not list it.
        hardware: it takes one of its node's hardware encodes, or may begin to.
        fenced: its output has side effects, so its worker stops it by itself before the lease is over.
        lease_s: how long its node may be silent.
        lease_until_s: monotonic seconds at which it is given away unless a beat renews it.
    """

    seq: int
    attempt: int
    token: bytes
    fenced: bool
    lease_s: float
    lease_until_s: float
    paused: bool = False
    started: bool = False
    hardware: bool = False
    frozen: bool = False
    resuming: bool = False
    dropped: str | None = None
    unseen: int = 0


@dataclass(slots=True, kw_only=True)
class Session:
    """A connected worker process that has said READY.

    Attributes:
        beat_ms: when its last beat was sent, by its own clock.
        provisional: it began while nothing could be written, so what it showed has changed no job yet.
    """

    peer: Peer
    user_id: str
    boot_id: str
    connected_at: float
    last_heard_s: float
    beat_ms: int = -1
    provisional: bool = False


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A worker that has said HELLO and shall repeat the nonce in READY."""

    node_id: str
    user_id: str
    nonce: bytes
    hello: Hello
    address: str


@dataclass(frozen=True, slots=True, eq=False)
class Ability:
    """What decides which jobs a node can run. Nodes of one ability are told apart by their rank alone.

    Nodes that are alike share one object. It is found by its identity: to hash what it holds takes ten times as long,
    and dispatch does so several times a job.
    ``encoder_busy``: its hardware encoders have no room now.
    """

    engines: tuple[Engine, ...]
    encoders: tuple[str, ...]
    scorers: tuple[str, ...] = ()
    encoder_busy: bool = False


@lru_cache(maxsize=4_096)
def _ability(
    engines: tuple[Engine, ...], encoders: tuple[str, ...], scorers: tuple[str, ...]
) -> tuple[Ability, Ability]:
    """Return what such a node can run, and what it can run while its hardware encoders have no room."""
    return Ability(engines, encoders, scorers), Ability(engines, encoders, scorers, encoder_busy=True)


# Share of slots taken, processor load in percent, name: the smaller, the sooner a node gets a job.
Rank = tuple[float, float, str]


@dataclass(slots=True, kw_only=True)
class Node:
    """An enrolled node, connected or not. ``last_seen_at`` is in Unix seconds.

    ``avoided_until_s``: monotonic seconds until which its hardware encoders get no job, since they had no room.
    """

    node_id: str
    address: str | None = None
    hardware: Hardware | None = None
    slots: int = 0
    draining: bool = False
    drain_until: float | None = None
    first_seen_at: float | None = None
    last_seen_at: float | None = None
    session: Session | None = None
    load: Load | None = None
    holds: dict[int, Hold] = field(default_factory=dict)
    avoided_until_s: float | None = None
    # What its hardware means, and the hardware that this was worked out for.
    _able: tuple[Hardware, tuple[Ability, Ability]] | None = None

    @property
    def free_slots(self) -> int:
        """Slots without an attempt. One told to stop or to pause keeps its slot until the worker shows that it has."""
        return max(0, self.slots - len([hold for hold in self.holds.values() if not hold.frozen]))

    @property
    def status(self) -> NodeStatus:
        """The status that lists show."""
        if self.session is None:
            return NodeStatus.OFFLINE
        if self.draining:
            return NodeStatus.DRAINING
        return NodeStatus.ACTIVE if self.free_slots else NodeStatus.BUSY

    @property
    def takes_jobs(self) -> bool:
        """Whether a job may be assigned now."""
        if self.session is None or self.draining:
            return False
        # Which of its jobs stand still matters only when they are as many as its slots.
        return len(self.holds) < self.slots or self.free_slots > 0

    @property
    def encoder_busy(self) -> bool:
        """Whether its hardware encoders get no job now.

        A paused encode keeps its session, and so does one told to stop until its node shows that it has.
        """
        if self.avoided_until_s is not None:
            return True
        sessions = self.hardware.encoder_sessions if self.hardware else None
        return sessions is not None and sum(hold.hardware for hold in self.holds.values()) >= sessions

    @property
    def ability(self) -> Ability | None:
        """What it can run when nothing else runs, None while nobody knows."""
        known = self._abilities()
        return None if known is None else known[False]

    @property
    def ability_now(self) -> Ability | None:
        """The same beside what it runs."""
        known = self._abilities()
        return None if known is None else known[self.encoder_busy]

    def _abilities(self) -> tuple[Ability, Ability] | None:
        told, known = self.hardware, self._able
        if told is None:
            return None
        if known is None or known[0] is not told:
            known = self._able = (told, _ability(told.engines, told.encoders, told.scorers))
        return known[1]

    @property
    def rank(self) -> Rank:
        """Its place among nodes of its ability; it must have slots."""
        measured = self.load.cpu_load_percent if self.load else None
        # A load that nobody measured may be anything, so it is no reason to be chosen.
        return (len(self.holds) / self.slots, 100.0 if measured is None else measured, self.node_id)


class Roster:
    """Every node by id, by the peer it is connected as, and by what it can run while it takes jobs.

    ``sessions`` are by node id. Whoever changes what decides about taking jobs (session, slots, holds, drain, load,
    hardware encoders avoided) calls ``changed``.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._by_peer: dict[Peer, Node] = {}
        self._free: dict[Ability, Ranking[str, Rank]] = {}
        self._free_as: dict[str, Ability] = {}
        self._able: Counter[Ability] = Counter()
        self._abilities: frozenset[Ability] | None = None
        self._able_as: dict[str, Ability] = {}
        self._changed: dict[str, Node] = {}
        self.sessions: dict[str, Session] = {}
        self.candidates: dict[Peer, Candidate] = {}
        self._offered: dict[str, Peer] = {}

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def add(self, node: Node) -> None:
        """Add a node."""
        self._nodes[node.node_id] = node

    def get(self, node_id: str | None) -> Node | None:
        """Return a node by id."""
        return None if node_id is None else self._nodes.get(node_id)

    def get_or_add(self, node_id: str) -> Node:
        """Return a node by id, made when it is new."""
        return self._nodes.setdefault(node_id, Node(node_id=node_id))

    def connected_as(self, peer: Peer) -> Node | None:
        """Return the node whose session is ``peer``."""
        return self._by_peer.get(peer)

    def offer(self, peer: Peer, candidate: Candidate) -> None:
        """Let ``candidate`` begin a session as ``peer``, in place of any that its node was offered before."""
        before = self._offered.get(candidate.node_id)
        if before in self.candidates and self.candidates[before].node_id == candidate.node_id:
            del self.candidates[before]
        self.candidates[peer] = candidate
        self._offered[candidate.node_id] = peer

    def connect(self, node: Node, session: Session) -> None:
        """Give ``node`` a session, in place of any it had."""
        self.disconnect(node)
        node.session = self.sessions[node.node_id] = session
        self._by_peer[session.peer] = node
        self.changed(node)

    def disconnect(self, node: Node) -> None:
        """End the session of ``node``; what it holds stays until its leases end."""
        if node.session is not None:
            self._by_peer.pop(node.session.peer, None)
            del self.sessions[node.node_id]
        node.session = None
        node.load = None
        self.changed(node)

    def forget(self, node_id: str) -> None:
        """Remove a node from the roster."""
        node = self._nodes.pop(node_id, None)
        if node is not None:
            self.disconnect(node)

    # ── who takes jobs ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def free(self) -> Mapping[Ability, Ranking[str, Rank]]:
        """The nodes that take jobs now, best first, by ability; no ranking is empty."""
        self._look()
        return self._free

    @property
    def abilities(self) -> frozenset[Ability]:
        """What connected nodes can run now: the same object for as long as it is the same."""
        self._look()
        if self._abilities is None:
            self._abilities = frozenset(self._able)
        return self._abilities

    def changed(self, node: Node) -> None:
        """Take note that a node is another now, so that nobody has to look at every node to find a free one."""
        # What it is now is looked at when somebody asks: of a burst of results that is once.
        self._changed[node.node_id] = node

    def _look(self) -> None:
        if self._changed:
            for node in self._changed.values():
                ability = None if node.session is None else node.ability_now
                self._count(node, ability)
                self._list(node, ability if node.takes_jobs else None)
            self._changed.clear()

    def _count(self, node: Node, ability: Ability | None) -> None:
        before = self._able_as.get(node.node_id)
        # The same object, unless it was forgotten meanwhile.
        if before is ability:
            return
        self._abilities = None
        if ability is None:
            del self._able_as[node.node_id]
        else:
            self._able_as[node.node_id] = ability
            self._able[ability] += 1
        if before is not None:
            self._able[before] -= 1
            if not self._able[before]:
                del self._able[before]

    def _list(self, node: Node, ability: Ability | None) -> None:
        before = self._free_as.get(node.node_id)
        if before is not None and before is not ability:
            del self._free_as[node.node_id]
            self._free[before].drop(node.node_id)
            if not self._free[before]:
                del self._free[before]
        if ability is not None:
            self._free_as[node.node_id] = ability
            alike = self._free.get(ability)
            if alike is None:
                alike = self._free[ability] = Ranking()
            alike.set(node.node_id, node.rank)

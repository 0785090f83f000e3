"""The nodes as the master knows them now: who is connected, what each holds, which slots are free.

Memory only; after a restart it is made anew from the store and from what the workers say.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ffrtmpd.events import Peer
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.messages.session import Hello
from ffrtmpd.wire.vocabulary import NodeStatus


@dataclass(slots=True, kw_only=True)
class Hold:
    """An attempt that a node holds, or has been told to drop and has not dropped yet.

    Attributes:
        paused: what the master wants; the worker is told again until it shows the same.
        frozen: the worker has shown it paused, and its slot is free for another.
        resuming: it shall go on as soon as its node has a slot.
        dropped: the reason for which the master told the node to stop it; it keeps its slot until the node has.
        unseen: beats in a row that did not list it.
        fenced: its output has side effects, so the shorter lease counts.
        lease_until_s: monotonic seconds at which it is given away unless a beat renews it.
    """

    seq: int
    attempt: int
    token: bytes
    fenced: bool
    lease_until_s: float
    paused: bool = False
    started: bool = False
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


@dataclass(slots=True, kw_only=True)
class Node:
    """An enrolled node, connected or not. ``last_seen_at`` is in Unix seconds."""

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

    @property
    def free_slots(self) -> int:
        """Slots without an attempt. One told to stop or to pause keeps its slot until the worker shows that it has."""
        return max(0, self.slots - sum(not hold.frozen for hold in self.holds.values()))

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
        return self.session is not None and not self.draining and self.free_slots > 0

    @property
    def has_gpu_encoder(self) -> bool:
        """Whether a hardware encoder has been proved here."""
        known = (ENCODERS.get(name) for name in self.hardware.encoders) if self.hardware else ()
        return any(encoder is not None and encoder.hardware is not None for encoder in known)


class Roster:
    """Every node by id, and by the peer it is connected as; ``sessions`` are by node id."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._by_peer: dict[Peer, Node] = {}
        self.sessions: dict[str, Session] = {}
        self.candidates: dict[Peer, Candidate] = {}

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

    def connect(self, node: Node, session: Session) -> None:
        """Give ``node`` a session, in place of any it had."""
        self.disconnect(node)
        node.session = self.sessions[node.node_id] = session
        self._by_peer[session.peer] = node

    def disconnect(self, node: Node) -> None:
        """End the session of ``node``; what it holds stays until its leases end."""
        if node.session is not None:
            self._by_peer.pop(node.session.peer, None)
            del self.sessions[node.node_id]
        node.session = None
        node.load = None

    def forget(self, node_id: str) -> None:
        """Remove a node from the roster."""
        node = self._nodes.pop(node_id, None)
        if node is not None:
            self.disconnect(node)

"""What reaches the broker, and what it asks its shell to do. Events are past facts, actions imperatives."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from ffrtmpd.wire.codec import Message, ProtocolError


class Now(NamedTuple):
    """The time of a turn: ``mono_s`` decides (monotonic seconds), ``wall_s`` is stored and shown (Unix seconds)."""

    mono_s: float
    wall_s: float


class Side(StrEnum):
    """Which of the master's two sockets; the name of its ZAP domain too."""

    WORKERS = "workers"
    CLIENTS = "clients"


class Peer(NamedTuple):
    """Where to answer. The route is the ROUTER's own and never leaves the process."""

    side: Side
    route: bytes


class MessageCame(NamedTuple):
    """A well-formed message.

    ``user_id`` is what ZAP answered for the peer's key, ``address`` the IP of one that greets.
    """

    peer: Peer
    user_id: str
    message: Message
    address: str = ""


class GarbageCame(NamedTuple):
    """Frames that are no message."""

    peer: Peer
    user_id: str
    problem: ProtocolError


class PeerLost(NamedTuple):
    """A send found nobody at the other end."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class TimeCame:
    """The moment that ``Broker.wakeup`` named is here, or another reason to look at the clock."""


Event = MessageCame | GarbageCame | PeerLost | TimeCame


class Send(NamedTuple):
    """Send ``message`` to ``peer`` once the turn is on disk."""

    peer: Peer
    message: Message


class Note(NamedTuple):
    """Write a log line."""

    level: str
    event: str
    fields: dict[str, Any]


Action = Send | Note

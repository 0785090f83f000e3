"""What reaches the agent, and what it asks its shell to do. Events are past facts, actions imperatives."""

from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform

from ffrtmp_worker.spool import Entry
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.session import FetchLog

# A child is named after its attempt and a number that grows with each child of the worker.
ChildId = int
AttemptId = tuple[str, int]
T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def fact(cls: type[T]) -> type[T]:
    """Make ``cls`` a slotted dataclass.

    That its fields are set once is checked by mypy, as with the wire's records, and costs nothing where it runs.
    """
    return dataclass(slots=True)(cls)


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────


@fact
class LinkUp:
    """The socket has reached a master and can send."""


@fact
class MessageCame:
    """The master said something."""

    message: Message


@fact
class ChildOutput:
    """A child wrote to its standard output."""

    child: ChildId
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Joules:
    """Energy of one child: marginal joules of its processes, and its share of what the node takes when idle.

    ``scope`` says what the meter covers, ``method`` how it was read, as in the report's energy.
    """

    marginal_j: float
    idle_share_j: float | None
    scope: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildExited:
    """A child has ended; all it wrote came before.

    ``exit_code`` is minus the signal when killed, ``cpu_s`` None when it never ran, ``log_tail`` the last of what it
    wrote to its standard error. ``limits`` says which limits were in force, ``over_limit`` which of them killed it.
    ``joules`` is None where no meter was read.
    """

    child: ChildId
    exit_code: int
    cpu_s: float | None = None
    log_tail: str = ""
    limits: str | None = None
    over_limit: str | None = None
    joules: Joules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The result is in the spool and the output, if any, on the disk. ``error`` says why not."""

    attempt: AttemptId
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The output stands under its final name. ``error`` says why not."""

    attempt: AttemptId
    error: str | None = None


@fact
class FreeRoom:
    """What is free on a file system, and the attempts that write there."""

    free_bytes: int
    attempts: tuple[AttemptId, ...]


@fact
class RoomRead:
    """The disks that outputs are written to were looked at."""

    rooms: tuple[FreeRoom, ...]


@fact
class TimeCame:
    """The moment that ``Agent.wakeup`` named is here, or another reason to look at the clock."""


@fact
class StopAsked:
    """Somebody wants the worker to end. The second time it hurries."""


Event = LinkUp | MessageCame | ChildOutput | ChildExited | Sealed | Published | RoomRead | TimeCame | StopAsked


# ── actions ───────────────────────────────────────────────────────────────────────────────────────────────────────


@fact
class Send:
    """Send ``message``; when nobody can be reached it is dropped, the agent repeats what matters."""

    message: Message


@fact
class Reconnect:
    """Close the socket and connect with a fresh one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """Start a child; ``ChildExited`` follows even where it cannot be started.

    ``partial`` is the staged file that it will write, to be remembered first.
    """

    child: ChildId
    attempt: AttemptId
    argv: tuple[str, ...]
    env: dict[str, str]
    partial: str | None = None


@fact
class PauseChild:
    """Stop the child's processes where they are."""

    child: ChildId


@fact
class ResumeChild:
    """Let the child's processes go on."""

    child: ChildId


@fact
class TerminateChild:
    """Ask the child's processes to end."""

    child: ChildId


@fact
class KillChild:
    """End the child's processes at once."""

    child: ChildId


@fact
class Seal:
    """Bring the output and then the spool entry to the disk; ``Sealed`` follows."""

    entry: Entry


@fact
class Publish:
    """Give the output its final name for good; ``Published`` follows."""

    entry: Entry


@fact
class Forget:
    """Drop the spool entry of an attempt, if there is one."""

    attempt: AttemptId


@fact
class Remove:
    """Delete a file, if it is there."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLog:
    """Send the piece of a log that the master asked for. ``running``: more may come."""

    request: FetchLog
    running: bool


@fact
class CloseLog:
    """The attempt writes no more."""

    attempt: AttemptId


@fact
class Quit:
    """Everything has ended: leave."""


@fact
class Note:
    """Write a log line."""

    level: str
    event: str
    fields: dict[str, Any] = field(default_factory=dict)


Action = (
    Send
    | Reconnect
    | Spawn
    | PauseChild
    | ResumeChild
    | TerminateChild
    | KillChild
    | Seal
    | Publish
    | Forget
    | Remove
    | ReadLog
    | CloseLog
    | Quit
    | Note
)

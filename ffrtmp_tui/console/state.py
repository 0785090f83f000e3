"""Everything the console knows and shows, and the questions it asks. Plain data. Pure."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ffrtmp_tui.console.connection import Connection
from ffrtmp_tui.console.form import Form
from ffrtmp_tui.console.keymap import Page
from ffrtmp_tui.console.prompts import Plan, Prompt
from ffrtmp_tui.console.query import JOB_SORTS, NODE_SORTS, Query
from ffrtmp_tui.console.table import Table
from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.messages.jobs import JobView, StatusReply
from ffrtmpd.wire.messages.nodes import NodeView
from ffrtmpd.wire.messages.overview import Event, QueueList
from ffrtmpd.wire.vocabulary import Role

EVENTS_KEPT: Final = 500
LOG_LINES: Final = 2_000
FPS_KEPT: Final = 60


@dataclass(frozen=True, slots=True)
class Now:
    """A moment: monotonic seconds for durations, Unix seconds for what is shown."""

    mono_s: float
    wall_s: float


class Lane(StrEnum):
    """Which of the client's lines carries a question: one that waits must not hold up the others."""

    READ = "read"
    WATCH = "watch"
    EVENTS = "events"
    LOG = "log"
    ACT = "act"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question on its way to the master; ``about`` is the id that it concerns, ``tag`` who wants the answer."""

    tag: str
    lane: Lane
    request: Request
    expected: type[Reply]
    wait_s: float = 0.0
    about: str = ""


@dataclass(slots=True)
class Detail:
    """What is known of the selected job beyond its row."""

    job_id: str = ""
    status: StatusReply | None = None
    status_s: float | None = None
    log: list[str] = field(default_factory=list)
    log_note: str = ""
    log_attempt: int = 0
    log_offset: int | None = None
    log_ended: bool = False
    log_s: float | None = None
    fps: deque[float] = field(default_factory=lambda: deque(maxlen=FPS_KEPT))


@dataclass(slots=True)
class Overlay:
    """A text over the main pane."""

    title: str
    lines: list[str]
    top: int = 0


@dataclass(slots=True)
class Message:
    """A line at the bottom until the next key."""

    text: str
    style: str = ""


@dataclass(slots=True)
class Bulk:
    """An action under way on several targets."""

    plan: Plan
    left: list[str]
    done: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """The console's state. ``cluster`` is the context's name until the master tells its own."""

    cluster: str
    endpoint: str
    read_only: bool = False
    themes: tuple[str, ...] = ("dark", "light")
    theme: str = "dark"
    principal: str = ""
    role: str = ""
    page: Page = Page.JOBS
    connection: Connection = field(default_factory=Connection)
    jobs: Table[JobView] = field(default_factory=lambda: Table(lambda job: job.job_id))
    nodes: Table[NodeView] = field(default_factory=lambda: Table(lambda node: node.node_id))
    job_query: Query = field(default_factory=lambda: Query(JOB_SORTS))
    node_query: Query = field(default_factory=lambda: Query(NODE_SORTS))
    queues: QueueList | None = None
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    top_event: int = 0
    detail: Detail = field(default_factory=Detail)
    scenarios: tuple[str, ...] = ()
    prompt: Prompt | None = None
    plan: Plan | None = None
    bulk: Bulk | None = None
    overlay: Overlay | None = None
    form: Form | None = None
    message: Message | None = None
    range_from: str | None = None
    search: str = ""
    log_full: bool = False
    frozen: bool = False
    leaving: bool = False
    outbox: list[Ask] = field(default_factory=list)

    @property
    def may_act(self) -> str:
        """Why nothing can be changed now; nothing when it can."""
        if not self.connection.online:
            return "the master does not answer: actions are off until it does"
        if self.read_only:
            return "read-only: R allows actions again"
        if self.role and self.role not in (Role.OPERATOR, Role.ADMIN):
            return f"a {self.role} may not change anything"
        return ""

    def say(self, text: str, style: str = "") -> None:
        """Show a line at the bottom."""
        self.message = Message(text, style)

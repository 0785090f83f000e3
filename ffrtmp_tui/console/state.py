"""Everything the console knows and shows, and the questions it asks. Plain data. Pure."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from ffrtmp_tui.console.connection import Connection
from ffrtmp_tui.console.form import Form
from ffrtmp_tui.console.keymap import LOG, Page
from ffrtmp_tui.console.log import Log
from ffrtmp_tui.console.prompts import Plan, Prompt
from ffrtmp_tui.console.query import HISTORY_SORTS, JOB_SORTS, NODE_SORTS, Query
from ffrtmp_tui.console.table import Table
from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.messages.jobs import JobView, StatusReply
from ffrtmpd.wire.messages.nodes import NodeView
from ffrtmpd.wire.messages.overview import Event, QueueList
from ffrtmpd.wire.vocabulary import Role

EVENTS_KEPT: Final = 500
# Of what is drawn as a line of heights: two minutes of what is asked every other second.
VALUES_KEPT: Final = 60
JOB_PAGES: Final = frozenset({Page.JOBS, Page.HISTORY})
LIST_PAGES: Final = frozenset({Page.JOBS, Page.HISTORY, Page.NODES})


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
    """A question on its way to the master; ``about`` is the id or the list that it concerns, ``tag`` who asks."""

    tag: str
    lane: Lane
    request: Request
    expected: type[Reply]
    wait_s: float = 0.0
    about: str = ""


def _values() -> "deque[float]":
    return deque(maxlen=VALUES_KEPT)


@dataclass(slots=True)
class Detail:
    """What is known of the selected job beyond its row; ``node`` is the one that runs it."""

    job_id: str = ""
    status: StatusReply | None = None
    status_s: float | None = None
    log: Log = field(default_factory=Log)
    fps: deque[float] = field(default_factory=_values)
    node: NodeView | None = None
    watts: deque[float] = field(default_factory=_values)


@dataclass(slots=True)
class Trends:
    """What was seen of the cluster at each look at its queues; ``waiting`` is jobs by queue."""

    power: deque[float] = field(default_factory=_values)
    waiting: dict[str, deque[float]] = field(default_factory=dict)

    def take(self, reply: QueueList, waiting: dict[str, int]) -> None:
        """Note what an answer tells."""
        if reply.nodes is not None and reply.nodes.power_watts is not None:
            self.power.append(reply.nodes.power_watts)
        for queue, jobs in waiting.items():
            self.waiting.setdefault(queue, _values()).append(jobs)


@dataclass(slots=True)
class Overlay:
    """A text over the main pane."""

    title: str
    lines: list[str]
    top: int = 0


@dataclass(slots=True)
class Message:
    """A line at the bottom until the next key; one that an answer brought stays at least until ``kept_s``."""

    text: str
    style: str = ""
    kept_s: float = 0.0


@dataclass(slots=True)
class Bulk:
    """An action under way: what is not sent yet, what is on its way, what was done and refused."""

    plan: Plan
    left: list[str]
    sent: int = 0
    done: int = 0
    refused: int = 0
    problem: str = ""
    stopped: bool = False

    @property
    def over(self) -> int:
        """How many targets have their answer."""
        return self.done + self.refused


@dataclass(slots=True)
class Marking:
    """Marking all that a filter matches, under way: how many there are, and in which list."""

    page: Page
    about: str
    total: int = 0


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
    history: Table[JobView] = field(default_factory=lambda: Table(lambda job: job.job_id))
    nodes: Table[NodeView] = field(default_factory=lambda: Table(lambda node: node.node_id))
    job_query: Query = field(default_factory=lambda: Query(JOB_SORTS))
    history_query: Query = field(default_factory=lambda: Query(HISTORY_SORTS))
    node_query: Query = field(default_factory=lambda: Query(NODE_SORTS))
    queues: QueueList | None = None
    trends: Trends = field(default_factory=Trends)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    top_event: int = 0
    detail: Detail = field(default_factory=Detail)
    scenarios: tuple[str, ...] = ()
    prompt: Prompt | None = None
    plan: Plan | None = None
    bulk: Bulk | None = None
    # Confirmed while an action on one target was under way: they come after it.
    plans: list[Plan] = field(default_factory=list)
    marking: Marking | None = None
    overlay: Overlay | None = None
    form: Form | None = None
    message: Message | None = None
    range_from: str | None = None
    search: str = ""
    log_full: bool = False
    log_wrap: bool = False
    log_times: bool = False
    # Columns and rows of the last screen.
    size: tuple[int, int] = (80, 24)
    # Rows of the log that the last screen had room for: what a page is, and where the end begins.
    log_room: int = 10
    frozen: bool = False
    leaving: bool = False
    # What the terminal is to put on its clipboard.
    yanked: str | None = None
    outbox: list[Ask] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Where keys are pressed: a page, or the log over it."""
        return LOG if self.log_full else self.page

    def table(self, page: Page) -> Table[Any]:
        """Return the rows of a page that lists something; those of the jobs for the others."""
        return self.nodes if page is Page.NODES else self.history if page is Page.HISTORY else self.jobs

    def query(self, page: Page) -> Query:
        """Return filter and order of a page that lists something; those of the jobs for the others."""
        if page is Page.NODES:
            return self.node_query
        return self.history_query if page is Page.HISTORY else self.job_query

    def span(self, table: Table[Any]) -> list[str]:
        """Return the ids of the range that is being marked: they are shown as marked before it is ended."""
        if self.range_from is None or table.selected is None:
            return []
        return table.between(self.range_from, table.selected)

    @property
    def waits_for(self) -> str:
        """What filter and order of this page wait for, nothing if they do not: until then the rows have others."""
        table, query = self.table(self.page), self.query(self.page)
        if self.page not in LIST_PAGES or not table.answered or table.about == query.name:
            return ""
        return "the master" if not self.connection.online else "z" if self.frozen else ""

    @property
    def job(self) -> JobView | None:
        """The selected job, on a page of jobs."""
        return self.table(self.page).current if self.page in JOB_PAGES else None

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

"""What is asked of the master and when. Pure: questions out; `answers` takes in what comes back."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ffrtmp_tui.console.keymap import Page
from ffrtmp_tui.console.prompts import Plan, number_of
from ffrtmp_tui.console.query import PAGE_ROWS, ended, list_history, list_ids, list_jobs, list_nodes
from ffrtmp_tui.console.state import Ask, Bulk, Detail, Lane, Marking, Now, State
from ffrtmpd.wire.messages.acts import ACT_MAX, Acted, ActedOnJobs
from ffrtmpd.wire.messages.common import Ping, Pong
from ffrtmpd.wire.messages.inquiries import ListScenarios, Logs, LogsReply, ScenarioList
from ffrtmpd.wire.messages.jobs import LOG_MAX, Changes, ChangesReply, JobList, JobView, Status, StatusReply
from ffrtmpd.wire.messages.nodes import DescribeNode, NodeList, NodeReply
from ffrtmpd.wire.messages.overview import EventList, Events, QueueList, Queues
from ffrtmpd.wire.vocabulary import JobState

# Short enough that a master which has gone is noticed soon; an idle master is asked every other second.
WATCH_S: Final = 2.0
# Deltas are taken in at most this often: two redraws a second are what a person can read.
EVERY_S: Final = 0.5
# A list whose members have changed is read anew this often: the order and the total are the master's to tell.
LIST_EVERY_S: Final = 2.0
QUEUES_EVERY_S: Final = 2.0
STATUS_EVERY_S: Final = 1.0
NODE_EVERY_S: Final = 2.0
LOG_EVERY_S: Final = 1.0
# A log that cannot be had now, its node being away or the encoder not begun, is asked for again this much later.
LOG_AGAIN_S: Final = 5.0
# The first piece of a log: a screen or two of it.
LOG_TAIL: Final = 8_192
# The master fetches a log's piece from the node before it answers.
LOG_FETCH_S: Final = 10.0
# A filter that is being typed is asked about when the fingers rest; a selection that moves, likewise.
REST_S: Final = 0.2
# Rows are fetched when the selected one is this near to the last that is here.
NEAR: Final = 50
_NO_LOG: Final = frozenset({JobState.PENDING, JobState.QUEUED})
_RUNS: Final = frozenset({JobState.ASSIGNED, JobState.PROCESSING, JobState.PAUSED})
_LISTED: Final[dict[Page, tuple[Callable[..., Any], Any]]] = {
    Page.JOBS: (list_jobs, JobList),
    Page.HISTORY: (list_history, JobList),
    Page.NODES: (list_nodes, NodeList),
}
MORE: Final = "more "


@dataclass(slots=True)
class Reading:
    """One list being read anew: when it is due, and the rows of a walk that takes more than one answer."""

    due_s: float | None = None
    asked_s: float | None = None
    rest_s: float = LIST_EVERY_S
    cursor: str | None = None
    least: int = 0
    rows: list[Any] = field(default_factory=list)
    walks: int = 0


class Feed:
    """Keeps a state fed."""

    def __init__(self, state: State, new_id: Callable[[], str]) -> None:
        self.state = state
        self.new_id = new_id
        self.busy: set[str] = set()
        self.revision: int | None = None
        self.event_cursor: int | None = None
        self.readings = {page: Reading() for page in _LISTED}
        self._asked_s: dict[str, float] = {}
        self._selected_s = 0.0

    # ── lists ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def refilter(self, page: Page, due_s: float) -> None:
        """Read a list anew because the filter or the order is another one: at ``due_s``, not before."""
        self.readings[page].due_s = due_s
        self.state.table(page).begin(None)

    def want_more(self, page: Page) -> None:
        """Fetch the rows behind the last one, where there are any."""
        table, tag = self.state.table(page), f"{MORE}{page}"
        if table.next_cursor is not None and tag not in self.busy and self.state.connection.online:
            self._list(page, tag, table.next_cursor, PAGE_ROWS)

    def want_before(self) -> None:
        """Fetch the jobs before the first one, where their list begins inside: it is unfiltered and newest first."""
        table = self.state.jobs
        if table.begins_inside and len(table) and "before" not in self.busy and self.state.connection.online:
            query = self.state.job_query
            cursor = str(number_of(table.rows[0].job_id))
            request = list_jobs(replace(query, turned=True), self.new_id(), cursor=cursor)
            self.ask(Ask(tag="before", lane=Lane.READ, request=request, expected=JobList, about=query.name))

    def read_on(self, page: Page, cursor: str) -> None:
        """Go on with a walk whose answer held too little: few jobs fit, and the master looks at so many a time."""
        reading = self.readings[page]
        self._list(page, str(page), cursor, reading.least)

    def _list(self, page: Page, tag: str, cursor: str | None, limit: int) -> None:
        make, expected = _LISTED[page]
        query = self.state.query(page)
        request = make(query, self.new_id(), cursor=cursor, limit=limit)
        self.ask(Ask(tag=tag, lane=Lane.READ, request=request, expected=expected, about=query.name))

    def _tick_list(self, page: Page, at: float) -> None:
        reading, table = self.readings[page], self.state.table(page)
        if str(page) in self.busy:
            return
        planned = reading.due_s is not None and at >= reading.due_s
        rested = reading.asked_s is None or at >= reading.asked_s + reading.rest_s
        if not planned and not (reading.due_s is None and rested and not table.fresh):
            return
        reading.cursor, reading.least = (None, PAGE_ROWS) if planned else table.reads(PAGE_ROWS)
        reading.due_s, reading.asked_s, reading.rows, reading.walks = None, at, [], 0
        self._list(page, str(page), reading.cursor, reading.least)

    def mark_all(self, page: Page) -> None:
        """Mark every job that the filter of a page matches, by the thousand."""
        query = self.state.query(page)
        self.state.marking = Marking(page, query.text)
        self.mark_on(None)

    def mark_on(self, cursor: str | None) -> None:
        """Ask for the next ids to mark."""
        marking = self.state.marking
        if marking is not None:
            fields = self.state.query(marking.page).fields
            request = list_ids(ended(fields) if marking.page is Page.HISTORY else fields, self.new_id(), cursor=cursor)
            self.ask(Ask(tag="mark_all", lane=Lane.READ, request=request, expected=JobList, about=marking.about))

    # ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self, now: Now) -> list[Ask]:
        """Ask what is due; return all that is to be sent."""
        state, line = self.state, self.state.connection
        if not line.online:
            if "ping" not in self.busy and now.mono_s >= line.retry_s:
                self.ping()
        elif not state.frozen:
            self._tick_lists(now)
            self._tick_detail(now)
        asks, state.outbox = state.outbox, []
        return asks

    def ping(self) -> None:
        """Ask the master who it is, and who we are to it."""
        self.ask(Ask(tag="ping", lane=Lane.READ, request=Ping(request_id=self.new_id()), expected=Pong))

    def start_anew(self) -> None:
        """Read everything anew: the master was away, and may be another run of it."""
        self.revision = None
        self._asked_s.clear()
        state = self.state
        state.detail.status_s = state.detail.log.asked_s = None
        state.marking = None
        for page, reading in self.readings.items():
            reading.asked_s = None
            state.table(page).age()

    def _tick_lists(self, now: Now) -> None:
        state, at = self.state, now.mono_s
        self._tick_list(Page.JOBS, at)
        if state.page is Page.HISTORY:
            self._tick_list(Page.HISTORY, at)
        if self._due("nodes", LIST_EVERY_S, at):
            state.nodes.age()
        self._tick_list(Page.NODES, at)
        if self.revision is not None and self._due("changes", EVERY_S, at):
            changes = Changes(request_id=self.new_id(), since=self.revision, wait_s=WATCH_S)
            self.ask(Ask(tag="changes", lane=Lane.WATCH, request=changes, expected=ChangesReply, wait_s=WATCH_S))
        if self._due("queues", QUEUES_EVERY_S, at):
            queues = Queues(request_id=self.new_id())
            self.ask(Ask(tag="queues", lane=Lane.READ, request=queues, expected=QueueList))
        if self._due("events", EVERY_S, at):
            # Asked for without waiting where nothing is known yet; the answer brings the last ones.
            wait_s = 0.0 if self.event_cursor is None else WATCH_S
            events = Events(request_id=self.new_id(), since=self.event_cursor, limit=200, wait_s=wait_s)
            self.ask(Ask(tag="events", lane=Lane.EVENTS, request=events, expected=EventList, wait_s=wait_s))
        if not state.scenarios and self._due("scenarios", 60.0, at):
            scenarios = ListScenarios(request_id=self.new_id())
            self.ask(Ask(tag="scenarios", lane=Lane.READ, request=scenarios, expected=ScenarioList))

    def _due(self, tag: str, every_s: float, at: float) -> bool:
        if tag in self.busy or at < self._asked_s.get(tag, -every_s) + every_s:
            return False
        self._asked_s[tag] = at
        return True

    # ── the selected job ──────────────────────────────────────────────────────────────────────────────────────────

    def _tick_detail(self, now: Now) -> None:
        state, at = self.state, now.mono_s
        job = state.job
        if job is None:
            return
        if state.detail.job_id != job.job_id:
            state.detail = Detail(job_id=job.job_id)
            self._selected_s = at
        if at < self._selected_s + REST_S:
            return
        detail = state.detail
        known = detail.status.job.revision if detail.status else -1
        status_due = detail.status_s is None or (known < job.revision and at >= detail.status_s + STATUS_EVERY_S)
        if status_due and "status" not in self.busy:
            detail.status_s = at
            status = Status(request_id=self.new_id(), job=job.job_id)
            self.ask(Ask(tag="status", lane=Lane.READ, request=status, expected=StatusReply, about=job.job_id))
        if job.node_id is not None and job.state in _RUNS and self._due("node", NODE_EVERY_S, at):
            node = DescribeNode(request_id=self.new_id(), node_id=job.node_id)
            self.ask(Ask(tag="node", lane=Lane.READ, request=node, expected=NodeReply, about=job.job_id))
        self._tick_log(job, at)

    def _tick_log(self, job: JobView, at: float) -> None:
        log = self.state.detail.log
        if log.attempt and job.attempt > log.attempt:
            log = self.state.detail.log = type(log)()
        wanted = job.attempt > 0 and not (job.state in _NO_LOG and not log.attempt) and not log.ended
        if wanted and "log" not in self.busy and (log.asked_s is None or at >= log.asked_s + LOG_EVERY_S):
            log.asked_s = at
            offset = -LOG_TAIL if log.onward is None else log.onward
            logs = Logs(request_id=self.new_id(), job=job.job_id, attempt=log.attempt or None, offset=offset)
            self._ask_log("log", logs, job.job_id)
        # What is before the lines here is fetched by who looks at the log, and goes to its beginning.
        begins = log.top == 0 or log.count < self.state.log_room
        if self.state.log_full and log.first > 0 and begins and "log_before" not in self.busy:
            start = max(0, log.first - LOG_MAX)
            logs = Logs(
                request_id=self.new_id(), job=job.job_id, attempt=log.attempt, offset=start, limit=log.first - start
            )
            self._ask_log("log_before", logs, job.job_id)

    def _ask_log(self, tag: str, request: Logs, job_id: str) -> None:
        self.ask(Ask(tag=tag, lane=Lane.LOG, request=request, expected=LogsReply, wait_s=LOG_FETCH_S, about=job_id))

    # ── acts ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, plan: Plan) -> None:
        """Begin an action, or let it come after the one that is under way."""
        if self.state.bulk is not None:
            self.state.plans.append(plan)
            return
        self.state.bulk = Bulk(plan, list(plan.targets))
        self.act()

    def end(self) -> None:
        """Note that the action under way is over, and begin the one after it."""
        self.state.bulk = None
        if self.state.plans:
            self.begin(self.state.plans.pop(0))

    def act(self) -> None:
        """Send the action for the next targets, as many as one question takes."""
        bulk = self.state.bulk
        if bulk is None or not bulk.left:
            return
        targets, bulk.left = bulk.left[:ACT_MAX], bulk.left[ACT_MAX:]
        bulk.sent = len(targets)
        request = bulk.plan.request(self.new_id(), targets)
        expected: Any = NodeReply if bulk.plan.noun == "node" else Acted if len(bulk.plan.targets) == 1 else ActedOnJobs
        self.ask(Ask(tag="act", lane=Lane.ACT, request=request, expected=expected, about=targets[0]))

    def ask(self, ask: Ask) -> None:
        """Put a question into the outbox."""
        self.busy.add(ask.tag)
        self.state.outbox.append(ask)

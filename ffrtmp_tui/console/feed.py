"""What is asked of the master and when, and what its answers change. Pure: asks out, answers in."""

from collections.abc import Callable
from typing import Final

from ffrtmp_tui.console.keymap import Page
from ffrtmp_tui.console.query import fits, list_jobs, list_nodes
from ffrtmp_tui.console.state import LOG_LINES, Ask, Detail, Lane, Now, Overlay, State
from ffrtmp_tui.explain import MEANINGS
from ffrtmp_tui.failures import Failure
from ffrtmp_tui.terminal import clean, clean_lines
from ffrtmpd.wire.messages.common import Ping, Pong, Reply
from ffrtmpd.wire.messages.jobs import (
    PAGE_MAX,
    Acted,
    Changes,
    ChangesReply,
    Explanation,
    JobList,
    JobView,
    ListScenarios,
    Logs,
    LogsReply,
    ScenarioList,
    Status,
    StatusReply,
    Submitted,
)
from ffrtmpd.wire.messages.nodes import NodeList, NodeReply, NodeView
from ffrtmpd.wire.messages.overview import EventList, Events, QueueList, Queues
from ffrtmpd.wire.vocabulary import JobState

# Short enough that a master which has gone is noticed soon; an idle master is asked every other second.
WATCH_S: Final = 2.0
# Deltas are taken in at most this often: two redraws a second are what a person can read.
EVERY_S: Final = 0.5
# A list whose members have changed is read anew this often: the order and the total are the master's to tell.
LIST_EVERY_S: Final = 2.0
NODES_EVERY_S: Final = 2.0
QUEUES_EVERY_S: Final = 2.0
STATUS_EVERY_S: Final = 1.0
LOG_EVERY_S: Final = 1.0
# A log that cannot be had now, its node being away or the encoder not begun, is asked for again this much later.
LOG_AGAIN_S: Final = 5.0
# The first piece of a log: a screen or two of it.
LOG_TAIL: Final = 8_192
# The master fetches a log's piece from the node before it answers.
LOG_FETCH_S: Final = 10.0
# A filter that is being typed is asked about when the fingers rest; a selection that moves, likewise.
REST_S: Final = 0.2
_GONE: Final = frozenset({"unreachable", "key_refused", "protocol"})
_NO_LOG: Final = frozenset({JobState.PENDING, JobState.QUEUED})


class Feed:
    """Keeps a state fed."""

    def __init__(self, state: State, new_id: Callable[[], str]) -> None:
        self.state = state
        self._new_id = new_id
        self._busy: set[str] = set()
        self._asked_s: dict[str, float] = {}
        self._revision: int | None = None
        self._cursor: int | None = None
        self._list_due_s: float | None = None
        self._selected_s = 0.0
        self._marking: str | None = None

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────

    def relist(self, due_s: float) -> None:
        """Read the list of the jobs anew at ``due_s``, or sooner where that is planned."""
        self._list_due_s = due_s if self._list_due_s is None else min(due_s, self._list_due_s)

    def refilter(self, due_s: float) -> None:
        """Read the lists anew because the filter or the order is another one: at ``due_s``, not before."""
        self._list_due_s = due_s
        self._asked_s["nodes"] = due_s - NODES_EVERY_S

    def want_more(self) -> None:
        """Fetch the rows behind the last one, where there are any."""
        jobs = self.state.jobs
        if jobs.next_cursor is not None and "more" not in self._busy and self.state.connection.online:
            request = list_jobs(self.state.job_query, self._new_id(), cursor=jobs.next_cursor)
            self._ask(Ask(tag="more", lane=Lane.READ, request=request, expected=JobList))

    def mark_all(self) -> None:
        """Mark every job that the filter matches, page by page."""
        self._marking = self.state.job_query.text
        self._mark_page(None)

    def tick(self, now: Now) -> list[Ask]:
        """Ask what is due; return all that is to be sent."""
        state, line = self.state, self.state.connection
        if not line.online:
            if "ping" not in self._busy and now.mono_s >= line.retry_s:
                self._ask(Ask(tag="ping", lane=Lane.READ, request=Ping(request_id=self._new_id()), expected=Pong))
        elif not state.frozen:
            self._tick_lists(now)
            self._tick_detail(now)
        asks, state.outbox = state.outbox, []
        return asks

    def _tick_lists(self, now: Now) -> None:
        state, at = self.state, now.mono_s
        if self._list_due_s is not None and at >= self._list_due_s and "jobs" not in self._busy:
            self._list_due_s = None
            request = list_jobs(state.job_query, self._new_id(), limit=self._window())
            self._ask(Ask(tag="jobs", lane=Lane.READ, request=request, expected=JobList, about=state.job_query.text))
            self._asked_s["jobs"] = at
        if self._revision is not None and self._due("changes", EVERY_S, at):
            changes = Changes(request_id=self._new_id(), since=self._revision, wait_s=WATCH_S)
            self._ask(Ask(tag="changes", lane=Lane.WATCH, request=changes, expected=ChangesReply, wait_s=WATCH_S))
        if self._due("nodes", NODES_EVERY_S, at):
            nodes = list_nodes(state.node_query, self._new_id())
            self._ask(Ask(tag="nodes", lane=Lane.READ, request=nodes, expected=NodeList, about=state.node_query.text))
        if self._due("queues", QUEUES_EVERY_S, at):
            queues = Queues(request_id=self._new_id())
            self._ask(Ask(tag="queues", lane=Lane.READ, request=queues, expected=QueueList))
        if self._due("events", EVERY_S, at):
            # Asked for without waiting where nothing is known yet; the answer brings the last ones.
            wait_s = 0.0 if self._cursor is None else WATCH_S
            events = Events(request_id=self._new_id(), since=self._cursor, limit=200, wait_s=wait_s)
            self._ask(Ask(tag="events", lane=Lane.EVENTS, request=events, expected=EventList, wait_s=wait_s))
        if not state.scenarios and self._due("scenarios", 60.0, at):
            scenarios = ListScenarios(request_id=self._new_id())
            self._ask(Ask(tag="scenarios", lane=Lane.READ, request=scenarios, expected=ScenarioList))

    def _tick_detail(self, now: Now) -> None:
        state, at = self.state, now.mono_s
        job = state.jobs.current
        if job is None:
            state.detail = Detail()
            return
        if state.detail.job_id != job.job_id:
            state.detail = Detail(job_id=job.job_id)
            self._selected_s = at
        if at < self._selected_s + REST_S or state.page is not Page.JOBS:
            return
        detail = state.detail
        known = detail.status.job.revision if detail.status else -1
        status_due = detail.status_s is None or (known < job.revision and at >= detail.status_s + STATUS_EVERY_S)
        if status_due and "status" not in self._busy:
            detail.status_s = at
            status = Status(request_id=self._new_id(), job=job.job_id)
            self._ask(Ask(tag="status", lane=Lane.READ, request=status, expected=StatusReply, about=job.job_id))
        if detail.log_attempt and job.attempt > detail.log_attempt:
            detail.log, detail.log_attempt, detail.log_offset, detail.log_ended = [], 0, None, False
        wanted = job.attempt > 0 and not (job.state in _NO_LOG and not detail.log_attempt) and not detail.log_ended
        if wanted and "log" not in self._busy and (detail.log_s is None or at >= detail.log_s + LOG_EVERY_S):
            detail.log_s = at
            offset = -LOG_TAIL if detail.log_offset is None else detail.log_offset
            logs = Logs(request_id=self._new_id(), job=job.job_id, attempt=detail.log_attempt or None, offset=offset)
            self._ask(
                Ask(tag="log", lane=Lane.LOG, request=logs, expected=LogsReply, wait_s=LOG_FETCH_S, about=job.job_id)
            )

    def _due(self, tag: str, every_s: float, at: float) -> bool:
        if tag in self._busy or at < self._asked_s.get(tag, -every_s) + every_s:
            return False
        self._asked_s[tag] = at
        return True

    def _window(self) -> int:
        """Return how many rows to read anew: as many as are looked at, not all that were fetched on the way."""
        return min(PAGE_MAX, max(200, (self.state.jobs.place // 200 + 1) * 200))

    def _mark_page(self, cursor: str | None) -> None:
        request = list_jobs(self.state.job_query, self._new_id(), cursor=cursor, limit=PAGE_MAX)
        about = self.state.job_query.text
        self._ask(Ask(tag="mark_all", lane=Lane.READ, request=request, expected=JobList, about=about))

    def _ask(self, ask: Ask) -> None:
        self._busy.add(ask.tag)
        self.state.outbox.append(ask)

    # ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────

    def heard(self, ask: Ask, reply: Reply, now: Now) -> None:
        """Take an answer in."""
        self._busy.discard(ask.tag)
        if self.state.connection.heard(now.mono_s):
            self._start_anew(now)
        match reply:
            case Pong():
                state = self.state
                state.cluster, state.principal, state.role = reply.cluster, reply.principal, reply.role
            case JobList():
                self._job_list(ask, reply)
            case ChangesReply():
                self._changes(reply, now)
            case NodeList():
                if ask.about == self.state.node_query.text:
                    self.state.nodes.show(reply.nodes, total=reply.total, next_cursor=reply.next)
            case QueueList():
                self.state.queues = reply
            case EventList():
                self._events(reply)
            case StatusReply():
                self._status(ask, reply)
            case LogsReply():
                self._log(reply)
            case ScenarioList():
                self.state.scenarios = tuple(scenario.name for scenario in reply.scenarios)
            case Explanation():
                self._explanation(reply)
            case Acted():
                self.state.jobs.update(reply.job)
                self._step(ask, None)
            case NodeReply():
                self.state.nodes.update(reply.node)
                self._step(ask, None)
            case Submitted():
                self._submitted(reply, now)

    def missed(self, ask: Ask, failure: Failure, now: Now) -> None:
        """Take in that a question was refused, or not answered."""
        self._busy.discard(ask.tag)
        state = self.state
        gone = failure.code in _GONE
        if gone:
            state.connection.missed(failure.message, now.mono_s)
        elif state.connection.heard(now.mono_s):
            self._start_anew(now)
        if ask.tag == "act":
            self._acted_not(ask, failure, gone=gone)
        elif ask.tag == "submit" and state.form is not None:
            state.form.sent = False
            state.form.problem = (
                f"{failure.message}; Enter tries again, and makes it once only" if gone else (failure.message)
            )
        elif ask.tag in ("explain", "goto", "mark_all", "jobs", "nodes") and not gone:
            state.say(clean(failure.message), "bad")
        elif ask.tag == "log" and state.detail.job_id == ask.about:
            state.detail.log_note = clean(failure.message)
            state.detail.log_s = now.mono_s + LOG_AGAIN_S - LOG_EVERY_S

    def _start_anew(self, now: Now) -> None:
        """Read everything anew: the master was away, and may be another run of it."""
        self._revision = None
        self._asked_s.clear()
        self.state.detail.status_s = self.state.detail.log_s = None
        self.relist(now.mono_s)
        if "ping" not in self._busy and not self.state.principal:
            self._ask(Ask(tag="ping", lane=Lane.READ, request=Ping(request_id=self._new_id()), expected=Pong))

    def _job_list(self, ask: Ask, reply: JobList) -> None:
        jobs = self.state.jobs
        if ask.about != self.state.job_query.text and ask.tag != "more":
            # The filter is another one by now; its own answer is on the way.
            return
        if ask.tag == "mark_all":
            jobs.mark(job.job_id for job in reply.jobs)
            self.state.say(f"{len(jobs.marks)} of {reply.total} marked")
            if reply.next is not None and self._marking == self.state.job_query.text:
                self._mark_page(reply.next)
            return
        if ask.tag == "more":
            jobs.extend(reply.jobs, total=reply.total, next_cursor=reply.next)
            return
        jobs.show(reply.jobs, total=reply.total, next_cursor=reply.next)
        # Never ahead of the deltas: what they bring twice does no harm, what is left out would.
        if self._revision is None:
            self._revision = reply.revision
        if not reply.jobs:
            self.want_more()

    def _changes(self, reply: ChangesReply, now: Now) -> None:
        if reply.reset:
            self._revision = None
            self.relist(now.mono_s)
            return
        self._revision = reply.revision
        jobs, fields = self.state.jobs, self.state.job_query.fields
        moved = False
        for job in reply.jobs:
            held = jobs.update(job)
            moved = moved or not held or not fits(job, fields)
            if job.job_id == self.state.detail.job_id and job.progress and job.progress.fps is not None:
                self.state.detail.fps.append(job.progress.fps)
        if moved or (reply.jobs and self.state.job_query.sort != "created"):
            self.relist(max(now.mono_s, self._asked_s.get("jobs", 0.0) + LIST_EVERY_S))

    def _events(self, reply: EventList) -> None:
        if reply.reset:
            self.state.events.clear()
        self._cursor = reply.cursor
        self.state.events.extend(reply.events)

    def _status(self, ask: Ask, reply: StatusReply) -> None:
        if ask.tag == "goto":
            self._goto(reply.job)
        elif reply.job.job_id == self.state.detail.job_id:
            self.state.detail.status = reply

    def _goto(self, job: JobView) -> None:
        jobs = self.state.jobs
        self.state.page = Page.JOBS
        if not jobs.select(job.job_id):
            jobs.extend([job], total=jobs.total, next_cursor=jobs.next_cursor)
            jobs.select(job.job_id)

    def _log(self, reply: LogsReply) -> None:
        detail = self.state.detail
        if detail.job_id != reply.job_id:
            return
        detail.log_note, detail.log_attempt = "", reply.attempt
        detail.log_offset, detail.log_ended = reply.next_offset, reply.end
        if reply.text:
            # What an encoder says may hold what a hostile input says; the terminal must not obey it.
            lines = clean_lines(reply.text).split("\n")
            if detail.log and lines:
                lines[0] = detail.log.pop() + lines[0]
            detail.log = (detail.log + lines)[-LOG_LINES:]

    def _explanation(self, reply: Explanation) -> None:
        job = reply.job
        lines = [f"{job.job_id} is {job.state}: {clean(reply.text)}.", ""]
        if job.state is JobState.QUEUED:
            place = "beyond the first thousand of its kind" if reply.place is None else str(reply.place)
            lines += [f"Place in the order of work: {place}", f"Needs: {clean(reply.requires)}", ""]
        lines += [f"  {clean(answer.node_id):<20} {MEANINGS.get(answer.why, answer.why)}" for answer in reply.nodes]
        self.state.overlay = Overlay(f"why {job.job_id} is {job.state}", lines)

    def _acted_not(self, ask: Ask, failure: Failure, *, gone: bool) -> None:
        bulk = self.state.bulk
        if gone and bulk is not None:
            left, bulk.left = len(bulk.left), []
            what = f"{bulk.plan.what}: {bulk.done} done, no answer for {ask.about}"
            self.state.say(f"{what}, {left} not sent" if left else what, "bad")
            self.state.bulk = None
            return
        self._step(ask, f"{ask.about}: {clean(failure.message)}")

    def _step(self, ask: Ask, problem: str | None) -> None:
        """Count one target of an action and send the next one."""
        state, bulk = self.state, self.state.bulk
        if bulk is None:
            return
        if problem is None:
            bulk.done += 1
            state.jobs.marks.discard(ask.about)
        else:
            bulk.problems.append(problem)
        if bulk.left:
            self.act()
            return
        state.bulk = None
        failed = len(bulk.problems)
        text = f"{bulk.plan.what}: {bulk.done} done" + (f", {failed} refused: {bulk.problems[0]}" if failed else "")
        state.say(f"{text}   = {bulk.plan.command}", "bad" if failed else "good")

    def act(self) -> None:
        """Send the action for the next target."""
        bulk = self.state.bulk
        if bulk is not None and bulk.left:
            target = bulk.left.pop(0)
            request = bulk.plan.request(self._new_id(), target)
            expected = Acted if bulk.plan.noun == "job" else NodeReply
            self._ask(Ask(tag="act", lane=Lane.ACT, request=request, expected=expected, about=target))

    def _submitted(self, reply: Submitted, now: Now) -> None:
        state, result = self.state, reply.results[0]
        if state.form is None:
            return
        state.form.sent = False
        if result.problem is not None:
            state.form.problem = clean(result.problem.message)
            return
        waits = f"; waits: {clean(result.reason)}" if result.reason else ""
        state.say(f"submitted {result.job_id}{waits}   = {state.form.command()}", "good")
        state.form = None
        self.relist(now.mono_s)


def power(nodes: list[NodeView]) -> float | None:
    """Return the watts of all nodes that are metered, None where none is."""
    watts = [node.load.power_watts for node in nodes if node.load and node.load.power_watts is not None]
    return sum(watts) if watts else None

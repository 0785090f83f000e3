"""What the answers of the master change. Pure."""

from typing import Final

from ffrtmp_tui.console.feed import LIST_EVERY_S, LOG_AGAIN_S, LOG_EVERY_S, MORE, NEAR, Feed
from ffrtmp_tui.console.form import Form
from ffrtmp_tui.console.keymap import Page
from ffrtmp_tui.console.prompts import number_of
from ffrtmp_tui.console.query import ended, fits
from ffrtmp_tui.console.state import Ask, Now, Overlay
from ffrtmp_tui.explain import MEANINGS
from ffrtmp_tui.failures import Failure
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.messages.acts import Acted, ActedOnJobs
from ffrtmpd.wire.messages.common import Pong, Reply
from ffrtmpd.wire.messages.inquiries import Explanation, LogsReply, ScenarioList
from ffrtmpd.wire.messages.jobs import ChangesReply, JobList, JobView, StatusReply, Submit, Submitted
from ffrtmpd.wire.messages.nodes import NodeList, NodeReply
from ffrtmpd.wire.messages.overview import EventList, QueueList
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState

_GONE: Final = frozenset({"unreachable", "key_refused", "protocol"})
# A walk through jobs of which few fit is shown when it has so many answers; then it rests the longer.
_WALKS_SHOWN: Final = 20
_LIST_TAGS: Final = frozenset({str(page) for page in (Page.JOBS, Page.HISTORY, Page.NODES)})


class Answers:
    """Takes answers in."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._state = feed.state

    def heard(self, ask: Ask, reply: Reply, now: Now) -> None:
        """Take an answer in."""
        self._feed.busy.discard(ask.tag)
        if self._state.connection.heard(now.mono_s):
            self._back()
        match reply:
            case Pong():
                state = self._state
                state.cluster, state.principal, state.role = reply.cluster, reply.principal, reply.role
            case JobList() if ask.tag == "mark_all":
                self._mark(ask, reply)
            case JobList() if ask.tag == "before":
                self._before(ask, reply)
            case JobList() | NodeList():
                self._listed(ask, reply)
            case ChangesReply():
                self._changes(reply)
            case QueueList():
                self._queues(reply)
            case EventList():
                self._events(reply)
            case StatusReply():
                self._status(ask, reply)
            case LogsReply():
                self._log(ask, reply, now)
            case ScenarioList():
                self._state.scenarios = tuple(scenario.name for scenario in reply.scenarios)
            case Explanation():
                self._explanation(reply)
            case Acted():
                self._state.jobs.update(reply.job)
                self._acted([(reply.job.job_id, None)])
            case ActedOnJobs():
                self._acted([(one.job, one.problem.message if one.problem else None) for one in reply.results])
            case NodeReply() if ask.tag == "node":
                self._node(ask, reply)
            case NodeReply():
                self._state.nodes.update(reply.node)
                self._acted([(reply.node.node_id, None)])
            case Submitted():
                self._submitted(ask, reply)

    def missed(self, ask: Ask, failure: Failure, now: Now) -> None:
        """Take in that a question was refused, or not answered."""
        self._feed.busy.discard(ask.tag)
        state = self._state
        gone = failure.code in _GONE
        if gone:
            state.connection.missed(failure.message, now.mono_s)
            if ask.tag in _LIST_TAGS:
                # Half a walk is no list.
                state.table(Page(ask.tag)).age()
        elif state.connection.heard(now.mono_s):
            self._back()
        if ask.tag == "act":
            self._acted_not(ask, failure, gone=gone)
        elif ask.tag == "submit":
            self._submitted_not(ask, clean(failure.message), gone=gone)
        elif ask.tag == "mark_all":
            state.marking = None
            state.say(f"{len(self._state.table(state.page).marks)} marked; then: {clean(failure.message)}", "bad")
        elif (ask.tag in ("explain", "goto") or ask.tag in _LIST_TAGS) and not gone:
            state.say(clean(failure.message), "bad")
        elif ask.tag == "log" and state.detail.job_id == ask.about:
            state.detail.log.note = clean(failure.message)
            state.detail.log.asked_s = now.mono_s + LOG_AGAIN_S - LOG_EVERY_S
        elif ask.tag == "log_before" and state.detail.job_id == ask.about:
            # The beginning cannot be had; what is here can be read.
            state.detail.log.first = 0

    def _back(self) -> None:
        self._feed.start_anew()
        if "ping" not in self._feed.busy and not self._state.principal:
            self._feed.ping()

    # ── lists ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _listed(self, ask: Ask, reply: JobList | NodeList) -> None:
        state, feed = self._state, self._feed
        more = ask.tag.startswith(MORE)
        page = Page(ask.tag.removeprefix(MORE))
        if ask.about != state.query(page).name:
            # The filter or the order is another one by now; its own answer is on the way.
            return
        rows = list(reply.nodes if isinstance(reply, NodeList) else reply.jobs)
        partial = isinstance(reply, JobList) and reply.partial
        table, reading = state.table(page), feed.readings[page]
        if isinstance(reply, JobList) and feed.revision is None:
            # Never ahead of the deltas: what they bring twice does no harm, what is left out would.
            feed.revision = reply.revision
        if more:
            cursor = getattr(ask.request, "cursor", None)
            table.extend(rows, total=reply.total, next_cursor=reply.next, cursor=cursor, partial=partial)
            if table.next_cursor is not None and table.place >= len(table) - NEAR:
                feed.want_more(page)
            return
        reading.rows += rows
        reading.walks += 1
        whole = reply.next is None or len(reading.rows) >= reading.least or reading.walks >= _WALKS_SHOWN
        if whole or not len(table):
            table.about = ask.about
            table.show(reading.rows, total=reply.total, next_cursor=reply.next, cursor=reading.cursor, partial=partial)
        reading.rest_s = LIST_EVERY_S * reading.walks
        if not whole and reply.next is not None:
            feed.read_on(page, reply.next)

    def _before(self, ask: Ask, reply: JobList) -> None:
        state, table = self._state, self._state.jobs
        asked = getattr(ask.request, "cursor", None)
        if ask.about != state.job_query.name or not (table.begins_inside and len(table)):
            return
        if asked == str(number_of(table.rows[0].job_id)):
            rows = reply.jobs[::-1]
            more = bool(rows) and reply.next is not None
            table.put_before(rows, cursor=str(number_of(rows[0].job_id) + 1) if more else None)

    def _mark(self, ask: Ask, reply: JobList) -> None:
        state, marking = self._state, self._state.marking
        if marking is None or ask.about != marking.about or marking.about != state.query(marking.page).text:
            state.marking = None
            return
        table = state.table(marking.page)
        table.mark(reply.ids)
        marking.total = max(reply.total, len(table.marks))
        if reply.next is not None:
            self._feed.mark_on(reply.next)
            return
        state.marking = None
        state.say(f"{len(table.marks)} marked")

    def _changes(self, reply: ChangesReply) -> None:
        feed, state = self._feed, self._state
        if reply.reset:
            feed.revision = None
            feed.readings[Page.JOBS].asked_s = None
            state.jobs.age()
            state.history.age()
            return
        feed.revision = reply.revision
        for job in reply.jobs:
            self._changed(job)
            if job.job_id == state.detail.job_id and job.progress and job.progress.fps is not None:
                state.detail.fps.append(job.progress.fps)

    def _changed(self, job: JobView) -> None:
        state = self._state
        for table, query, fields in (
            (state.jobs, state.job_query, state.job_query.fields),
            (state.history, state.history_query, ended(state.history_query.fields)),
        ):
            held = table.update(job)
            # A job that runs is none of the history's business.
            concerns = held or table is state.jobs or job.state in TERMINAL_STATES
            if concerns and (not held or not fits(job, fields) or query.sort not in ("created", "finished")):
                table.age()

    def _queues(self, reply: QueueList) -> None:
        self._state.queues = reply
        waits = (JobState.QUEUED, JobState.PENDING)
        self._state.trends.take(
            reply,
            {str(one.queue): sum(count.jobs for count in one.states if count.state in waits) for one in reply.queues},
        )

    def _events(self, reply: EventList) -> None:
        state = self._state
        if reply.reset:
            state.events.clear()
        self._feed.event_cursor = reply.cursor
        state.events.extend(reply.events)
        if state.top_event:
            # What is read stays where it is while news come in above it.
            state.top_event = min(state.top_event + len(reply.events), len(state.events) - 1)

    # ── the selected job ──────────────────────────────────────────────────────────────────────────────────────────

    def _status(self, ask: Ask, reply: StatusReply) -> None:
        state = self._state
        if ask.tag == "goto":
            self._goto(reply.job)
        elif reply.job.job_id == state.detail.job_id:
            state.detail.status = reply

    def _goto(self, job: JobView) -> None:
        """Select a job: where it stands if it is here, else let the list begin with it, or some jobs before it."""
        state = self._state
        state.page, state.overlay, state.log_full, state.range_from = Page.JOBS, None, False, None
        if not state.jobs.select(job.job_id):
            query = state.job_query
            query.text, query.fields, query.sort, query.turned = "", {}, query.sorts[0], False
            state.jobs.about = query.name
            # The cursor of a list in the order of submit is the number before which it goes on.
            state.jobs.begin(str(number_of(job.job_id) + 1), [job])
            self._feed.readings[Page.JOBS].asked_s = None
            self._feed.want_before()

    def _node(self, ask: Ask, reply: NodeReply) -> None:
        detail = self._state.detail
        if detail.job_id == ask.about:
            detail.node = reply.node
            if reply.node.load and reply.node.load.power_watts is not None:
                detail.watts.append(reply.node.load.power_watts)

    def _log(self, ask: Ask, reply: LogsReply, now: Now) -> None:
        detail = self._state.detail
        if detail.job_id != reply.job_id:
            return
        if ask.tag == "log_before":
            detail.log.put_before(reply)
        else:
            detail.log.take(reply, now.wall_s)

    def _explanation(self, reply: Explanation) -> None:
        job = reply.job
        lines = [f"{job.job_id} is {job.state}: {clean(reply.text)}.", ""]
        if job.state is JobState.QUEUED:
            place = "beyond the first thousand of its kind" if reply.place is None else str(reply.place)
            lines += [f"Place in the order of work: {place}", f"Needs: {clean(reply.requires)}", ""]
        lines += [f"  {clean(answer.node_id):<20} {MEANINGS.get(answer.why, answer.why)}" for answer in reply.nodes]
        self._state.overlay = Overlay(f"why {job.job_id} is {job.state}", lines)

    # ── acts ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _acted(self, results: list[tuple[str, str | None]]) -> None:
        """Count what was done, and go on with what is left."""
        state, bulk = self._state, self._state.bulk
        if bulk is None:
            return
        for target, problem in results:
            if problem is None:
                bulk.done += 1
                state.jobs.marks.discard(target)
                state.history.marks.discard(target)
            else:
                bulk.refused += 1
                said = clean(problem)
                bulk.problem = bulk.problem or (said if target in said else f"{target}: {said}")
        bulk.sent = 0
        if bulk.left and not bulk.stopped:
            self._feed.act()
            return
        self._feed.end()
        if bulk.refused and len(bulk.plan.targets) == 1:
            state.say(bulk.problem, "bad")
            return
        text = f"{bulk.plan.what}: {bulk.done} done"
        if bulk.refused:
            text += f", {bulk.refused} refused: {bulk.problem}"
        if bulk.stopped:
            # The command would do the rest of it too.
            state.say(f"{text}, {len(bulk.left)} not sent: stopped", "bad")
            return
        state.say(f"{text}   = {bulk.plan.command}", "bad" if bulk.refused else "good")

    def _acted_not(self, ask: Ask, failure: Failure, *, gone: bool) -> None:
        state, bulk = self._state, self._state.bulk
        if bulk is None:
            return
        if gone:
            unknown = ask.about if bulk.sent == 1 else f"{bulk.sent}, the first {ask.about}"
            what = f"{bulk.plan.what}: {bulk.done} done, no answer for {unknown}"
            left = len(bulk.left) + sum(len(plan.targets) for plan in state.plans)
            state.say(f"{what}, {left} not sent" if left else what, "bad")
            state.bulk = None
            state.plans.clear()
            return
        sent = max(1, bulk.sent)
        bulk.refused += sent - 1
        self._acted([(ask.about, failure.message)])

    def _submitted(self, ask: Ask, reply: Submitted) -> None:
        state, result = self._state, reply.results[0]
        if result.problem is not None:
            self._submitted_not(ask, clean(result.problem.message), gone=False)
            return
        waits = f"; waits: {clean(result.reason)}" if result.reason else ""
        state.say(f"submitted {result.job_id}{waits}   = {ask.about}", "good")
        if self._form_of(ask) is not None:
            state.form = None
        state.jobs.age()
        self._feed.readings[Page.JOBS].asked_s = None

    def _submitted_not(self, ask: Ask, problem: str, *, gone: bool) -> None:
        form = self._form_of(ask)
        if form is None:
            said = f"whether a job was made is not known: {problem}" if gone else f"not submitted: {problem}"
            self._state.say(f"{said}   = {ask.about}", "bad")
            return
        form.sent = False
        form.problem = f"{problem}; Enter tries again, and makes it once only" if gone else problem

    def _form_of(self, ask: Ask) -> Form | None:
        """Return the form that a submission came from, None where it was left since."""
        form = self._state.form
        sent = isinstance(ask.request, Submit) and form is not None and ask.request.jobs[0].key == form.key
        return form if sent else None

"""The console: keys and clicks in, a changed state and questions to the master out. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from ffrtmp_tui.command import did_you_mean
from ffrtmp_tui.console.feed import REST_S, Feed
from ffrtmp_tui.console.form import Form
from ffrtmp_tui.console.keymap import WORDS, Page, bindings, help_lines
from ffrtmp_tui.console.prompts import Asks, Plan, Prompt, complete, numbers
from ffrtmp_tui.console.query import JOB_SORTS, NODE_SORTS, Query, job_fields, node_fields
from ffrtmp_tui.console.state import Ask, Bulk, Lane, Now, Overlay, State
from ffrtmp_tui.failures import Failure
from ffrtmpd.wire.messages.common import Reply
from ffrtmpd.wire.messages.jobs import (
    Cancel,
    Explain,
    Explanation,
    Pause,
    Resume,
    Retry,
    Status,
    StatusReply,
    Submission,
    Submit,
    Submitted,
)
from ffrtmpd.wire.messages.nodes import DrainNode, UndrainNode

PAGE_LINES = 10
_PAGES = tuple(Page)


class Console:
    """What happens at each key. Methods named ``_do_…`` are the actions of the key table."""

    def __init__(self, state: State, new_id: Callable[[], str]) -> None:
        self.state = state
        self.feed = Feed(state, new_id)
        self._new_id = new_id
        self._now = Now(0.0, 0.0)

    # ── events ────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self, now: Now) -> list[Ask]:
        """Let time pass; return what is to be asked."""
        return self.feed.tick(now)

    def heard(self, ask: Ask, reply: Reply, now: Now) -> None:
        """Take an answer in."""
        self.feed.heard(ask, reply, now)

    def missed(self, ask: Ask, failure: Failure, now: Now) -> None:
        """Take in that a question was not answered, or refused."""
        self.feed.missed(ask, failure, now)

    def key(self, name: str, now: Now) -> None:
        """Take a key, named as urwid names it."""
        self._now = now
        state = self.state
        if state.prompt is not None:
            self._prompt_key(state.prompt, name)
        elif state.form is not None:
            self._form_key(state.form, name)
        else:
            state.message = None
            action = bindings(state.page).get(name)
            if action is not None:
                self.do(action)

    def do(self, action: str) -> None:
        """Do what the key table names."""
        getattr(self, f"_do_{action}")()

    def click(self, key: str, now: Now) -> None:
        """Select the row of that id, as a mouse does."""
        self._now = now
        self._rows().select(key)

    def open_page(self, page: Page, now: Now) -> None:
        """Show another page, as a click on its name does."""
        self._now = now
        self._page(page)

    def scroll(self, steps: int, now: Now) -> None:
        """Move as a mouse's wheel does."""
        self._now = now
        self._move(steps)

    # ── pages and places ──────────────────────────────────────────────────────────────────────────────────────────

    def _do_page_jobs(self) -> None:
        self._page(Page.JOBS)

    def _do_page_nodes(self) -> None:
        self._page(Page.NODES)

    def _do_page_queues(self) -> None:
        self._page(Page.QUEUES)

    def _do_page_events(self) -> None:
        self._page(Page.EVENTS)

    def _do_next_page(self) -> None:
        self._page(_PAGES[(_PAGES.index(self.state.page) + 1) % len(_PAGES)])

    def _do_down(self) -> None:
        self._move(1)

    def _do_up(self) -> None:
        self._move(-1)

    def _do_page_down(self) -> None:
        self._move(PAGE_LINES)

    def _do_page_up(self) -> None:
        self._move(-PAGE_LINES)

    def _do_first(self) -> None:
        self._move(-(10**9))

    def _do_last(self) -> None:
        self._move(10**9)

    def _do_back(self) -> None:
        state = self.state
        if state.overlay is not None:
            state.overlay = None
        elif state.log_full:
            state.log_full = False
        elif state.range_from is not None:
            state.range_from = None
        elif state.page is Page.JOBS and state.jobs.marks:
            state.jobs.marks.clear()
        elif state.page in (Page.JOBS, Page.NODES) and self._query().text:
            self._filter("")

    # ── marks ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _do_mark(self) -> None:
        self.state.jobs.toggle()
        self._move(1)

    def _do_range(self) -> None:
        state = self.state
        if state.range_from is None or state.jobs.selected is None:
            state.range_from = state.jobs.selected
            state.say("range: move, then V again; Esc leaves it")
            return
        state.jobs.mark(state.jobs.between(state.range_from, state.jobs.selected))
        state.range_from = None

    def _do_mark_all(self) -> None:
        if self.state.connection.online:
            self.feed.mark_all()

    # ── actions ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _do_cancel(self) -> None:
        self._job_action("cancel", Cancel)

    def _do_pause(self) -> None:
        self._job_action("pause", Pause)

    def _do_resume(self) -> None:
        self._job_action("resume", Resume)

    def _do_retry(self) -> None:
        self._job_action("retry", Retry)

    def _do_drain(self) -> None:
        self._node_action("drain", DrainNode)

    def _do_undrain(self) -> None:
        self._node_action("undrain", UndrainNode)

    def _do_submit(self) -> None:
        if self._allowed():
            self.state.form = Form(key=self._new_id())

    def _do_explain(self) -> None:
        job = self.state.jobs.current
        if job is not None and self._online():
            request = Explain(request_id=self._new_id(), job=job.job_id)
            self._ask("explain", Lane.READ, request, Explanation, job.job_id)

    # ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────

    def _do_log(self) -> None:
        self.state.log_full = not self.state.log_full

    def _do_log_search(self) -> None:
        self.state.prompt = Prompt(Asks.SEARCH, self.state.search, before=self.state.search)

    def _do_node_jobs(self) -> None:
        node = self.state.nodes.current
        if node is not None:
            self._page(Page.JOBS)
            self._filter(f"node:{node.node_id}")

    def _do_sort(self) -> None:
        self._query().next_sort()
        self.feed.refilter(self._now.mono_s)

    def _do_turn(self) -> None:
        query = self._query()
        query.turned = not query.turned
        self.feed.refilter(self._now.mono_s)

    def _do_filter(self) -> None:
        text = self._query().text
        self.state.prompt = Prompt(Asks.FILTER, text, before=text)

    def _do_command(self) -> None:
        self.state.prompt = Prompt(Asks.COMMAND)

    def _do_freeze(self) -> None:
        self.state.frozen = not self.state.frozen

    def _do_read_only(self) -> None:
        self.state.read_only = not self.state.read_only

    def _do_theme(self) -> None:
        themes = self.state.themes
        self._theme(themes[(themes.index(self.state.theme) + 1) % len(themes)])

    def _do_help(self) -> None:
        self.state.overlay = Overlay("help", help_lines())

    def _do_quit(self) -> None:
        self.state.leaving = True

    # ── prompts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _prompt_key(self, prompt: Prompt, name: str) -> None:
        state = self.state
        if name in ("esc", "ctrl c"):
            state.prompt = state.plan = None
            if prompt.asks is Asks.FILTER:
                self._filter(prompt.before)
            elif prompt.asks is Asks.SEARCH:
                state.search = prompt.before
        elif name == "enter":
            state.prompt = None
            self._entered(prompt)
        elif name == "tab" and prompt.asks is Asks.COMMAND:
            prompt.text = complete(prompt.text, self._arguments())
        elif prompt.key(name):
            if prompt.asks is Asks.FILTER:
                try:
                    self._filter(prompt.text, rest_s=REST_S)
                except ValueError as error:
                    # Half a word is no mistake yet; the list stays until the filter is one.
                    prompt.problem = str(error)
            elif prompt.asks is Asks.SEARCH:
                state.search = prompt.text

    def _entered(self, prompt: Prompt) -> None:
        state = self.state
        try:
            if prompt.asks is Asks.FILTER:
                self._filter(prompt.text)
            elif prompt.asks is Asks.COMMAND:
                self._command(prompt.text)
            elif prompt.asks is Asks.CONFIRM:
                self._confirmed(prompt)
        except ValueError as error:
            prompt.problem = str(error)
            state.prompt = prompt

    def _command(self, text: str) -> None:
        name, _, argument = text.strip().partition(" ")
        if not name:
            return
        word = next((word for word in WORDS if word.name == name), None)
        if word is None:
            raise ValueError(f"there is no command {name!r}{did_you_mean(name, [word.name for word in WORDS])}")
        argument = argument.strip()
        if not word.takes:
            if argument:
                raise ValueError(f"{name} takes nothing")
            if name in ("cancel", "pause", "resume", "retry", "drain", "undrain"):
                self._page(Page.NODES if name in ("drain", "undrain") else Page.JOBS)
            self.do(word.action)
        elif name == "filter":
            self._filter(argument)
        elif not argument:
            raise ValueError(f"{name} needs {word.takes}")
        elif name == "sort":
            self._sort(argument)
        elif name == "theme":
            if argument not in self.state.themes:
                raise ValueError(f"there is no theme {argument!r}; there are {', '.join(self.state.themes)}")
            self._theme(argument)
        elif self._online():
            request = Status(request_id=self._new_id(), job=argument)
            self._ask("goto", Lane.READ, request, StatusReply, argument)

    def _arguments(self) -> dict[str, Sequence[str]]:
        sorts = NODE_SORTS if self.state.page is Page.NODES else JOB_SORTS
        ids = [job.job_id for job in self.state.jobs.rows]
        return {"sort": sorts, "theme": self.state.themes, "job": ids}

    def _confirmed(self, prompt: Prompt) -> None:
        plan = self.state.plan
        if plan is None:
            return
        if prompt.text.strip() != plan.count:
            raise ValueError(f"type {plan.count}, or Esc")
        self.state.plan = None
        if self._allowed():
            self._begin(plan)

    def _form_key(self, form: Form, name: str) -> None:
        if name in ("esc", "ctrl c"):
            self.state.form = None
        elif name == "enter":
            self._send_form(form)
        else:
            form.edit(name, self.state.scenarios)

    def _send_form(self, form: Form) -> None:
        if form.sent:
            return
        if reason := self.state.may_act:
            form.problem = reason
            return
        try:
            spec = form.spec(self._now.wall_s)
        except ValueError as error:
            form.problem = str(error)
            return
        form.problem, form.sent = "", True
        request = Submit(request_id=self._new_id(), jobs=(Submission(key=form.key, spec=spec),))
        self._ask("submit", Lane.ACT, request, Submitted, "")

    # ── helpers ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _rows(self) -> Any:
        return self.state.nodes if self.state.page is Page.NODES else self.state.jobs

    def _query(self) -> Query:
        return self.state.node_query if self.state.page is Page.NODES else self.state.job_query

    def _page(self, page: Page) -> None:
        self.state.page, self.state.overlay, self.state.log_full = page, None, False

    def _move(self, steps: int) -> None:
        state = self.state
        if state.overlay is not None:
            state.overlay.top = max(0, min(state.overlay.top + steps, len(state.overlay.lines) - 1))
        elif state.page is Page.EVENTS:
            state.top_event = max(0, min(state.top_event + steps, len(state.events) - 1))
        elif state.page in (Page.JOBS, Page.NODES):
            rows = self._rows()
            rows.move(steps)
            if rows is state.jobs and rows.place >= len(rows) - 50:
                self.feed.want_more()

    def _filter(self, text: str, *, rest_s: float = 0.0) -> None:
        """Filter by ``text``.

        Raises:
            ValueError: it is no filter.
        """
        query = self._query()
        nodes = query is self.state.node_query
        fields = node_fields(text) if nodes else job_fields(text, self._now.wall_s)
        query.text, query.fields = text, fields
        self.feed.refilter(self._now.mono_s + rest_s)

    def _sort(self, name: str) -> None:
        query = self._query()
        if name not in query.sorts:
            raise ValueError(f"cannot sort by {name!r}{did_you_mean(name, query.sorts)}")
        query.sort, query.turned = name, False
        self.feed.refilter(self._now.mono_s)

    def _theme(self, name: str) -> None:
        self.state.theme = name
        self.state.say(f"theme {name}")

    def _online(self) -> bool:
        if self.state.connection.online:
            return True
        self.state.say("the master does not answer", "bad")
        return False

    def _allowed(self) -> bool:
        reason = self.state.may_act
        if not reason and self.state.bulk is not None:
            reason = f"{self.state.bulk.plan.what} is still under way"
        if reason:
            self.state.say(reason, "bad")
        return not reason

    def _job_action(self, verb: str, kind: Callable[..., Any]) -> None:
        targets = self.state.jobs.targets()
        if not targets or not self._allowed():
            return
        yes = " --yes" if len(targets) > 1 else ""
        command = f"ffrtmp jobs {verb} {numbers(targets)}{yes}"
        self._propose(verb, "job", targets, lambda request_id, job: kind(request_id=request_id, job=job), command)

    def _node_action(self, verb: str, kind: Callable[..., Any]) -> None:
        targets = self.state.nodes.targets()
        if not targets or not self._allowed():
            return
        command = f"ffrtmp nodes {verb} {targets[0]}"
        self._propose(
            verb, "node", targets, lambda request_id, node: kind(request_id=request_id, node_id=node), command
        )

    def _propose(
        self, verb: str, noun: str, targets: Sequence[str], request: Callable[[str, str], Any], command: str
    ) -> None:
        state = self.state
        state.plan = Plan(
            verb=verb, noun=noun, targets=tuple(targets), cluster=state.cluster, request=request, command=command
        )
        state.prompt = Prompt(Asks.CONFIRM)

    def _begin(self, plan: Plan) -> None:
        self.state.bulk = Bulk(plan, list(plan.targets))
        self.state.say(f"{plan.what} ...")
        self.feed.act()

    def _ask(self, tag: str, lane: Lane, request: Any, expected: type[Reply], about: str) -> None:
        self.state.outbox.append(Ask(tag=tag, lane=lane, request=request, expected=expected, about=about))

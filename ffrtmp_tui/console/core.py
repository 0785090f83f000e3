"""What all that keys do has in common: the state, the questions, and whether something may be done. Pure."""

from collections.abc import Callable
from typing import Any

from ffrtmp_tui.console.feed import Feed
from ffrtmp_tui.console.keymap import Page
from ffrtmp_tui.console.query import Query, history_fields, job_fields, node_fields
from ffrtmp_tui.console.state import JOB_PAGES, LIST_PAGES, Ask, Lane, Now, State
from ffrtmp_tui.console.table import Table
from ffrtmp_tui.failures import did_you_mean
from ffrtmpd.wire.messages.common import Reply
from ffrtmpd.wire.messages.jobs import JobView


class Core:
    """Holds the state; methods named ``_do_…`` of what is built on it are the actions of the key table."""

    def __init__(self, state: State, new_id: Callable[[], str]) -> None:
        self.state = state
        self.feed = Feed(state, new_id)
        self.new_id = new_id
        self.now = Now(0.0, 0.0)

    def do(self, action: str) -> None:
        """Do what the key table names."""
        getattr(self, f"_do_{action}")()

    @property
    def table(self) -> Table[Any]:
        """The rows of this page."""
        return self.state.table(self.state.page)

    @property
    def query(self) -> Query:
        """Filter and order of this page."""
        return self.state.query(self.state.page)

    @property
    def job_table(self) -> Table[JobView]:
        """The rows of this page, or those of the jobs where it has others."""
        return self.state.history if self.state.page is Page.HISTORY else self.state.jobs

    def open(self, page: Page) -> None:
        """Show a page."""
        self.state.page, self.state.overlay, self.state.log_full = page, None, False
        self.state.range_from = None

    def filter(self, text: str, *, rest_s: float = 0.0) -> None:
        """Filter this page by ``text``.

        Raises:
            ValueError: it is no filter.
        """
        page = self.state.page if self.state.page in LIST_PAGES else Page.JOBS
        query = self.state.query(page)
        if page is Page.NODES:
            fields = node_fields(text)
        else:
            fields = (history_fields if page is Page.HISTORY else job_fields)(text, self.now.wall_s)
        query.text, query.fields = text, fields
        self._reread(page, rest_s)

    def sort(self, name: str) -> None:
        """Sort this page by another column, its best rows first.

        Raises:
            ValueError: it cannot be sorted so.
        """
        if name not in self.query.sorts:
            known = ", ".join(self.query.sorts)
            raise ValueError(f"cannot sort by {name!r}{did_you_mean(name, self.query.sorts)}; there are {known}")
        self.query.sort, self.query.turned = name, False
        self.reorder()

    def reorder(self) -> None:
        """Read this page anew because its order is another one."""
        self._reread(self.state.page if self.state.page in LIST_PAGES else Page.JOBS)

    def _reread(self, page: Page, rest_s: float = 0.0) -> None:
        self.feed.refilter(page, self.now.mono_s + rest_s)
        if self.state.waits_for:
            how = "when z lets the screen go on" if self.state.waits_for == "z" else "when the master answers"
            self.state.say(f"the rows are those from before; they change {how}")

    def end_range(self) -> None:
        """Mark what is shown as marked: whoever acts in the midst of a range acts on that."""
        self.job_table.mark(self.state.span(self.job_table))
        self.state.range_from = None

    def use_theme(self, name: str) -> None:
        """Change the colours."""
        self.state.theme = name
        self.state.say(f"theme {name}")

    def is_online(self) -> bool:
        """Tell whether the master answers, and say so if not."""
        if self.state.connection.online:
            return True
        self.state.say("the master does not answer", "bad")
        return False

    def is_allowed(self) -> bool:
        """Tell whether something may be changed, and say why not."""
        reason, bulk = self.state.may_act, self.state.bulk
        if not reason and bulk is not None and len(bulk.plan.targets) > 1:
            reason = f"{bulk.plan.what} is still under way"
        if reason:
            self.state.say(reason, "bad")
        return not reason

    def ask(self, tag: str, request: Any, expected: type[Reply], about: str, *, lane: Lane = Lane.READ) -> None:
        """Put a question into the outbox."""
        self.state.outbox.append(Ask(tag=tag, lane=lane, request=request, expected=expected, about=about))

    @property
    def on_jobs(self) -> bool:
        """Whether this page lists jobs."""
        return self.state.page in JOB_PAGES

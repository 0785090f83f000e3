"""What keys do that only look: pages, places, the log, order, and how the screen is. Pure."""

from typing import Final

from ffrtmp_tui.console.core import Core
from ffrtmp_tui.console.feed import NEAR
from ffrtmp_tui.console.keymap import Page, help_lines
from ffrtmp_tui.console.prompts import Asks, Prompt
from ffrtmp_tui.console.state import LIST_PAGES, Overlay
from ffrtmpd.wire.messages.inquiries import Explain, Explanation

PAGE_LINES: Final = 10
_FAR: Final = 10**9
_PAGES: Final = tuple(Page)


class Looks(Core):
    """Pages and places."""

    def _do_page_jobs(self) -> None:
        self.open(Page.JOBS)

    def _do_page_nodes(self) -> None:
        self.open(Page.NODES)

    def _do_page_queues(self) -> None:
        self.open(Page.QUEUES)

    def _do_page_events(self) -> None:
        self.open(Page.EVENTS)

    def _do_page_history(self) -> None:
        self.open(Page.HISTORY)

    def _do_next_page(self) -> None:
        self.open(_PAGES[(_PAGES.index(self.state.page) + 1) % len(_PAGES)])

    def _do_down(self) -> None:
        self.move(1)

    def _do_up(self) -> None:
        self.move(-1)

    def _do_page_down(self) -> None:
        self.move(PAGE_LINES)

    def _do_page_up(self) -> None:
        self.move(-PAGE_LINES)

    def _do_first(self) -> None:
        self.move(-_FAR)

    def _do_last(self) -> None:
        self.move(_FAR)

    def move(self, steps: int) -> None:
        """Move by lines in what is open."""
        state = self.state
        if state.overlay is not None:
            state.overlay.top = max(0, min(state.overlay.top + steps, len(state.overlay.lines) - 1))
        elif state.log_full:
            state.detail.log.hit = None
            state.detail.log.scroll(steps, state.log_room)
        elif state.page is Page.EVENTS:
            state.top_event = max(0, min(state.top_event + steps, len(state.events) - 1))
        elif state.page in LIST_PAGES:
            if steps <= -_FAR and self.table.begins_inside:
                # To where the list truly begins.
                self.feed.refilter(state.page, self.now.mono_s)
            self.table.move(steps)
            if self.table.place >= len(self.table) - NEAR:
                self.feed.want_more(state.page)
            if self.table.begins_inside and self.table.place < NEAR:
                self.feed.want_before()

    def _do_back(self) -> None:
        state = self.state
        if state.bulk is not None and not state.bulk.stopped:
            state.bulk.stopped = True
            state.plans.clear()
            state.say(f"{state.bulk.plan.what}: stopping; what is sent is done", "bad")
        elif state.marking is not None:
            state.marking = None
            state.say(f"{len(self.job_table.marks)} marked, not all that match")
        elif state.overlay is not None:
            state.overlay = None
        elif state.search:
            state.search, state.detail.log.hit = "", None
        elif state.log_full:
            state.log_full = False
        elif state.range_from is not None:
            state.range_from = None
        elif self.on_jobs and self.table.marks:
            self.table.marks.clear()
        elif state.page in LIST_PAGES and self.query.text:
            self.filter("")

    # ── marks ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _do_mark(self) -> None:
        self.table.toggle()
        self.move(1)

    def _do_range(self) -> None:
        state, table = self.state, self.table
        if state.range_from is None or table.selected is None:
            state.range_from = table.selected
            state.say("range: move, then V again; Esc leaves it")
            return
        self.end_range()

    def _do_mark_all(self) -> None:
        if self.is_online() and self.state.marking is None:
            self.feed.mark_all(self.state.page)

    def _do_yank(self) -> None:
        state = self.state
        if state.log_full:
            ids = [] if state.job is None else [state.job.job_id]
        else:
            self.end_range()
            ids = self.table.targets()
        if not ids:
            state.say("nothing is selected")
            return
        state.yanked = " ".join(ids)
        state.say(f"copied {ids[0] if len(ids) == 1 else f'{len(ids)} ids'} to the terminal's clipboard")

    # ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _do_log(self) -> None:
        if not self.on_jobs:
            self.open(Page.JOBS)
        self.state.log_full = not self.state.log_full
        self.state.overlay = None

    def _do_log_search(self) -> None:
        self.state.log_full, self.state.overlay = True, None
        self.state.prompt = Prompt(Asks.SEARCH, "", before=self.state.search)

    def _do_log_next(self) -> None:
        self.find_in_log(1)

    def _do_log_before(self) -> None:
        self.find_in_log(-1)

    def find_in_log(self, step: int) -> None:
        """Go to the next line with the text that is looked for, or to the one before."""
        state, log = self.state, self.state.detail.log
        if not state.search:
            state.say("/ finds a text")
        elif not log.count:
            log.sought = state.search
            state.say("the log has not come yet")
        elif not log.find(state.search, step):
            state.say(f"no line has {state.search!r}")

    def _do_log_wrap(self) -> None:
        self.state.log_wrap = not self.state.log_wrap
        self.state.say(f"long lines of the log are {'folded' if self.state.log_wrap else 'cut'}")

    def _do_log_times(self) -> None:
        self.state.log_times = not self.state.log_times

    # ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────

    def _do_explain(self) -> None:
        job = self.state.job
        if job is not None and self.is_online():
            self.ask("explain", Explain(request_id=self.new_id(), job=job.job_id), Explanation, job.job_id)

    def _do_node_jobs(self) -> None:
        node = self.state.nodes.current
        if node is not None:
            self.open(Page.JOBS)
            self.filter(f"node:{node.node_id}")

    def _do_sort(self) -> None:
        self.query.next_sort()
        self.reorder()

    def _do_turn(self) -> None:
        self.query.turned = not self.query.turned
        self.reorder()

    def _do_filter(self) -> None:
        text = self.query.text
        self.state.prompt = Prompt(Asks.FILTER, text, before=text)

    def _do_command(self) -> None:
        self.state.prompt = Prompt(Asks.COMMAND)

    def _do_freeze(self) -> None:
        self.state.frozen = not self.state.frozen

    def _do_read_only(self) -> None:
        self.state.read_only = not self.state.read_only
        self.state.say("every action is refused" if self.state.read_only else "actions are allowed")

    def _do_theme(self) -> None:
        themes = self.state.themes
        self.use_theme(themes[(themes.index(self.state.theme) + 1) % len(themes)])

    def _do_help(self) -> None:
        self.state.overlay = Overlay("help", help_lines())

    def _do_quit(self) -> None:
        bulk = self.state.bulk
        if bulk is not None and not bulk.stopped and (bulk.left or self.state.plans):
            self.state.say(f"{bulk.plan.what} is under way: Esc stops it, then q leaves", "bad")
            return
        self.state.leaving = True

"""The whole screen as lines of styled text, for any size. Pure: the same state and moment give the same screen."""

from dataclasses import dataclass, field
from typing import Final

from ffrtmp_tui.console import head, node_rows, panes
from ffrtmp_tui.console.columns import fitting, title_line
from ffrtmp_tui.console.job_rows import HISTORY_NARROW, HISTORY_WIDE, NARROW, WIDE, JobColumn, job_line
from ffrtmp_tui.console.keymap import Page
from ffrtmp_tui.console.over import form_lines, overlay_lines
from ffrtmp_tui.console.prompts import MARKS, Asks
from ffrtmp_tui.console.small import small
from ffrtmp_tui.console.state import Now, State
from ffrtmp_tui.console.text import Line, fit_line, plain, rule
from ffrtmp_tui.fit import width as cells_of

LEAST: Final = (80, 24)
WIDE_FROM: Final = (140, 35)
_LEFT_SHARE: Final = 0.6


@dataclass(slots=True)
class Screen:
    """Lines of a size, which row and id stands on which, where the names of the pages are, and the cursor."""

    lines: list[Line] = field(default_factory=list)
    rows: dict[int, str] = field(default_factory=dict)
    tabs: list[tuple[int, int, int, Page]] = field(default_factory=list)
    list_width: int = 0
    cursor: tuple[int, int] | None = None

    def key_at(self, column: int, row: int) -> str | None:
        """Return the id of the row at a place."""
        return self.rows.get(row) if column < self.list_width else None

    def page_at(self, column: int, row: int) -> Page | None:
        """Return the page whose name stands at a place."""
        return next((page for at, first, end, page in self.tabs if at == row and first <= column < end), None)


def screen(state: State, size: tuple[int, int], now: Now) -> Screen:
    """Return the screen of ``size`` columns and rows."""
    columns, rows = size
    drawn = Screen(list_width=columns)
    told = _told(state, now)
    cramped = columns < LEAST[0] or rows < LEAST[1]
    state.size = size
    if cramped:
        drawn.lines, drawn.rows = small(state, columns, rows, told)
    else:
        wide = columns >= WIDE_FROM[0] and rows >= WIDE_FROM[1]
        drawn.lines = [head.header_line(state, columns, now, wide=wide), *head.strip(state, wide=wide)]
        line, tabs = head.tab_line(state, columns)
        drawn.tabs = [(len(drawn.lines), *tab) for tab in tabs]
        drawn.lines.append(line)
        bottom = head.bottom_lines(state, columns)
        _page(drawn, state, columns, rows - len(drawn.lines) - len(bottom), told, wide=wide)
        drawn.lines += bottom
    if state.prompt is not None and state.prompt.asks is not Asks.YES:
        at = cells_of(MARKS[state.prompt.asks]) + cells_of(head.typed(state.prompt, columns))
        drawn.cursor = (min(columns - 1, at), 0 if cramped else rows - 2)
    drawn.lines = [fit_line(line, columns) for line in drawn.lines[:rows]]
    return drawn


def _told(state: State, now: Now) -> Now:
    """Return the moment of which the rows tell: where nothing new comes, time does not go on in them either."""
    old = state.connection.age_s(now.mono_s)
    if old is None or (state.connection.online and not state.frozen):
        return now
    return Now(now.mono_s - old, now.wall_s - old)


def _page(drawn: Screen, state: State, columns: int, room: int, now: Now, *, wide: bool) -> None:
    if state.form is not None:
        title = rule(columns, "submit a job", "Enter submits, Esc leaves")
        _body(drawn, [[("rule", title)], [], *form_lines(state.form, columns)], room)
    elif state.overlay is not None:
        title = rule(columns, state.overlay.title, "Esc closes")
        _body(drawn, [[("rule", title)], *overlay_lines(state.overlay, columns, room - 1)], room)
    elif state.log_full:
        state.log_room = room - 1
        # The rows come first: to show what was found, they may move.
        rows = panes.log_lines(state, room - 1, columns, full=True)
        _body(drawn, [log_rule(state, columns, full=True), *rows], room)
    elif state.page is Page.JOBS:
        (_jobs_wide if wide else _jobs)(drawn, state, columns, room, now)
    elif state.page is Page.HISTORY:
        _history(drawn, state, columns, room, now, wide=wide)
    elif state.page is Page.NODES:
        _nodes(drawn, state, columns, room, now, wide=wide)
    elif state.page is Page.QUEUES:
        lines = [*panes.queue_lines(state, columns), [("rule", rule(columns, "cluster"))]]
        lines += panes.cluster_lines(state, columns)
        lines += [[("rule", rule(columns, "waiting, the last two minutes"))], *panes.depth_lines(state, columns)]
        _body(drawn, lines, room)
    else:
        _body(drawn, panes.event_lines(state, room), room)


def _body(drawn: Screen, lines: list[Line], room: int) -> None:
    drawn.lines += lines[:room]
    drawn.lines += [[] for _ in range(room - len(lines))]


def _beside(left: list[Line], right: list[Line], width: int, room: int) -> list[Line]:
    """Return two columns of lines, the first ``width`` cells wide."""
    return [
        [*fit_line(left[at] if at < len(left) else [], width), ("rule", "| "), *(right[at] if at < len(right) else [])]
        for at in range(room)
    ]


# ── lists of jobs ─────────────────────────────────────────────────────────────────────────────────────────────────


def _job_list(drawn: Screen, state: State, shown: tuple[JobColumn, ...], size: tuple[int, int], now: Now) -> None:
    columns, room = size
    table = state.history if state.page is Page.HISTORY else state.jobs
    drawn.lines.append(title_line(shown, columns))
    window = table.window(room)
    span = set(state.span(table))
    for job in window:
        drawn.rows[len(drawn.lines)] = job.job_id
        marked = job.job_id in table.marks or job.job_id in span
        line = job_line(job, shown, columns, now.wall_s, selected=job.job_id == table.selected, marked=marked)
        drawn.lines.append(line)
    if not window:
        empty = "no job has ended yet" if table is state.history else "no jobs yet: n submits one"
        if state.query(state.page).text:
            empty = "no job matches the filter: Esc takes it away"
        _body(drawn, [[("dim", empty if table.answered else "asking the master ...")]], room)
        return
    drawn.lines += [[] for _ in range(room - len(window))]


def _jobs(drawn: Screen, state: State, columns: int, room: int, now: Now) -> None:
    list_room = max(5, (room - 1 - 4 - 1) * 3 // 5)
    _job_list(drawn, state, NARROW, (columns, list_room), now)
    name = state.jobs.selected or ""
    marked = f"{len(state.jobs.marks)} marked" if state.jobs.marks else ""
    drawn.lines.append([("rule", rule(columns, name, marked))])
    drawn.lines += panes.detail_lines(state, columns, now, full=False)
    drawn.lines.append(log_rule(state, columns))
    left = room - list_room - 1 - 4 - 1
    _body(drawn, panes.log_lines(state, left, columns, full=False), left)


def _jobs_wide(drawn: Screen, state: State, columns: int, room: int, now: Now) -> None:
    width = int(columns * _LEFT_SHARE)
    right_width = columns - width - 2
    drawn.list_width = width
    first = len(drawn.lines)
    log_room = max(4, room // 4)
    events_room = max(3, room // 8)
    _job_list(drawn, state, fitting(WIDE, width), (width, room - 1 - (log_room + 1) - (events_room + 1)), now)
    drawn.lines.append(log_rule(state, width))
    _body(drawn, panes.log_lines(state, log_room, width, full=False), log_room)
    drawn.lines.append([("rule", rule(width, "events"))])
    _body(drawn, panes.event_lines(state, events_room), events_room)
    job = state.job
    title = f"JOB {job.job_id}  {job.queue}/{job.priority}  attempt {job.attempt}/{job.max_attempts}" if job else "JOB"
    right: list[Line] = [[("title", title)]]
    right += panes.detail_lines(state, right_width, now, full=True)
    pane = fitting(node_rows.PANE, right_width)
    listed = [
        node_rows.node_line(node, pane, right_width, now, selected=False)
        for node in state.nodes.rows[: max(3, room // 4)]
    ]
    together = state.queues.nodes if state.queues else None
    number = sum(one.nodes for one in together.statuses) if together else state.nodes.total
    tail: list[Line] = [
        [("rule", rule(right_width, f"nodes {number}", f"sort {state.node_query.sort}"))],
        title_line(pane, right_width),
        *listed,
        [("rule", rule(right_width, "queues"))],
        *panes.queue_lines(state, right_width),
        *panes.cluster_lines(state, right_width),
    ]
    right = right[: max(8, room - len(tail))]
    right += [[] for _ in range(room - len(right) - len(tail))]
    drawn.lines[first:] = _beside(drawn.lines[first:], right + tail, width, room)


def _history(drawn: Screen, state: State, columns: int, room: int, now: Now, *, wide: bool) -> None:
    below = room * 2 // 5 if wide else 4
    shown = HISTORY_WIDE if wide else HISTORY_NARROW
    _job_list(drawn, state, shown, (columns, room - 1 - below), now)
    job = state.job
    name = f"{job.job_id}  {job.state}" if job else ""
    marked = f"{len(state.history.marks)} marked" if state.history.marks else ""
    if not wide:
        drawn.lines.append([("rule", rule(columns, name, marked))])
        _body(drawn, panes.detail_lines(state, columns, now, full=False), below - 1)
        return
    width = columns // 2
    left: list[Line] = [[("rule", rule(width, name, marked))]]
    left += panes.detail_lines(state, width, now, full=True)
    right_width = columns - width - 2
    right = [log_rule(state, right_width), *panes.log_lines(state, below - 1, right_width, full=False)]
    drawn.lines += _beside(left, right, width, below)


def log_rule(state: State, columns: int, *, full: bool = False) -> Line:
    """Return the line over the log: whose, whether it goes on, what is looked for, and its keys."""
    detail, log = state.detail, state.detail.log
    how = "end" if log.ended else "follow"
    if full and log.top is not None:
        how = f"line {log.top + 1} of {log.count}"
    found = ""
    if state.search:
        at, number = log.matches(state.search)
        found = f"/{state.search} {at}/{number}  " if full else f"/{state.search} {number}  "
    wrap, times = "w:cut" if state.log_wrap else "w:wrap", "t:no time" if state.log_times else "t:time"
    keys = f"{found}{wrap}  {times}" if full else f"{found}l:all  f:find  {wrap}"
    return [("rule", rule(columns, f"log {detail.job_id} ({how})", keys))]


# ── nodes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _nodes(drawn: Screen, state: State, columns: int, room: int, now: Now, *, wide: bool) -> None:
    shown = node_rows.WIDE if wide else node_rows.NARROW
    below = min(12, room // 3) if wide else 7
    list_room = room - 1 - below
    drawn.lines.append(title_line(shown, columns))
    window = state.nodes.window(list_room)
    lines: list[Line] = []
    for node in window:
        drawn.rows[len(drawn.lines) + len(lines)] = node.node_id
        lines.append(node_rows.node_line(node, shown, columns, now, selected=node.node_id == state.nodes.selected))
    if not lines:
        empty = "no node matches the filter: Esc takes it away" if state.node_query.text else "no node is enrolled"
        lines = [[("dim", empty if state.nodes.answered else "asking the master ...")]]
    _body(drawn, lines, list_room)
    drawn.lines.append([("rule", rule(columns, state.nodes.selected or ""))])
    _body(drawn, node_rows.detail_lines(state.nodes.current), below - 1)


def text_of(drawn: Screen) -> list[str]:
    """Return the screen without its styles, a text a line."""
    return [plain(line) for line in drawn.lines]

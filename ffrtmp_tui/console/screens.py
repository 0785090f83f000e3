"""The whole screen as lines of styled text, for any size. Pure: the same state and moment give the same screen."""

from dataclasses import dataclass, field
from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.console import panes
from ffrtmp_tui.console.feed import power
from ffrtmp_tui.console.form import FIELDS, Form
from ffrtmp_tui.console.job_rows import NARROW, WIDE, job_line, title_line
from ffrtmp_tui.console.keymap import KEYS, Page, shown_key
from ffrtmp_tui.console.prompts import MARKS, Asks
from ffrtmp_tui.console.state import Now, State
from ffrtmp_tui.console.text import Line, age, bar, fit_line, pad, plain, rule
from ffrtmp_tui.fit import width as cells_of
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.vocabulary import NodeStatus, Role

LEAST: Final = (80, 24)
WIDE_FROM: Final = (140, 35)
_LEFT_SHARE: Final = 0.59


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
    if columns < LEAST[0] or rows < LEAST[1]:
        _small(drawn, state, columns, rows, now)
    else:
        wide = columns >= WIDE_FROM[0] and rows >= WIDE_FROM[1]
        _header(drawn, state, columns, now, wide=wide)
        bottom = _bottom(state)
        room = rows - len(drawn.lines) - len(bottom)
        if state.form is not None:
            _body(drawn, _form_lines(state.form, columns), room)
        elif state.overlay is not None:
            title = rule(columns, state.overlay.title, "Esc closes")
            _body(
                drawn, [[("rule", title)], *([("", line)] for line in state.overlay.lines[state.overlay.top :])], room
            )
        elif state.page is Page.JOBS:
            _jobs(drawn, state, columns, room, now, wide=wide)
        else:
            _other(drawn, state, columns, room, now)
        drawn.lines += bottom
        if state.prompt is not None:
            mark = MARKS[state.prompt.asks]
            at = cells_of(mark) + cells_of(state.prompt.text)
            drawn.cursor = (min(columns - 1, at), rows - 2)
    drawn.lines = [fit_line(line, columns) for line in drawn.lines[:rows]]
    return drawn


def _body(drawn: Screen, lines: list[Line], room: int) -> None:
    drawn.lines += lines[:room]
    drawn.lines += [[] for _ in range(room - len(lines))]


# ── head and foot ─────────────────────────────────────────────────────────────────────────────────────────────────


def presence(state: State, now: Now) -> Line:
    """Return whether the master answers, and how old what is shown is."""
    line = state.connection
    old = line.age_s(now.mono_s)
    known = "" if old is None else f" {old:.1f}s" if old < 10 else f" {age(old)}"
    if line.online:
        return [("header", f"{line.presence}{known}")]
    return [("alert", f" {line.presence}{known}{' old' if known else ''} ")]


def rights(state: State) -> str:
    """Return RW, RO by choice or RO by role."""
    acts = state.role in ("", Role.OPERATOR, Role.ADMIN)
    return "RW" if acts and not state.read_only else "RO"


def _header(drawn: Screen, state: State, columns: int, now: Now, *, wide: bool) -> None:
    clock = units.time_text(now.wall_s)[11:]
    endpoint = state.endpoint if wide else state.endpoint.removeprefix("tcp://")
    left: Line = [("header", f"ffrtmp {clean(state.cluster)} {endpoint} "), *presence(state, now)]
    more = f" {rights(state)}" + (f" user:{clean(state.principal)}" if wide and state.principal else "")
    left.append(("header", more))
    if state.frozen:
        left += [("header", " "), ("alert", " FROZEN ")]
    right = f" 2Hz {clock} ?help"
    fitted = fit_line(left, columns - len(right))
    drawn.lines.append([(style or "header", text) for style, text in [*fitted, ("header", right)]])
    drawn.lines += _strip(state, wide=wide)
    _tabs(drawn, state, columns)


def _strip(state: State, *, wide: bool) -> list[Line]:
    nodes = state.nodes.rows
    counts = {status: sum(node.status is status for node in nodes) for status in NodeStatus}
    up = counts[NodeStatus.ACTIVE] + counts[NodeStatus.BUSY]
    watts = power(nodes)
    queues = state.queues.queues if state.queues else ()
    done = sum(view.completed for view in queues)
    failed = sum(view.failed for view in queues)
    slots = sum(node.slots for node in nodes)
    used = slots - sum(node.free_slots for node in nodes)
    seen = f"nodes {up}up {counts[NodeStatus.OFFLINE]}off {counts[NodeStatus.DRAINING]}drain"
    # A part of the nodes must not be taken for all of them.
    part = state.node_query.text or len(nodes) < state.nodes.total
    facts = (
        f"{seen}{' of those listed' if part else ''}",
        f"slots {used}/{slots}  power {'-' if watts is None else f'{watts:.0f}W'}",
        f"done {done}  fail {failed}{'' if state.queues is None else f' in {age(state.queues.window_s)}'}",
    )
    deepest = max((panes.waiting(view) for view in queues), default=0)
    shown = []
    for view in queues[:3]:
        drawn = bar(100 * panes.waiting(view) / deepest if deepest else 0, 12)
        oldest = "" if view.waiting_since is None or not state.queues else age(state.queues.now - view.waiting_since)
        shown.append(f"{view.queue!s:<7} {drawn} {panes.waiting(view)}q {panes.running(view)}r  {oldest}")
    if wide:
        return [[("", "  ".join((*shown, *facts)))]]
    shown += [""] * (3 - len(shown))
    return [[("", pad(queue, 44)), ("dim", "| "), ("", fact)] for queue, fact in zip(shown, facts, strict=True)]


def _tabs(drawn: Screen, state: State, columns: int) -> None:
    line: Line = []
    at = 0
    for number, page in enumerate(Page, 1):
        current = page is state.page
        text = f"{'<' if current else '['}{number}{'>' if current else ']'}{page.capitalize()}"
        drawn.tabs.append((len(drawn.lines), at, at + len(text), page))
        line += [("tab" if current else "", text), ("", " ")]
        at += len(text) + 1
    if state.page in (Page.JOBS, Page.NODES):
        table, query = (state.jobs, state.job_query) if state.page is Page.JOBS else (state.nodes, state.node_query)
        right = f"{len(table)}/{table.total}"
        turn = " turned" if query.turned else ""
        marked = f"  {len(table.marks)} marked" if table.marks else ""
        text = f"  {'/' + query.text if query.text else ''}  sort {query.sort}{turn}{marked}"
        line = fit_line([*line, ("", text)], columns - len(right) - 1)
        line.append(("", f" {right}"))
    drawn.lines.append(line)


def _bottom(state: State) -> list[Line]:
    prompt, message = state.prompt, state.message
    first: Line
    extra: list[Line] = []
    if prompt is not None:
        first = [("key", MARKS[prompt.asks]), ("", prompt.text + " ")]
        if prompt.asks is Asks.CONFIRM and state.plan is not None:
            first.append(("alert", f" {state.plan.question} "))
            extra = [[("dim", f"= {state.plan.command}")]]
        if prompt.problem:
            first.append(("bad", f" {prompt.problem}"))
    elif state.bulk is not None:
        bulk = state.bulk
        total = len(bulk.plan.targets)
        first = [("busy", f"{bulk.plan.what}: {total - len(bulk.left)} of {total}")]
    elif message is not None:
        first = [(message.style, message.text)]
    elif not state.connection.online and state.connection.problem:
        first = [("bad", clean(state.connection.problem))]
    else:
        first = []
    foot: Line = []
    for key in KEYS:
        if key.label and state.page in key.where:
            foot += [("key", shown_key(key.keys[0])), ("", f" {key.label} ")]
    return [*extra, first, foot]


# ── pages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _jobs(drawn: Screen, state: State, columns: int, room: int, now: Now, *, wide: bool) -> None:
    if state.log_full:
        _body(drawn, [_log_rule(state, columns), *panes.log_lines(state, room - 1)], room)
    elif wide:
        _jobs_wide(drawn, state, columns, room, now)
    else:
        least = room - 1 - 4 - 1
        list_room = max(5, least * 3 // 5)
        _job_list(drawn, state, columns, list_room, now, wide=False)
        name = state.jobs.selected or ""
        marked = f"{len(state.jobs.marks)} marked" if state.jobs.marks else ""
        drawn.lines.append([("rule", rule(columns, name, marked))])
        drawn.lines += panes.detail_lines(state, columns, now, full=False)
        drawn.lines.append(_log_rule(state, columns))
        left = room - list_room - 1 - 4 - 1
        _body(drawn, panes.log_lines(state, left), left)


def _job_list(drawn: Screen, state: State, columns: int, room: int, now: Now, *, wide: bool) -> None:
    shown = WIDE if wide else NARROW
    drawn.lines.append(title_line(shown, columns))
    jobs = state.jobs
    window = jobs.window(room)
    span = set(jobs.between(state.range_from, jobs.selected)) if state.range_from and jobs.selected else set()
    for job in window:
        drawn.rows[len(drawn.lines)] = job.job_id
        marked = job.job_id in jobs.marks or job.job_id in span
        drawn.lines.append(
            job_line(job, shown, columns, now.wall_s, selected=job.job_id == jobs.selected, marked=marked)
        )
    if not window:
        known = state.connection.heard_s is not None
        text = "no job matches the filter" if state.job_query.text else "no jobs yet: n submits one"
        _body(drawn, [[("dim", text if known else "asking the master ...")]], room)
        return
    drawn.lines += [[] for _ in range(room - len(window))]


def _jobs_wide(drawn: Screen, state: State, columns: int, room: int, now: Now) -> None:
    width = int(columns * _LEFT_SHARE)
    right_width = columns - width - 2
    drawn.list_width = width
    first = len(drawn.lines)
    log_room = max(4, room // 4)
    events_room = max(3, room // 8)
    _job_list(drawn, state, width, room - 1 - (log_room + 1) - (events_room + 1), now, wide=True)
    drawn.lines.append(_log_rule(state, width))
    _body(drawn, panes.log_lines(state, log_room), log_room)
    drawn.lines.append([("rule", rule(width, "events"))])
    _body(drawn, panes.event_lines(state, events_room), events_room)
    job = state.jobs.current
    right: list[Line] = [[("title", f"JOB {job.job_id}  {job.state}" if job else "JOB")]]
    right += panes.detail_lines(state, right_width, now, full=True)
    nodes = state.nodes
    tail: list[Line] = [
        [("rule", rule(right_width, f"nodes {nodes.total}"))],
        panes.node_title(right_width),
        *panes.nodes_lines(nodes.rows[: max(3, room // 3)], None, right_width, now),
        [("rule", rule(right_width, "queues"))],
        *panes.queue_lines(state, right_width),
    ]
    right = right[: max(8, room - len(tail))]
    right += [[] for _ in range(room - len(right) - len(tail))]
    right += tail
    for at in range(room):
        left = fit_line(drawn.lines[first + at], width)
        drawn.lines[first + at] = [*left, ("rule", "| "), *(right[at] if at < len(right) else [])]


def _log_rule(state: State, columns: int) -> Line:
    detail = state.detail
    found = f"find {state.search}" if state.search else ""
    how = "end" if detail.log_ended else "follow"
    return [("rule", rule(columns, f"log {detail.job_id} ({how})", found))]


def _other(drawn: Screen, state: State, columns: int, room: int, now: Now) -> None:
    if state.page is Page.NODES:
        drawn.lines.append(panes.node_title(columns))
        window = state.nodes.window(room - 1)
        for at, node in enumerate(window):
            drawn.rows[len(drawn.lines) + at] = node.node_id
        lines = panes.nodes_lines(window, state.nodes.selected, columns, now)
        _body(drawn, lines or [[("dim", "no node is enrolled, or none matches the filter")]], room - 1)
    elif state.page is Page.QUEUES:
        _body(drawn, panes.queue_lines(state, columns), room)
    else:
        _body(drawn, panes.event_lines(state, room), room)


def _form_lines(form: Form, columns: int) -> list[Line]:
    lines: list[Line] = [[("rule", rule(columns, "submit a job", "Enter submits, Esc leaves"))], []]
    for at, entry in enumerate(FIELDS):
        here = at == form.at
        value = form.values[entry.name]
        shown = f"< {value} >" if entry.choices else value + ("_" if here else "")
        lines.append(
            [
                ("selected" if here else "", f"{'>' if here else ' '}{entry.name:<10}"),
                ("", f" {shown}"),
                ("dim", f"   {entry.help}" if here and entry.help else ""),
            ]
        )
    lines += [[], [("dim", f"= {form.command()}")]]
    if form.sent:
        lines.append([("busy", "sent ...")])
    if form.problem:
        lines.append([("bad", form.problem)])
    return lines


def _small(drawn: Screen, state: State, columns: int, rows: int, now: Now) -> None:
    """Draw one line that says what matters, and below it as many jobs as there is room for."""
    queues = state.queues.queues if state.queues else ()
    waits, runs = sum(map(panes.waiting, queues)), sum(map(panes.running, queues))
    old = state.connection.age_s(now.mono_s)
    known = "" if old is None or state.connection.online else f" {age(old)}"
    first = f"{clean(state.cluster)} {state.connection.presence}{known} {waits}q {runs}r"
    if state.prompt is not None:
        first = MARKS[state.prompt.asks] + state.prompt.text
        if state.prompt.asks is Asks.CONFIRM and state.plan is not None:
            first += f" {state.plan.question}"
    elif state.message is not None:
        first = state.message.text
    elif rows == 1 and (job := state.jobs.current) is not None:
        first += f" >{job.job_id} {job.state}"
    drawn.lines.append([("header", pad(first, columns))])
    for job in state.jobs.window(rows - 1) if rows > 1 else []:
        drawn.rows[len(drawn.lines)] = job.job_id
        percent = job.progress.percent if job.progress else None
        done = "" if percent is None else f" {percent:.0f}%"
        style = "selected" if job.job_id == state.jobs.selected else ""
        drawn.lines.append([(style, pad(f"{job.job_id} {job.state}{done} {clean(job.scenario)}", columns))])
    drawn.lines += [[] for _ in range(rows - len(drawn.lines))]


def text_of(drawn: Screen) -> list[str]:
    """Return the screen without its styles, a text a line."""
    return [plain(line) for line in drawn.lines]

"""The screen of a terminal that has no room for panes: a line that tells what matters, and what it is about. Pure."""

from ffrtmp_tui.console import head, panes
from ffrtmp_tui.console.keymap import Page
from ffrtmp_tui.console.over import overlay_lines, small_form_lines
from ffrtmp_tui.console.prompts import MARKS, Asks, Prompt
from ffrtmp_tui.console.state import JOB_PAGES, LIST_PAGES, Now, State
from ffrtmp_tui.console.text import Line, age, fold_words, plain
from ffrtmp_tui.fit import width
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.messages.jobs import JobView
from ffrtmpd.wire.messages.nodes import NodeView
from ffrtmpd.wire.vocabulary import NodeStatus


def small(state: State, columns: int, rows: int, now: Now) -> tuple[list[Line], dict[int, str]]:
    """Return the lines, and which id stands on which.

    Whatever keys are about is seen: what is typed or asked first, then what is open, then the rows of the page.
    """
    top = _top(state, columns, rows, now)[:rows]
    lines, places = _body(state, columns, rows - len(top)) if len(top) < rows else ([], {})
    return top + lines, {len(top) + at: name for at, name in places.items()}


def _top(state: State, columns: int, rows: int, now: Now) -> list[Line]:
    prompt = state.prompt
    if prompt is not None:
        return _asked(prompt, state, columns, rows)
    if told := head.told(state):
        lines = fold_words(plain(told), columns)
        return [[("header", line)] for line in lines[: max(1, rows // 2)]]
    if rows == 1 and (state.form is not None or state.overlay is not None or state.log_full):
        return []
    return [[("header", _status(state, now, one=rows == 1))]]


def _asked(prompt: Prompt, state: State, columns: int, rows: int) -> list[Line]:
    plan = state.plan
    if plan is not None:
        text = "" if prompt.asks is Asks.YES else f"{MARKS[prompt.asks]}{prompt.text}  "
        problem = f" ({prompt.problem})" if prompt.problem else ""
        return [[("alert", line)] for line in fold_words(f"{text}{plan.question}{problem}", columns)]
    # On a single line what is wrong stands beside what is typed.
    left = columns - width(prompt.problem) - 1 if prompt.problem and rows == 1 else columns
    typed = f"{MARKS[prompt.asks]}{head.typed(prompt, left)}"
    if width(typed) + width(prompt.problem) < columns or rows == 1:
        return [[("header", f"{typed} "), ("bad", prompt.problem)]]
    return [[("header", typed)], *[[("bad", line)] for line in fold_words(prompt.problem, columns)]]


def _status(state: State, now: Now, *, one: bool) -> str:
    """Return how the cluster is and what is looked at; with ``one``, what is selected too."""
    queues = state.queues.queues if state.queues else ()
    old = state.connection.age_s(now.mono_s)
    known = "" if old is None or state.connection.online else f" {age(old)}"
    waits, runs = sum(map(panes.waiting, queues)), sum(map(panes.running, queues))
    words = [f"{clean(state.cluster)} {state.connection.presence}{known} {waits}q {runs}r"]
    words += ["FROZEN"] if state.frozen else []
    words += ["RO"] if head.rights(state) == "RO" else []
    if state.log_full:
        found = "" if not state.search else "/{} {}/{}".format(state.search, *state.detail.log.matches(state.search))
        return " ".join([*words, f"log {state.detail.job_id}", found])
    if state.overlay is not None:
        return " ".join([*words, state.overlay.title])
    if state.form is not None:
        return " ".join([*words, "submit a job: Enter submits, Esc leaves"])
    if state.page is not Page.JOBS:
        words.append(state.page)
    if state.page in LIST_PAGES:
        table = state.table(state.page)
        span = set(state.span(table))
        marked = len(table.marks) + len(span - table.marks)
        words += [f"{marked} marked"] if marked else []
        if one and table.current is not None:
            words.append(_row(state, table.current, span))
        words += [head.place(state), *([head.NOT_YET.strip()] if state.waits_for else []), head.order(state)]
    return " ".join(words)


def _body(state: State, columns: int, room: int) -> tuple[list[Line], dict[int, str]]:
    lines: list[Line] = []
    if state.form is not None:
        lines = small_form_lines(state.form, columns, room)
    elif state.overlay is not None:
        lines = overlay_lines(state.overlay, columns, room)
    elif state.log_full:
        state.log_room = room
        lines = panes.log_lines(state, room, columns, full=True)
    elif state.page in LIST_PAGES:
        return _rows(state, room)
    elif state.page is Page.QUEUES:
        lines = [*panes.queue_lines(state, columns), *panes.cluster_lines(state, columns)]
    else:
        lines = panes.event_lines(state, room)
    return (lines + [[] for _ in range(room - len(lines))])[:room], {}


def _rows(state: State, room: int) -> tuple[list[Line], dict[int, str]]:
    table = state.table(state.page)
    places, lines, span = {}, [], set(state.span(table))
    for at, row in enumerate(table.window(room)):
        places[at] = row.job_id if state.page in JOB_PAGES else row.node_id
        lines.append([("selected" if places[at] == table.selected else "", _row(state, row, span))])
    if not lines:
        lines = [[("dim", "nothing here" if table.answered else "asking the master ...")]]
    return lines + [[] for _ in range(room - len(lines))], places


def _row(state: State, row: JobView | NodeView, span: set[str]) -> str:
    """Return a row: ``>`` selected, ``*`` marked or in the span of a range, ``+`` both."""
    table = state.table(state.page)
    if isinstance(row, NodeView):
        sign = ">" if row.node_id == table.selected else " "
        used = "" if row.status is NodeStatus.OFFLINE else f" {row.slots - row.free_slots}/{row.slots} slots"
        return f"{sign}{clean(row.node_id)} {row.status}{used}"
    selected, marked = row.job_id == table.selected, row.job_id in table.marks or row.job_id in span
    sign = "+" if selected and marked else ">" if selected else "*" if marked else " "
    percent = row.progress.percent if row.progress else None
    done = "" if percent is None else f" {percent:.0f}%"
    return f"{sign}{row.job_id} {row.state}{done} {clean(row.scenario)}"

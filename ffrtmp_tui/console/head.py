"""What stands above and below every page: the cluster at a glance, the names of the pages, prompts and keys. Pure."""

from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.console import panes
from ffrtmp_tui.console.keymap import WORDS, Page, footer, shown_key
from ffrtmp_tui.console.prompts import MARKS, Asks, Prompt
from ffrtmp_tui.console.query import JOB_FIELDS, NODE_FIELDS
from ffrtmp_tui.console.state import LIST_PAGES, Now, State
from ffrtmp_tui.console.text import Line, age, bar, ending, fit_line, fold_words, pad, plain
from ffrtmp_tui.fit import width
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.messages.overview import NodesTogether
from ffrtmpd.wire.vocabulary import NodeStatus, Role

_FORM_KEYS: Final = (
    ("up down", "field"),
    ("left right", "value"),
    ("tab", "complete"),
    ("enter", "submit"),
    ("esc", "leave"),
)
# Beside a filter or an order that the rows do not have yet.
NOT_YET: Final = " not yet: "
# Where in a line the name of a page stands, and of which.
Tab = tuple[int, int, Page]


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


def header_line(state: State, columns: int, now: Now, *, wide: bool) -> Line:
    """Return the first line: which cluster, whether its master answers, and who looks."""
    clock = units.time_text(now.wall_s)[11:]
    endpoint = state.endpoint if wide else state.endpoint.removeprefix("tcp://")
    left: Line = [("header", f"ffrtmp {clean(state.cluster)} {endpoint} "), *presence(state, now)]
    more = f" {rights(state)}" + (f" user:{clean(state.principal)}" if wide and state.principal else "")
    left.append(("header", more))
    if state.frozen:
        left += [("header", " "), ("alert", " FROZEN ")]
    right = f" 2Hz {clock} ?help"
    fitted = fit_line(left, columns - len(right))
    return [(style or "header", text) for style, text in [*fitted, ("header", right)]]


def strip(state: State, *, wide: bool) -> list[Line]:
    """Return the queues, the nodes and the last hour: beside each other, or below where it is wide."""
    queues = state.queues.queues if state.queues else ()
    found = panes.rates(state.queues)
    nodes = _nodes_facts(state.queues.nodes if state.queues else None)
    facts = (nodes[0], f"{nodes[1]} | {found['energy']}", f"{found['done']} | {found['fail']} | {found['vmaf']}")
    deepest = max((panes.waiting(view) for view in queues), default=0)
    shown = []
    for view in queues[:3]:
        drawn = bar(100 * panes.waiting(view) / deepest if deepest else 0, 12)
        oldest = "" if view.waiting_since is None or not state.queues else age(state.queues.now - view.waiting_since)
        p95 = f"  p95 {age(view.wait_p95_s)}" if wide and view.wait_p95_s is not None else ""
        shown.append(f"{view.queue!s:<7} {drawn} {panes.waiting(view)}q {panes.running(view)}r {oldest}{p95}")
    if wide:
        return [[("", "   ".join(shown))], [("", " | ".join(facts))]]
    shown += [""] * (3 - len(shown))
    return [[("", pad(queue, 36)), ("dim", "| "), ("", fact)] for queue, fact in zip(shown, facts, strict=True)]


def _nodes_facts(nodes: NodesTogether | None) -> tuple[str, str]:
    """Return how the nodes are, and what they do."""
    if nodes is None:
        return "nodes -", "slots -  power -"
    counts = {one.status: one.nodes for one in nodes.statuses}
    up = counts.get(NodeStatus.ACTIVE, 0) + counts.get(NodeStatus.BUSY, 0)
    away, draining = counts.get(NodeStatus.OFFLINE, 0), counts.get(NodeStatus.DRAINING, 0)
    gpu = "" if nodes.gpu_percent is None else f" | GPU {nodes.gpu_percent:.0f}%"
    if nodes.encoder_percent is not None:
        gpu += f" ENC {nodes.encoder_percent:.0f}%"
    used = f"slots {nodes.slots - nodes.free_slots}/{nodes.slots}"
    return f"nodes {up}up {away}off {draining}drain{gpu}", f"{used} | power {panes.watts(nodes.power_watts)}"


def tab_line(state: State, columns: int) -> tuple[Line, list[Tab]]:
    """Return the names of the pages with filter and order of this one, and where each name stands."""
    line: Line = []
    tabs: list[Tab] = []
    at = 0
    for number, page in enumerate(Page, 1):
        current = page is state.page
        text = f"{'<' if current else '['}{number}{'>' if current else ']'}{page.capitalize()}"
        tabs.append((at, at + len(text), page))
        line += [("tab" if current else "", text), ("", " ")]
        at += len(text) + 1
    if state.page in LIST_PAGES:
        table = state.table(state.page)
        right = place(state)
        marked = f" {len(table.marks)} marked" if table.marks else ""
        if state.waits_for:
            line.append(("alert", NOT_YET))
        line = fit_line([*line, ("", f" {order(state)}{marked}")], columns - len(right) - 1)
        line.append(("", f" {right}"))
    return line, tabs


def place(state: State) -> str:
    """Return which row of how many is selected, ``-`` where it is not known how many are before it."""
    table = state.table(state.page)
    at = "-" if table.begins_inside or state.waits_for else table.place + 1 if len(table) else 0
    return f"{at}/{table.total}{'+' if table.partial else ''}"


def order(state: State) -> str:
    """Return filter and order of a page that lists something."""
    query = state.query(state.page)
    part = " from a job on" if state.table(state.page).begins_inside else ""
    return f"{f'/{query.text} ' if query.text else ''}sort {query.sort}{' turned' if query.turned else ''}{part}"


def typed(prompt: Prompt, room: int) -> str:
    """Return what is typed, of a long text its end, with a cell left for the cursor."""
    return ending(prompt.text, max(2, room - width(MARKS[prompt.asks]) - 1))


def told(state: State) -> Line:
    """Return what is under way or was said, nothing where that is nothing."""
    if state.bulk is not None:
        bulk = state.bulk
        refused = f", {bulk.refused} refused" if bulk.refused else ""
        stop = "stopping" if bulk.stopped else "Esc stops"
        total = len(bulk.plan.targets)
        how = f": {bulk.over} of {total}{refused}   {stop}" if total > 1 else " ..."
        return [("busy", f"{bulk.plan.what}{how}")]
    if state.marking is not None:
        table = state.table(state.marking.page)
        return [("busy", f"marking: {len(table.marks)} of {state.marking.total or table.total}   Esc stops")]
    return [] if state.message is None else [(state.message.style, state.message.text)]


def bottom_lines(state: State, columns: int) -> list[Line]:
    """Return what is typed or told, and the keys."""
    prompt, first = state.prompt, told(state)
    extra: list[Line] = []
    if prompt is not None:
        first = [("key", MARKS[prompt.asks]), ("", f"{typed(prompt, columns)} " if prompt.asks is not Asks.YES else "")]
        if state.plan is not None:
            first.append(("alert", f" {state.plan.question} "))
            extra = [[("dim", f"= {state.plan.command}")]]
        if prompt.problem and width(plain(first)) + width(prompt.problem) < columns:
            first.append(("bad", f" {prompt.problem}"))
        elif prompt.problem:
            extra += [[("bad", line)] for line in fold_words(prompt.problem, columns)]
    elif not first and not state.connection.online and state.connection.problem:
        first = [("bad", clean(state.connection.problem))]
    return [*extra, first, _foot(state, columns)]


def _foot(state: State, columns: int) -> Line:
    """Return the keys that mean something now, and what may be typed."""
    if state.prompt is not None:
        pairs = _typed(state)
    elif state.form is not None:
        pairs = list(_FORM_KEYS)
    elif state.overlay is not None:
        pairs = [("up down", "scroll"), ("esc", "close")]
    else:
        pairs = [(shown_key(key.keys[0]), key.label) for key in footer(state.place, columns)]
    return [piece for key, label in pairs for piece in (("key", key), ("", f" {label} " if label else " "))]


def _typed(state: State) -> list[tuple[str, str]]:
    match state.prompt.asks if state.prompt else None:
        case Asks.FILTER:
            fields = NODE_FIELDS if state.page is Page.NODES else JOB_FIELDS
            return [
                ("enter", "keep"),
                ("esc", "undo"),
                ("tab", "complete"),
                *((f"{name}:", "") for name in fields),
                ("text", ""),
            ]
        case Asks.COMMAND:
            known = state.prompt.text if state.prompt else ""
            names = [word.name for word in WORDS if word.name.startswith(known)]
            return [("tab", ""), *((name, "") for name in names)]
        case Asks.YES:
            return [("y", "yes"), ("esc", "no")]
        case Asks.COUNT:
            return [("enter", "confirm"), ("esc", "abort")]
        case _:
            return [("enter", "go"), ("esc", "as before")]

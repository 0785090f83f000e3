"""The panes beside the list of jobs: one job in detail, its log, nodes, queues, events. Pure."""

import shlex
from collections.abc import Iterable
from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.console.job_rows import joules
from ffrtmp_tui.console.palette import STATE_STYLES
from ffrtmp_tui.console.state import Now, State
from ffrtmp_tui.console.text import Line, age, bar, pad, sparkline
from ffrtmp_tui.job_view import reason
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.messages.jobs import JobView, StatusReply
from ffrtmpd.wire.messages.nodes import NodeView
from ffrtmpd.wire.messages.overview import Event, QueueView
from ffrtmpd.wire.vocabulary import NodeStatus

_WAITING: Final = ("queued", "pending")


def timeline(status: StatusReply, now_s: float) -> str:
    """Return ``14:00:02 queued >4s assigned w-07 >1s processing 2m04s``: the last state with its age."""
    history = status.history
    if not history:
        return ""
    words = [units.time_text(history[0].at)[11:]]
    for number, entry in enumerate(history):
        words.append(str(entry.to_state))
        last = number + 1 == len(history)
        if last and status.job.finished_at is not None:
            break
        until = now_s if last else history[number + 1].at
        words.append(("" if last else ">") + age(until - entry.at))
    # The end is what counts: a job with many attempts has a long beginning.
    return " ".join(words if len(words) <= 13 else [words[0], "..", *words[-11:]])


def figures(job: JobView, now: Now) -> str:
    """Return frames per second, speed and the moment at which it is likely to be done."""
    told = job.progress
    parts = []
    if told and told.fps is not None:
        parts.append(f"{told.fps:.0f}fps")
    if told and told.speed is not None:
        parts.append(f"x{told.speed:.2f}")
    if told and told.eta_s is not None and job.finished_at is None:
        parts.append(f"ETA {units.time_text(now.wall_s + told.eta_s)[11:]}")
    return " ".join(parts)


def measures(job: JobView, status: StatusReply | None) -> str:
    """Return energy, VMAF, QoE and bit rate as far as measured."""
    report = status.report if status else None
    quality = report.quality if report else None
    watts = ""
    if job.energy_j is not None and report and report.encode_s:
        watts = f" ({job.energy_j / report.encode_s:.0f}W)"
    least = f" min {quality.vmaf_min:.1f}" if quality and quality.vmaf_min is not None else ""
    bitrate = job.progress.bitrate_bps if job.progress else None
    return "  ".join(
        (
            "energy -" if job.energy_j is None else f"energy {joules(job.energy_j)}{watts}",
            "VMAF -" if job.vmaf is None else f"VMAF {job.vmaf:.1f}{least}",
            "QoE -" if job.qoe is None else f"QoE {job.qoe:.1f}",
            "bitrate -" if bitrate is None else f"bitrate {units.bitrate_text(bitrate).replace(' ', '')}",
            f"try {job.attempt}/{job.max_attempts}",
        )
    )


def detail_lines(state: State, width: int, now: Now, *, full: bool) -> list[Line]:
    """Return the selected job in three lines, or in full for a pane of its own."""
    job = state.jobs.current
    if job is None:
        return [[("dim", "no job is selected")], [], []][: None if full else 3]
    status = state.detail.status
    percent = job.progress.percent if job.progress else None
    moves = timeline(status, now.wall_s) if status else f"{job.state}, submitted {age(now.wall_s - job.created_at)} ago"
    room = max(12, min(width - 34, 44))
    shown = "" if percent is None else f" {percent:.0f}%"
    why = reason(job)
    third: Line = [("bad" if job.state == "failed" else "", clean(why))] if why else [("", measures(job, status))]
    lines: list[Line] = [
        [("", moves)],
        [(STATE_STYLES.get(job.state, ""), bar(percent, room)), ("", f"{shown} {figures(job, now)}")],
        third,
    ]
    if not full:
        return lines
    if why:
        lines.append([("", measures(job, status))])
    if state.detail.fps:
        lines.append([("", f"fps  {state.detail.fps[-1]:5.0f} "), ("busy", sparkline(state.detail.fps, width - 12))])
    report = status.report if status else None
    spec = status.spec if status else None
    pairs = [
        ("queue", f"{job.queue}/{job.priority}"),
        ("node", job.node_id),
        ("input", (spec.input or "generated") if spec else None),
        ("output", job.output),
        ("encoder", report.encoder if report else None),
        ("limits", report.limits if report else None),
        ("sla", None if job.sla is None else str(job.sla)),
        ("cmd", shlex.join(report.command) if report and report.command else None),
    ]
    lines += [[("dim", f"{name:<8}"), ("", clean(value))] for name, value in pairs if value]
    return lines


def log_lines(state: State, room: int) -> list[Line]:
    """Return the end of the log, or of those of its lines in which the search text is."""
    detail = state.detail
    wanted = state.search.lower()
    lines = detail.log[:-1] if detail.log and not detail.log[-1] else detail.log
    found = [line for line in lines if wanted in line.lower()] if wanted else lines
    if not found:
        note = "no line has the text" if lines and wanted else detail.log_note or "no log yet"
        return [[("dim", note)]]
    return [[("found" if wanted else "", line)] for line in found[-max(1, room) :]]


def nodes_lines(nodes: Iterable[NodeView], selected: str | None, width: int, now: Now) -> list[Line]:
    """Return nodes as lines, without the titles."""
    lines: list[Line] = []
    for node in nodes:
        sign = ">" if node.node_id == selected else " "
        head, rest = f"{sign}{pad(clean(node.node_id), 12)} ", _node_rest(node, width, now)
        state = pad(str(node.status), 9)
        if selected is not None and sign == ">":
            lines.append([("selected", pad(f"{head}{state}{rest}", width))])
        else:
            lines.append([("", head), (STATE_STYLES.get(node.status, ""), state), ("", rest)])
    return lines


def node_title(width: int) -> Line:
    """Return the titles over `nodes_lines`."""
    gpu = "       GPU" if width >= 76 else ""
    return [("title", f" {'ID':<12} {'STATE':<9}{'CPU':<11} {'RAM FREE':<10} {'W':<5} {'SLOTS':<6}JOBS{gpu}")]


def _node_rest(node: NodeView, width: int, now: Now) -> str:
    if node.status is NodeStatus.OFFLINE:
        return "never seen" if node.last_seen_at is None else f"last seen {age(now.wall_s - node.last_seen_at)} ago"
    load, hardware = node.load, node.hardware
    cpu = None if load is None else load.cpu_load_percent
    free = None if load is None or load.ram_free_bytes is None else load.ram_free_bytes / 2**30
    total = None if hardware is None or hardware.ram_total_bytes is None else hardware.ram_total_bytes / 2**30
    watts = None if load is None else load.power_watts
    ram = "-" if free is None else f"{free:.0f}G" if total is None else f"{free:.0f}/{total:.0f}G"
    text = (
        f"{pad('-' if cpu is None else f'{bar(cpu, 7)} {cpu:.0f}', 11)} {pad(ram, 10)} "
        f"{pad('-' if watts is None else f'{watts:.0f}', 5)} "
        f"{pad(f'{node.slots - node.free_slots}/{node.slots}', 6)}{pad(str(len(node.active_jobs)), 5)}"
    )
    gpus = ", ".join(gpu.name for gpu in hardware.gpus) if hardware and hardware.gpus else ""
    return text + (f"      {clean(gpus)}" if gpus and width >= 76 else "")


def counts(view: QueueView) -> dict[str, int]:
    """Return state to how many jobs of the queue are in it."""
    return {str(count.state): count.jobs for count in view.states}


def waiting(view: QueueView) -> int:
    """Return how many jobs wait in the queue."""
    found = counts(view)
    return sum(found.get(state, 0) for state in _WAITING)


def running(view: QueueView) -> int:
    """Return how many jobs of the queue a node has."""
    found = counts(view)
    return found.get("processing", 0) + found.get("assigned", 0)


def queue_lines(state: State, width: int) -> list[Line]:
    """Return the queues, a line each, under their titles."""
    if state.queues is None:
        return [[("dim", "not known yet")]]
    deepest = max((waiting(view) for view in state.queues.queues), default=0)
    hours = state.queues.window_s / 3_600
    over = "1h" if hours >= 0.99 else f"{age(state.queues.window_s)}"
    ended = f"{f'DONE/{over}':>9} {f'FAIL/{over}':>9}"
    drawn = width >= 72
    head = f" {'QUEUE':<9}{'DEPTH        ' if drawn else ''}"
    title = f"{head}{'WAIT':>6} {'RUN':>5} {'PAUSED':>6} {'OLDEST':>7} {ended}"
    lines: list[Line] = [[("title", title)]]
    for view in state.queues.queues:
        since = view.waiting_since
        oldest = "-" if since is None else age(state.queues.now - since)
        depth = f"{bar(100 * waiting(view) / deepest if deepest else 0, 12)} " if drawn else ""
        cells = f" {view.queue!s:<9}{depth}{waiting(view):>6} {running(view):>5} {counts(view).get('paused', 0):>6}"
        lines.append([("", f"{cells} {oldest:>7} {view.completed:>9} {view.failed:>9}")])
    return [[(style, pad(text, width)) for style, text in line] for line in lines]


def event_text(event: Event, me: str) -> str:
    """Return ``14:01:40 you: job-000131 processing > paused``."""
    who = "you" if event.who == me else clean(event.who)
    what = event.event.replace("_", " ")
    if event.job_id is not None:
        what = f"{event.job_id} {what}"
        if event.to_state is not None:
            what += f": {event.from_state} > {event.to_state}" if event.from_state else f": {event.to_state}"
    if event.node_id is not None:
        what += f" {clean(event.node_id)}"
    why = f"; {clean(event.why)}" if event.why else ""
    return f"{units.time_text(event.at)[11:]} {what}{why} ({who})"


def event_lines(state: State, room: int) -> list[Line]:
    """Return the newest events first."""
    events = list(state.events)[::-1][state.top_event : state.top_event + max(1, room)]
    if not events:
        return [[("dim", "nothing has happened yet")]]
    return [[(STATE_STYLES.get(event.to_state or "", ""), event_text(event, state.principal))] for event in events]

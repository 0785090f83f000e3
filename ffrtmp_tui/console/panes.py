"""The panes beside the list of jobs: one job in detail, its log, nodes, queues, events. Pure."""

import shlex
from itertools import accumulate
from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.console.job_rows import joules
from ffrtmp_tui.console.palette import STATE_STYLES
from ffrtmp_tui.console.state import VALUES_KEPT, Now, State
from ffrtmp_tui.console.text import Line, age, bar, fold, pad, sparkline
from ffrtmp_tui.job_view import reason
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.messages.jobs import JobView, StatusReply
from ffrtmpd.wire.messages.overview import Event, QueueList, QueueView

_WAITING: Final = ("queued", "pending")
_STATES_SHOWN: Final = 8
# Cells of a time before a line of the log.
_STAMP: Final = 9


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


def timeline_lines(status: StatusReply, width: int, now_s: float) -> list[Line]:
    """Return the last states of a job, a line each: when it came into it, and for how much of the time it was in it."""
    history = status.history[-_STATES_SHOWN:]
    if not history:
        return []
    ended = status.job.finished_at is not None
    # The master's clock may have been set back in between.
    moments = list(accumulate((entry.at for entry in history), max))
    begun_s, until_s = moments[0], moments[-1] if ended else max(now_s, moments[-1])
    moments.append(until_s)
    # The name, the time, and behind the bar how long it was.
    room = max(4, width - 11 - 9 - 8)
    lines: list[Line] = []
    for number, entry in enumerate(history):
        last = number + 1 == len(history)
        stayed_s = moments[number + 1] - moments[number]
        share = (until_s - begun_s) or 1.0
        at = min(room - 1, int(room * (moments[number] - begun_s) / share))
        cells = max(1, min(room - at, round(room * stayed_s / share)))
        over = ended and last
        drawn = "|" if over else "=" * (cells - 1) + ("=" if not last else ">")
        lines.append(
            [
                (STATE_STYLES.get(entry.to_state, ""), pad(str(entry.to_state), 11)),
                ("", f"{units.time_text(entry.at)[11:]} {' ' * at}"),
                (STATE_STYLES.get(entry.to_state, ""), drawn),
                ("dim", "" if over else f" {age(stayed_s)}"),
            ]
        )
    return lines


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
    job = state.job
    if job is None:
        return [[("dim", "no job is selected")], [], []][: None if full else 3]
    status = state.detail.status
    percent = job.progress.percent if job.progress else None
    moves = timeline(status, now.wall_s) if status else f"{job.state}, submitted {age(now.wall_s - job.created_at)} ago"
    room = max(12, min(width - 34, 44))
    shown = "" if percent is None else f" {percent:.0f}%"
    why = reason(job)
    third: Line = [("bad" if job.state == "failed" else "", clean(why))] if why else [("", measures(job, status))]
    first: list[Line] = [[("", moves)]]
    if full and status is not None:
        first = timeline_lines(status, width, now.wall_s) or first
    lines: list[Line] = [
        *first,
        [(STATE_STYLES.get(job.state, ""), bar(percent, room)), ("", f"{shown} {figures(job, now)}")],
        third,
    ]
    if not full:
        return lines
    if why:
        lines.append([("", measures(job, status))])
    detail = state.detail
    if detail.fps:
        lines.append([("", f"fps   {detail.fps[-1]:6.0f} "), ("busy", sparkline(detail.fps, width - 14))])
    if detail.watts and detail.node:
        # What the whole node takes: a job's share is known when it is done.
        lines.append([("", f"watts {detail.watts[-1]:6.0f} "), ("busy", sparkline(detail.watts, width - 14))])
    report = status.report if status else None
    spec = status.spec if status else None
    pairs = [
        ("queue", f"{job.queue}/{job.priority}"),
        ("node", job.node_id),
        ("J/min", None if job.joules_per_minute is None else joules(job.joules_per_minute)),
        ("input", (spec.input or "generated") if spec else None),
        ("output", job.output),
        ("encoder", report.encoder if report else None),
        ("limits", report.limits if report else None),
        ("sla", None if job.sla is None else str(job.sla)),
        ("cmd", shlex.join(report.command) if report and report.command else None),
    ]
    for name, value in pairs:
        for number, piece in enumerate(fold(clean(value), width - 8) if value else ()):
            lines.append([("dim", f"{'' if number else name:<8}"), ("", piece)])
    return lines


def log_lines(state: State, room: int, width: int, *, full: bool) -> list[Line]:
    """Return rows of the log: its end, or where the one over the whole screen was moved to."""
    log = state.detail.log
    if not log.count:
        return [[("dim", log.note or "no log yet")]]
    stamp = _STAMP if state.log_times else 0
    fold = width - stamp if state.log_wrap else None
    rows = log.window(room, fold) if full else log.tail(max(1, room), fold)
    lines: list[Line] = []
    last = -1
    for at, text in rows:
        line: Line = []
        if stamp:
            seen = log.seen_at[at]
            shown = "" if at == last else "-" if seen is None else units.time_text(seen)[11:]
            line.append(("dim", pad(shown, stamp)))
        last = at
        lines.append([*line, *_lit(text, state.search, "selected" if full and at == log.hit else "found")])
    return lines


def _lit(text: str, wanted: str, style: str) -> Line:
    """Return ``text`` with every ``wanted`` in it in a style."""
    if not wanted:
        return [("", text)]
    lower, wanted = text.lower(), wanted.lower()
    line: Line = []
    at = 0
    while (found := lower.find(wanted, at)) >= 0:
        line += [("", text[at:found]), (style, text[found : found + len(wanted)])]
        at = found + len(wanted)
    return [*line, ("", text[at:])]


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


def over(queues: QueueList) -> str:
    """Return the time that counts of ended jobs cover: ``1h``, or less after the master's start."""
    return "1h" if queues.window_s >= 3_564 else age(queues.window_s)


def queue_lines(state: State, width: int) -> list[Line]:
    """Return the queues, a line each, under their titles."""
    queues = state.queues
    if queues is None:
        return [[("dim", "not known yet")]]
    deepest = max((waiting(view) for view in queues.queues), default=0)
    span = over(queues)
    # What a narrow pane has no room for: the drawing, then the jobs that are held.
    drawn, held = width >= 72, width >= 57
    head = f" {'QUEUE':<9}{'DEPTH        ' if drawn else ''}{'WAIT':>6} {'RUN':>4}{' HELD' if held else ''}"
    lines: list[Line] = [[("title", f"{head} {'OLDEST':>6} {'P95':>5} {f'DONE/{span}':>8} {f'FAIL/{span}':>8}")]]
    for view in queues.queues:
        since = view.waiting_since
        oldest = "-" if since is None else age(queues.now - since)
        p95 = "-" if view.wait_p95_s is None else age(view.wait_p95_s)
        depth = f"{bar(100 * waiting(view) / deepest if deepest else 0, 12)} " if drawn else ""
        paused = f" {counts(view).get('paused', 0):>4}" if held else ""
        cells = f" {view.queue!s:<9}{depth}{waiting(view):>6} {running(view):>4}{paused}"
        lines.append([("", f"{cells} {oldest:>6} {p95:>5} {view.completed:>8} {view.failed:>8}")])
    return [[(style, pad(text, width)) for style, text in line] for line in lines]


def watts(value: float | None) -> str:
    """Return ``310W`` or ``3.1kW``."""
    return "-" if value is None else f"{value / 1_000:.1f}kW" if value >= 1_000 else f"{value:.0f}W"


def rates(queues: QueueList | None) -> dict[str, str]:
    """Return what the last hour was like: energy, jobs done and failed, and the VMAF that 95 of 100 reach."""
    if queues is None:
        return {"energy": "energy -", "done": "done -", "fail": "fail -", "vmaf": "VMAF p5 -"}
    span = over(queues)
    done, failed = sum(view.completed for view in queues.queues), sum(view.failed for view in queues.queues)
    spent = "energy -" if queues.energy_j is None else joules(queues.energy_j)
    if queues.energy_j is not None:
        spent += "/h" if span == "1h" else f" in {span}"
    # A rate of seconds would be a guess.
    failing = f"fail {60 * failed / queues.window_s:.1f}/min" if queues.window_s >= 60 else f"fail {failed} in {span}"
    vmaf = "-" if queues.vmaf_p5 is None else f"{queues.vmaf_p5:.1f}"
    return {"energy": spent, "done": f"done {span} {done}", "fail": failing, "vmaf": f"VMAF p5 {vmaf}"}


def cluster_lines(state: State, width: int) -> list[Line]:
    """Return power, what the last hour was like, and what keeps jobs from running."""
    queues, found = state.queues, rates(state.queues)
    power = queues.nodes.power_watts if queues and queues.nodes else None
    head = f"power {watts(power):<7}"
    drawn = sparkline(state.trends.power, min(VALUES_KEPT, width - 30))
    blocked = ", ".join(f"{one.jobs} {one.why}" for one in queues.blocked) if queues else ""
    return [
        [("", head), ("busy", drawn), ("", f"  {found['energy']}")],
        [("", "  ".join((found["done"], found["fail"], found["vmaf"])))],
        [("waits", f"blocked {blocked}")] if blocked else [],
    ]


def depth_lines(state: State, width: int) -> list[Line]:
    """Return how many jobs waited in each queue at the last looks, as heights."""
    lines: list[Line] = []
    for queue, values in state.trends.waiting.items():
        drawn = sparkline(values, min(VALUES_KEPT, width - 24))
        lines.append([("", f" {queue:<9}"), ("busy", pad(drawn, VALUES_KEPT)), ("", f" {values[-1]:.0f} wait")])
    return lines


def event_text(event: Event, me: str) -> str:
    """Return ``14:01:40 you: job-000131 processing > paused``."""
    who = "you" if event.who == me else clean(event.who)
    what = event.event.replace("_", " ")
    if event.job_id is not None:
        what = f"{event.job_id} {what}"
        if event.to_state is not None:
            what += f": {event.from_state} > {event.to_state}" if event.from_state else f": {event.to_state}"
    if event.node_id is not None and event.node_id not in (event.why or ""):
        what += f" {clean(event.node_id)}"
    why = f"; {clean(event.why)}" if event.why else ""
    return f"{units.time_text(event.at)[11:]} {what}{why} ({who})"


def event_lines(state: State, room: int) -> list[Line]:
    """Return the newest events first."""
    events = list(state.events)[::-1][state.top_event : state.top_event + max(1, room)]
    if not events:
        return [[("dim", "nothing has happened yet")]]
    return [[(STATE_STYLES.get(event.to_state or "", ""), event_text(event, state.principal))] for event in events]

"""How jobs look: the columns of a list, the sheet of one job, its history."""

from typing import TYPE_CHECKING, Final

from ffrtmp_tui import units
from ffrtmp_tui.fit import Column
from ffrtmp_tui.measures_view import measured
from ffrtmp_tui.render import box_table, sheet, table
from ffrtmp_tui.terminal import Terminal, clean
from ffrtmpd.wire.messages.jobs import AuditEntry, JobView, MediaInfo, StatusReply
from ffrtmpd.wire.schema import to_full
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState

if TYPE_CHECKING:
    from ffrtmp_tui.run import Run

_NEEDS_REASON: Final = frozenset({JobState.PENDING, JobState.QUEUED, JobState.PAUSED, JobState.FAILED})


def percent(job: JobView) -> float | None:
    """Return how far a job is, None where that is not known."""
    return None if job.progress is None else job.progress.percent


def reason(job: JobView) -> str | None:
    """Return why a job stands where it is, for a job of which nobody can see that at once."""
    return job.reason if job.state in _NEEDS_REASON else None


JOB_COLUMNS: Final = (
    Column(title="Job ID", name="job_id", get=lambda job: job.job_id),
    Column(title="Scenario", name="scenario", get=lambda job: job.scenario, least=12),
    Column(title="Status", name="state", get=lambda job: job.state),
    Column(title="Queue", name="queue", get=lambda job: job.queue, rank=3),
    Column(title="Priority", name="priority", get=lambda job: job.priority, short_title="Prio", rank=5),
    Column(
        title="Progress",
        name="percent",
        get=percent,
        show="{:.1f}%".format,
        right=True,
        short_title="Done",
        brief="{:.0f}%".format,
        rank=1,
    ),
    Column(title="Node ID", name="node_id", get=lambda job: job.node_id, least=8, rank=2),
    Column(
        title="Created At",
        name="created_at",
        get=lambda job: job.created_at,
        show=units.time_text,
        brief=units.time_brief,
        rank=4,
    ),
    Column(title="Phase", name="phase", get=lambda job: job.phase, wide=True),
    Column(
        title="FPS", name="fps", get=lambda job: job.progress and job.progress.fps, show=units.number_text, wide=True
    ),
    Column(
        title="Speed",
        name="speed",
        get=lambda job: job.progress and job.progress.speed,
        show="x{:.2f}".format,
        wide=True,
    ),
    Column(
        title="ETA", name="eta_s", get=lambda job: job.progress and job.progress.eta_s, show=units.clock_text, wide=True
    ),
    Column(title="Attempt", name="", get=lambda job: f"{job.attempt}/{job.max_attempts}", wide=True),
    Column(title="", name="attempt", get=lambda job: job.attempt),
    Column(title="", name="max_attempts", get=lambda job: job.max_attempts),
    Column(title="Started At", name="started_at", get=lambda job: job.started_at, show=units.time_text, wide=True),
    Column(title="Finished At", name="finished_at", get=lambda job: job.finished_at, show=units.time_text, wide=True),
    Column(title="VMAF", name="vmaf", get=lambda job: job.vmaf, show="{:.1f}".format, right=True, wide=True),
    Column(title="QoE", name="qoe", get=lambda job: job.qoe, show="{:.2f}".format, right=True, wide=True),
    Column(
        title="Energy", name="energy_j", get=lambda job: job.energy_j, show=units.joules_text, right=True, wide=True
    ),
    Column(title="SLA", name="sla", get=lambda job: job.sla, wide=True),
    Column(title="Output", name="output", get=lambda job: job.output, wide=True),
    Column(title="Reason", name="", get=reason, sparse=True, least=12),
    Column(title="", name="reason", get=lambda job: job.reason),
)

HISTORY: Final = (
    Column(title="At", name="at", get=lambda entry: entry.at, show=units.time_text, brief=units.moment_brief),
    Column(title="From", name="from_state", get=lambda entry: entry.from_state, rank=3),
    Column(title="To", name="to_state", get=lambda entry: entry.to_state),
    Column(title="Event", name="event", get=lambda entry: entry.event),
    Column(title="Who", name="who", get=lambda entry: entry.who, least=8, rank=1),
    Column(title="Attempt", name="attempt", get=lambda entry: entry.attempt, rank=2),
    Column(title="Why", name="why", get=lambda entry: entry.why, least=24, fold=True, rank=1),
)


def show_job(run: "Run", reply: StatusReply) -> None:
    """Write one job in the form asked for."""
    payload = {name: value for name, value in to_full(reply).items() if name != "request_id"}
    run.show_one(
        payload,
        name=reply.job.job_id,
        people=lambda: status_text(reply, run.terminal, wide=run.form == "wide"),
        columns=JOB_COLUMNS,
        row=reply.job,
    )


def status_text(reply: StatusReply, terminal: Terminal, *, wide: bool) -> str:
    """Return everything about a job for people; ``wide`` adds its log's last lines to a job that did not fail."""
    box = terminal.out_shows
    text = sheet(fields(reply), box=box, unicode=terminal.unicode, room=terminal.room, paint=terminal.paint)
    report = reply.report
    if report and report.command:
        text += f"\nCommand:\n  {clean(_shell(report.command))}\n"
    if reply.history:
        text += "\nHistory:\n" + history_text(reply.history, terminal)
    if report and report.log_tail and (wide or reply.job.state == "failed"):
        lines = "\n".join("  " + clean(line) for line in report.log_tail.rstrip("\n").splitlines())
        text += f"\nEnd of the log:\n{lines}\n"
    return text


def history_text(history: tuple[AuditEntry, ...], terminal: Terminal) -> str:
    """Return a job's transitions."""
    if not terminal.out_shows:
        return table(HISTORY, history)
    return box_table(HISTORY, history, room=terminal.room, unicode=terminal.unicode)


def fields(reply: StatusReply) -> list[tuple[str, str | None]]:
    """Return the fields of a job's sheet: those of the lists first, then what is known beyond them."""
    job, spec, report = reply.job, reply.spec, reply.report
    done = percent(job)
    shown: list[tuple[str, str | None]] = [
        ("Job ID", job.job_id),
        ("Scenario", job.scenario),
        ("Status", str(job.state)),
        ("Queue", str(job.queue)),
        ("Priority", str(job.priority)),
        ("Progress", None if done is None else f"{done:.1f}%"),
        ("Node ID", job.node_id),
        ("Created At", units.time_text(job.created_at)),
        ("Started At", _time(job.started_at)),
        ("Finished At", _time(job.finished_at)),
        ("Attempt", f"{job.attempt} of {job.max_attempts}"),
    ]
    more: list[tuple[str, str | None]] = [
        ("Phase", None if job.phase is None else str(job.phase)),
        ("Live figures", None if job.state in TERMINAL_STATES else figures(job) or None),
        ("Push", None if job.state in TERMINAL_STATES else push_figures(job) or None),
        ("Due At", _time(job.due_at)),
        ("Reason", job.reason),
        ("Failure", None if reply.failure_class is None else str(reply.failure_class)),
        ("Exit Code", None if reply.exit_code is None else str(reply.exit_code)),
        ("Lost With Node", f"{job.losses} times" if job.losses else None),
        ("Labels", ", ".join(f"{name}={value}" for name, value in sorted(spec.labels.items())) or None),
        ("Input", spec.input or "generated"),
        ("Output", job.output),
    ]
    if report:
        more += [
            ("Encoder", " ".join(str(part) for part in (report.encoder, report.engine) if part) or None),
            ("Fallback", report.fallback),
            ("Video", None if report.media is None else video_text(report.media)),
            ("Audio", None if report.media is None else _audio(report.media)),
            ("File", None if report.media is None else _file(report.media)),
            ("Encode Time", _seconds(report.encode_s)),
            ("Paused Time", _seconds(report.paused_s) if report.paused_s else None),
            ("CPU Time", _seconds(report.cpu_s)),
            ("Limits", report.limits),
            *measured(report),
        ]
    if job.started_at is not None and job.finished_at is not None:
        more.append(("Waited", _seconds(job.waited_s)))
        more.append(("SLA", None if job.sla is None else str(job.sla)))
        more.append(("Total Time", _seconds(max(0.0, job.finished_at - job.created_at))))
    return shown + [(title, text) for title, text in more if text is not None]


def figures(job: JobView) -> str:
    """Return frames per second, speed and time to go, as far as known: ``71 fps  x1.18  ETA 02:31``."""
    progress = job.progress
    if progress is None:
        return ""
    parts = []
    if progress.fps is not None:
        parts.append(f"{progress.fps:.0f} fps")
    if progress.speed is not None:
        parts.append(f"x{progress.speed:.2f}")
    if progress.eta_s is not None:
        parts.append(f"ETA {units.clock_text(progress.eta_s)}")
    return "  ".join(parts)


def push_figures(job: JobView) -> str:
    """Return what the audience of a push has had so far: ``real time x0.983  stalled 4.20 s  lost 1 time``."""
    progress = job.progress
    if progress is None:
        return ""
    parts = []
    if progress.real_time_ratio is not None:
        parts.append(f"real time x{progress.real_time_ratio:.3f}")
    if progress.stall_s is not None:
        parts.append(f"stalled {units.duration_text(progress.stall_s)}")
    if progress.reconnects is not None:
        parts.append(f"lost {progress.reconnects} time{'' if progress.reconnects == 1 else 's'}")
    return "  ".join(parts)


def video_text(media: MediaInfo) -> str | None:
    """Return ``h264 1280x720, 30 fps, 150 frames, 5.00 s, 1.27 MB`` of an output as probed."""
    video = media.video
    if video is None:
        return None
    parts = [f"{video.codec} {video.width}x{video.height}"]
    if video.fps is not None:
        parts.append(f"{units.number_text(video.fps)} fps")
    if video.frames is not None:
        parts.append(f"{video.frames} frames")
    if media.duration_s is not None:
        parts.append(units.duration_text(media.duration_s))
    if media.size_bytes is not None:
        parts.append(units.size_text(media.size_bytes))
    return ", ".join(parts)


def _audio(media: MediaInfo) -> str | None:
    audio = media.audio
    if audio is None:
        return None
    rate = None if audio.sample_rate is None else f"{audio.sample_rate} Hz"
    channels = None if audio.channels is None else f"{audio.channels} channels"
    return ", ".join(part for part in (audio.codec, rate, channels) if part)


def _file(media: MediaInfo) -> str:
    probe = f"probed by {media.probe}" if media.probe else None
    bitrate = media.video.bitrate_bps if media.video else None
    return ", ".join(part for part in (media.container, bitrate and units.bitrate_text(bitrate), probe) if part)


def _time(wall_s: float | None) -> str | None:
    return None if wall_s is None else units.time_text(wall_s)


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else units.duration_text(seconds)


def _shell(command: tuple[str, ...]) -> str:
    import shlex

    return shlex.join(command)

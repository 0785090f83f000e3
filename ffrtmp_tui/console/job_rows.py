"""A job as one line: the columns as a table, for narrow and for wide screens. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.console.columns import rooms
from ffrtmp_tui.console.palette import STATE_STYLES
from ffrtmp_tui.console.text import Line, age, bar, ending, pad
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.messages.jobs import JobView
from ffrtmpd.wire.vocabulary import JobState

_SHORT_QUEUE: Final = {"default": "def", "batch": "bat", "live": "live"}
_SHORT_PRIORITY: Final = {"medium": "med", "high": "high", "low": "low"}
_ABSENT: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobColumn:
    """One column: its title, its cells, and what stands in it at a moment (Unix seconds)."""

    title: str
    room: int
    get: Callable[[JobView, float], str]
    grows: int = 0
    right: bool = False
    rank: int = 0


def joules(value: float) -> str:
    """Return ``41.2kJ``."""
    return units.joules_text(value).replace(" ", "")


def progress(job: JobView, now_s: float) -> str:
    """Return how far a job is, or why it does not go on."""
    done = job.progress.percent if job.progress else None
    if job.state is JobState.COMPLETED:
        return "####### 100%"
    if job.state in (JobState.PROCESSING, JobState.PAUSED) and done is not None:
        return f"{bar(done, 7, brackets=False)} {done:3.0f}%"
    if job.state is JobState.PENDING and job.due_at is not None and job.due_at > now_s:
        return f"due in {age(job.due_at - now_s)}"
    return clean(job.reason) if job.reason else _ABSENT


def eta(job: JobView, now_s: float) -> str:
    """Return the time to go of a job that runs, and the time that one took which is done."""
    if job.state is JobState.PROCESSING and job.progress and job.progress.eta_s is not None:
        return units.clock_text(job.progress.eta_s)
    if job.state is JobState.COMPLETED and job.processed_s:
        return units.clock_text(job.processed_s)
    return _ABSENT


def _fps(job: JobView, now_s: float) -> str:
    fps = job.progress.fps if job.progress and job.state is JobState.PROCESSING else None
    return _ABSENT if fps is None else f"{fps:.0f}"


def _vmaf(job: JobView, now_s: float) -> str:
    return _ABSENT if job.vmaf is None else f"{job.vmaf:.1f}"


def _node(job: JobView, now_s: float) -> str:
    return _ABSENT if job.node_id is None else clean(job.node_id)


def _cell(column: "JobColumn", room: int, job: JobView, now_s: float) -> str:
    text = column.get(job, now_s)
    return pad(ending(text, room - 1) if column.title == "NODE" else text, room - 1) + " "


def took(seconds: float) -> str:
    """Return ``12.3s``, ``2m09`` or ``1h02m``: five cells at most below a hundred hours."""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    return f"{whole // 60}m{whole % 60:02d}" if whole < 3_600 else f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"


def failure(job: JobView) -> str:
    """Return with what a job failed, or why it was canceled."""
    if job.state is JobState.COMPLETED:
        return _ABSENT
    exit_code = None if job.exit_code is None else f"exit {job.exit_code}"
    return clean(" ".join(part for part in (exit_code, job.reason) if part)) or _ABSENT


def _figure(value: float | None, shown: Callable[[float], str]) -> str:
    return _ABSENT if value is None else shown(value)


def _ended(job: JobView, now_s: float) -> str:
    if job.finished_at is None:
        return _ABSENT
    text = units.time_text(job.finished_at)
    # The day where it is another one.
    return text[11:] if text[:10] == units.time_text(now_s)[:10] else text[5:16]


_ID: Final = JobColumn(title="ID", room=11, get=lambda job, now_s: job.job_id)
_SCENARIO: Final = JobColumn(title="SCENARIO", room=13, get=lambda job, now_s: clean(job.scenario), grows=2)
_Q: Final = JobColumn(title="Q", room=5, get=lambda job, now_s: _SHORT_QUEUE[job.queue])
_PRI: Final = JobColumn(title="PRI", room=5, get=lambda job, now_s: _SHORT_PRIORITY[job.priority])
_STATE: Final = JobColumn(title="STATE", room=11, get=lambda job, now_s: str(job.state))
_PROGRESS: Final = JobColumn(title="PROGRESS", room=13, get=progress, grows=2)
_ETA: Final = JobColumn(title="ETA", room=7, get=eta)
_NODE: Final = JobColumn(title="NODE", room=7, get=_node, grows=1)
_VMAF: Final = JobColumn(title="VMAF", room=5, get=_vmaf)
_ENERGY: Final = JobColumn(title="ENERGY", room=8, get=lambda job, now_s: _figure(job.energy_j, joules))
_TOOK: Final = JobColumn(
    title="TOOK", room=6, get=lambda job, now_s: took(job.processed_s) if job.processed_s else _ABSENT
)
_QOE: Final = JobColumn(title="QOE", room=4, get=lambda job, now_s: _figure(job.qoe, lambda score: f"{score:.1f}"))
_PER_MINUTE: Final = JobColumn(title="J/MIN", room=8, get=lambda job, now_s: _figure(job.joules_per_minute, joules))
_FAILURE: Final = JobColumn(title="FAILURE", room=8, get=lambda job, now_s: failure(job), grows=6)

NARROW: Final = (_ID, _SCENARIO, _Q, _PRI, _STATE, _PROGRESS, _ETA, _NODE, _VMAF)
WIDE: Final = (
    _ID,
    _SCENARIO,
    _Q,
    _PRI,
    _STATE,
    _PROGRESS,
    JobColumn(title="FPS", room=5, get=_fps, rank=1),
    _ETA,
    _NODE,
    replace(_ENERGY, rank=2),
    _VMAF,
    JobColumn(title="AGE", room=4, get=lambda job, now_s: age(now_s - job.created_at)),
)
HISTORY_NARROW: Final = (
    _ID,
    _SCENARIO,
    replace(_STATE, room=10),
    _TOOK,
    _VMAF,
    _QOE,
    replace(_ENERGY, room=7),
    replace(_PER_MINUTE, room=7),
    _NODE,
    replace(_FAILURE, room=9),
)
HISTORY_WIDE: Final = (
    JobColumn(title="ENDED", room=12, get=_ended),
    _ID,
    _SCENARIO,
    JobColumn(title="QUEUE", room=8, get=lambda job, now_s: str(job.queue)),
    _PRI,
    _STATE,
    _TOOK,
    JobColumn(title="WAITED", room=7, get=lambda job, now_s: took(job.waited_s)),
    _VMAF,
    _QOE,
    _ENERGY,
    _PER_MINUTE,
    JobColumn(title="SLA", room=10, get=lambda job, now_s: _ABSENT if job.sla is None else str(job.sla)),
    JobColumn(title="TRY", room=4, get=lambda job, now_s: str(job.attempt)),
    _NODE,
    _FAILURE,
)


def job_line(
    job: JobView, columns: tuple[JobColumn, ...], width: int, now_s: float, *, selected: bool, marked: bool
) -> Line:
    """Return a job's line: ``>`` selected, ``*`` marked, ``+`` both."""
    sign = "+" if selected and marked else ">" if selected else "*" if marked else " "
    cells = [_cell(column, room, job, now_s) for column, room in zip(columns, rooms(columns, width), strict=True)]
    if selected:
        return [("selected", pad(sign + "".join(cells), width))]
    at = next(number for number, column in enumerate(columns) if column.title == "STATE")
    style = "marked" if marked else ""
    return [
        (style, sign + "".join(cells[:at])),
        (STATE_STYLES.get(job.state, ""), cells[at]),
        (style, "".join(cells[at + 1 :])),
    ]

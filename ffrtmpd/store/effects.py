"""What a transition does to the columns of a job besides its state."""

from collections.abc import Mapping
from typing import Any, Final

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store.records import REPORTS, JobChanges, JobRow, dump
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState, Phase

Columns = dict[str, Any]

_CHANGEABLE: Final = frozenset(JobChanges.__annotations__)
_AS_JSON: Final = frozenset({"progress", "report"})
_OFF_NODE: Final[Columns] = {"node_id": None, "token": None, "phase": None, "progress_json": None}
_NO_REPORT: Final[Columns] = {
    "report_json": None,
    "vmaf": None,
    "qoe": None,
    "energy_j": None,
    "joules_per_minute": None,
}
_NEW_ATTEMPT: Final[Columns] = {
    **_NO_REPORT,
    "phase": None,
    "progress_json": None,
    "exit_code": None,
    "failure_class": None,
}

_NEW_LIFE: Final[Columns] = {
    **_NEW_ATTEMPT,
    "output": None,
    "failures": 0,
    "losses": 0,
    "waited_s": 0.0,
    "processed_s": 0.0,
}
# What counts as waiting and as work, so that what was promised can be judged.
_WAITS: Final = frozenset({JobState.QUEUED, JobState.ASSIGNED})


def consequences(row: JobRow, event: JobEvent, target: JobState, at: float) -> Columns:
    """Return what follows from ``event`` by itself when it takes ``row`` to ``target`` at ``at`` (Unix seconds)."""
    columns: Columns = {"state": target, "state_at": at}
    # The wall clock may have been set back.
    spent_s = max(0.0, at - row.state_at)
    if row.state in _WAITS:
        columns["waited_s"] = row.waited_s + spent_s
    elif row.state is JobState.PROCESSING:
        columns["processed_s"] = row.processed_s + spent_s
    if row.due_at is not None and target is not JobState.PENDING:
        columns["due_at"] = None
    if row.resuming:
        columns["resuming"] = False
    if row.lost_token is not None:
        columns.update(lost_node=None, lost_token=None)
    if event is JobEvent.ASSIGN:
        columns.update(_NEW_ATTEMPT, attempt=row.attempt + 1)
    elif event is JobEvent.ADOPT:
        columns.update(node_id=row.lost_node, token=row.lost_token, phase=Phase.ENCODING)
    elif event is JobEvent.START:
        columns.update(started_at=at, phase=Phase.ENCODING)
    elif target in TERMINAL_STATES:
        columns.update(finished_at=at, token=None, phase=None)
    elif target in (JobState.PENDING, JobState.QUEUED) or event in (JobEvent.HOLD, JobEvent.REQUEUE, JobEvent.BACK_OFF):
        columns.update(_OFF_NODE)
        if event is JobEvent.RETRY:
            columns.update(_NEW_LIFE, finished_at=None)
    return columns


def columns_of(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the columns that hold ``changes``.

    Raises:
        TypeError: no such column may be changed.
    """
    if not changes.keys() <= _CHANGEABLE:
        raise TypeError(f"a job has no changeable {', '.join(sorted(changes.keys() - _CHANGEABLE))}")
    # Wire types are stored as JSON, in columns that say so.
    if changes.keys().isdisjoint(_AS_JSON):
        return changes
    columns = dict(changes)
    if "progress" in columns:
        columns["progress_json"] = dump(columns.pop("progress"))
    if "report" in columns:
        report: Report | None = columns.pop("report")
        columns["report_json"] = None if report is None else REPORTS.dump(report)
        columns.update(_figures(report))
    return columns


def _figures(report: Report | None) -> Columns:
    """Return the figures of a report that lists show."""
    if report is None:
        return _NO_REPORT
    return {
        "vmaf": report.quality and report.quality.vmaf,
        "qoe": report.experience and report.experience.score,
        "energy_j": report.energy and report.energy.joules,
        "joules_per_minute": report.energy and report.energy.joules_per_minute,
    }

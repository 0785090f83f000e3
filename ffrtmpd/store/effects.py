"""What a transition does to the columns of a job besides its state."""

from collections.abc import Mapping
from typing import Any, Final

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store.records import JobChanges, JobRow, dump
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState, Phase

Columns = dict[str, Any]

_CHANGEABLE: Final = frozenset(JobChanges.__annotations__)
# Wire types are stored as JSON, in columns that say so.
_AS_JSON: Final = {"progress": "progress_json", "report": "report_json"}

_OFF_NODE: Final[Columns] = {"node_id": None, "token": None, "phase": None, "progress_json": None}
_NEW_ATTEMPT: Final[Columns] = {
    "phase": None,
    "progress_json": None,
    "report_json": None,
    "exit_code": None,
    "failure_class": None,
}

_NEW_LIFE: Final[Columns] = {
    **_NEW_ATTEMPT,
    "output": None,
    "failures": 0,
    "losses": 0,
}


def consequences(row: JobRow, event: JobEvent, target: JobState, at: float) -> Columns:
    """Return what follows from ``event`` by itself when it takes ``row`` to ``target`` at ``at`` (Unix seconds)."""
    columns: Columns = {}
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


def columns_of(changes: Mapping[str, Any]) -> Columns:
    """Return the columns that hold ``changes``.

    Raises:
        TypeError: no such column may be changed.
    """
    unknown = changes.keys() - _CHANGEABLE
    if unknown:
        raise TypeError(f"a job has no changeable {', '.join(sorted(unknown))}")
    return {_AS_JSON.get(name, name): dump(value) if name in _AS_JSON else value for name, value in changes.items()}

"""What a transition does to the columns of a job, its state among them.

Columns are changed in a list of all of them, by place: for a job's way through the queue that takes a third of what
names and maps would.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ffrtmpd.lifecycle import NEEDS_NODE, TRANSITIONS, JobEvent, next_state
from ffrtmpd.store.records import JOB_COLUMNS, REPORTS, JobChanges, dump
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState, Phase

# All columns of a job, in the order of ``JOB_COLUMNS``.
Columns = list[Any]

_PLACES: Final = {name: place for place, name in enumerate(JOB_COLUMNS)}
_STATE: Final = _PLACES["state"]
_PHASE: Final = _PLACES["phase"]
_ATTEMPT: Final = _PLACES["attempt"]
_TOKEN: Final = _PLACES["token"]
_NODE_ID: Final = _PLACES["node_id"]
_LOSSES: Final = _PLACES["losses"]
_FAILURES: Final = _PLACES["failures"]
_STARTED_AT: Final = _PLACES["started_at"]
_FINISHED_AT: Final = _PLACES["finished_at"]
_DUE_AT: Final = _PLACES["due_at"]
_RESUMING: Final = _PLACES["resuming"]
_LOST_NODE: Final = _PLACES["lost_node"]
_LOST_TOKEN: Final = _PLACES["lost_token"]
_REASON: Final = _PLACES["reason"]
_OUTPUT: Final = _PLACES["output"]
_STATE_AT: Final = _PLACES["state_at"]
_WAITED_S: Final = _PLACES["waited_s"]
_PROCESSED_S: Final = _PLACES["processed_s"]
_VMAF: Final = _PLACES["vmaf"]
_QOE: Final = _PLACES["qoe"]
_ENERGY_J: Final = _PLACES["energy_j"]
_JOULES_PER_MINUTE: Final = _PLACES["joules_per_minute"]
_PROGRESS_JSON: Final = _PLACES["progress_json"]
_REPORT_JSON: Final = _PLACES["report_json"]

_OF_NODE: Final = (_NODE_ID, _TOKEN, _PHASE, _PROGRESS_JSON)
_OF_ATTEMPT: Final = tuple(
    _PLACES[name]
    for name in (
        "phase",
        "progress_json",
        "exit_code",
        "failure_class",
        "report_json",
        "vmaf",
        "qoe",
        "energy_j",
        "joules_per_minute",
    )
)
# Wire types are stored as JSON, in columns that say so.
_CHANGEABLE: Final = {name: place for name, place in _PLACES.items() if name in JobChanges.__annotations__}
# What brought a job where it is explains it only where it is stuck, waits or ended; the rest is in its history.
_GIVES_REASON: Final = frozenset(
    {JobEvent.HOLD, JobEvent.PAUSE, JobEvent.BACK_OFF, JobEvent.REQUEUE, JobEvent.FAIL, JobEvent.CANCEL}
)
_OFF_NODE: Final = frozenset({JobEvent.HOLD, JobEvent.REQUEUE, JobEvent.BACK_OFF})
# What counts as waiting and as work, so that what was promised can be judged.
_SPENT: Final = {
    JobState.QUEUED: _WAITED_S,
    JobState.ASSIGNED: _WAITED_S,
    JobState.PROCESSING: _PROCESSED_S,
}


def _forgotten(event: JobEvent, target: JobState) -> tuple[int, ...]:
    """Return the columns that are empty after a transition."""
    places = [_LOST_NODE, _LOST_TOKEN]
    if target is not JobState.PENDING:
        places.append(_DUE_AT)
    if event not in _GIVES_REASON:
        places.append(_REASON)
    if event is JobEvent.ASSIGN:
        places += _OF_ATTEMPT
    elif target in TERMINAL_STATES:
        places += (_TOKEN, _PHASE)
    elif target is JobState.PENDING or target is JobState.QUEUED or event in _OFF_NODE:
        places += _OF_NODE
    if event is JobEvent.RETRY:
        places += (*_OF_ATTEMPT, _FINISHED_AT, _OUTPUT)
    return tuple(places)


def _count_attempt(columns: Columns, _: float) -> None:
    columns[_ATTEMPT] += 1


def _begin(columns: Columns, at: float) -> None:
    columns[_STARTED_AT], columns[_PHASE] = at, Phase.ENCODING


def _take_up(columns: Columns, _: float) -> None:
    columns[_NODE_ID], columns[_TOKEN], columns[_PHASE] = columns[_LOST_NODE], columns[_LOST_TOKEN], Phase.ENCODING


def _begin_anew(columns: Columns, _: float) -> None:
    columns[_FAILURES] = columns[_LOSSES] = 0
    columns[_WAITED_S] = columns[_PROCESSED_S] = 0.0


def _end(columns: Columns, at: float) -> None:
    columns[_FINISHED_AT] = at


def _also(event: JobEvent, target: JobState) -> Callable[[Columns, float], None] | None:
    """Return what else a transition does."""
    known = {
        JobEvent.ASSIGN: _count_attempt,
        JobEvent.START: _begin,
        JobEvent.ADOPT: _take_up,
        JobEvent.RETRY: _begin_anew,
    }
    return known.get(event, _end if target in TERMINAL_STATES else None)


# By state and event: the state after it, where the time in that before is counted, what is empty after it, whether it
# gives the job its reason, and what else it does, before that. A table, for each job asks three times, and to look up
# one member of an enumeration takes Python 3.11 longer than a row of it.
_EFFECTS: Final = {
    (state, event): (target, _SPENT.get(state), _forgotten(event, target), event in _GIVES_REASON, _also(event, target))
    for (state, event), target in TRANSITIONS.items()
}


def let_happen(columns: Columns, event: JobEvent, why: str | None, at: float) -> tuple[JobState, JobState]:
    """Change ``columns`` by what follows from ``event`` at ``at``, Unix seconds; return the states before and after.

    Raises:
        IllegalTransition: it cannot happen to a job in that state; nothing was changed.
    """
    before = columns[_STATE]
    move = (before, event)
    if move not in _EFFECTS or event in NEEDS_NODE:
        # Says why not.
        next_state(before, event, on_node=_has_node(before, columns))
    target, spent, forgotten, gives_reason, also = _EFFECTS[move]
    if spent is not None:
        # The clock may have been set back.
        columns[spent] += max(0.0, at - columns[_STATE_AT])
    if also is not None:
        also(columns, at)
    for place in forgotten:
        columns[place] = None
    columns[_STATE], columns[_STATE_AT], columns[_RESUMING] = target, at, False
    if gives_reason:
        columns[_REASON] = why
    return before, target


def _has_node(state: JobState, columns: Columns) -> bool | None:
    if state is JobState.PAUSED:
        return columns[_NODE_ID] is not None
    if state is JobState.QUEUED:
        return columns[_LOST_NODE] is not None
    return None


def put(columns: Columns, changes: Mapping[str, Any]) -> None:
    """Set columns by name; of ``progress`` and ``report`` those that hold them.

    Raises:
        TypeError: no such column may be changed.
    """
    for name, value in changes.items():
        place = _CHANGEABLE.get(name)
        if place is not None:
            columns[place] = value
        elif name == "report":
            _put_report(columns, value)
        elif name == "progress":
            columns[_PROGRESS_JSON] = dump(value)
        else:
            raise TypeError(f"a job has no changeable {name}")


def _put_report(columns: Columns, report: Report | None) -> None:
    """Set a report, and the figures of it that lists show."""
    quality = experience = energy = None
    columns[_REPORT_JSON] = None
    if report is not None:
        columns[_REPORT_JSON] = REPORTS.dump(report)
        quality, experience, energy = report.quality, report.experience, report.energy
    columns[_VMAF] = quality and quality.vmaf
    columns[_QOE] = experience and experience.score
    columns[_ENERGY_J] = energy and energy.joules
    columns[_JOULES_PER_MINUTE] = energy and energy.joules_per_minute

"""The state machine of a job: whatever moves a job's state stands here."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState


class JobEvent(StrEnum):
    """What can happen to a job after its submit."""

    DUE = "due"
    ASSIGN = "assign"
    START = "start"
    HOLD = "hold"
    RELEASE = "release"
    PAUSE = "pause"
    RESUME = "resume"
    COMPLETE = "complete"
    FAIL = "fail"
    BACK_OFF = "back_off"
    REQUEUE = "requeue"
    CANCEL = "cancel"
    RETRY = "retry"
    ADOPT = "adopt"


class IllegalTransition(Exception):
    """The event cannot happen to a job in that state; nothing was changed."""

    def __init__(self, state: JobState, event: JobEvent, why: str = "") -> None:
        possible = ", ".join(legal_events(state)) or "nothing"
        super().__init__(f"{event} is not possible for a job that is {state}{why} (possible: {possible})")
        self.state = state
        self.event = event


# What a submit makes: a job that may run now, or one whose time has not come.
INITIAL: Final = (JobState.PENDING, JobState.QUEUED)

TRANSITIONS: Final[Mapping[tuple[JobState, JobEvent], JobState]] = {
    (JobState.PENDING, JobEvent.DUE): JobState.QUEUED,
    (JobState.PENDING, JobEvent.HOLD): JobState.PAUSED,
    (JobState.PENDING, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.QUEUED, JobEvent.ASSIGN): JobState.ASSIGNED,
    (JobState.QUEUED, JobEvent.HOLD): JobState.PAUSED,
    (JobState.QUEUED, JobEvent.CANCEL): JobState.CANCELED,
    # The node taken for lost is back with the run alive, before another has begun.
    (JobState.QUEUED, JobEvent.ADOPT): JobState.PROCESSING,
    (JobState.ASSIGNED, JobEvent.START): JobState.PROCESSING,
    (JobState.ASSIGNED, JobEvent.REQUEUE): JobState.QUEUED,
    (JobState.ASSIGNED, JobEvent.BACK_OFF): JobState.PENDING,
    (JobState.ASSIGNED, JobEvent.FAIL): JobState.FAILED,
    (JobState.ASSIGNED, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.PROCESSING, JobEvent.PAUSE): JobState.PAUSED,
    (JobState.PROCESSING, JobEvent.COMPLETE): JobState.COMPLETED,
    (JobState.PROCESSING, JobEvent.REQUEUE): JobState.QUEUED,
    (JobState.PROCESSING, JobEvent.BACK_OFF): JobState.PENDING,
    (JobState.PROCESSING, JobEvent.FAIL): JobState.FAILED,
    (JobState.PROCESSING, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.PAUSED, JobEvent.RELEASE): JobState.QUEUED,
    (JobState.PAUSED, JobEvent.RESUME): JobState.PROCESSING,
    # Its attempt is lost or failed: the user's wish that the job stands still outlives it.
    (JobState.PAUSED, JobEvent.REQUEUE): JobState.PAUSED,
    (JobState.PAUSED, JobEvent.BACK_OFF): JobState.PAUSED,
    (JobState.PAUSED, JobEvent.FAIL): JobState.FAILED,
    (JobState.PAUSED, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.FAILED, JobEvent.RETRY): JobState.QUEUED,
    (JobState.CANCELED, JobEvent.RETRY): JobState.QUEUED,
}


# What can happen to some jobs of a state alone: to those that a node has, or to those that none has.
NEEDS_NODE: Final[Mapping[JobEvent, bool]] = {JobEvent.RELEASE: False, JobEvent.RESUME: True, JobEvent.ADOPT: True}


def legal_events(state: JobState) -> tuple[JobEvent, ...]:
    """Return what can happen to a job in ``state``."""
    return tuple(event for event in JobEvent if (state, event) in TRANSITIONS)


def next_state(state: JobState, event: JobEvent, *, on_node: bool | None = None) -> JobState:
    """Return the state that ``event`` leads to.

    A paused job is either held, and no node has it, or frozen on its node. The first can only be released, the second
    only resumed. A queued job can be adopted only by a node that has lost it. ``on_node`` tells whether there is such
    a node; None leaves it open.

    Raises:
        IllegalTransition: the table has no such pair, or the paused job is of the other kind.
    """
    target = TRANSITIONS.get((state, event))
    if target is None:
        raise IllegalTransition(state, event)
    if on_node is not None and on_node is not NEEDS_NODE.get(event, on_node):
        raise IllegalTransition(state, event, " on its node" if on_node else " and on no node")
    return target


def diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    arrows: dict[tuple[JobState, JobState], list[JobEvent]] = {}
    for (state, event), target in TRANSITIONS.items():
        arrows.setdefault((state, target), []).append(event)
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state}: submit" for state in INITIAL]
    lines += [f"    {state} --> {target}: {', '.join(events)}" for (state, target), events in arrows.items()]
    lines += [f"    {state} --> [*]" for state in JobState if state in TERMINAL_STATES]
    return "\n".join(lines) + "\n"

import itertools

import pytest

from ffrtmpd.lifecycle import INITIAL, TRANSITIONS, IllegalTransition, JobEvent, diagram, legal_events, next_state
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState

# Written out by hand, apart from the table under test: a line for each state, `event>state`.
LEGAL = """
pending: due>queued hold>paused cancel>canceled
queued: assign>assigned adopt>processing hold>paused cancel>canceled
assigned: start>processing requeue>queued back_off>pending fail>failed cancel>canceled
processing: pause>paused complete>completed requeue>queued back_off>pending fail>failed cancel>canceled
paused: release>queued resume>processing requeue>paused back_off>paused fail>failed cancel>canceled
completed:
failed: retry>queued
canceled: retry>queued
"""
EXPECTED = {
    (state, event): target
    for line in LEGAL.strip().splitlines()
    for state, _, moves in [line.partition(":")]
    for event, _, target in [move.partition(">") for move in moves.split()]
}
PAIRS = list(itertools.product(JobState, JobEvent))


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=[f"{state}-{event}" for state, event in PAIRS])
def test_every_pair_moves_as_designed_or_raises(state: JobState, event: JobEvent) -> None:
    expected = EXPECTED.get((str(state), str(event)))
    if expected is None:
        with pytest.raises(IllegalTransition):
            next_state(state, event)
    else:
        assert next_state(state, event) == expected


def test_all_eight_states_and_fourteen_events_are_there() -> None:
    assert len(PAIRS) == 8 * 14
    assert len(TRANSITIONS) == len(EXPECTED)


def test_illegal_transition_names_state_event_and_what_is_possible() -> None:
    with pytest.raises(IllegalTransition) as caught:
        next_state(JobState.FAILED, JobEvent.PAUSE)
    assert str(caught.value) == "pause is not possible for a job that is failed (possible: retry)"
    assert (caught.value.state, caught.value.event) == (JobState.FAILED, JobEvent.PAUSE)


def test_completed_job_offers_nothing() -> None:
    assert legal_events(JobState.COMPLETED) == ()
    with pytest.raises(IllegalTransition, match="possible: nothing"):
        next_state(JobState.COMPLETED, JobEvent.RETRY)


def test_job_frozen_on_its_node_cannot_be_released() -> None:
    assert next_state(JobState.PAUSED, JobEvent.RESUME, on_node=True) is JobState.PROCESSING
    with pytest.raises(IllegalTransition):
        next_state(JobState.PAUSED, JobEvent.RELEASE, on_node=True)


def test_held_job_without_a_node_cannot_be_resumed() -> None:
    assert next_state(JobState.PAUSED, JobEvent.RELEASE, on_node=False) is JobState.QUEUED
    with pytest.raises(IllegalTransition):
        next_state(JobState.PAUSED, JobEvent.RESUME, on_node=False)


def test_every_state_can_be_reached_and_left_unless_completed() -> None:
    reached = set(INITIAL)
    while more := {target for (state, _), target in TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == set(JobState)
    assert {state for state in JobState if not legal_events(state)} == {JobState.COMPLETED}


def test_diagram_shows_every_transition_once() -> None:
    drawn = diagram()
    assert drawn.startswith("stateDiagram-v2\n    [*] --> pending: submit\n    [*] --> queued: submit\n")
    arrows = [line.strip() for line in drawn.splitlines() if line.count(":") == 1 and "[*]" not in line]
    shown = {
        (arrow.split(" --> ")[0], event): arrow.split(" --> ")[1].split(":")[0]
        for arrow in arrows
        for event in arrow.split(": ")[1].split(", ")
    }
    assert shown == EXPECTED
    assert {line.strip() for line in drawn.splitlines() if line.endswith("[*]")} == {
        f"{state} --> [*]" for state in TERMINAL_STATES
    }

"""A key revoked while its worker is at work, and refusals that are none of that."""

import pytest

from ffrtmp_worker.events import (
    Forget,
    KillChild,
    Note,
    Publish,
    Published,
    Reconnect,
    Remove,
    Seal,
    Sealed,
    Spawn,
    StopAsked,
    TerminateChild,
)
from ffrtmp_worker.events import Quit as QuitAction
from ffrtmp_worker.recipe import StepName
from ffrtmpd.wire.messages.common import Problem
from ffrtmpd.wire.messages.session import Committed, Denied, Heartbeat, Hello, Ready, Result
from ffrtmpd.wire.vocabulary import ErrorCode
from tests.worker.bench import Bench, assign, commit, messages, only, sent, some, welcome

JOB = ("job-000001", 1)


def denied(code: ErrorCode = ErrorCode.NOT_ALLOWED) -> Denied:
    return Denied(problem=Problem(code=code, message="this key has been revoked"))


def test_encoder_ends_its_partial_goes_and_nobody_is_told() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    assert only(bench.say(denied()), TerminateChild).child == child
    assert only(bench.at(2), KillChild).child == child
    actions = bench.exit(child, -9)
    assert only(actions, Remove).path.endswith(".partial")
    assert (some(actions, Seal), some(actions, Spawn), sent(actions)) == ([], [], [])


def test_push_ends_as_soon() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    child = bench.child(bench.say(assign(live=True)))
    assert only(bench.say(denied()), TerminateChild).child == child
    assert only(bench.at(2), KillChild).child == child


def test_attempt_that_was_failing_already_is_not_told_of_either() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign(timeout_s=1.0)))
    bench.at(1)
    bench.say(denied())
    assert some(bench.exit(child, -15), Seal) == []


def test_log_says_the_way_out_once_for_all_that_was_under_way() -> None:
    bench = Bench(slots=2).online()
    bench.say(assign())
    notes = [note for _ in range(3) for note in some(bench.say(denied()), Note)]
    (refused,) = [note for note in notes if note.event == "refused_by_master"]
    assert refused.level == "error"
    assert refused.fields["stopped"] == 1
    assert "keys invite node-1 --role worker" in refused.fields["way_out"]
    assert "join --replace LINE" in refused.fields["way_out"]
    assert some(bench.say(denied()), TerminateChild) == []


def test_it_greets_on_twice_a_minute_at_most_and_sends_nothing_else() -> None:
    bench = Bench().online()
    said = bench.say(denied())
    hellos = []
    for now in range(1, 200):
        said += bench.at(now)
        for _ in messages(said, Hello):
            hellos.append(now)
            said = bench.say(denied())
            assert [note.event for note in some(said, Note)] == ["refused_by_master"]
        assert messages(said, Heartbeat) == []
        assert some(said, Reconnect) == []
    assert hellos == [32, 64, 96, 128, 160, 192]


def test_master_that_knows_the_key_again_gets_an_empty_inventory() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    bench.say(denied())
    bench.exit(child, -15)
    assert messages(bench.at(32), Hello)
    ready = messages(bench.say(welcome()), Ready)[0]
    assert (ready.running, ready.finished) == ((), ())
    assert some(bench.say(assign("job-000002")), Spawn)


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - {ErrorCode.NOT_ALLOWED}))
def test_refusal_of_one_message_stops_nothing(code: ErrorCode) -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    actions = bench.say(denied(code))
    assert (some(actions, TerminateChild), sent(actions)) == ([], [])
    assert messages(bench.at(2), Heartbeat)
    assert some(bench.exit(child), Spawn)


# ── results ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_result_without_leave_to_publish_is_dropped_with_its_output() -> None:
    bench = Bench().online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    actions = bench.say(denied())
    assert only(actions, Forget).attempt == JOB
    assert only(actions, Remove).path.endswith(".partial")
    assert bench.agent.session.wakeup() is not None
    assert messages(bench.at(100), Result) == []


def test_result_on_its_way_to_the_disk_is_dropped_when_it_is_there() -> None:
    bench = Bench().online()
    bench.encoded()
    assert some(bench.say(denied()), Remove) == []
    actions = bench.do(Sealed(attempt=JOB))
    assert only(actions, Forget).attempt == JOB
    assert only(actions, Remove).path.endswith(".partial")


def test_output_that_was_released_is_published_and_told_to_the_master_that_knows_the_node_again() -> None:
    bench = Bench().online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    assert some(bench.say(commit()), Publish)
    assert some(bench.say(denied()), Remove) == []
    assert sent(bench.do(Published(attempt=JOB))) == []
    actions = bench.say(denied())
    assert (some(actions, Forget), some(actions, Remove)) == ([], [])
    bench.at(32)
    actions = bench.say(welcome())
    assert [held.job_id for held in messages(actions, Ready)[0].finished] == ["job-000001"]
    assert messages(actions, Committed)


def test_revoked_worker_stops_when_asked() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    bench.say(denied())
    bench.do(StopAsked())
    assert some(bench.exit(child, -15), QuitAction)

"""Attempts whose output is pushed: lost, waiting, back, given up."""

import pytest

from ffrtmp_worker.attempt import Limits
from ffrtmp_worker.events import Action, CloseLog, KillChild, Note, Seal, Spawn, StopAsked, TerminateChild
from ffrtmp_worker.recipe import AttemptFailed, Cause, StepName
from ffrtmpd.wire.messages.session import HeartbeatAck, ProgressReport, Result, Started
from ffrtmpd.wire.vocabulary import FailureClass, Outcome
from tests.worker.bench import Bench, assign, kill, messages, only, pause, resume, sent, some

LOST = AttemptFailed(FailureClass.TRANSIENT, "Broken pipe", Cause.CONNECTION)
REFUSED = AttemptFailed(FailureClass.TRANSIENT, "Input/output error", Cause.UNCLEAR)


def pushing(*, timeout_s: float | None = None, limits: Limits | None = None) -> tuple[Bench, int]:
    """Return a push that has sent ten seconds of media in ten seconds."""
    bench = Bench(steps=(StepName.ENCODE, StepName.ENCODE), limits=limits or Limits(), slots=2).online()
    child = bench.child(bench.say(assign(live=True, timeout_s=timeout_s)))
    for second in range(1, 11):
        bench.beat(second)
        bench.write(child, b"%d@%d" % (second * 30, second))
    return bench, child


def lose(bench: Bench, child: int, failure: AttemptFailed | None = LOST) -> list[Action]:
    bench.recipes[0].fails = failure
    return bench.exit(child, 1)


def events(actions: list[Action]) -> list[str]:
    return [action.event for action in actions if isinstance(action, Note)]


def test_lost_push_is_connected_again_and_says_so() -> None:
    bench, child = pushing()
    actions = lose(bench, child)
    assert events(actions) == ["push_lost"]
    told = messages(actions, ProgressReport)[-1].progress
    assert (told.frame, told.reconnects, told.real_time_ratio) == (300, 1, 1)
    assert some(bench.beat(10.4), Spawn) == []
    actions = bench.beat(10.5)
    again = only(actions, Spawn)
    assert messages(actions, Started) == []
    bench.beat(12)
    back = bench.write(again.child, b"315@10.5")
    assert only(back, Note).fields["away_s"] == 1.5
    told = messages(back, ProgressReport)[-1].progress
    assert (told.reconnects, told.stall_s) == (1, 1.5)
    assert told.real_time_ratio == pytest.approx(10.5 / 12)
    bench.recipes[0].fails = None
    bench.recipes[0]._left.clear()
    report = only(bench.exit(again.child), Seal).entry.result.report
    assert report.experience is not None
    assert (report.experience.reconnects, report.experience.stall_s) == (1, 1.5)
    assert report.experience.real_time_ratio == pytest.approx(10.5 / 12)


def test_push_that_ends_well_has_its_figures() -> None:
    bench, child = pushing()
    bench.recipes[0]._left.clear()
    experience = only(bench.exit(child), Seal).entry.result.report.experience
    assert experience is not None
    assert (experience.stall_s, experience.reconnects, experience.real_time_ratio) == (0, 0, 1)


def test_file_has_no_figures_of_a_push() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    child = bench.child(bench.say(assign()))
    bench.write(child, b"30@1")
    assert only(bench.exit(child), Seal).entry.result.report.experience is None


def test_master_hears_nothing_before_media_was_accepted() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    child = bench.child(bench.say(assign(live=True)))
    bench.beat(1)
    actions = bench.write(child, b"0@0")
    for second in range(2, 40):
        # Refused for all that time, a second after each try.
        actions += lose(bench, child) if second % 2 else []
        actions += bench.beat(second)
        spawned = some(actions, Spawn)
        child = spawned[-1].child if spawned else child
    assert len(some(actions, Spawn)) > 3
    assert messages(actions, Started) == []
    assert messages(actions, ProgressReport) == []


def test_push_that_hangs_is_ended_and_connected_again() -> None:
    bench, child = pushing()
    assert some(bench.beat(19), TerminateChild) == []
    assert only(bench.beat(20), TerminateChild).child == child
    assert only(bench.beat(22), KillChild).child == child
    actions = bench.exit(child, -9)
    assert only(actions, Note).fields["reason"] == "the output has not advanced for 10 s"
    assert only(bench.beat(22.5), Spawn).argv == ("encode",)


def test_push_without_media_for_too_long_is_given_up() -> None:
    bench, child = pushing(limits=Limits(reconnect_s=5))
    lose(bench, child)
    actions: list[Action] = []
    while not some(actions, Seal):
        actions = bench.beat(bench.now + 0.5)
        for spawn in some(actions, Spawn):
            actions += lose(bench, spawn.child)
    result = only(actions, Seal).entry.result
    assert bench.now == 15
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)
    assert result.reason == "no media for 5 s: Broken pipe"
    assert result.report.experience is not None
    assert result.report.experience.stall_s == 5


def test_push_that_is_turned_down_three_times_fails_for_good() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    spawn = only(bench.say(assign(live=True)), Spawn)
    for _ in range(2):
        assert events(lose(bench, spawn.child, REFUSED)) == ["push_lost"]
        spawn = only(bench.beat(bench.now + 1), Spawn)
    result = only(lose(bench, spawn.child, REFUSED), Seal).entry.result
    assert result.failure_class is FailureClass.PERMANENT
    assert result.report.experience is None


def test_time_of_the_job_ends_the_wait_too() -> None:
    bench, child = pushing(timeout_s=10.2)
    lose(bench, child)
    result = only(bench.beat(10.2), Seal).entry.result
    assert result.reason == "not done after 10.2 s"


def test_push_that_waits_is_fenced_and_not_connected_again() -> None:
    bench, child = pushing()
    bench.at(15.8)
    lose(bench, child)
    spawn = only(bench.at(16.3), Spawn)
    bench.at(19.4)
    # The beat of second 10 was acknowledged, none after it; the next try is behind the fence.
    lose(bench, spawn.child)
    actions = bench.at(30)
    assert some(actions, Spawn) == []
    result = only(actions, Seal).entry.result
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)
    assert "silent" in (result.reason or "")


def test_worker_that_slept_through_its_fence_does_not_connect_again() -> None:
    bench, child = pushing()
    lose(bench, child)
    bench.now = 600
    actions = bench.say(HeartbeatAck(sent_ms=10_000))
    assert some(actions, Spawn) == []
    assert only(actions, Seal).entry.result.outcome is Outcome.FAILED


def test_kill_ends_the_wait() -> None:
    bench, child = pushing()
    lose(bench, child)
    assert messages(bench.say(kill()), Result)[0].outcome is Outcome.CANCELED
    assert some(bench.beat(60), Spawn) == []


def test_stop_of_the_worker_ends_the_wait() -> None:
    bench, child = pushing()
    lose(bench, child)
    actions = bench.do(StopAsked())
    assert some(actions, CloseLog) != []
    assert some([*actions, *bench.at(39)], Spawn) == []


def test_paused_push_waits_for_its_resume_and_not_for_its_back_off() -> None:
    bench, child = pushing()
    lose(bench, child)
    bench.beat(10.3)
    assert some(bench.say(pause()), TerminateChild) == []
    actions = bench.beat(100)
    assert some(actions, Spawn) == []
    assert all(message.running[0].paused for message in sent(actions) if message.TYPE == "HEARTBEAT")  # type: ignore[attr-defined]
    again = only(bench.say(resume()), Spawn)
    bench.beat(101)
    bench.write(again.child, b"315@10.5")
    bench.recipes[0].fails = None
    bench.recipes[0]._left.clear()
    experience = only(bench.exit(again.child), Seal).entry.result.report.experience
    assert experience is not None
    assert experience.stall_s == pytest.approx(0.3)


def test_push_that_hangs_and_is_paused_does_not_go_on_by_itself() -> None:
    bench, child = pushing()
    bench.beat(20)
    bench.say(pause())
    bench.exit(child, -9)
    assert some(bench.beat(100), Spawn) == []
    assert only(bench.say(resume()), Spawn).argv == ("encode",)


def test_paused_wait_is_not_fenced() -> None:
    bench, child = pushing()
    lose(bench, child)
    bench.say(pause())
    bench.at(300)
    bench.online()
    bench.say(HeartbeatAck(sent_ms=300_000))
    assert only(bench.say(resume()), Spawn).argv == ("encode",)

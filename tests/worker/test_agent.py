import pytest

from ffrtmp_worker.events import (
    Forget,
    KillChild,
    Publish,
    Published,
    Quit,
    ReadLog,
    Remove,
    Seal,
    Sealed,
    Spawn,
    StopAsked,
    TerminateChild,
    TimeCame,
)
from ffrtmp_worker.spool import Entry, Fate
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.session import Bye, Committed, FetchLog, Heartbeat, Ready, Result
from ffrtmpd.wire.vocabulary import FailureClass, Outcome, Verdict
from tests.worker.bench import (
    TOKEN,
    Bench,
    assign,
    commit,
    kill,
    messages,
    only,
    pause,
    sent,
    some,
    verdict,
    welcome,
)

JOB = ("job-000001", 1)


def entry(outcome: Outcome = Outcome.ENCODED) -> Entry:
    result = Result(job_id=JOB[0], attempt=1, token=TOKEN, outcome=outcome, report=Report())
    return Entry(result=result, partial="/out/out.mp4.partial", final="/out/out.mp4", inode=7)


# ── assignments ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_repeated_assignment_runs_once() -> None:
    bench = Bench(slots=2).online()
    assert len(some(bench.say(assign()), Spawn)) == 1
    assert bench.say(assign()) == []


def test_assignment_repeated_after_its_verdict_is_not_run_again() -> None:
    bench = Bench().online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    bench.say(verdict(Verdict.STALE))
    actions = bench.say(assign())
    assert some(actions, Spawn) == []
    # Whoever assigns it again does not know that it has ended.
    assert [result.outcome for result in messages(actions, Result)] == [Outcome.CANCELED]


def test_earlier_attempt_than_the_highest_seen_is_refused() -> None:
    bench = Bench(slots=2).online()
    bench.say(assign(attempt=3))
    actions = bench.say(assign(attempt=2, token=b"o" * 16))
    assert some(actions, Spawn) == []
    result = messages(actions, Result)[0]
    assert (result.attempt, result.failure_class) == (2, FailureClass.TRANSIENT)


def test_same_number_with_another_token_is_another_assignment() -> None:
    bench = Bench(slots=2).online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    bench.say(verdict(Verdict.STALE))
    assert len(some(bench.say(assign(token=b"o" * 16)), Spawn)) == 1


def test_same_number_with_another_token_waits_until_the_first_has_ended() -> None:
    bench = Bench(slots=2).online()
    child = bench.child(bench.say(assign()))
    other = assign(token=b"o" * 16)
    assert bench.say(other) == []
    bench.say(kill())
    bench.exit(child)
    assert bench.say(other) == []
    bench.say(verdict(Verdict.STALE))
    assert len(some(bench.say(other), Spawn)) == 1


def test_paused_attempt_is_shown_at_once_and_gives_its_slot_back() -> None:
    bench = Bench(slots=1).online()
    bench.say(assign("job-000001"))
    (beat,) = messages(bench.say(pause()), Heartbeat)
    assert [(held.job_id, held.paused) for held in beat.running] == [("job-000001", True)]
    assert len(some(bench.say(assign("job-000002")), Spawn)) == 1


def test_assignment_beyond_the_slots_is_refused() -> None:
    bench = Bench(slots=1).online()
    bench.say(assign("job-000001"))
    actions = bench.say(assign("job-000002"))
    assert some(actions, Spawn) == []
    result = messages(actions, Result)[0]
    assert (result.job_id, result.outcome, result.failure_class, result.reason) == (
        "job-000002",
        Outcome.FAILED,
        FailureClass.TRANSIENT,
        "no free slot",
    )
    # It may well come again when there is room.
    bench.exit(bench.child(bench.exit(1)))
    assert len(some(bench.say(assign("job-000002")), Spawn)) == 1


def test_slot_of_a_killed_attempt_is_free_at_once() -> None:
    bench = Bench(slots=1).online()
    bench.say(assign("job-000001"))
    bench.say(kill("job-000001"))
    assert len(some(bench.say(assign("job-000002")), Spawn)) == 1


@pytest.mark.parametrize("message", [kill(token=b"x" * 16), commit(token=b"x" * 16), kill(attempt=2)])
def test_message_with_a_foreign_token_or_attempt_touches_nothing(message: object) -> None:
    bench = Bench().online()
    bench.say(assign())
    actions = bench.say(message)  # type: ignore[arg-type]
    assert some(actions, TerminateChild) == []
    beat = messages(bench.at(2), Heartbeat)[0]
    assert [held.token for held in beat.running] == [TOKEN]


def test_kill_of_an_unknown_attempt_is_answered() -> None:
    bench = Bench().online()
    assert messages(bench.say(kill()), Result)[0].outcome is Outcome.CANCELED


def test_commit_of_an_unknown_attempt_is_answered_as_failed() -> None:
    bench = Bench().online()
    result = messages(bench.say(commit()), Result)[0]
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)


def test_stale_verdict_for_a_running_attempt_stops_it_in_silence() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    assert some(bench.say(verdict()), TerminateChild) == []
    assert only(bench.say(verdict(Verdict.STALE)), TerminateChild).child == child
    actions = bench.exit(child, 255)
    assert only(actions, Remove).path == "/out/out.mp4.partial"
    assert sent(actions) == []


def test_log_is_read_with_the_word_whether_more_may_come() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    request = FetchLog(fetch_id=4, job_id=JOB[0], attempt=1)
    assert only(bench.say(request), ReadLog) == ReadLog(request=request, running=True)
    bench.exit(bench.child(bench.exit(child)))
    assert only(bench.say(request), ReadLog).running is False


# ── results ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_result_is_told_only_once_it_is_on_the_disk() -> None:
    bench = Bench().online()
    assert messages(bench.encoded(), Result) == []
    assert messages(bench.at(1), Result) == []
    assert messages(bench.do(Sealed(attempt=JOB)), Result)[0].outcome is Outcome.ENCODED


def test_result_is_repeated_until_it_is_answered() -> None:
    bench = Bench().online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    assert len(messages(bench.beat(10), Result)) == 5
    assert only(bench.say(commit()), Publish).entry.attempt == JOB
    assert messages(bench.beat(20), Result) == []


def test_commit_publishes_once_and_committed_is_repeated_until_the_verdict() -> None:
    bench = Bench().online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    bench.say(commit())
    assert some(bench.say(commit()), Publish) == []
    committed = messages(bench.do(Published(attempt=JOB)), Committed)[0]
    assert committed.output == "/out/out.mp4"
    assert len(messages(bench.say(commit()), Committed)) == 1
    assert len(messages(bench.beat(4), Committed)) == 2
    actions = bench.say(verdict())
    assert only(actions, Forget).attempt == JOB
    assert some(actions, Remove) == []
    assert messages(bench.beat(20), Committed) == []


def test_commit_before_the_result_was_sealed_publishes_nothing() -> None:
    bench = Bench().online()
    bench.encoded()
    assert some(bench.say(commit()), Publish) == []


def test_push_needs_no_publication() -> None:
    bench = Bench(steps=()).online()
    bench.say(assign(live=True))
    bench.do(Sealed(attempt=JOB))
    actions = bench.say(commit())
    assert some(actions, Publish) == []
    assert len(messages(actions, Committed)) == 1


def test_output_that_is_not_wanted_any_more_is_removed() -> None:
    bench = Bench().online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    actions = bench.say(verdict(Verdict.STALE))
    assert only(actions, Remove).path == "/out/out.mp4.partial"
    assert only(actions, Forget).attempt == JOB


def test_kill_of_a_finished_attempt_removes_its_output() -> None:
    bench = Bench().online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    actions = bench.say(kill())
    assert only(actions, Remove).path == "/out/out.mp4.partial"
    assert messages(actions, Result)[0].outcome is Outcome.CANCELED
    assert some(bench.say(verdict()), Remove) == []


def test_kill_while_the_result_is_being_sealed_is_obeyed_then() -> None:
    bench = Bench().online()
    bench.encoded()
    assert sent(bench.say(kill())) == []
    actions = bench.do(Sealed(attempt=JOB))
    assert only(actions, Remove).path == "/out/out.mp4.partial"
    assert messages(actions, Result)[0].outcome is Outcome.CANCELED


def test_kill_comes_too_late_for_a_committed_output() -> None:
    bench = Bench().online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    bench.say(commit())
    assert some(bench.say(kill()), Remove) == []
    bench.do(Published(attempt=JOB))
    actions = bench.say(kill())
    assert some(actions, Remove) == []
    assert only(actions, Forget).attempt == JOB


def test_output_that_cannot_be_sealed_is_a_failure_worth_another_try() -> None:
    bench = Bench().online()
    bench.encoded()
    actions = bench.do(Sealed(attempt=JOB, error="No space left on device"))
    result = messages(actions, Result)[0]
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)
    assert "No space left" in (result.reason or "")
    assert only(actions, Remove).path == "/out/out.mp4.partial"
    assert some(bench.say(commit()), Publish) == []


def test_output_that_cannot_be_renamed_is_a_failure_worth_another_try() -> None:
    bench = Bench().online()
    bench.encoded()
    bench.do(Sealed(attempt=JOB))
    bench.say(commit())
    actions = bench.do(Published(attempt=JOB, error="Permission denied"))
    assert only(actions, Seal).entry.partial is None
    result = messages(bench.do(Sealed(attempt=JOB)), Result)[0]
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)


def test_ready_lists_what_runs_and_what_is_not_answered_and_repeats_it() -> None:
    bench = Bench(slots=2).online()
    bench.encoded("job-000001")
    bench.do(Sealed(attempt=JOB))
    bench.say(assign("job-000002"))
    bench.now = 1
    actions = bench.say(welcome())
    ready = messages(actions, Ready)[0]
    assert [held.job_id for held in ready.running] == ["job-000002"]
    assert [held.job_id for held in ready.finished] == ["job-000001"]
    order = [message.TYPE for message in sent(actions)]
    assert order.index("READY") < order.index("RESULT")


def test_beats_name_an_output_that_is_on_its_way_to_the_disk() -> None:
    bench = Bench().online()
    bench.encoded()
    assert [held.job_id for held in messages(bench.beat(2), Heartbeat)[-1].running] == ["job-000001"]
    bench.do(Sealed(attempt=JOB))
    assert messages(bench.beat(4), Heartbeat)[-1].running == ()


# ── a later life ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_spooled_result_is_told_in_the_next_life() -> None:
    bench = Bench(spooled=((entry(), Fate.WHOLE),))
    assert sent(bench.at(10)) == []
    actions = bench.online().say(welcome())
    assert [held.job_id for held in messages(actions, Ready)[0].finished] == ["job-000001"]
    assert messages(actions, Result)[0].outcome is Outcome.ENCODED
    assert only(bench.say(commit()), Publish).entry.partial == "/out/out.mp4.partial"


def test_output_published_before_the_restart_is_told_as_committed() -> None:
    bench = Bench(spooled=((entry(), Fate.PUBLISHED),)).online()
    actions = bench.say(welcome())
    assert messages(actions, Committed)[0].output == "/out/out.mp4"
    assert messages(actions, Result) == []


def test_output_lost_before_the_restart_is_a_failure() -> None:
    bench = Bench(spooled=((entry(), Fate.GONE),)).online()
    result = messages(bench.say(welcome()), Result)[0]
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)


def test_spooled_attempt_is_not_run_again() -> None:
    bench = Bench(spooled=((entry(), Fate.WHOLE),)).online()
    assert bench.say(assign()) == []


# ── stopping ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stop_of_an_idle_worker_says_goodbye() -> None:
    bench = Bench().online()
    actions = bench.do(StopAsked())
    assert isinstance(sent(actions)[-1], Bye)
    assert isinstance(actions[-1], Quit)


def test_stop_ends_children_then_says_goodbye_without_results() -> None:
    bench = Bench(slots=2).online()
    first = bench.child(bench.say(assign("job-000001")))
    second = bench.child(bench.say(assign("job-000002")))
    actions = bench.do(StopAsked())
    assert {action.child for action in some(actions, TerminateChild)} == {first, second}
    assert some(actions, Quit) == []
    assert some(bench.exit(first, 255), Quit) == []
    actions = bench.exit(second, 255)
    assert [message.TYPE for message in sent(actions)] == ["BYE"]
    assert only(actions, Remove).path == "/out/out.mp4.partial"
    assert some(actions, Quit) != []


def test_stop_gives_a_push_longer_and_a_second_stop_hurries() -> None:
    bench = Bench(slots=2, steps=()).online()
    bench.steps = Bench().steps[:1]
    child = bench.child(bench.say(assign(live=True)))
    bench.do(StopAsked())
    assert some(bench.beat(9), KillChild) == []
    assert only(bench.do(StopAsked()), KillChild).child == child


def test_stopping_worker_takes_nothing_new() -> None:
    bench = Bench(slots=2).online()
    bench.say(assign("job-000001"))
    bench.do(StopAsked())
    actions = bench.say(assign("job-000002"))
    assert some(actions, Spawn) == []
    assert messages(actions, Result)[0].reason == "the worker is stopping"


def test_stop_waits_for_the_disk_and_keeps_what_is_not_answered() -> None:
    bench = Bench().online()
    bench.encoded()
    assert some(bench.do(StopAsked()), Quit) == []
    actions = bench.do(Sealed(attempt=JOB))
    assert some(actions, Quit) != []
    assert some(actions, Forget) == []


def test_stop_does_not_wait_for_ever() -> None:
    bench = Bench().online()
    bench.say(assign())
    bench.do(StopAsked())
    assert some(bench.at(29), Quit) == []
    bench.now = 30
    assert some(bench.do(TimeCame()), Quit) != []


def test_pause_of_an_unknown_attempt_touches_nothing() -> None:
    bench = Bench().online()
    assert sent(bench.say(pause())) == []

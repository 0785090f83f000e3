"""Which beats a lease counts from, and what may begin."""

from dataclasses import replace

import pytest

from ffrtmp_worker.attempt import Limits
from ffrtmp_worker.events import KillChild, LinkUp, Seal, Sealed, Spawn, TimeCame
from ffrtmp_worker.recipe import StepName
from ffrtmpd.wire.messages.session import HeartbeatAck, Reset, Result
from ffrtmpd.wire.vocabulary import FailureClass, Outcome, Verdict
from tests.worker.bench import Bench, assign, kill, messages, only, pause, resume, some, verdict, welcome

PATIENT = Limits(stall_live_s=1_000.0)


def pushing() -> Bench:
    return Bench(steps=(StepName.ENCODE,), limits=PATIENT, slots=2).online()


def test_beat_that_does_not_show_an_attempt_does_not_renew_its_lease() -> None:
    bench = pushing()
    bench.at(4)
    bench.say(HeartbeatAck(sent_ms=2_000))
    bench.say(assign(live=True))
    # Sent before the assignment came: the master has renewed nothing for it.
    bench.say(HeartbeatAck(sent_ms=4_000))
    assert some(bench.at(11.9), KillChild) == []
    assert some(bench.at(12), KillChild) != []


def test_push_that_was_assigned_to_a_worker_held_up_does_not_begin_behind_its_fence() -> None:
    bench = pushing()
    bench.now = 10
    assert some(bench.say(assign(live=True)), Spawn) == []
    # A file can be taken back.
    assert some(bench.say(assign("job-000002")), Spawn) != []
    bench.do(TimeCame())
    bench.say(HeartbeatAck(sent_ms=10_000))
    assert some(bench.say(assign(live=True)), Spawn) != []


def test_beat_that_shows_an_attempt_renews_its_lease() -> None:
    bench = pushing()
    bench.say(assign(live=True))
    bench.at(4)
    bench.say(HeartbeatAck(sent_ms=4_000))
    assert some(bench.at(13.9), KillChild) == []
    assert some(bench.at(14), KillChild) != []


@pytest.mark.parametrize(
    ("told_s", "longest_s", "fenced_at"),
    [(5.0, 10.0, 5), (None, 10.0, 10), (20.0, 30.0, 20), (20.0, 8.0, 8)],
    ids=["its own", "none of its own", "longer than another queue's", "not longer than the longest of the master's"],
)
def test_push_is_fenced_by_its_own_terms(told_s: float | None, longest_s: float, fenced_at: int) -> None:
    bench = Bench(steps=(StepName.ENCODE,), limits=PATIENT)
    bench.do(LinkUp())
    bench.say(welcome(fence_s=longest_s))
    bench.say(replace(assign(live=True), fence_s=told_s))
    assert some(bench.at(fenced_at - 0.1), KillChild) == []
    assert some(bench.at(fenced_at), KillChild) != []


def test_master_started_anew_with_shorter_terms_shortens_those_of_runs_it_adopts() -> None:
    bench = Bench(steps=(StepName.ENCODE,), limits=PATIENT)
    bench.do(LinkUp())
    bench.say(welcome(fence_s=30.0))
    bench.say(replace(assign(live=True), fence_s=30.0))
    bench.beat(20)
    bench.say(Reset())
    bench.say(welcome(fence_s=8.0))
    bench.say(HeartbeatAck(sent_ms=20_000))
    assert some(bench.at(27.9), KillChild) == []
    assert some(bench.at(28), KillChild) != []


def test_push_that_was_to_go_on_does_not_begin_again_behind_its_fence() -> None:
    bench = pushing()
    child = bench.child(bench.say(assign(live=True)))
    bench.at(9)
    bench.say(pause())
    bench.say(resume())
    assert only(bench.at(10), KillChild).child == child
    actions = bench.exit(child, -9)
    assert some(actions, Spawn) == []
    result = only(actions, Seal).entry.result
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)


def test_paused_push_that_was_fenced_still_goes_on_when_it_is_resumed() -> None:
    bench = pushing()
    child = bench.child(bench.say(assign(live=True)))
    bench.at(9)
    bench.say(pause())
    assert only(bench.at(10), KillChild).child == child
    assert some(bench.exit(child, -9), Spawn) == []
    bench.online()
    # What the master said when its last word was as old as the fence: it may have given the job away since.
    assert some(bench.say(resume()), Spawn) == []
    bench.say(HeartbeatAck(sent_ms=10_000))
    assert only(bench.say(resume()), Spawn).argv == ("encode",)


def test_assignment_that_was_stopped_before_it_came_does_not_begin() -> None:
    bench = pushing()
    assert [result.outcome for result in messages(bench.say(kill()), Result)] == [Outcome.CANCELED]
    actions = bench.say(assign(live=True))
    assert some(actions, Spawn) == []
    assert [result.outcome for result in messages(actions, Result)] == [Outcome.CANCELED]


def test_stop_of_an_attempt_of_the_same_number_forgets_none_that_has_ended() -> None:
    bench = pushing()
    bench.say(kill())
    # Another life of the master, before it was restored from a backup, gave the same number.
    bench.say(kill(token=b"u" * 16))
    for token in (b"t" * 16, b"u" * 16):
        actions = bench.say(assign(token=token))
        assert some(actions, Spawn) == []
        assert [result.outcome for result in messages(actions, Result)] == [Outcome.CANCELED]
    assert some(bench.say(assign(token=b"v" * 16)), Spawn)


def test_attempt_number_that_a_restored_master_gives_again_is_taken() -> None:
    bench = Bench()
    bench.do(LinkUp())
    bench.say(replace(welcome(), life=b"a" * 16))
    bench.say(kill(attempt=3))
    refused = bench.say(assign(attempt=2, token=b"u" * 16))
    assert [result.outcome for result in messages(refused, Result)] == [Outcome.FAILED]
    bench.say(Reset())
    bench.at(2)
    # The epoch may be the same again.
    bench.say(replace(welcome(), life=b"b" * 16))
    assert some(bench.say(assign(attempt=1, token=b"v" * 16)), Spawn)


def test_what_has_ended_does_not_begin_again_for_a_master_that_was_restarted() -> None:
    bench = Bench(slots=2).online()
    bench.say(replace(welcome(), life=b"a" * 16))
    bench.encoded()
    bench.do(Sealed(attempt=("job-000001", 1)))
    bench.say(replace(welcome(), life=b"b" * 16))
    bench.say(verdict(Verdict.STALE))
    # The master had said it again before the result reached it, and its verdict came first.
    assert some(bench.say(assign()), Spawn) == []


def test_stop_of_an_earlier_attempt_forgets_no_later_one() -> None:
    bench = pushing()
    bench.say(kill(attempt=2))
    bench.say(kill(attempt=1, token=b"u" * 16))
    assert some(bench.say(assign(attempt=2)), Spawn) == []


def test_later_attempt_begins_though_an_earlier_one_was_stopped_unseen() -> None:
    bench = pushing()
    bench.say(kill())
    assert some(bench.say(assign(attempt=2, token=b"u" * 16)), Spawn)


def test_assignment_of_an_attempt_that_has_ended_is_answered() -> None:
    bench = pushing()
    bench.exit(bench.child(bench.say(assign())))
    bench.do(Sealed(attempt=("job-000001", 1)))
    bench.say(verdict())
    actions = bench.say(assign())
    assert some(actions, Spawn) == []
    assert [result.outcome for result in messages(actions, Result)] == [Outcome.CANCELED]

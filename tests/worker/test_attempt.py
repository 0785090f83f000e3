import pytest

from ffrtmp_worker.attempt import Limits
from ffrtmp_worker.events import (
    ChildExited,
    CloseLog,
    KillChild,
    PauseChild,
    Remove,
    ResumeChild,
    Seal,
    Spawn,
    TerminateChild,
)
from ffrtmp_worker.recipe import AttemptFailed, StepName
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.session import HeartbeatAck, ProgressReport, Result, Started
from ffrtmpd.wire.vocabulary import FailureClass, Outcome
from tests.worker.bench import Bench, assign, kill, messages, only, pause, resume, sent, some

PATIENT = Limits(stall_live_s=1_000, push_grace_s=100)
ALL = (StepName.SOURCE, StepName.PROBE, StepName.ENCODE, StepName.CHECK)


def test_steps_run_one_after_the_other_and_the_output_is_sealed() -> None:
    bench = Bench(steps=ALL).online()
    actions = bench.say(assign())
    for name in ALL:
        spawn = only(actions, Spawn)
        assert spawn.argv == (name,)
        assert spawn.partial == ("/out/out.mp4.partial" if name is StepName.ENCODE else None)
        actions = bench.exit(spawn.child)
    entry = only(actions, Seal).entry
    assert entry.result.outcome is Outcome.ENCODED
    assert (entry.partial, entry.final) == ("/out/out.mp4.partial", "/out/out.mp4")
    assert entry.result.report.media is not None
    assert some(actions, CloseLog) != []
    assert messages(actions, Result) == []


def test_standard_output_of_a_step_reaches_the_recipe_whole() -> None:
    bench = Bench(steps=(StepName.PROBE, StepName.ENCODE)).online()
    child = bench.child(bench.say(assign()))
    bench.write(child, b'{"for')
    bench.write(child, b'mat"}')
    bench.exit(child, 3, log="oh")
    end = bench.recipes[0].ends[-1]
    assert end is not None
    assert (end.exit_code, end.stdout, end.log_tail) == (3, b'{"format"}', "oh")


def test_file_is_started_with_its_encoder() -> None:
    bench = Bench().online()
    started = messages(bench.say(assign()), Started)[0]
    assert (started.encoder, started.command) == ("libx264", ("encode",))


def test_push_is_started_with_the_first_media_taken() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    actions = bench.say(assign(live=True))
    assert messages(actions, Started) == []
    child = bench.child(actions)
    assert messages(bench.write(child, b"0"), Started) == []
    assert len(messages(bench.write(child, b"1"), Started)) == 1
    assert messages(bench.write(child, b"2"), Started) == []


def test_progress_is_told_twice_a_second_and_the_last_figure_is_not_lost() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    told = messages(bench.write(child, b"1"), ProgressReport)
    for tenth in range(1, 21):
        told += messages(bench.at(tenth / 10), ProgressReport)
        told += messages(bench.write(child, str(tenth + 1).encode()), ProgressReport)
    assert len(told) == 5
    told += messages(bench.exit(child), ProgressReport)
    frames = [report.progress.frame for report in told]
    assert frames == sorted(frames)  # type: ignore[type-var]
    assert frames[-1] == 21


def test_refused_job_fails_without_a_process() -> None:
    bench = Bench().online()
    bench.fails = AttemptFailed(FailureClass.PERMANENT, "outside the folders")
    actions = bench.say(assign())
    assert some(actions, Spawn) == []
    result = only(actions, Seal).entry.result
    assert (result.outcome, result.failure_class, result.reason) == (
        Outcome.FAILED,
        FailureClass.PERMANENT,
        "outside the folders",
    )
    assert bench.recipes[0].closed == 1


def test_failed_encode_removes_the_partial_and_tells_why() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    bench.recipes[0].fails = AttemptFailed(FailureClass.TRANSIENT, "x" * 5_000)
    actions = bench.exit(child, 1, log="long log")
    assert only(actions, Remove).path == "/out/out.mp4.partial"
    result = only(actions, Seal).entry.result
    assert (result.report.exit_code, result.report.log_tail, len(result.reason or "")) == (1, "long log", 1_024)


def test_report_counts_time_and_processor_of_the_encoder() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    bench.beat(4)
    bench.say(pause())
    bench.beat(7)
    bench.say(resume())
    bench.beat(9)
    report = only(bench.exit(bench.child(bench.exit(child))), Seal).entry.result.report
    assert (report.encode_s, report.paused_s, report.cpu_s) == (9, 3, 1.0)
    assert report.log_tail is None


# ── stopping ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", range(len(ALL)))
def test_kill_at_any_step_stops_removes_and_answers(step: int) -> None:
    bench = Bench(steps=ALL).online()
    child = bench.child(bench.say(assign()))
    for _ in range(step):
        child = bench.child(bench.exit(child))
    assert only(bench.say(kill()), TerminateChild).child == child
    assert some(bench.at(1.9), KillChild) == []
    assert only(bench.at(2), KillChild).child == child
    actions = bench.exit(child, -9)
    assert [action.path for action in some(actions, Remove)] == ["/out/out.mp4.partial"] * (step >= 2)
    assert messages(actions, Result)[0].outcome is Outcome.CANCELED
    assert some(actions, Seal) == []


def test_kill_twice_asks_the_processes_no_later_than_once() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    bench.say(kill())
    bench.at(1)
    bench.say(kill())
    assert only(bench.at(2), KillChild).child == child
    assert some(bench.at(5), KillChild) == []


def test_attempt_that_ends_while_it_is_killed_is_canceled() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    bench.say(kill())
    actions = bench.exit(child, 0)
    assert messages(actions, Result)[0].outcome is Outcome.CANCELED
    assert some(actions, Spawn) == []


def test_time_is_up_after_the_jobs_own_limit_without_its_pauses() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign(timeout_s=20)))
    bench.beat(10)
    bench.say(pause())
    bench.beat(100)
    bench.say(resume())
    assert some(bench.beat(109), TerminateChild) == []
    assert only(bench.beat(110), TerminateChild).child == child
    result = only(bench.exit(child, 255), Seal).entry.result
    assert (result.failure_class, result.reason) == (FailureClass.TRANSIENT, "not done after 20 s")


def test_step_that_takes_too_long_is_stopped() -> None:
    bench = Bench(steps=(StepName.PROBE, StepName.ENCODE)).online()
    bench.say(assign())
    assert some(bench.beat(29), TerminateChild) == []
    assert some(bench.beat(30), TerminateChild) != []


def test_output_that_does_not_advance_is_taken_for_hung() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    child = bench.child(bench.say(assign()))
    bench.beat(5)
    bench.write(child, b"100")
    bench.beat(8)
    bench.write(child, b"100")
    assert some(bench.beat(64), TerminateChild) == []
    assert only(bench.beat(65), TerminateChild).child == child
    result = only(bench.exit(child, 255), Seal).entry.result
    assert result.failure_class is FailureClass.TRANSIENT
    assert result.reason == "the output has not advanced for 60 s"


def test_encoder_that_never_writes_is_taken_for_hung() -> None:
    bench = Bench(limits=Limits(stall_file_s=7)).online()
    bench.say(assign())
    assert some(bench.beat(6), TerminateChild) == []
    assert some(bench.beat(7), TerminateChild) != []


# ── pausing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_paused_file_freezes_and_its_watchdog_too() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    bench.beat(10)
    assert only(bench.say(pause()), PauseChild).child == child
    assert not any(isinstance(action, PauseChild) for action in bench.say(pause()))
    assert some(bench.beat(1_000), TerminateChild) == []
    assert only(bench.say(resume()), ResumeChild).child == child
    assert some(bench.beat(1_059), TerminateChild) == []
    assert some(bench.beat(1_060), TerminateChild) != []


def test_pause_is_left_out_of_what_the_recipe_measures() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    bench.say(pause())
    bench.beat(5)
    bench.say(resume())
    bench.write(child, b"1")
    assert bench.recipes[0].measured == [(0, 0), (5, 5)]


def test_step_that_ended_as_it_was_paused_holds_the_next_back() -> None:
    bench = Bench(steps=ALL).online()
    child = bench.child(bench.say(assign()))
    bench.say(pause())
    assert some(bench.exit(child), Spawn) == []
    assert only(bench.say(resume()), Spawn).argv == ("probe",)


def test_killed_while_a_step_is_held_back_answers_at_once() -> None:
    bench = Bench(steps=ALL).online()
    child = bench.child(bench.say(assign()))
    bench.say(pause())
    bench.exit(child)
    assert messages(bench.say(kill()), Result)[0].outcome is Outcome.CANCELED


def test_paused_push_ends_cleanly_and_is_started_again() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    child = bench.child(bench.say(assign(live=True)))
    bench.write(child, b"5")
    assert only(bench.say(pause()), TerminateChild).child == child
    assert some(bench.exit(child, 255), Spawn) == []
    beat = next(message for message in sent(bench.beat(4)) if message.TYPE == "HEARTBEAT")
    assert beat.running[0].paused  # type: ignore[attr-defined]
    actions = bench.say(resume())
    again = only(actions, Spawn)
    assert (again.argv, messages(actions, Started)) == (("encode",), [])
    entry = only(bench.exit(again.child), Seal).entry
    assert (entry.result.outcome, entry.partial) == (Outcome.ENCODED, None)


def test_push_resumed_before_it_has_ended_is_started_when_it_has() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    child = bench.child(bench.say(assign(live=True)))
    bench.say(pause())
    assert some(bench.say(resume()), Spawn) == []
    assert only(bench.exit(child, 255), Spawn).argv == ("encode",)


def test_push_that_will_not_end_for_its_pause_is_killed() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    child = bench.child(bench.say(assign(live=True)))
    bench.say(pause())
    assert only(bench.beat(10), KillChild).child == child
    assert some(bench.exit(child, -9), Seal) == []


# ── the fence ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_push_is_killed_when_the_master_is_silent_for_too_long() -> None:
    bench = Bench(steps=(StepName.ENCODE,), limits=PATIENT).online()
    child = bench.child(bench.say(assign(live=True)))
    bench.beat(20)
    # The beat of second 20 was acknowledged; none after it.
    assert some(bench.at(29.9), KillChild) == []
    assert only(bench.at(30), KillChild).child == child
    result = only(bench.exit(child, -9), Seal).entry.result
    assert result.failure_class is FailureClass.TRANSIENT


def test_fence_counts_from_the_sending_of_the_beat_not_from_its_answer() -> None:
    bench = Bench(steps=(StepName.ENCODE,), limits=PATIENT).online()
    bench.say(assign(live=True))
    bench.at(2)
    bench.at(5)
    bench.say(HeartbeatAck(sent_ms=2_000))
    assert some(bench.at(11.9), KillChild) == []
    assert some(bench.at(12), KillChild) != []


def test_other_messages_do_not_renew_the_fence() -> None:
    bench = Bench(steps=(StepName.ENCODE,), limits=PATIENT).online()
    bench.say(assign(live=True))
    for now in range(1, 10):
        bench.at(now)
        bench.say(pause("job-000009"))
    assert some(bench.at(10), KillChild) != []


def test_worker_that_slept_past_its_lease_fences_before_it_listens() -> None:
    bench = Bench(steps=(StepName.ENCODE,)).online()
    child = bench.child(bench.say(assign(live=True)))
    bench.at(2)
    bench.now = 600
    actions = bench.say(HeartbeatAck(sent_ms=2_000))
    assert only(actions, KillChild).child == child


@pytest.mark.parametrize("message", [pause(), kill()])
def test_push_that_takes_its_time_to_end_is_fenced_too(message: Message) -> None:
    bench = Bench(steps=(StepName.ENCODE,), limits=PATIENT).online()
    child = bench.child(bench.say(assign(live=True)))
    bench.at(9)
    bench.say(message)
    assert only(bench.at(10), KillChild).child == child
    assert some(bench.at(100), KillChild) == []


def test_file_is_never_fenced() -> None:
    bench = Bench(limits=Limits(stall_file_s=10_000)).online()
    bench.say(assign())
    assert some(bench.at(1_000), KillChild) == []


def test_unknown_child_is_nobodys() -> None:
    bench = Bench().online()
    assert bench.do(ChildExited(child=77, exit_code=0)) == []
    assert bench.write(77, b"x") == []

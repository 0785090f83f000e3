"""What the agent makes of limits: those in force, those that killed a child, and disks that fill up."""

import pytest

from ffrtmp_worker.attempt import Limits
from ffrtmp_worker.events import Action, ChildExited, FreeRoom, KillChild, Note, Remove, RoomRead, Seal, TerminateChild
from ffrtmp_worker.recipe import StepName
from ffrtmpd.wire.messages.session import Result
from ffrtmpd.wire.vocabulary import FailureClass, Outcome
from tests.worker.bench import Bench, assign, only, some

KEEP = Limits(min_free_disk_bytes=1_000)
OOM = "out of memory: it needs more than the 64 MiB of limits.memory_bytes"


def sealed(actions: list[Action]) -> Result:
    return only(actions, Seal).entry.result


def ends(bench: Bench, child: int, code: int, over_limit: str | None) -> list[Action]:
    exited = ChildExited(child=child, exit_code=code, limits="cgroup-v1 memory=64MiB", over_limit=over_limit)
    return bench.do(exited)


@pytest.mark.parametrize("step", [StepName.PROBE, StepName.ENCODE])
def test_child_that_went_over_its_limit_fails_with_that_reason_and_may_be_tried_elsewhere(step: StepName) -> None:
    bench = Bench(steps=(step, StepName.CHECK)).online()
    result = sealed(ends(bench, bench.child(bench.say(assign())), -9, OOM))
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)
    assert result.reason == f"{step}: {OOM}"
    assert result.report.limits == "cgroup-v1 memory=64MiB"


def test_child_that_came_through_in_spite_of_a_kill_goes_on() -> None:
    bench = Bench().online()
    child = bench.child(bench.say(assign()))
    assert bench.child(ends(bench, child, 0, OOM)) > child


def test_limits_in_force_are_reported_of_an_attempt_that_went_well() -> None:
    bench = Bench().online()
    check = bench.child(ends(bench, bench.child(bench.say(assign())), 0, None))
    result = sealed(bench.exit(check))
    assert (result.outcome, result.report.limits) == (Outcome.ENCODED, "cgroup-v1 memory=64MiB")


def read(free: int, *jobs: str) -> RoomRead:
    return RoomRead((FreeRoom(free, tuple((job, 1) for job in jobs)),))


def test_disk_that_fills_up_stops_the_newest_attempt_and_removes_what_it_wrote() -> None:
    bench = Bench(slots=2, limits=KEEP).online()
    bench.say(assign("job-000001"))
    child = bench.child(bench.say(assign("job-000002")))
    assert bench.do(read(1_000, "job-000001", "job-000002")) == []
    actions = bench.do(read(999, "job-000001", "job-000002"))
    assert only(actions, TerminateChild).child == child
    assert only(actions, Note).event == "disk_full"
    # It is ending; the other one is left alone until then.
    assert bench.do(read(0, "job-000001", "job-000002")) == []
    actions = bench.exit(child, 255)
    assert only(actions, Remove).path == "/out/out.mp4.partial"
    result = sealed(actions)
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)
    assert (result.reason or "").startswith("disk full: 999 B free")
    # Read before the first had given its room back.
    assert bench.do(read(0, "job-000001", "job-000002")) == []
    assert some(bench.do(read(0, "job-000001")), TerminateChild) != []


def test_encoder_that_hangs_on_a_full_disk_is_killed() -> None:
    bench = Bench(limits=KEEP).online()
    child = bench.child(bench.say(assign()))
    bench.do(read(0, "job-000001"))
    assert only(bench.beat(3), KillChild).child == child


def test_attempt_that_ended_meanwhile_is_nobodys() -> None:
    bench = Bench(limits=KEEP).online()
    assert bench.do(read(0, "job-000009")) == []
    assert bench.do(RoomRead(())) == []

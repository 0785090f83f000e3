"""Workers come, beat, fall silent, restart and go; whoever does not hold a job changes nothing."""

import dataclasses

from ffrtmpd.events import MessageCame, Peer, Side
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.acts import Cancel, Pause
from ffrtmpd.wire.messages.jobs import JobSpec, Report
from ffrtmpd.wire.messages.nodes import DescribeNode, Hardware, ListNodes, NodeList, NodeReply, NodeView, RemoveNode
from ffrtmpd.wire.messages.session import (
    Bye,
    Commit,
    Committed,
    Denied,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Kill,
    PauseAttempt,
    Ready,
    Reset,
    Result,
    ResultVerdict,
    Welcome,
)
from ffrtmpd.wire.vocabulary import ErrorCode, FailureClass, JobState, NodeStatus, Outcome, OutputMode, Verdict
from tests.master.house import House, Worker

SPEC = JobSpec(scenario="720p30-h264")


def node(house: House, name: str) -> NodeView:
    reply = house.ask(DescribeNode(request_id="r", node_id=name))
    assert isinstance(reply, NodeReply), reply
    return reply.node


def running(house: House, name: str = "w1") -> tuple[Worker, str]:
    worker = house.worker(name)
    (job,) = house.submit(SPEC)
    worker.hear()
    worker.start(job)
    return worker, job


def test_node_is_described_as_it_said_and_listed_by_name() -> None:
    house = House()
    house.worker("w2", slots=3)
    house.worker("w1")
    reply = house.ask(ListNodes(request_id="r"))
    assert isinstance(reply, NodeList)
    assert [view.node_id for view in reply.nodes] == ["w1", "w2"]
    view = reply.nodes[1]
    assert (view.address, view.status, view.slots, view.free_slots) == ("10.0.0.9", NodeStatus.ACTIVE, 3, 3)
    assert view.hardware is not None
    assert view.hardware.hostname == "w2"


def test_unknown_node_is_not_found() -> None:
    assert House().refused(DescribeNode(request_id="r", node_id="w9")).code is ErrorCode.NOT_FOUND


def test_busy_when_all_slots_are_taken_and_active_again_after() -> None:
    house = House()
    worker, job = running(house)
    assert node(house, "w1").status is NodeStatus.BUSY
    assert node(house, "w1").active_jobs == (job,)
    worker.run(job)
    assert node(house, "w1").status is NodeStatus.ACTIVE


def test_beat_is_acknowledged_with_its_own_time() -> None:
    house = House()
    worker = house.worker("w1")
    worker.say(Heartbeat(sent_ms=4711))
    assert [ack.sent_ms for ack in worker.got(HeartbeatAck)] == [4711]


def test_inventory_without_the_nonce_counts_for_nothing() -> None:
    house = House()
    worker, job = running(house)
    worker.say(Ready(nonce=b"\0" * 16))
    assert worker.got(Reset)
    assert house.job(job).state is JobState.PROCESSING


def test_stale_hello_does_not_end_the_session() -> None:
    house = House()
    worker, job = running(house)
    stray = Peer(Side.WORKERS, b"stray")
    hello = Hello(versions=(1,), boot_id="old", slots=1, hardware=Hardware(hostname="w1"))
    house.turn(MessageCame(stray, house.who("w1").user_id, hello))
    assert house.take(stray, Welcome)
    worker.beat(worker.held(job))
    assert worker.got(HeartbeatAck)
    assert house.job(job).state is JobState.PROCESSING


def test_version_that_nobody_shares_is_denied() -> None:
    house = House()
    worker = house.worker("w1")
    worker.say(Hello(versions=(9,), boot_id="b", slots=1, hardware=Hardware(hostname="w1")))
    assert [denied.problem.code for denied in worker.got(Denied)] == [ErrorCode.UNSUPPORTED_VERSION]


def test_message_without_a_session_is_answered_with_reset() -> None:
    house = House()
    house.worker("w1")
    stranger = Peer(Side.WORKERS, b"new")
    house.turn(MessageCame(stranger, house.who("w1").user_id, Heartbeat(sent_ms=1)))
    assert house.take(stranger, Reset)


def test_silent_node_is_offline_gets_no_work_and_is_back_when_it_comes_again() -> None:
    house = House()
    worker = house.worker("w1")
    house.wait(5.9)
    assert node(house, "w1").status is NodeStatus.ACTIVE
    house.wait(0.2)
    assert node(house, "w1").status is NodeStatus.OFFLINE
    (job,) = house.submit(SPEC)
    assert worker.assigned() == []
    worker.connect(boot=False)
    assert worker.assigned() == [job]
    assert node(house, "w1").status is NodeStatus.BUSY


def test_job_of_a_lost_node_runs_elsewhere_after_its_lease() -> None:
    house = House()
    lost, job = running(house)
    other = house.worker("w2")
    other.beat_for(59)
    assert house.job(job).node_id == "w1"
    other.beat_for(4)
    assert other.assigned() == [job]
    assert (house.job(job).attempt, house.job(job).losses) == (2, 1)
    whys = [entry.why for entry in house.status(job).history]
    assert "w1 was lost" in whys
    lost.connect(running=(lost.held(job),), boot=False)
    assert [kill.job_id for kill in lost.got(Kill)] == [job]


def test_lost_node_that_comes_back_in_time_keeps_its_run() -> None:
    house = House()
    worker, job = running(house)
    house.wait(30)
    assert node(house, "w1").status is NodeStatus.OFFLINE
    worker.connect(running=(worker.held(job),), boot=False)
    house.wait(1)
    worker.run(job)
    assert (house.job(job).state, house.job(job).attempt) == (JobState.COMPLETED, 1)


def test_lost_node_that_comes_back_before_another_has_its_job_is_adopted() -> None:
    house = House()
    worker, job = running(house)
    house.wait(70)
    assert (house.job(job).state, house.job(job).losses) == (JobState.QUEUED, 1)
    worker.connect(running=(worker.held(job),), boot=False)
    view = house.job(job)
    assert (view.state, view.node_id, view.attempt) == (JobState.PROCESSING, "w1", 1)
    assert worker.got(Kill) == []
    worker.run(job)
    assert house.job(job).state is JobState.COMPLETED
    events = [entry.event for entry in house.status(job).history]
    assert events == ["submit", "assign", "start", "requeue", "adopt", "complete"]


def test_run_of_a_lost_node_is_not_adopted_once_the_job_was_steered() -> None:
    for verb, state in ((Pause, JobState.PAUSED), (Cancel, JobState.CANCELED)):
        house = House()
        worker, job = running(house)
        house.wait(70)
        house.ask(verb(request_id="v", job=job))
        worker.connect(running=(worker.held(job),), boot=False)
        assert [kill.job_id for kill in worker.got(Kill)] == [job]
        assert house.job(job).state is state


def test_removed_node_gives_what_it_held_to_others() -> None:
    house = House()
    worker, job = running(house)
    worker.lose_connection()
    house.ask(RemoveNode(request_id="r", node_id="w1"), by="root")
    assert (house.job(job).state, house.job(job).losses) == (JobState.QUEUED, 1)


def test_push_with_side_effects_is_given_away_sooner() -> None:
    house = House()
    worker = house.worker("w1")
    spec = dataclasses.replace(SPEC, output_mode=OutputMode.RTMP, output="rtmp://ingest/live/x")
    (job,) = house.submit(spec)
    worker.hear()
    worker.start(job)
    house.wait(14)
    assert house.job(job).state is JobState.PROCESSING
    house.wait(2)
    assert house.job(job).state is JobState.QUEUED


def test_too_many_losses_are_poison() -> None:
    house = House()
    (job,) = house.submit(SPEC)
    worker = house.worker("w1")
    for _ in range(house.settings.loss_limit):
        worker.hear()
        worker.start(job)
        worker.jobs.clear()
        worker.connect()
    view = house.job(job)
    assert view.state is JobState.FAILED
    assert view.reason is not None
    assert view.reason.startswith("poison")


def test_worker_that_restarted_gives_its_jobs_back_at_once() -> None:
    house = House()
    worker, job = running(house)
    worker.jobs.clear()
    worker.connect()
    assert worker.assigned() == [job]
    assert worker.jobs[job].attempt == 2


def test_worker_that_says_bye_gives_its_jobs_back_at_once_and_it_is_no_loss() -> None:
    house = House()
    worker, job = running(house)
    worker.say(Bye())
    assert house.job(job).state is JobState.QUEUED
    assert house.job(job).losses == 0
    assert node(house, "w1").status is NodeStatus.OFFLINE


def test_lost_assignment_is_sent_again_with_the_same_token() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(SPEC)
    worker.hear()
    token = worker.jobs.pop(job).token
    worker.beat()
    assert worker.assigned() == []
    worker.beat()
    assert worker.assigned() == [job]
    assert worker.jobs[job].token == token


def test_beat_that_shows_a_foreign_attempt_is_answered_with_kill() -> None:
    house = House()
    worker, job = running(house)
    worker.beat(dataclasses.replace(worker.held(job), token=b"x" * 16))
    assert [kill.token for kill in worker.got(Kill)] == [b"x" * 16]
    assert house.job(job).state is JobState.PROCESSING


def test_pause_that_got_lost_is_said_again() -> None:
    house = House()
    worker, job = running(house)
    house.broker.cluster.roster.get("w1").holds[1].paused = True  # type: ignore[union-attr]
    worker.beat(worker.held(job))
    assert worker.got(PauseAttempt)


def test_master_restart_requeues_nothing_and_adopts_what_runs() -> None:
    house = House()
    worker, job = running(house)
    house.start()
    assert house.broker.cluster.epoch == 2
    assert house.job(job).state is JobState.PROCESSING
    house.wait(50)
    worker.connect(running=(worker.held(job),), boot=False)
    worker.run(job)
    view = house.job(job)
    assert (view.state, view.attempt, view.losses) == (JobState.COMPLETED, 1, 0)


def test_master_restart_keeps_waiting_jobs_waiting() -> None:
    house = House()
    (job,) = house.submit(dataclasses.replace(SPEC, not_before=house.now.wall_s + 100))
    house.start()
    house.wait(99)
    assert house.job(job).state is JobState.PENDING
    house.wait(2)
    assert house.job(job).state is JobState.QUEUED


def test_second_process_with_the_same_key_takes_over_and_the_first_is_reset() -> None:
    house = House()
    worker = house.worker("w1")
    first = worker.peer
    worker.connect()
    assert house.take(first, Reset)
    assert node(house, "w1").status is NodeStatus.ACTIVE


# ── results ───────────────────────────────────────────────────────────────────────────────────────────────────────


def said(job: str, worker: Worker, cls: type[Message], **fields: object) -> Message:
    assign = worker.jobs[job]
    about = {"job_id": job, "attempt": assign.attempt, "token": assign.token}
    return cls(**{**about, **fields})


def test_result_of_another_node_is_stale() -> None:
    house = House()
    worker, job = running(house)
    other = house.worker("w2")
    other.say(said(job, worker, Result, outcome=Outcome.ENCODED, report=Report()))
    assert [message.verdict for message in other.got(ResultVerdict)] == [Verdict.STALE]
    assert house.job(job).state is JobState.PROCESSING


def test_result_with_another_token_is_stale() -> None:
    house = House()
    worker, job = running(house)
    worker.say(said(job, worker, Result, token=b"x" * 16, outcome=Outcome.ENCODED, report=Report()))
    assert [message.verdict for message in worker.got(ResultVerdict)] == [Verdict.STALE]
    assert house.job(job).state is JobState.PROCESSING


def test_result_with_another_token_leaves_the_run_its_hold() -> None:
    house = House()
    worker, job = running(house)
    worker.say(said(job, worker, Result, token=b"x" * 16, outcome=Outcome.CANCELED, report=Report()))
    worker.beat(worker.held(job))
    assert worker.got(Kill) == []
    worker.result(job)
    assert worker.got(Commit)


def test_result_for_no_job_is_stale() -> None:
    house = House()
    worker, job = running(house)
    worker.say(said(job, worker, Result, job_id="job-000777", outcome=Outcome.ENCODED, report=Report()))
    assert [message.verdict for message in worker.got(ResultVerdict)] == [Verdict.STALE]


def test_result_said_twice_is_one_completion() -> None:
    house = House()
    worker, job = running(house)
    worker.result(job)
    worker.result(job)
    assert len(worker.got(Commit)) == 2
    worker.committed(job)
    worker.committed(job)
    worker.result(job)
    assert [message.verdict for message in worker.got(ResultVerdict)] == [Verdict.RECORDED] * 3
    events = [entry.event for entry in house.status(job).history]
    assert events.count("complete") == 1


def test_publication_without_leave_is_stale_and_its_job_runs_again() -> None:
    # A master restored from a copy knows nothing of the leave that it gave, nor of what was proved of the output.
    house = House()
    worker, job = running(house)
    worker.say(said(job, worker, Committed, output="/out/x.mp4"))
    assert [message.verdict for message in worker.got(ResultVerdict)] == [Verdict.STALE]
    assert (house.job(job).state, house.job(job).attempt, house.job(job).losses) == (JobState.ASSIGNED, 2, 0)
    worker.hear()
    worker.run(job)
    assert house.job(job).state is JobState.COMPLETED


def test_transient_failure_waits_longer_each_time_and_then_is_final() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(dataclasses.replace(SPEC, max_attempts=9))
    waits = []
    for _ in range(8):
        worker.hear()
        worker.fail(job, FailureClass.TRANSIENT, "connection reset")
        view = house.job(job)
        assert view.state is JobState.PENDING
        assert view.due_at is not None
        waits.append(view.due_at - house.now.wall_s)
        worker.beat_for(waits[-1] + 0.1)
        assert job in worker.jobs
    for wait, base in zip(waits, [5, 10, 20, 40, 80, 160, 300, 300], strict=True):
        assert base <= wait <= base * 1.2
    worker.fail(job, FailureClass.TRANSIENT, "connection reset")
    view = house.job(job)
    assert (view.state, view.reason) == (JobState.FAILED, "connection reset")


def test_permanent_failure_is_never_tried_again() -> None:
    house = House()
    worker, job = running(house)
    worker.fail(job, FailureClass.PERMANENT)
    assert (house.job(job).state, house.job(job).attempt) == (JobState.FAILED, 1)

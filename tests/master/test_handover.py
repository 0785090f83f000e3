"""When a job may go on to another run, and when it has to wait for the one before."""

import dataclasses

from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.acts import Acted, Cancel, Pause, Resume, Retry
from ffrtmpd.wire.messages.common import Request
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import (
    TOKEN_BYTES,
    Assign,
    Bye,
    Commit,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Kill,
    PauseAttempt,
    Ready,
    Reset,
    ResumeAttempt,
    Welcome,
)
from ffrtmpd.wire.vocabulary import ErrorCode, JobState, NodeStatus, Outcome, OutputMode, Phase
from tests.master.house import House, Worker

SPEC = JobSpec(scenario="720p30-h264")
PUSH = dataclasses.replace(SPEC, output_mode=OutputMode.RTMP, output="rtmp://ingest/live/x")


def act(house: House, request: Request) -> JobState:
    reply = house.ask(request)
    assert isinstance(reply, Acted), reply
    return reply.job.state


def running(house: House, spec: JobSpec = SPEC) -> tuple[Worker, str]:
    worker = house.worker("w1")
    (job,) = house.submit(spec)
    worker.hear()
    worker.start(job)
    return worker, job


def publishing(house: House) -> tuple[Worker, str]:
    worker, job = running(house)
    worker.result(job)
    assert worker.got(Commit)
    assert house.job(job).phase is Phase.PUBLISHING
    return worker, job


# ── leave to publish ──────────────────────────────────────────────────────────────────────────────────────────────


def test_job_with_leave_to_publish_waits_for_its_node() -> None:
    house = House()
    worker, job = publishing(house)
    other = house.worker("w2")
    other.beat_for(200)
    assert (house.job(job).node_id, house.job(job).phase) == ("w1", Phase.PUBLISHING)
    assert other.assigned() == []
    worker.connect(finished=(worker.held(job),))
    worker.committed(job)
    assert (house.job(job).state, house.job(job).attempt) == (JobState.COMPLETED, 1)


def test_worker_that_says_bye_keeps_what_it_may_be_publishing() -> None:
    house = House()
    worker, job = publishing(house)
    worker.say(Bye())
    assert (house.job(job).node_id, house.job(job).phase) == ("w1", Phase.PUBLISHING)


def test_worker_that_lost_what_it_was_to_publish_gives_it_back() -> None:
    house = House()
    worker, job = publishing(house)
    worker.jobs.clear()
    worker.connect()
    assert house.job(job).attempt == 2


def test_job_being_published_on_a_node_that_is_away_can_be_canceled() -> None:
    house = House()
    worker, job = publishing(house)
    assert house.refused(Cancel(request_id="r", job=job)).code is ErrorCode.CONFLICT
    worker.lose_connection()
    assert act(house, Cancel(request_id="r", job=job)) is JobState.CANCELED
    worker.connect(finished=(worker.held(job),))
    worker.committed(job)
    assert house.job(job).state is JobState.CANCELED


# ── runs with side effects ────────────────────────────────────────────────────────────────────────────────────────


def test_retried_push_waits_until_its_canceled_run_has_stopped() -> None:
    house = House()
    worker, job = running(house, PUSH)
    other = house.worker("w2")
    act(house, Cancel(request_id="r", job=job))
    assert act(house, Retry(request_id="r", job=job)) is JobState.QUEUED
    worker.beat(worker.held(job))
    assert other.assigned() == []
    worker.result(job, Outcome.CANCELED)
    assert house.job(job).attempt == 2


def test_push_that_waits_for_its_last_run_blocks_none_behind_it() -> None:
    house = House()
    _, job = running(house, PUSH)
    other = house.worker("w2")
    act(house, Cancel(request_id="r", job=job))
    act(house, Retry(request_id="r", job=job))
    (behind,) = house.submit(PUSH)
    assert other.assigned() == [behind]


def test_retried_file_waits_for_nothing() -> None:
    house = House()
    _, job = running(house)
    other = house.worker("w2")
    act(house, Cancel(request_id="r", job=job))
    act(house, Retry(request_id="r", job=job))
    assert other.assigned() == [job]


def test_stopped_push_whose_node_is_lost_is_waited_for_as_long_as_its_lease() -> None:
    house = House()
    _, job = running(house, PUSH)
    other = house.worker("w2")
    act(house, Cancel(request_id="r", job=job))
    act(house, Retry(request_id="r", job=job))
    other.beat_for(house.settings.give_away_s - 1)
    assert other.assigned() == []
    other.beat_for(2)
    assert other.assigned() == [job]


def test_stopped_run_that_beats_do_not_show_is_told_again_and_keeps_its_slot() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(PUSH)
    act(house, Cancel(request_id="r", job=job))
    worker.got(Kill)
    act(house, Retry(request_id="r", job=job))
    for _ in range(4):
        worker.beat()
    assert [kill.attempt for kill in worker.got(Kill)] == [1, 1]
    assert house.job(job).state is JobState.QUEUED
    worker.hear()
    worker.result(job, Outcome.CANCELED)
    assert house.job(job).attempt == 2


def test_after_a_restart_a_push_waits_for_the_node_that_ran_it() -> None:
    house = House()
    worker, job = running(house, PUSH)
    house.worker("w2")
    act(house, Cancel(request_id="r", job=job))
    act(house, Retry(request_id="r", job=job))
    house.start()
    other = Worker(house, "w2", slots=1, encoders=("libx264",))
    other.connect()
    assert other.assigned() == []
    worker.connect(running=(worker.held(job),), boot=False)
    assert [kill.attempt for kill in worker.got(Kill)] == [1]
    assert other.assigned() == []
    worker.result(job, Outcome.CANCELED)
    assert house.job(job).attempt == 2


def test_after_a_restart_a_push_waits_no_longer_than_a_lease_for_a_node_that_stays_away() -> None:
    house = House()
    _, job = running(house, PUSH)
    house.worker("w2")
    act(house, Cancel(request_id="r", job=job))
    act(house, Retry(request_id="r", job=job))
    house.start()
    other = Worker(house, "w2", slots=1, encoders=("libx264",))
    other.connect()
    other.beat_for(house.settings.give_away_s - 1)
    assert other.assigned() == []
    other.beat_for(2)
    assert other.assigned() == [job]


def test_push_that_an_inventory_omits_begins_again_once_the_worker_has_confirmed() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(PUSH)
    worker.hear()
    worker.connect(boot=False)
    assert house.job(job).state is JobState.QUEUED
    assert [kill.attempt for kill in worker.got(Kill)] == [1]
    worker.result(job, Outcome.CANCELED)
    assert house.job(job).attempt == 2


def test_node_that_never_had_an_attempt_holds_up_nothing() -> None:
    house = House()
    stranger = house.worker("w2")
    stranger.slots = 0
    stranger.connect()
    (job,) = house.submit(PUSH)
    stranger.jobs[job] = Assign(
        job_id=job,
        attempt=1,
        token=b"x" * TOKEN_BYTES,
        encode=house.row(job).encode,
    )
    stranger.beat(stranger.held(job))
    assert stranger.got(Kill)
    assert house.worker("w1").assigned() == [job]


# ── beats and leases ──────────────────────────────────────────────────────────────────────────────────────────────


def test_assignment_that_is_sent_again_has_a_full_lease() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(PUSH)
    worker.jobs.clear()
    worker.beat_for(house.settings.give_away_s - 1)
    assert job in worker.jobs
    house.wait(2)
    assert (house.job(job).state, house.job(job).attempt) == (JobState.ASSIGNED, 1)


def test_beat_that_was_overtaken_says_nothing() -> None:
    house = House()
    worker, job = running(house)
    worker.beat(worker.held(job))
    worker.got(HeartbeatAck)
    late = dataclasses.replace(worker.held(job), token=b"x" * TOKEN_BYTES)
    worker.say(Heartbeat(sent_ms=0, running=(late,)))
    assert worker.got(Message) == []


def test_hello_on_a_live_session_ends_it_until_the_inventory_has_come() -> None:
    house = House()
    worker = house.worker("w1")
    hardware = next(iter(house.broker.cluster.roster)).hardware
    assert hardware is not None
    worker.say(Hello(versions=(1,), boot_id="boot-1", slots=1, hardware=hardware))
    (job,) = house.submit(SPEC)
    assert worker.assigned() == []
    worker.beat()
    assert worker.got(Reset)
    (welcome,) = worker.got(Welcome)
    worker.say(Ready(nonce=welcome.nonce))
    assert worker.assigned() == [job]


def test_after_a_restart_nothing_is_resumed_before_its_node_has_said_what_stands_still() -> None:
    house = House()
    worker, job = running(house)
    act(house, Pause(request_id="r", job=job))
    worker.beat(worker.held(job, paused=True))
    (other,) = house.submit(SPEC)
    assert other in worker.assigned()
    worker.start(other)
    act(house, Pause(request_id="r", job=other))
    house.start()
    assert act(house, Resume(request_id="r", job=job)) is JobState.PAUSED
    assert house.job(job).reason == "resumes when w1 is back"
    # The pause of the other has not reached the worker: it runs, and no slot is free.
    worker.connect(running=(worker.held(job, paused=True), worker.held(other)), boot=False)
    assert [pause.job_id for pause in worker.got(PauseAttempt)] == [other]
    assert worker.got(ResumeAttempt) == []
    worker.beat(worker.held(job, paused=True), worker.held(other, paused=True))
    assert [resume.job_id for resume in worker.got(ResumeAttempt)] == [job]
    assert house.job(job).state is JobState.PROCESSING


def test_node_whose_session_ended_by_hello_is_shown_offline() -> None:
    house = House()
    worker = house.worker("w1")
    node = house.broker.cluster.roster.get("w1")
    assert node is not None
    assert node.hardware is not None
    worker.say(Hello(versions=(1,), boot_id="boot-1", slots=1, hardware=node.hardware))
    assert node.status is NodeStatus.OFFLINE

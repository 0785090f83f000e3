"""Cancel, pause, resume, retry: what they do, and what they refuse."""

import pytest

from ffrtmpd.wire.messages.acts import Acted, Cancel, Pause, Resume, Retry
from ffrtmpd.wire.messages.common import Request
from ffrtmpd.wire.messages.inquiries import Logs, LogsReply
from ffrtmpd.wire.messages.jobs import JobSpec, Progress, Status
from ffrtmpd.wire.messages.nodes import DescribeNode, NodeReply
from ffrtmpd.wire.messages.session import (
    Commit,
    FetchLog,
    Kill,
    LogChunk,
    PauseAttempt,
    ProgressReport,
    ResultVerdict,
    ResumeAttempt,
)
from ffrtmpd.wire.vocabulary import ErrorCode, FailureClass, JobState, NodeStatus, Outcome, Phase, Verdict
from tests.master.house import House, Worker

SPEC = JobSpec(scenario="720p30-h264")


def act(house: House, request: Request) -> JobState:
    reply = house.ask(request)
    assert isinstance(reply, Acted), reply
    return reply.job.state


def running(house: House) -> tuple[Worker, str]:
    worker = house.worker("w1")
    (job,) = house.submit(SPEC)
    worker.hear()
    worker.start(job)
    assert house.job(job).state is JobState.PROCESSING
    return worker, job


def test_running_job_is_paused_resumed_and_canceled() -> None:
    house = House()
    worker, job = running(house)
    assert act(house, Pause(request_id="r", job=job)) is JobState.PAUSED
    assert len(worker.got(PauseAttempt)) == 1
    assert act(house, Resume(request_id="r", job=job)) is JobState.PROCESSING
    assert len(worker.got(ResumeAttempt)) == 1
    assert act(house, Cancel(request_id="r", job=job)) is JobState.CANCELED
    assert [kill.reason for kill in worker.got(Kill)] == ["canceled"]
    worker.result(job, Outcome.CANCELED)
    reply = house.ask(DescribeNode(request_id="r", node_id="w1"))
    assert isinstance(reply, NodeReply)
    assert (reply.node.status, reply.node.free_slots) == (NodeStatus.ACTIVE, 1)


def test_slot_of_a_canceled_job_is_free_only_when_the_worker_has_stopped_it() -> None:
    house = House()
    worker, job = running(house)
    (other,) = house.submit(SPEC)
    act(house, Cancel(request_id="r", job=job))
    assert other not in worker.assigned()
    worker.result(job, Outcome.CANCELED)
    assert other in worker.assigned()


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (lambda job: Pause(request_id="r", job=job), JobState.PAUSED),
        (lambda job: Cancel(request_id="r", job=job), JobState.CANCELED),
    ],
)
def test_doing_it_again_is_a_conflict_and_changes_nothing(make: object, state: JobState) -> None:
    house = House()
    _, job = running(house)
    assert act(house, make(job)) is state  # type: ignore[operator]
    history = house.status(job).history
    problem = house.refused(make(job))  # type: ignore[operator]
    assert problem.code is ErrorCode.CONFLICT
    assert house.status(job).history == history


@pytest.mark.parametrize("kind", [Pause, Resume, Cancel, Retry, Status, Logs])
@pytest.mark.parametrize("job", ["job-000999", "999", "job-", "w1", "1e3", "-1", "9" * 30, "job-1 "])
def test_unknown_job_is_not_found(kind: type[Request], job: str) -> None:
    house = House()
    house.submit(SPEC)
    assert house.refused(kind(request_id="r", job=job)).code is ErrorCode.NOT_FOUND  # type: ignore[call-arg]


def test_waiting_job_is_held_and_keeps_its_place() -> None:
    house = House()
    first, second = house.submit(SPEC, SPEC)
    assert act(house, Pause(request_id="r", job=first)) is JobState.PAUSED
    worker = house.worker("w1")
    assert worker.assigned() == [second]
    assert act(house, Resume(request_id="r", job=first)) is JobState.QUEUED
    (third,) = house.submit(SPEC)
    worker.run(second)
    assert list(worker.jobs) == [first]
    assert third not in worker.jobs


def test_assigned_job_cannot_be_paused_yet() -> None:
    house = House()
    house.worker("w1")
    (job,) = house.submit(SPEC)
    problem = house.refused(Pause(request_id="r", job=job))
    assert (problem.code, problem.retryable) == (ErrorCode.CONFLICT, True)


def test_paused_job_that_had_finished_already_is_published() -> None:
    house = House()
    worker, job = running(house)
    act(house, Pause(request_id="r", job=job))
    worker.result(job)
    assert worker.got(Commit)
    worker.committed(job)
    assert house.job(job).state is JobState.COMPLETED


def test_late_result_leaves_a_canceled_job_canceled() -> None:
    house = House()
    worker, job = running(house)
    act(house, Cancel(request_id="r", job=job))
    worker.got(Kill)
    worker.result(job)
    assert worker.got(Commit) == []
    assert [message.verdict for message in worker.got(ResultVerdict)] == [Verdict.RECORDED]
    assert house.job(job).state is JobState.CANCELED


def test_job_being_published_is_not_canceled() -> None:
    house = House()
    worker, job = running(house)
    worker.result(job)
    assert house.job(job).phase is Phase.PUBLISHING
    assert house.refused(Cancel(request_id="r", job=job)).code is ErrorCode.CONFLICT
    worker.committed(job)
    assert house.job(job).state is JobState.COMPLETED


def test_retried_job_starts_anew() -> None:
    house = House()
    worker, job = running(house)
    worker.result(job, Outcome.FAILED, failure_class=FailureClass.PERMANENT, reason="no such codec")
    failed = house.status(job)
    assert (failed.job.state, failed.failure_class) == (JobState.FAILED, FailureClass.PERMANENT)
    assert failed.job.reason == "no such codec"
    assert act(house, Retry(request_id="r", job=job)) is JobState.QUEUED
    again = house.status(job)
    assert (again.failure_class, again.job.finished_at) == (None, None)
    worker.hear()
    assert worker.jobs[job].attempt == 2
    worker.run(job)
    assert house.job(job).state is JobState.COMPLETED


def test_completed_job_cannot_be_retried() -> None:
    house = House()
    worker, job = running(house)
    worker.run(job)
    assert house.refused(Retry(request_id="r", job=job)).code is ErrorCode.CONFLICT


def test_log_comes_from_the_node_that_ran_the_attempt() -> None:
    house = House()
    worker, job = running(house)
    assert house.ask(Logs(request_id="l", job=job, offset=-100)) is None
    (fetch,) = worker.got(FetchLog)
    assert (fetch.job_id, fetch.attempt, fetch.offset) == (job, 1, -100)
    worker.say(LogChunk(fetch_id=fetch.fetch_id, text="frame=1", offset=7, next_offset=14))
    (reply,) = [send.message for send in house.sent if isinstance(send.message, LogsReply)]
    assert (reply.request_id, reply.text, reply.next_offset, reply.end) == ("l", "frame=1", 14, False)


def test_log_that_does_not_come_is_a_timeout_and_of_an_offline_node_unavailable() -> None:
    house = House()
    worker, job = running(house)
    assert house.ask(Logs(request_id="l", job=job)) is None
    house.wait(house.settings.fetch_timeout_s + 0.1)
    (send,) = [send for send in house.sent if getattr(send.message, "request_id", "") == "l"]
    assert send.message.problem.code is ErrorCode.TIMEOUT  # type: ignore[attr-defined]
    worker.lose_connection()
    assert house.refused(Logs(request_id="l", job=job)).code is ErrorCode.UNAVAILABLE


def test_log_of_another_node_is_not_taken() -> None:
    house = House()
    worker, job = running(house)
    other = house.worker("w2")
    house.ask(Logs(request_id="l", job=job))
    (fetch,) = worker.got(FetchLog)
    house.sent.clear()
    other.say(LogChunk(fetch_id=fetch.fetch_id, text="forged"))
    assert not [send for send in house.sent if isinstance(send.message, LogsReply)]


def test_log_of_a_job_that_never_ran_is_not_found() -> None:
    house = House()
    (job,) = house.submit(SPEC)
    assert house.refused(Logs(request_id="l", job=job)).code is ErrorCode.NOT_FOUND


def test_progress_is_shown_and_ends_at_a_hundred() -> None:
    house = House()
    worker, job = running(house)
    assign = worker.jobs[job]
    worker.say(
        ProgressReport(job_id=job, attempt=assign.attempt, token=assign.token, progress=Progress(percent=40.0, fps=9.0))
    )
    shown = house.job(job).progress
    assert shown is not None
    assert (shown.percent, shown.fps) == (40.0, 9.0)
    worker.run(job)
    done = house.job(job).progress
    assert done is not None
    assert (done.percent, done.eta_s) == (100.0, None)


def test_damaged_row_is_told_to_who_asks_for_it_and_harms_no_other() -> None:
    house = House()
    damaged, sound = house.submit(SPEC, SPEC)
    house.store._database.connection.execute("UPDATE jobs SET report_json = 'no JSON' WHERE seq = 1")
    house.store._rows._known.clear()
    problem = house.refused(Status(request_id="s", job=damaged))
    assert (problem.code, problem.hint) == (ErrorCode.INTERNAL, "stop ffrtmpd and restore a backup")
    assert house.job(sound).state is JobState.QUEUED

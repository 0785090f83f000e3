"""Draining, removing, and slots that a paused job gives back."""

import dataclasses

import pytest

from ffrtmpd.wire.messages.acts import Acted, Cancel, Pause, Resume, Retry
from ffrtmpd.wire.messages.common import Request
from ffrtmpd.wire.messages.inquiries import Explain, Explanation
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.nodes import DrainNode, ListNodes, NodeList, NodeReply, NodeView, RemoveNode, UndrainNode
from ffrtmpd.wire.messages.session import Bye, Kill, PauseAttempt, ResumeAttempt
from ffrtmpd.wire.vocabulary import ErrorCode, FailureClass, JobState, NodeStatus, Outcome, OutputMode, Queue, Why
from tests.master.house import CPU, GPU, House, Worker

SPEC = JobSpec(scenario="720p30-h264")


def asked(house: House, request: Request, by: str = "ops") -> NodeView:
    reply = house.ask(request, by)
    assert isinstance(reply, NodeReply), reply
    return reply.node


def act(house: House, request: Request) -> JobState:
    reply = house.ask(request)
    assert isinstance(reply, Acted), reply
    return reply.job.state


def explained(house: House, job: str) -> Explanation:
    reply = house.ask(Explain(request_id="e", job=job), by="eyes")
    assert isinstance(reply, Explanation), reply
    return reply


def running(house: House, *, slots: int = 1) -> tuple[Worker, str]:
    worker = house.worker("w1", slots=slots)
    (job,) = house.submit(SPEC)
    worker.hear()
    worker.start(job)
    return worker, job


# ── draining ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_draining_node_finishes_what_it_runs_and_gets_nothing_more() -> None:
    house = House()
    worker, job = running(house, slots=2)
    assert asked(house, DrainNode(request_id="r", node_id="w1")).status is NodeStatus.DRAINING
    (other,) = house.submit(SPEC)
    assert other not in worker.assigned()
    worker.run(job)
    assert house.job(job).state is JobState.COMPLETED
    assert worker.assigned() == []
    asked(house, UndrainNode(request_id="r", node_id="w1"))
    assert worker.assigned() == [other]


def test_drain_lasts_over_a_restart_of_the_master_and_of_the_worker() -> None:
    house = House()
    worker = house.worker("w1")
    asked(house, DrainNode(request_id="r", node_id="w1"))
    house.start()
    worker.connect()
    house.submit(SPEC)
    assert worker.assigned() == []


@pytest.mark.parametrize("restart", [False, True])
def test_at_the_deadline_what_still_runs_goes_to_others_and_is_no_loss(restart: bool) -> None:
    house = House()
    worker, job = running(house)
    view = asked(house, DrainNode(request_id="r", node_id="w1", deadline_s=30.0))
    assert view.drain_until == house.now.wall_s + 30
    if restart:
        house.start()
        worker.connect(running=(worker.held(job),), boot=False)
    other = house.worker("w2")
    held = worker.held(job)
    until_s = house.now_s + 29
    while house.now_s < until_s:
        house.wait(1)
        worker.beat(held)
        other.beat()
    assert other.assigned() == []
    house.wait(1.5)
    other.hear()
    assert other.assigned() == [job]
    assert [kill.reason for kill in worker.got(Kill)] == ["the node is drained"]
    assert house.job(job).losses == 0


def test_undrain_of_a_node_that_does_not_drain_is_a_conflict() -> None:
    house = House()
    house.worker("w1")
    assert house.refused(UndrainNode(request_id="r", node_id="w1")).code is ErrorCode.CONFLICT


@pytest.mark.parametrize("kind", [DrainNode, UndrainNode, RemoveNode])
def test_unknown_node_is_not_found(kind: type[Request]) -> None:
    problem = House().refused(kind(request_id="r", node_id="w9"), by="root")  # type: ignore[call-arg]
    assert problem.code is ErrorCode.NOT_FOUND


def test_removed_node_is_gone_and_its_key_refused() -> None:
    house = House()
    worker = house.worker("w1")
    assert house.refused(RemoveNode(request_id="r", node_id="w1"), by="root").code is ErrorCode.CONFLICT
    worker.say(Bye())
    user = house.who("w1")
    asked(house, RemoveNode(request_id="r", node_id="w1"), by="root")
    assert house.principals.of(user.user_id, house.now.wall_s) is None
    for _ in range(2):
        reply = house.ask(ListNodes(request_id="l"))
        assert isinstance(reply, NodeList)
        assert reply.nodes == ()
        house.start()


def test_node_that_may_still_push_is_removed_only_when_its_lease_is_over() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(JobSpec(scenario="720p30-h264", output="rtmp://h/a", output_mode=OutputMode.RTMP))
    worker.hear()
    worker.start(job)
    worker.lose_connection()
    other = house.worker("w2")
    other.beat_for(4.5)
    problem = house.refused(RemoveNode(request_id="r", node_id="w1"), by="root")
    assert (problem.code, problem.retryable) == (ErrorCode.CONFLICT, True)
    assert problem.hint is not None
    assert "11 s" in problem.hint
    assert other.assigned() == []
    other.beat_for(11)
    assert other.assigned() == [job]
    asked(house, RemoveNode(request_id="r", node_id="w1"), by="root")


def test_push_of_a_node_removed_just_after_a_restart_is_waited_for() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(JobSpec(scenario="720p30-h264", output="rtmp://h/a", output_mode=OutputMode.RTMP))
    worker.hear()
    worker.start(job)
    house.ask(Cancel(request_id="c", job=job))
    house.start()
    asked(house, RemoveNode(request_id="r", node_id="w1"), by="root")
    house.ask(Retry(request_id="t", job=job))
    other = house.worker("w2")
    other.beat_for(14)
    assert other.assigned() == []
    other.beat_for(2)
    assert other.assigned() == [job]


# ── the slot of a paused job ──────────────────────────────────────────────────────────────────────────────────────


def test_slot_of_a_paused_job_is_free_once_the_worker_shows_it_paused() -> None:
    house = House()
    worker, job = running(house)
    (other,) = house.submit(SPEC)
    act(house, Pause(request_id="p", job=job))
    assert other not in worker.assigned()
    worker.beat(worker.held(job, paused=True))
    assert other in worker.assigned()


def test_resumed_job_waits_for_a_slot_and_has_the_first_claim_on_it() -> None:
    house = House()
    worker, job = running(house)
    second, third = house.submit(SPEC, SPEC)
    act(house, Pause(request_id="p", job=job))
    worker.beat(worker.held(job, paused=True))
    worker.got(PauseAttempt)
    assert act(house, Resume(request_id="r", job=job)) is JobState.PAUSED
    assert house.job(job).reason == "resumes when w1 has a free slot"
    assert worker.got(ResumeAttempt) == []
    worker.run(second)
    assert house.job(job).state is JobState.PROCESSING
    assert len(worker.got(ResumeAttempt)) == 1
    assert third not in worker.jobs
    worker.run(job)
    assert third in worker.jobs


def test_resumed_job_whose_slot_is_still_free_goes_on_at_once() -> None:
    house = House()
    worker, job = running(house)
    act(house, Pause(request_id="p", job=job))
    worker.beat(worker.held(job, paused=True))
    assert act(house, Resume(request_id="r", job=job)) is JobState.PROCESSING
    (other,) = house.submit(SPEC)
    assert other not in worker.assigned()


def test_wish_to_resume_outlives_the_master() -> None:
    house = House()
    worker, job = running(house)
    (second,) = house.submit(SPEC)
    act(house, Pause(request_id="p", job=job))
    worker.beat(worker.held(job, paused=True))
    act(house, Resume(request_id="r", job=job))
    house.start()
    worker.connect(running=(worker.held(job, paused=True), worker.held(second, started=False)), boot=False)
    assert house.job(job).state is JobState.PAUSED
    worker.run(second)
    assert house.job(job).state is JobState.PROCESSING


def test_paused_again_before_its_turn_it_stays_paused() -> None:
    house = House()
    worker, job = running(house)
    (second,) = house.submit(SPEC)
    act(house, Pause(request_id="p", job=job))
    worker.beat(worker.held(job, paused=True))
    act(house, Resume(request_id="r", job=job))
    assert act(house, Pause(request_id="p", job=job)) is JobState.PAUSED
    worker.run(second)
    assert house.job(job).state is JobState.PAUSED


def test_paused_job_of_a_lost_node_is_held_but_one_that_was_to_go_on_is_queued() -> None:
    for resumed, state in ((False, JobState.PAUSED), (True, JobState.QUEUED)):
        house = House()
        worker, job = running(house)
        house.submit(SPEC)
        act(house, Pause(request_id="p", job=job))
        worker.beat(worker.held(job, paused=True))
        if resumed:
            act(house, Resume(request_id="r", job=job))
        house.wait(70)
        view = house.job(job)
        assert (view.state, view.node_id) == (state, None)


# ── explaining ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_waiting_job_is_explained_node_by_node() -> None:
    house = House()
    house.worker("a-cpu", encoders=CPU)
    busy = house.worker("b-gpu", encoders=GPU)
    house.worker("c-gpu", encoders=GPU)
    asked(house, DrainNode(request_id="r", node_id="c-gpu"))
    gpu_spec = dataclasses.replace(SPEC, encoder="h264_nvenc")
    first, second = house.submit(gpu_spec, gpu_spec)
    assert busy.assigned() == [first]
    found = explained(house, second)
    assert (found.place, found.text) == (1, "it waits for a free slot")
    assert [(node.node_id, node.why) for node in found.nodes] == [
        ("a-cpu", Why.GPU_REQUIRED),
        ("b-gpu", Why.NO_FREE_SLOT),
        ("c-gpu", Why.DRAINING),
    ]


def test_job_whose_only_nodes_are_drained_waits_for_no_slot() -> None:
    house = House()
    house.worker("a-cpu", encoders=CPU)
    for name in ("b-gpu", "c-gpu"):
        house.worker(name, encoders=GPU)
        asked(house, DrainNode(request_id="r", node_id=name))
    (job,) = house.submit(dataclasses.replace(SPEC, encoder="h264_nvenc"))
    assert explained(house, job).text == "it waits: every connected node that can run it is being drained"
    asked(house, UndrainNode(request_id="r", node_id="c-gpu"))
    (second,) = house.submit(dataclasses.replace(SPEC, encoder="h264_nvenc"))
    assert explained(house, second).text == "it waits for a free slot"


def test_place_counts_what_is_served_before() -> None:
    house = House()
    jobs = house.submit(SPEC, SPEC, dataclasses.replace(SPEC, queue=Queue.LIVE))
    assert [explained(house, job).place for job in jobs] == [2, 3, 1]


def test_each_state_is_explained() -> None:
    house = House()
    (job,) = house.submit(SPEC)
    assert "no connected node" in explained(house, job).text
    act(house, Pause(request_id="p", job=job))
    assert "held" in explained(house, job).text
    act(house, Resume(request_id="p", job=job))
    worker = house.worker("w1")
    assert "w1 has it" in explained(house, job).text
    worker.hear()
    worker.start(job)
    assert explained(house, job).text == "w1 runs it: encoding"
    worker.result(job, Outcome.FAILED, failure_class=FailureClass.TRANSIENT, reason="connection reset")
    assert "connection reset" in explained(house, job).text
    assert "tried again at" in explained(house, job).text

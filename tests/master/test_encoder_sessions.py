"""Hardware encoders that have no room: counted where their number is known, avoided for a while where it is not."""

import pytest

from ffrtmpd.wire.messages.acts import Cancel, Pause
from ffrtmpd.wire.messages.inquiries import Explain, Explanation
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import ResultVerdict
from ffrtmpd.wire.vocabulary import FailureClass, JobState, Outcome, Verdict, Why
from tests.master.house import CPU, GPU, Full, House, Worker

GPU_JOB = JobSpec(scenario="720p30-h264", require_gpu=True)
PINNED = JobSpec(scenario="720p30-h264", encoder="h264_nvenc")
ANY = JobSpec(scenario="720p30-h264")
TAKEN = "OpenEncodeSessionEx failed: out of memory (10)"
BUSY_S = 30.0


def busy(worker: Worker, job: str) -> None:
    """Let a job meet hardware encoders that have no room."""
    worker.start(job, "h264_nvenc")
    worker.result(job, Outcome.FAILED, failure_class=FailureClass.BUSY, reason=TAKEN)
    assert [verdict.verdict for verdict in worker.got(ResultVerdict)] == [Verdict.RECORDED]
    del worker.jobs[job]


def answers(house: House, job: str) -> dict[str, Why | None]:
    reply = house.ask(Explain(request_id="e", job=job))
    assert isinstance(reply, Explanation), reply
    return {answer.node_id: answer.why for answer in reply.nodes}


# ── busy is not failed ────────────────────────────────────────────────────────────────────────────────────────────


def test_job_that_met_a_busy_encoder_is_at_another_node_in_the_same_turn() -> None:
    house = House()
    first, second = house.worker("a", encoders=GPU), house.worker("b", encoders=GPU)
    (job,) = house.submit(GPU_JOB)
    assert first.assigned() == [job]
    busy(first, job)
    assert second.assigned() == [job]
    row = house.row(job)
    assert (row.state, row.attempt, row.failures, row.losses) == (JobState.ASSIGNED, 2, 0, 0)
    assert TAKEN in [entry.why for entry in house.status(job).history]


def test_busy_node_is_avoided_for_what_needs_its_hardware_and_for_nothing_else() -> None:
    house = House()
    gpu = house.worker("gpu", encoders=GPU, slots=3)
    house.worker("cpu", encoders=CPU, slots=0)
    (job,) = house.submit(GPU_JOB)
    busy(gpu, gpu.assigned()[0])
    assert (gpu.assigned(), house.job(job).reason) == ([], "encoder_busy")
    assert answers(house, job) == {"cpu": Why.GPU_REQUIRED, "gpu": Why.ENCODER_BUSY}
    pinned, plain = house.submit(PINNED, ANY)
    assert gpu.assigned() == [plain]
    gpu.beat_for(BUSY_S - 1, gpu.held(plain))
    assert gpu.assigned() == [plain]
    # The time alone gives them out: nobody says anything.
    house.wait(1)
    assert gpu.assigned() == [plain, job, pinned]


def test_node_with_nothing_but_hardware_is_avoided_by_every_job() -> None:
    house = House()
    gpu = house.worker("gpu", encoders=("h264_nvenc",))
    (job,) = house.submit(ANY)
    assert gpu.assigned() == [job]
    busy(gpu, job)
    assert (gpu.assigned(), house.job(job).reason) == ([], "encoder_busy")
    gpu.beat_for(BUSY_S)
    assert (gpu.assigned(), house.row(job).attempt) == ([job], 2)


def test_busy_for_ever_becomes_a_failure() -> None:
    house = House()
    gpu = house.worker("gpu", encoders=GPU)
    (job,) = house.submit(JobSpec(scenario="720p30-h264", require_gpu=True, max_attempts=2))
    answered = 0
    while house.row(job).state is not JobState.FAILED:
        assert answered < 100, "it goes round for ever"
        if gpu.assigned() == [job]:
            busy(gpu, job)
            answered += 1
        gpu.beat_for(2)
    assert answered == 2 * house.settings.busy_limit
    row = house.row(job)
    assert (row.failures, row.failure_class) == (2, FailureClass.TRANSIENT)


def test_hold_outlives_a_busy_encoder() -> None:
    house = House()
    gpu = house.worker("gpu", encoders=GPU)
    (job,) = house.submit(GPU_JOB)
    gpu.hear()
    gpu.start(job, "h264_nvenc")
    house.ask(Pause(request_id="p", job=job))
    gpu.result(job, Outcome.FAILED, failure_class=FailureClass.BUSY, reason=TAKEN)
    assert (house.row(job).state, house.row(job).node_id) == (JobState.PAUSED, None)


@pytest.mark.parametrize("full", list(Full))
def test_busy_node_is_avoided_although_the_disk_took_nothing(full: Full) -> None:
    house = House()
    gpu = house.worker("gpu", encoders=GPU)
    (job,) = house.submit(GPU_JOB)
    gpu.hear()
    gpu.start(job, "h264_nvenc")
    house.full = full
    gpu.result(job, Outcome.FAILED, failure_class=FailureClass.BUSY, reason=TAKEN)
    assert gpu.got(ResultVerdict) == []
    assert house.row(job).state is JobState.PROCESSING
    node = house.broker.cluster.roster.get("gpu")
    assert node is not None
    assert node.encoder_busy
    house.full = None
    gpu.beat_for(BUSY_S + 10, gpu.held(job))
    assert not node.encoder_busy


# ── counted sessions ──────────────────────────────────────────────────────────────────────────────────────────────


def test_no_more_jobs_need_hardware_than_a_node_has_sessions() -> None:
    house = House()
    gpu = house.worker("gpu", encoders=GPU, slots=8, sessions=2)
    jobs = house.submit(*(GPU_JOB, PINNED) * 2)
    assert gpu.assigned() == jobs[:2]
    assert house.job(jobs[2]).reason == "encoder_busy"
    (plain,) = house.submit(ANY)
    assert gpu.assigned() == [*jobs[:2], plain]
    gpu.run(jobs[0])
    assert gpu.assigned() == [jobs[1], plain, jobs[2]]


def test_node_that_names_no_number_is_not_counted() -> None:
    house = House()
    gpu = house.worker("gpu", encoders=GPU, slots=4)
    jobs = house.submit(*[GPU_JOB] * 4)
    assert gpu.assigned() == jobs


def test_session_that_a_node_gave_by_itself_counts_until_software_takes_over() -> None:
    house = House()
    gpu = house.worker("gpu", encoders=GPU, slots=4, sessions=1)
    (free,) = house.submit(ANY)
    gpu.hear()
    gpu.start(free, "h264_nvenc")
    (needs,) = house.submit(GPU_JOB)
    assert gpu.assigned() == [free]
    gpu.connect(running=(gpu.held(free),))
    assert gpu.assigned() == [free], "forgotten with the connection"
    gpu.start(free, "libx264")
    assert gpu.assigned() == [free, needs]


def test_session_is_taken_until_the_node_has_stopped_its_encode() -> None:
    house = House()
    gpu = house.worker("gpu", encoders=GPU, slots=4, sessions=1)
    first, second = house.submit(GPU_JOB, GPU_JOB)
    gpu.hear()
    gpu.start(first, "h264_nvenc")
    house.ask(Cancel(request_id="c", job=first))
    assert gpu.assigned() == [first]
    gpu.result(first, Outcome.CANCELED)
    assert gpu.assigned() == [first, second]


def test_paused_encode_keeps_its_session() -> None:
    house = House()
    gpu = house.worker("gpu", encoders=GPU, slots=1, sessions=1)
    first, second = house.submit(GPU_JOB, GPU_JOB)
    gpu.hear()
    gpu.start(first, "h264_nvenc")
    house.ask(Pause(request_id="p", job=first))
    gpu.beat(gpu.held(first, paused=True))
    assert (gpu.assigned(), answers(house, second)) == ([first], {"gpu": Why.ENCODER_BUSY})
    (plain,) = house.submit(ANY)
    assert gpu.assigned() == [first, plain]

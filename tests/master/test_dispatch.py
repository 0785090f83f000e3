"""Which job runs next, and where."""

from dataclasses import replace
from typing import Any

import pytest

from ffrtmpd.broker.dispatch import HEADS
from ffrtmpd.placement import Need
from ffrtmpd.wire.messages.jobs import JobSpec, ListJobs
from ffrtmpd.wire.messages.nodes import Load
from ffrtmpd.wire.vocabulary import Engine, FailureClass, JobState, Priority, Queue, VmafMode
from tests.master.house import CPU, GPU, House, Worker


def spec(
    queue: Queue = Queue.DEFAULT,
    priority: Priority = Priority.MEDIUM,
    encoder: str | None = None,
    *,
    require_gpu: bool = False,
    scenario: str = "720p30-h264",
    engine: Engine = Engine.AUTO,
) -> JobSpec:
    return JobSpec(
        scenario=scenario, queue=queue, priority=priority, encoder=encoder, require_gpu=require_gpu, engine=engine
    )


def order(house: House, worker: Worker) -> list[str]:
    """Run everything on one worker and return the ids in the order in which it got them."""
    done = []
    while worker.jobs:
        (job_id,) = worker.jobs
        done.append(job_id)
        worker.run(job_id)
    return done


def test_queues_are_served_live_default_batch() -> None:
    house = House()
    batch, default, live = house.submit(spec(Queue.BATCH), spec(Queue.DEFAULT), spec(Queue.LIVE))
    assert order(house, house.worker("w1")) == [live, default, batch]


def test_priorities_are_served_high_medium_low() -> None:
    house = House()
    low, high, medium = house.submit(spec(priority=Priority.LOW), spec(priority=Priority.HIGH), spec())
    assert order(house, house.worker("w1")) == [high, medium, low]


def test_queue_goes_before_priority() -> None:
    house = House()
    jobs = house.submit(
        spec(Queue.BATCH, Priority.LOW), spec(Queue.LIVE, Priority.HIGH), spec(), spec(Queue.LIVE, Priority.MEDIUM)
    )
    assert order(house, house.worker("w1")) == [jobs[1], jobs[3], jobs[2], jobs[0]]


def test_equals_are_served_in_order_of_submit_across_classes() -> None:
    house = House()
    jobs = house.submit(*(spec(scenario=f"720p30-{codec}") for codec in ("h264", "h265", "h264", "h265")))
    assert order(house, house.worker("w1")) == jobs


def test_a_retried_job_keeps_its_place() -> None:
    house = House()
    first, second, third = house.submit(spec(), spec(), spec())
    worker = house.worker("w1", slots=1)
    worker.fail(first, FailureClass.TRANSIENT)
    assert list(worker.jobs) == [second]
    worker.beat_for(7, worker.held(second))
    worker.run(second)
    assert list(worker.jobs) == [first]
    worker.run(first)
    assert list(worker.jobs) == [third]


def test_job_is_assigned_in_the_turn_in_which_it_arrives() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(spec())
    assert worker.assigned() == [job]


def test_slot_is_filled_in_the_turn_in_which_it_becomes_free() -> None:
    house = House()
    worker = house.worker("w1")
    first, second = house.submit(spec(), spec())
    assert worker.assigned() == [first]
    worker.run(first)
    assert list(worker.jobs) == [second]


def test_twenty_jobs_and_ten_slots_none_assigned_twice() -> None:
    house = House()
    workers = [house.worker(f"w{index}", slots=2) for index in range(5)]
    jobs = house.submit(*(spec() for _ in range(20)))
    given = [job for worker in workers for job in worker.assigned()]
    assert sorted(given) == jobs[:10]
    while any(worker.jobs for worker in workers):
        for worker in workers:
            for job in list(worker.jobs):
                worker.run(job)
                given += [new for new in worker.jobs if new not in given]
    assert sorted(given) == jobs
    assert {house.job(job).state for job in jobs} == {JobState.COMPLETED}
    assert {house.job(job).attempt for job in jobs} == {1}


def test_node_is_never_given_more_than_its_slots() -> None:
    house = House()
    worker = house.worker("w1", slots=3)
    house.submit(*(spec() for _ in range(7)))
    assert len(worker.assigned()) == 3


def test_node_without_slots_gets_nothing() -> None:
    house = House()
    worker = house.worker("w1", slots=0)
    house.submit(spec())
    assert worker.assigned() == []


def test_jobs_spread_over_the_least_loaded_nodes() -> None:
    house = House()
    one, two = house.worker("w1", slots=2), house.worker("w2", slots=2)
    house.submit(spec(), spec())
    assert len(one.assigned()) == len(two.assigned()) == 1


def test_of_equals_the_node_with_less_cpu_load_is_taken() -> None:
    house = House()
    one, two = house.worker("w1"), house.worker("w2")
    one.beat(load=Load(cpu_load_percent=90.0))
    two.beat(load=Load(cpu_load_percent=5.0))
    house.submit(spec())
    assert (len(one.assigned()), len(two.assigned())) == (0, 1)


def test_hardware_encoder_goes_only_where_it_is() -> None:
    house = House()
    cpu = house.worker("cpu", encoders=CPU)
    (job,) = house.submit(spec(encoder="h264_nvenc"))
    assert cpu.assigned() == []
    assert house.job(job).reason == "gpu_required"
    gpu = house.worker("gpu", encoders=GPU)
    assert gpu.assigned() == [job]


def test_required_gpu_is_not_served_by_software() -> None:
    house = House()
    cpu = house.worker("cpu", encoders=CPU)
    (job,) = house.submit(spec(require_gpu=True))
    assert (cpu.assigned(), house.job(job).reason) == ([], "gpu_required")


def test_engine_asked_for_must_have_the_encoder_itself() -> None:
    house = House()
    house.worker("ffmpeg", encoders=("libx264", "libx265"))
    both = house.worker("both", encoders=("libx264", "libx265", "x264enc"), slots=4)
    wanted, lacking, anyhow = house.submit(
        spec(engine=Engine.GSTREAMER),
        spec(engine=Engine.GSTREAMER, scenario="720p30-h265"),
        spec(encoder="x264enc"),
    )
    assert both.assigned() == [wanted, anyhow]
    assert (house.job(lacking).state, house.job(lacking).reason) == (JobState.QUEUED, "no_worker")


def test_cpu_job_prefers_a_cpu_node_and_runs_on_a_gpu_node_if_that_is_all() -> None:
    house = House()
    gpu = house.worker("a-gpu", encoders=GPU)
    cpu = house.worker("b-cpu", encoders=CPU)
    first, second = house.submit(spec(encoder="libx264"), spec(encoder="libx264"))
    assert (cpu.assigned(), gpu.assigned()) == ([first], [second])


def test_job_that_nobody_can_run_blocks_nobody() -> None:
    house = House()
    worker = house.worker("cpu", encoders=CPU)
    waiting, runs = house.submit(spec(Queue.LIVE, Priority.HIGH, "h264_nvenc"), spec(Queue.BATCH, Priority.LOW))
    assert worker.assigned() == [runs]
    assert house.job(waiting).state is JobState.QUEUED
    assert house.job(waiting).reason == "gpu_required"


@pytest.mark.parametrize("held_back", [1, HEADS, 2 * HEADS + 1])
def test_jobs_that_may_not_begin_yet_block_none_behind_them(held_back: int) -> None:
    house = House()
    jobs = house.submit(*[JobSpec(scenario="720p30-h264")] * (held_back + 3))
    for job in jobs[:held_back]:
        # An earlier run of it was told to stop and may not have yet.
        house.broker.cluster.stopping[house.row(job).seq] = 1
    worker = house.worker("node-1", slots=2)
    assert worker.assigned() == jobs[held_back : held_back + 2]


def test_job_without_any_node_says_so() -> None:
    house = House()
    (job,) = house.submit(spec())
    assert house.job(job).reason == "no_worker"
    house.worker("w1", slots=1)
    (second,) = house.submit(spec())
    assert house.job(second).reason is None


@pytest.mark.parametrize(("codec", "able"), [("h265", True), ("av1", False)])
def test_codec_without_a_proven_encoder_waits(codec: str, able: bool) -> None:
    house = House()
    worker = house.worker("w1", encoders=CPU)
    (job,) = house.submit(spec(scenario=f"720p30-{codec}"))
    assert worker.assigned() == ([job] if able else [])


def test_nine_cells_of_queue_and_priority_are_counted() -> None:
    house = House()
    house.submit(*(spec(queue, priority) for queue in Queue for priority in Priority))
    reply = house.ask(ListJobs(request_id="l", states=(JobState.QUEUED,)))
    assert reply is not None
    assert reply.total == 9  # type: ignore[attr-defined]
    counts = house.store.counts()
    for queue in Queue:
        assert sum(count for cell, count in counts.items() if cell[1] is queue) == 3
    for priority in Priority:
        assert sum(count for cell, count in counts.items() if cell[2] is priority) == 3


VMAF = ("vmaf", "psnr", "ssim")


@pytest.mark.parametrize(
    "change",
    [{"vmaf": VmafMode.FULL}, {"vmaf": VmafMode.SAMPLE}, {"vmaf_floor": 80.0}, {"psnr": True, "ssim": True}],
)
def test_job_that_is_scored_goes_where_that_is_measured(change: dict[str, Any]) -> None:
    house = House()
    blind = house.worker("a")
    (scored,) = house.submit(replace(spec(), **change))
    assert blind.assigned() == []
    assert house.job(scored).reason == "no_scorer"
    (plain,) = house.submit(spec())
    assert blind.assigned() == [plain]
    seeing = house.worker("b", scorers=VMAF)
    assert seeing.assigned() == [scored]
    assert house.job(scored).reason is None


def test_node_that_measures_some_takes_what_asks_for_no_more() -> None:
    house = House()
    some = house.worker("a", scorers=("psnr", "ssim"))
    psnr, both = house.submit(replace(spec(), psnr=True), replace(spec(), psnr=True, vmaf=VmafMode.FULL))
    assert some.assigned() == [psnr]
    assert house.job(both).reason == "no_scorer"


@pytest.mark.parametrize(
    "text", ["auto:h264:any", "auto:h264:gpu", "ffmpeg:av1:libsvtav1", "auto:h264:any:vmaf", "auto:h264:gpu:vmaf+ssim"]
)
def test_class_of_a_job_is_read_as_it_was_written(text: str) -> None:
    assert Need.parse(text).requires == text

"""Acceptance 15: which finished jobs were served as promised."""

from typing import Any

import pytest

from ffrtmpd.sla import SlaSettings, judge
from ffrtmpd.wire.messages.acts import Pause, Resume
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.vocabulary import FailureClass, JobState, Sla
from tests.master.house import House

SPEC = JobSpec(scenario="720p30-h264")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"waited_s": 20.0, "processed_s": 300.0}, Sla.COMPLIANT),
        ({"waited_s": 30.0, "processed_s": 600.0}, Sla.COMPLIANT),
        ({"waited_s": 40.0, "processed_s": 300.0}, Sla.VIOLATION),
        ({"waited_s": 20.0, "processed_s": 650.0}, Sla.VIOLATION),
        ({"state": JobState.FAILED, "failure_class": FailureClass.PERMANENT}, Sla.COMPLIANT),
        ({"state": JobState.FAILED, "failure_class": FailureClass.TRANSIENT}, Sla.VIOLATION),
        # Poison: lost with its nodes, which is no fault of the input.
        ({"state": JobState.FAILED, "failure_class": FailureClass.PERMANENT, "losses": 5}, Sla.VIOLATION),
        ({"state": JobState.CANCELED}, None),
        ({"state": JobState.PROCESSING}, None),
        ({"scenario": "Benchmark-720p-h264", "waited_s": 40.0}, None),
    ],
)
def test_judgement(changes: dict[str, Any], expected: Sla | None) -> None:
    house = House()
    row = house.row(house.submit(SPEC)[0])._replace(state=JobState.COMPLETED)
    assert judge(row._replace(**changes), SlaSettings(), loss_limit=5) is expected


def test_waiting_and_work_are_counted_and_a_pause_is_neither() -> None:
    house = House()
    (job_id,) = house.submit(SPEC)
    house.wait(20.0)
    worker = house.worker("w1")
    house.now_s += 3.0
    worker.beat()
    worker.start(job_id)
    house.now_s += 2.0
    worker.beat(worker.held(job_id))
    house.ask(Pause(request_id="pause", job=job_id))
    house.now_s += 4.0
    worker.beat(worker.held(job_id, paused=True))
    house.ask(Resume(request_id="resume", job=job_id))
    worker.beat(worker.held(job_id))
    house.now_s += 1.0
    assert house.job(job_id).processed_s == pytest.approx(3.0)
    worker.result(job_id)
    worker.committed(job_id)
    job = house.job(job_id)
    assert (job.state, job.sla) == (JobState.COMPLETED, Sla.COMPLIANT)
    assert job.waited_s == pytest.approx(23.0)
    assert job.processed_s == pytest.approx(3.0)


def test_a_job_that_waited_too_long_was_not_served_as_promised() -> None:
    house = House()
    (job_id,) = house.submit(SPEC)
    house.wait(31.0)
    house.worker("w1").run(job_id)
    assert house.job(job_id).sla is Sla.VIOLATION

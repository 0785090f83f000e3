"""The engine null: refused unless the settings allow it, never chosen by another's job, done at its result."""

from dataclasses import replace

import pytest

from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.wire.messages.jobs import JobSpec, Report
from ffrtmpd.wire.messages.session import Commit, Result, ResultVerdict
from ffrtmpd.wire.vocabulary import Engine, ErrorCode, JobState, Outcome, OutputMode, Verdict, VerifyMode, Why
from tests.master.house import House
from tests.master.test_submissions import problem

SPEC = JobSpec(scenario="720p30-h264", engine=Engine.NULL)


def house() -> House:
    return House(BrokerSettings(null_engine=True))


def test_null_is_refused_by_a_master_that_was_not_told_to_take_it() -> None:
    refused = problem(House(), SPEC)
    assert (refused.code, refused.hint) == (ErrorCode.INVALID_ARGUMENT, "choose auto, ffmpeg or gstreamer")


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, input="/in/a.mp4"),
        replace(SPEC, output="/out/a.mp4"),
        replace(SPEC, require_gpu=True),
        replace(SPEC, psnr=True),
        replace(SPEC, verify=VerifyMode.DECODE),
        replace(SPEC, output="rtmp://host/live/key", output_mode=OutputMode.RTMP),
        replace(SPEC, encoder="libx264"),
    ],
)
def test_null_that_asks_for_a_file_or_figures_is_refused(spec: JobSpec) -> None:
    assert problem(house(), spec).code is ErrorCode.INVALID_ARGUMENT


def test_null_is_done_at_its_result_with_the_history_of_any_job() -> None:
    here = house()
    worker = here.worker("node-1", more_engines=(Engine.NULL,))
    (job,) = here.submit(SPEC)
    (assigned,) = worker.assigned()
    assert assigned == job
    about = worker.jobs[job]
    worker.say(
        Result(
            job_id=job,
            attempt=about.attempt,
            token=about.token,
            outcome=Outcome.ENCODED,
            report=Report(engine=Engine.NULL),
        )
    )
    assert [verdict.verdict for verdict in worker.got(ResultVerdict)] == [Verdict.RECORDED]
    assert worker.got(Commit) == []
    status = here.status(job)
    assert status.job.state is JobState.COMPLETED
    assert [entry.event for entry in status.history] == ["submit", "assign", "start", "complete"]
    counted = here.broker.cluster.figures.values
    assert {name: number for name, number in counted.items() if name.startswith("jobs|")} == {
        "jobs|queued": 1,
        "jobs|assigned": 1,
        "jobs|processing": 1,
        "jobs|completed": 1,
    }


def test_null_waits_for_a_node_that_offers_it() -> None:
    here = house()
    worker = here.worker("node-1")
    (job,) = here.submit(SPEC)
    assert worker.assigned() == []
    assert here.job(job).reason == Why.NO_WORKER


def test_other_jobs_do_not_go_to_null() -> None:
    here = house()
    worker = here.worker("node-1", encoders=(), more_engines=(Engine.NULL,))
    here.submit(JobSpec(scenario="720p30-h264"))
    assert worker.assigned() == []

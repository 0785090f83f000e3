"""One act on many jobs."""

from ffrtmpd.wire.messages.acts import ActedOnJobs, ActOnJobs
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import Kill
from ffrtmpd.wire.vocabulary import ErrorCode, JobAct, JobState
from tests.master.house import House

SPEC = JobSpec(scenario="720p30-h264")


def acted(house: House, act: JobAct, *jobs: str) -> ActedOnJobs:
    reply = house.ask(ActOnJobs(request_id="m", act=act, jobs=jobs))
    assert isinstance(reply, ActedOnJobs), reply
    return reply


def test_each_job_is_taken_or_refused_by_itself() -> None:
    house = House()
    worker = house.worker("w1")
    house.submit(SPEC, SPEC, SPEC)
    worker.hear()
    worker.run("job-000001")
    reply = acted(house, JobAct.CANCEL, "job-000001", "2", "job-000099", "job-000003")
    assert [result.job for result in reply.results] == ["job-000001", "2", "job-000099", "job-000003"]
    assert [result.state for result in reply.results] == [None, JobState.CANCELED, None, JobState.CANCELED]
    codes = [result.problem.code if result.problem else None for result in reply.results]
    assert codes == [ErrorCode.CONFLICT, None, ErrorCode.NOT_FOUND, None]
    assert [kill.job_id for kill in worker.got(Kill)] == ["job-000002"]
    assert house.job("job-000003").state is JobState.CANCELED


def test_every_act_does_what_it_does_to_one() -> None:
    house = House()
    house.submit(SPEC, SPEC)
    both = ("job-000001", "job-000002")
    for act, state in (
        (JobAct.PAUSE, JobState.PAUSED),
        (JobAct.RESUME, JobState.QUEUED),
        (JobAct.CANCEL, JobState.CANCELED),
        (JobAct.RETRY, JobState.QUEUED),
    ):
        assert [result.state for result in acted(house, act, *both).results] == [state, state]
        assert {house.job(job).state for job in both} == {state}


def test_who_may_only_look_may_not_act_on_many() -> None:
    house = House()
    house.submit(SPEC)
    problem = house.refused(ActOnJobs(request_id="m", act=JobAct.CANCEL, jobs=("1",)), by="eyes")
    assert problem.code is ErrorCode.NOT_ALLOWED

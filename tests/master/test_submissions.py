"""Submits: each taken once or refused with a reason, and a refused one leaves nothing behind."""

import dataclasses

import pytest

from ffrtmpd.wire.messages.common import Problem
from ffrtmpd.wire.messages.jobs import JobList, JobSpec, ListJobs, Submission, Submit, SubmitResult, Submitted
from ffrtmpd.wire.vocabulary import Codec, Engine, ErrorCode, JobState, OutputMode, Priority, Queue
from tests.master.house import House

SPEC = JobSpec(scenario="720p30-h264")


def submit(house: House, *submissions: Submission) -> tuple[SubmitResult, ...]:
    reply = house.ask(Submit(request_id="s", jobs=submissions))
    assert isinstance(reply, Submitted), reply
    return reply.results


def problem(house: House, spec: JobSpec) -> Problem:
    (result,) = submit(house, Submission(key="key-00000001", spec=spec))
    assert result.problem is not None, result
    assert result.job_id is None
    return result.problem


def stored(house: House) -> int:
    reply = house.ask(ListJobs(request_id="l"))
    assert isinstance(reply, JobList)
    return reply.total


def test_submit_makes_a_queued_job_that_remembers_what_was_asked() -> None:
    house = House()
    spec = JobSpec(
        scenario="1080p30-hevc",
        input="/in/a.mp4",
        output="/out/b.mkv",
        queue=Queue.LIVE,
        priority=Priority.HIGH,
        duration_s=3.5,
        bitrate_bps=1_000_000,
        preset="fast",
        engine=Engine.FFMPEG,
        timeout_s=60.0,
        max_attempts=5,
        labels={"show": "x"},
    )
    (job,) = house.submit(spec)
    status = house.status(job)
    assert status.spec == spec
    assert (status.job.state, status.job.queue, status.job.priority) == (JobState.QUEUED, Queue.LIVE, Priority.HIGH)
    assert (status.job.scenario, status.job.max_attempts) == ("1080p30-hevc", 5)
    assert [(entry.from_state, entry.to_state, entry.who) for entry in status.history] == [
        (None, JobState.QUEUED, "ops")
    ]


def test_same_key_again_is_the_same_job() -> None:
    house = House()
    submission = Submission(key="key-00000001", spec=SPEC)
    (first,) = submit(house, submission)
    (again,) = submit(house, submission)
    assert (again.job_id, again.problem) == (first.job_id, None)
    assert stored(house) == 1


def test_same_key_is_known_after_a_restart_and_after_the_end() -> None:
    house = House()
    submission = Submission(key="key-00000001", spec=SPEC)
    (first,) = submit(house, submission)
    house.start()
    worker = house.worker("w1")
    assert first.job_id is not None
    worker.run(first.job_id)
    (again,) = submit(house, submission)
    assert (again.job_id, again.state) == (first.job_id, JobState.COMPLETED)


def test_same_key_with_other_content_is_a_conflict() -> None:
    house = House()
    submit(house, Submission(key="key-00000001", spec=SPEC))
    other = dataclasses.replace(SPEC, bitrate_bps=9_000)
    (result,) = submit(house, Submission(key="key-00000001", spec=other))
    assert result.problem is not None
    assert result.problem.code is ErrorCode.CONFLICT
    assert stored(house) == 1


def test_order_of_labels_does_not_make_it_other_content() -> None:
    house = House()
    one = dataclasses.replace(SPEC, labels={"a": "1", "b": "2"})
    two = dataclasses.replace(SPEC, labels={"b": "2", "a": "1"})
    (first,) = submit(house, Submission(key="key-00000001", spec=one))
    (again,) = submit(house, Submission(key="key-00000001", spec=two))
    assert again.job_id == first.job_id


def test_in_bulk_each_is_answered_by_itself() -> None:
    house = House()
    results = submit(
        house,
        Submission(key="key-00000001", spec=SPEC),
        Submission(key="key-00000002", spec=JobSpec(scenario="720p30-mpeg2")),
        Submission(key="key-00000003", spec=SPEC),
    )
    assert [result.key for result in results] == ["key-00000001", "key-00000002", "key-00000003"]
    assert [result.problem is None for result in results] == [True, False, True]
    assert stored(house) == 2


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"scenario": "4K60-h246"}, ErrorCode.UNKNOWN_SCENARIO, "4K60-h264"),
        ({"scenario": "'; DROP TABLE jobs; --"}, ErrorCode.UNKNOWN_SCENARIO, ""),
        ({"encoder": "libx266"}, ErrorCode.INVALID_ARGUMENT, "unknown encoder"),
        ({"encoder": "libx265", "codec": Codec.H264}, ErrorCode.INVALID_ARGUMENT, ""),
        ({"encoder": "x264enc", "engine": Engine.FFMPEG}, ErrorCode.INVALID_ARGUMENT, "encoder of gstreamer"),
        ({"encoder": "libx264", "require_gpu": True}, ErrorCode.INVALID_ARGUMENT, "software"),
        ({"output_mode": OutputMode.RTMP}, ErrorCode.INVALID_ARGUMENT, "pushes to a URL"),
        ({"output_mode": OutputMode.RTMP, "output": "/out/a.mp4"}, ErrorCode.INVALID_ARGUMENT, "URL"),
        ({"output_mode": OutputMode.SRT, "output": "rtmp://h/a/b"}, ErrorCode.INVALID_ARGUMENT, "URL"),
        ({"output": "rtmp://h/a/b"}, ErrorCode.INVALID_ARGUMENT, "mode is file"),
    ],
)
def test_bad_spec_is_refused_with_a_code_and_stores_nothing(
    change: dict[str, object], code: ErrorCode, says: str
) -> None:
    house = House()
    found = problem(house, dataclasses.replace(SPEC, **change))  # type: ignore[arg-type]
    assert found.code is code
    assert says in found.message + (found.hint or "")
    assert stored(house) == 0


def test_job_of_later_waits_until_its_time() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(dataclasses.replace(SPEC, not_before=house.now.wall_s + 60))
    assert house.job(job).state is JobState.PENDING
    worker.beat_for(58)
    assert house.job(job).state is JobState.PENDING
    worker.beat_for(4)
    assert worker.assigned() == [job]


def test_ids_follow_each_other_and_a_lookup_never_finds_another() -> None:
    house = House()
    jobs = house.submit(*(SPEC for _ in range(12)))
    assert jobs == [f"job-{number:06d}" for number in range(1, 13)]
    for ref in ("1", "job-1", "job-000001", "000001"):
        assert house.job(ref).job_id == "job-000001"
    assert house.job("11").job_id == "job-000011"


def test_list_is_a_window_with_a_way_to_the_next() -> None:
    house = House()
    jobs = house.submit(*(SPEC for _ in range(7)))
    seen, cursor = [], None
    while True:
        reply = house.ask(ListJobs(request_id="l", limit=3, cursor=cursor))
        assert isinstance(reply, JobList)
        assert reply.total == 7
        seen += [job.job_id for job in reply.jobs]
        cursor = reply.next
        if cursor is None:
            break
    assert seen == jobs[::-1]
    oldest = house.ask(ListJobs(request_id="l", limit=3, oldest_first=True))
    assert isinstance(oldest, JobList)
    assert [job.job_id for job in oldest.jobs] == jobs[:3]


def test_list_filters_by_state_and_queue() -> None:
    house = House()
    live, default = house.submit(dataclasses.replace(SPEC, queue=Queue.LIVE), SPEC)
    worker = house.worker("w1")
    worker.hear()
    for states, queues, node, expected in [
        ((JobState.ASSIGNED,), (), None, [live]),
        ((JobState.QUEUED,), (), None, [default]),
        ((), (Queue.DEFAULT,), None, [default]),
        ((), (), "w1", [live]),
        ((JobState.FAILED,), (), None, []),
    ]:
        reply = house.ask(ListJobs(request_id="l", states=states, queues=queues, node_id=node))
        assert isinstance(reply, JobList)
        assert [job.job_id for job in reply.jobs] == expected
        assert reply.total == len(expected)


@pytest.mark.parametrize("cursor", ["x", "-1", "1;2"])
def test_cursor_of_nobody_is_refused(cursor: str) -> None:
    assert House().refused(ListJobs(request_id="l", cursor=cursor)).code is ErrorCode.INVALID_ARGUMENT

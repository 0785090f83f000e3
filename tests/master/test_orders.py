"""Jobs of one spec share what was worked out for the first of them, and nothing that is a job's own."""

import dataclasses

import pytest

from ffrtmpd.broker import submissions
from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.scenario import Entry, Scenarios
from ffrtmpd.store import JobRow
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.vocabulary import Engine, ErrorCode, JobState, Priority, Queue
from tests.master.house import House
from tests.master.test_submissions import problem, stored, submit

SPEC = JobSpec(scenario="720p30-h264")
NULL = JobSpec(scenario="720p30-h264", engine=Engine.NULL)


def rows(house: House, *specs: JobSpec) -> list[JobRow]:
    """Return the rows of new jobs."""
    return [house.row(job) for job in house.submit(*specs)]


def test_jobs_of_one_spec_differ_in_number_and_key_alone_and_are_worked_out_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved: list[JobSpec] = []
    real = submissions.resolve

    def resolve(scenarios: Scenarios, spec: JobSpec) -> Encode:
        resolved.append(spec)
        return real(scenarios, spec)

    monkeypatch.setattr(submissions, "resolve", resolve)
    house = House()
    first, second = rows(house, SPEC, SPEC)
    house.wait(5)
    (third,) = rows(house, SPEC)
    assert resolved == [SPEC]
    assert first._replace(seq=2, key=second.key) == second
    assert third.created_at == third.state_at == first.created_at + 5
    assert first._replace(seq=3, key=third.key, created_at=third.created_at, state_at=third.state_at) == third
    assert first.spec == SPEC


def test_specs_in_turns_each_give_their_own_rows() -> None:
    house = House()
    other = dataclasses.replace(
        SPEC, scenario="1080p30-h265", queue=Queue.LIVE, priority=Priority.HIGH, psnr=True, max_attempts=7
    )
    alone = [House(), House()]
    for row, spec, here in zip(rows(house, SPEC, other, SPEC, other), (SPEC, other) * 2, alone * 2, strict=True):
        (expected,) = rows(here, dataclasses.replace(spec))
        assert row._replace(seq=0, key="") == expected._replace(seq=0, key="")
        assert row.spec == spec


def test_spec_that_one_master_takes_is_refused_by_one_that_was_not_told_to() -> None:
    takes, refuses = House(BrokerSettings(null_engine=True)), House()
    for _ in range(2):
        takes.submit(NULL)
        assert problem(refuses, NULL).code is ErrorCode.INVALID_ARGUMENT
    assert stored(refuses) == 0


def test_same_spec_means_what_the_scenarios_of_its_own_master_say() -> None:
    spec = JobSpec(scenario="mobile")
    found = []
    for bitrate_bps in (700_000, 900_000, 700_000):
        house = House()
        house.broker.cluster.scenarios = Scenarios({"mobile": Entry(format="480p25-h264", bitrate_bps=bitrate_bps)})
        found += [row.encode.bitrate_bps for row in rows(house, spec, spec)]
    assert found == [700_000, 700_000, 900_000, 900_000, 700_000, 700_000]
    assert problem(House(), spec).code is ErrorCode.UNKNOWN_SCENARIO


def test_time_of_the_submit_decides_where_a_job_begins_each_time() -> None:
    house = House()
    spec = dataclasses.replace(SPEC, not_before=house.now.wall_s + 60)
    (early,) = rows(house, spec)
    house.wait(61)
    (late,) = rows(house, spec)
    assert [(row.state, row.due_at) for row in (early, late)] == [
        (JobState.PENDING, spec.not_before),
        (JobState.QUEUED, None),
    ]


def test_refused_spec_is_refused_with_the_same_words_each_time() -> None:
    house = House()
    bad = dataclasses.replace(SPEC, encoder="libx266")
    assert problem(house, bad) == problem(house, bad)
    (taken, refused) = submit(house, Submission(key="key-00000001", spec=SPEC), Submission(key="key-2" * 2, spec=bad))
    assert (taken.problem, refused.problem) == (None, problem(house, bad))


def test_known_key_with_another_known_spec_is_a_conflict() -> None:
    house = House()
    other = dataclasses.replace(SPEC, bitrate_bps=9_000)
    submit(house, Submission(key="key-00000001", spec=SPEC), Submission(key="key-00000002", spec=other))
    (result,) = submit(house, Submission(key="key-00000001", spec=other))
    assert result.problem is not None
    assert result.problem.code is ErrorCode.CONFLICT


def test_who_submitted_is_the_jobs_own() -> None:
    house = House()
    for number, name in enumerate(("ops", "root")):
        house.ask(Submit(request_id="s", jobs=(Submission(key=f"key-0000000{number}", spec=SPEC),)), name)
    assert [house.status(job).history[0].who for job in ("1", "2")] == ["ops", "root"]


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions, "_REMEMBERED", 3)
    house = House()
    specs = [JobSpec(scenario="720p30-h264", input=f"/in/{number}.mp4") for number in range(10)]
    assert [row.spec for row in rows(house, *specs)] == specs
    assert len(house.broker.cluster.orders) <= 3
    house.submit(dataclasses.replace(SPEC, input="/" + "x" * 2_000))
    assert {order.spec.input for order in house.broker.cluster.orders.values()} <= {spec.input for spec in specs}

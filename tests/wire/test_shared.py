"""Values that arrive alike are one object, and nothing is taken for alike that is not."""

import random
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmpd.wire import schema, unrolled
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from ffrtmpd.wire.schema import SchemaError, to_plain
from tests.wire.messages import of_class
from tests.wire.test_unrolled import damage

KEY = "key-00000001"


def fresh() -> Any:
    """Return a checker that has seen nothing."""
    return unrolled.checker(Submission, schema._worded_checker(Submission))


def spec_of(check: Any, plain: Any) -> JobSpec:
    spec: JobSpec = check({"key": KEY, "spec": plain}, "").spec
    return spec


def outcome(check: Any, plain: Any) -> str:
    try:
        return repr(check({"key": KEY, "spec": plain}, ""))
    except SchemaError as error:
        return str(error)


def test_specs_that_arrive_alike_are_one_object_within_a_request_and_across() -> None:
    check = schema.own_checker(Submit)
    plain = {"scenario": "720p30-h264", "labels": {"show": "x"}}
    requests = [
        check({"request_id": "r", "jobs": [{"key": f"key-0000000{n}", "spec": deepcopy(plain)} for n in range(3)]}, "")
        for _ in range(2)
    ]
    jobs = [job for request in requests for job in request.jobs]
    assert len({id(job.spec) for job in jobs}) == 1
    assert [job.key for job in jobs] == ["key-00000000", "key-00000001", "key-00000002"] * 2
    assert jobs[0].spec == JobSpec(**plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sound", "odd"),
    [
        ({"psnr": True}, {"psnr": 1}),
        ({"psnr": True}, {"psnr": 1.0}),
        ({"psnr": False}, {"psnr": 0}),
        ({"max_attempts": 1}, {"max_attempts": True}),
        ({"max_attempts": 3}, {"max_attempts": 3.0}),
        ({"bitrate_bps": 2_000}, {"bitrate_bps": 2_000.0}),
        ({"timeout_s": 1.0}, {"timeout_s": True}),
        ({"vmaf_floor": 0.0}, {"vmaf_floor": False}),
    ],
)
def test_values_that_are_equal_and_of_another_kind_are_refused_after_sound_ones(
    sound: dict[str, Any], odd: dict[str, Any]
) -> None:
    check = fresh()
    sound, odd = {"scenario": "x"} | sound, {"scenario": "x"} | odd
    assert sound == odd
    taken = spec_of(check, sound)
    worded = outcome(schema._worded_checker(Submission), odd)
    assert worded.startswith("spec.")
    assert outcome(check, odd) == worded
    assert spec_of(check, sound) is taken


def test_whole_number_for_a_float_is_the_float_it_was() -> None:
    check = fresh()
    for given_s in (5, 5.0, 5):
        assert repr(spec_of(check, {"scenario": "x", "timeout_s": given_s}).timeout_s) == "5.0"


def test_specs_that_differ_in_anything_are_two() -> None:
    check = fresh()
    one = {"scenario": "x", "labels": {"a": "1", "b": "2"}}
    for change in ({"labels": {"a": "1", "b": "3"}}, {"labels": {"a": "1"}}, {"queue": "live"}, {"input": "/in/a"}):
        first, second = spec_of(check, one), spec_of(check, one | change)
        assert first is not second
        assert (repr(first), repr(second)) == (repr(JobSpec(**one)), outcome_of(one | change))  # type: ignore[arg-type]


def outcome_of(plain: dict[str, Any]) -> str:
    return repr(schema._worded_checker(JobSpec)(plain, ""))


def test_refused_spec_is_refused_with_the_same_words_each_time() -> None:
    check = fresh()
    words = {outcome(check, {"scenario": "x", "queue": "btach"}) for _ in range(3)}
    assert words == {outcome(schema._worded_checker(Submission), {"scenario": "x", "queue": "btach"})}


@settings(max_examples=300, deadline=None)
@given(st.lists(of_class(JobSpec), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_any_specs_in_any_order_are_taken_or_refused_as_alone(specs: list[JobSpec], chance: random.Random) -> None:
    check, alone = fresh(), schema._worded_checker(Submission)
    plains: list[Any] = [to_plain(spec) for spec in specs]
    for plain in deepcopy(plains):
        damage(plain, chance)
        plains.append(plain)
    for _ in range(12):
        plain = deepcopy(chance.choice(plains))
        assert outcome(check, plain) == outcome(alone, plain)


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrolled, "SHARED_MOST", 3)
    check = fresh()
    first = spec_of(check, {"scenario": "0"})
    assert spec_of(check, {"scenario": "0"}) is first
    for number in range(1, 10):
        assert spec_of(check, {"scenario": str(number)}).scenario == str(number)
    assert spec_of(check, {"scenario": "0"}) is not first


def test_long_spec_is_not_remembered() -> None:
    check = fresh()
    long = {"scenario": "x", "input": "/" + "x" * unrolled.SHARED_BYTES}
    assert spec_of(check, long) is not spec_of(check, long)
    assert spec_of(check, long) == spec_of(check, long)

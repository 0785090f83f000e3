"""Records behave as the dataclasses that they are, though what makes them is written at their first use."""

from dataclasses import fields, is_dataclass, replace
from importlib import import_module

import pytest

from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.record import field, fields_of, record


def test_fields_are_given_by_name_and_what_is_left_out_has_its_default() -> None:
    first, second = JobSpec(scenario="720p30-h264"), JobSpec(scenario="720p30-h264", max_attempts=5)
    assert (first.max_attempts, second.max_attempts) == (3, 5)
    assert first == replace(second, max_attempts=3)
    assert first.labels is not second.labels


def test_a_record_of_another_begins_with_its_own_fields_whichever_is_made_first() -> None:
    @record
    class Least:
        name: str

    @record
    class More(Least):
        size: int = 1

    assert (More(name="a").size, Least(name="a").name) == (1, "a")
    assert Least(name="a") != More(name="a")
    assert repr(More(name="a", size=2)) == "More(name='a', size=2)"


def test_a_record_is_a_dataclass_for_whoever_asks() -> None:
    assert is_dataclass(JobSpec)
    assert [each.name for each in fields(JobSpec)] == [each.name for each in fields_of(JobSpec)]
    (labels,) = [each for each in fields(JobSpec) if each.name == "labels"]
    assert labels.default_factory is dict


@pytest.mark.parametrize("given", [{}, {"name": "a", "size": 1}, {"size": 1}])
def test_what_a_record_does_not_take_is_refused_at_its_first_use_and_later(given: dict[str, object]) -> None:
    @record
    class Least:
        name: str

    for _ in range(2):
        with pytest.raises(TypeError):
            Least(**given)  # type: ignore[arg-type]


def test_a_record_made_often_is_made_the_same_by_the_init_written_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("ffrtmpd.wire.record"), "OFTEN", 3)

    @record
    class Pair:
        late: str = "b"
        early: int
        some: list[int] = field(default_factory=list)

    made, inits = [], []
    for _ in range(4):
        made.append(Pair(early=1))
        inits.append(vars(Pair)["__init__"])
    assert inits[0] is inits[1] is not inits[2] is inits[3]
    assert all(repr(each) == "Pair(late='b', early=1, some=[])" for each in made)
    assert Pair(some=[3], late="c", early=2) == replace(made[0], some=[3], late="c", early=2)
    assert len({id(each.some) for each in made}) == 4

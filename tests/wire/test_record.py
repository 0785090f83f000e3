"""Records behave as the dataclasses that they are, though what makes them is written at their first use."""

from dataclasses import replace

import pytest

from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.record import record


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


@pytest.mark.parametrize("given", [{}, {"name": "a", "size": 1}])
def test_what_a_record_does_not_take_is_refused_at_its_first_use_and_later(given: dict[str, object]) -> None:
    @record
    class Least:
        name: str

    for _ in range(2):
        with pytest.raises(TypeError):
            Least(**given)  # type: ignore[arg-type]

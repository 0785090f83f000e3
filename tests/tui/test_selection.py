"""Which jobs words select."""

import pytest

from ffrtmp_tui.failures import Exit, Failure
from ffrtmp_tui.selection import expand


def test_ids_numbers_lists_and_ranges_are_expanded_in_order_and_once() -> None:
    selection = expand(["job-000007", "1,3,5-8", "3", "last"])
    assert selection.jobs == ("job-000007", "1", "3", "5", "6", "8", "last")
    assert selection.by_range


def test_job_under_several_names_is_one_job() -> None:
    assert expand(["job-000007", "7", "007", "job-7", "6-8"]).jobs == ("job-000007", "6", "8")
    assert expand(["nope", "nope", "job-nope"]).jobs == ("nope", "job-nope")


def test_named_jobs_are_no_range() -> None:
    assert not expand(["1,2", "job-000003"]).by_range


@pytest.mark.parametrize(
    ("word", "said"), [("1,,2", "missing"), ("", "missing"), ("8-5", "backwards"), ("1-99999999", "more than")]
)
def test_selection_without_sense_is_a_usage_error(word: str, said: str) -> None:
    with pytest.raises(Failure, match=said) as raised:
        expand([word])
    assert raised.value.exit_code == Exit.USAGE

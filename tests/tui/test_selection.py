"""Which jobs words select."""

import pytest

from ffrtmp_tui.failures import Exit, Failure
from ffrtmp_tui.selection import expand


def test_ids_numbers_lists_and_ranges_are_expanded_in_order_and_once() -> None:
    selection = expand(["job-000007", "1,3,5-8", "3", "last"])
    assert selection.jobs == ("job-000007", "1", "3", "5", "6", "7", "8", "last")
    assert selection.by_range


def test_named_jobs_are_no_range() -> None:
    assert not expand(["1,2", "job-000003"]).by_range


@pytest.mark.parametrize(
    ("word", "said"), [("1,,2", "missing"), ("", "missing"), ("8-5", "backwards"), ("1-99999999", "more than")]
)
def test_selection_without_sense_is_a_usage_error(word: str, said: str) -> None:
    with pytest.raises(Failure, match=said) as raised:
        expand([word])
    assert raised.value.exit_code == Exit.USAGE

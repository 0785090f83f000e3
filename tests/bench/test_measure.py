import sys
from collections.abc import Mapping

import pytest

from tests.bench.measure import Aim, Of, Row, cost, in_turns, table


def test_pairs_are_compared_one_by_one() -> None:
    # Both slow down together: the median of the ratios does not move, that of the values does.
    row = Row(what="ours", unit="ms", values=[20.0, 200.0, 2_000.0], base=[10.0, 100.0, 1_000.0])
    assert row.cells() == ("ours", "3", "200 ms", "20 – 2,000", "2.00", "+100 ms", "", "")


def test_rates_have_a_ratio_and_no_difference() -> None:
    assert Row(what="r", unit="/s", values=[5.0], base=[10.0]).cells()[4:6] == ("0.50", "")


def test_table_is_markdown_of_even_lines() -> None:
    lines = table([Row(what="a", unit="s", values=[1.0]), Row(what="longer", unit="s", values=[1.5])]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2] == "| a      | 1 |    1 s |     1 – 1 |       |        |     |      |"


@pytest.mark.parametrize(
    ("aim", "cells"),
    [
        (Aim(least=2.0), ("≥ 2 ×", "yes")),
        (Aim(least=2.5), ("≥ 2.5 ×", "**no**")),
        (Aim(least=0.8, most=1.2), ("≥ 0.8, ≤ 1.2 ×", "**no**")),
        (Aim(of=Of.BEYOND, most=10.0), ("≤ 10 ms beyond", "yes")),
        (Aim(of=Of.MEDIAN, most=19.0), ("≤ 19 ms", "**no**")),
    ],
)
def test_aim_is_shown_with_whether_it_is_held(aim: Aim, cells: tuple[str, str]) -> None:
    row = Row(what="ours", unit="ms", values=[20.0, 20.0], base=[10.0, 10.0], aim=aim)
    assert row.cells()[-2:] == cells


def test_first_round_warms_up_and_is_not_kept() -> None:
    calls: list[str] = []

    def take(name: str) -> Mapping[str, float]:
        calls.append(name)
        return {name: float(len(calls))}

    assert in_turns(2, lambda: take("a"), lambda: take("b")) == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert calls == ["a", "b"] * 3


def test_program_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        cost([sys.executable, "-c", "raise SystemExit(3)"], env={})


def test_cost_counts_processor_time_of_the_program() -> None:
    taken = cost([sys.executable, "-c", "sum(range(2_000_000))"], env={})
    assert taken.cpu_s > 0
    assert taken.wall_s > 0

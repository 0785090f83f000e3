"""Counters that outlive the master."""

from pathlib import Path

import pytest

from ffrtmpd.base.figures import LONG, Exemplar, Figures
from ffrtmpd.store import Store
from tests.master.store_kit import turn


def test_counts_become_values_when_they_are_taken() -> None:
    figures = Figures({"jobs|completed": 2.0})
    figures.count("jobs", "completed")
    figures.count("jobs", "failed", by=3)
    assert figures.values == {"jobs|completed": 2.0}
    assert figures.take() == {"jobs|completed": 1.0, "jobs|failed": 3.0}
    assert figures.values == {"jobs|completed": 3.0, "jobs|failed": 3.0}
    assert figures.take() == {}


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, 0), (LONG[0], 0), (0.06, 1), (LONG[-1], len(LONG) - 1), (1e9, len(LONG))]
)
def test_value_falls_into_the_first_bucket_that_holds_it(value: float, bucket: int) -> None:
    figures = Figures()
    figures.observe("wait", value, "live")
    assert figures.take() == {f"wait|live|{bucket}": 1.0, "wait|live|sum": value}


def test_values_counted_together_are_those_counted_one_by_one_and_each_bucket_shows_its_last() -> None:
    values = [0.01, 70.0, 0.02, 1e9, 0.03, 70.5]
    together, alone = Figures(), Figures()
    together.observe_all("wait", values, "live", exemplar=lambda place: Exemplar(f"job-{place}", values[place], 5.0))
    for value in values:
        alone.observe("wait", value, "live")
    assert together.take() == alone.take()
    assert together.exemplars == {
        "wait|live|0": Exemplar("job-4", 0.03, 5.0),
        "wait|live|10": Exemplar("job-5", 70.5, 5.0),
        f"wait|live|{len(LONG)}": Exemplar("job-3", 1e9, 5.0),
    }


def test_figures_are_kept_on_disk_and_a_turn_undone_counts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    store = Store.open(path)
    for _ in range(2):
        with turn(store):
            store.add_figures({"jobs|completed": 1.0, "wait|live|sum": 0.5})
    store.begin()
    store.add_figures({"jobs|completed": 1.0})
    store.rollback()
    store.close()
    again = Store.open(path)
    assert again.figures() == {"jobs|completed": 2.0, "wait|live|sum": 1.0}
    again.close()

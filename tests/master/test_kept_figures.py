"""Counters that outlive the master."""

from pathlib import Path

import pytest

from ffrtmpd.base.figures import LONG, Figures
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

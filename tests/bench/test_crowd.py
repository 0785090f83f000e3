"""The crowd in small: that it works, not how fast."""

from pathlib import Path

import pytest

from ffrtmpd.wire.curve import new_key_pair
from tests.bench import claim
from tests.bench.crowd import LINES, Size, measure_bare, measure_real, rows

pytestmark = pytest.mark.e2e
SMALL = Size(workers=30, backlog=200, rounds=1, idle_s=2.2, rate=50, paced_s=0.5, burst=100, restarts=1)


def test_crowd_works_for_both_masters_and_comes_back(tmp_path: Path) -> None:
    keys = [new_key_pair() for _ in range(SMALL.workers)]
    bare, real = measure_bare(tmp_path, keys, SMALL), measure_real(tmp_path / "crowd", keys, SMALL)
    for name, _, _ in LINES:
        assert bare[name][0] > 0
        assert real[name][0] > 0
        assert real[f"full {name}"][0] > 0
    assert len(list(rows(SMALL, bare, real))) == 3 * len(LINES) + 1


def test_claims_are_measured_at_each_size(tmp_path: Path) -> None:
    found = list(claim.measure(tmp_path / "claims", (1_000, 2_000), 1))
    assert [len(row.values) for row in found] == [1, 1]
    assert min(*found[0].values, *found[1].values) > 0


def test_sizes_come_from_the_environment() -> None:
    assert Size.from_env({"CROWD_WORKERS": "7", "CROWD_RATE": "2.5"}) == Size(workers=7, rate=2.5)

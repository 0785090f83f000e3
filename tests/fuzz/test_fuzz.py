"""Damaged messages from everybody who has a key: no exit, no change, no silence, no growth."""

from pathlib import Path

import pytest

from ffrtmpd.wire.catalogue import CLIENT_REQUESTS
from ffrtmpd.wire.messages.common import Ping
from ffrtmpd.wire.messages.jobs import ListJobs
from tests.e2e.cluster import cluster
from tests.fuzz.campaign import run
from tests.fuzz.frames import Mutator, meaning

FRAMES = 20_000
SEED = 20_240_607
# Allocators keep what a burst took; a leak of 1 kB a frame would be more than this.
GROWTH_MAX_BYTES = 16 << 20

TEMPLATES = (Ping(request_id="r1"), ListJobs(request_id="r2"))


def test_same_seed_makes_the_same_frames() -> None:
    one, other = Mutator(TEMPLATES, 7), Mutator(TEMPLATES, 7)
    assert [one.next() for _ in range(200)] == [other.next() for _ in range(200)]
    assert [Mutator(TEMPLATES, 8).next() for _ in range(9)] != [Mutator(TEMPLATES, 7).next() for _ in range(9)]


def test_frames_are_damaged_but_not_all_beyond_reading() -> None:
    mutator = Mutator(TEMPLATES, 7)
    readable = sum(meaning(mutator.next(), CLIENT_REQUESTS) is not None for _ in range(2_000))
    assert 100 < readable < 1_500


@pytest.mark.e2e
def test_master_survives_damaged_frames_and_changes_nothing(tmp_path: Path) -> None:
    with cluster(tmp_path) as house:
        tally = run(house, frames=FRAMES, seed=SEED)
    assert tally.frames == FRAMES
    assert tally.meaningless > FRAMES // 4
    assert tally.grown_bytes < GROWTH_MAX_BYTES, tally

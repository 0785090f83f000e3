"""The benchmark of whole jobs in small: that it works, not how fast."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.board import Board
from tests.bench.load import Load
from tests.bench.others import OTHERS, choose
from tests.bench.pipeline import measure
from tests.bench.systems import slow_sync

SMALL = (
    Load(name="pipelined", jobs=60, batch=3, window=4),
    Load(name="one by one", jobs=5, window=1),
    Load(name="paced", jobs=5, rate=100.0),
)


@pytest.mark.e2e
def test_jobs_pass_through_the_bare_cluster_and_the_real_one(tmp_path: Path) -> None:
    rows = measure(tmp_path / "pipeline", SMALL, 1)
    assert len(rows) == 11 + 6 + 4
    assert all(row.values[0] > 0 for row in rows if "while submits came" not in row.what), rows


def test_other_queues_are_chosen_by_name() -> None:
    assert [len(choose(names)) for names in ("none", "", "huey", "huey,celery", "all")] == [0, 0, 1, 2, len(OTHERS)]
    with pytest.raises(ValueError, match="no job queue resque"):
        choose("resque")


def test_board_tells_another_process_when_a_job_began(tmp_path: Path) -> None:
    writer, reader = Board(tmp_path / "board"), Board(tmp_path / "board")
    assert (reader.seen(), reader.begun_at("job-000007")) == ((0, 0.0), 0.0)
    before = time.monotonic()
    writer.begun("job-000007")
    writer.recorded()
    assert before <= reader.begun_at("job-000007") <= reader.seen()[1] <= time.monotonic()
    assert reader.seen()[0] == 1


def test_slowed_disk_makes_each_sync_wait(tmp_path: Path) -> None:
    assert slow_sync(tmp_path, 0.0) == {}
    program = "import os, sys, time; file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY); begun = time.monotonic()\n"
    program += "os.fsync(file); os.fdatasync(file); print(time.monotonic() - begun)"
    argv = [sys.executable, "-c", program, str(tmp_path / "file")]
    ran = subprocess.run(argv, env=slow_sync(tmp_path, 150.0), capture_output=True, text=True, check=True)
    # Twice what was asked for: a wait can last longer, and never less.
    assert float(ran.stdout) >= 0.3

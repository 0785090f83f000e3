"""huey on SQLite with each commit on disk. BENCH_FILE is its database, BENCH_BOARD the board."""

import os
from pathlib import Path

from huey import SqliteHuey
from huey.signals import SIGNAL_COMPLETE

from tests.bench.board import Board

queue = SqliteHuey("bench", filename=os.environ["BENCH_FILE"], fsync=True)
board = Board(Path(os.environ["BENCH_BOARD"]))


def no_op(number: int) -> int:
    board.begun(f"job-{number}")
    # A result that is None is not stored.
    return number


def recorded(_signal: str, _task: object) -> None:
    """Count: huey says so after the result is stored."""
    board.recorded()


enqueue = queue.task()(no_op)
queue.signal(SIGNAL_COMPLETE)(recorded)

"""Celery on Redis, acknowledged late, results kept. BENCH_REDIS is the server's URL, BENCH_BOARD the board."""

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import task_postrun

from tests.bench.board import Board

app = Celery("bench", broker=os.environ["BENCH_REDIS"], backend=os.environ["BENCH_REDIS"])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=100, broker_connection_retry_on_startup=True)
board = Board(Path(os.environ["BENCH_BOARD"]))


def no_op(number: int) -> int:
    board.begun(f"job-{number}")
    return number


def recorded(**_: Any) -> None:
    """Count: Celery says so after the result is stored."""
    board.recorded()


task_postrun.connect(recorded, weak=False)
enqueue = app.task(name="no_op")(no_op).delay

"""dramatiq on Redis, results kept. BENCH_REDIS is the server's URL, BENCH_BOARD the board."""

import os
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from tests.bench.board import Board

broker = RedisBroker(url=os.environ["BENCH_REDIS"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["BENCH_REDIS"])))
board = Board(Path(os.environ["BENCH_BOARD"]))


class Counting(dramatiq.Middleware):  # type: ignore[misc]
    def after_ack(self, broker: Any, message: Any) -> None:  # noqa: ARG002 - as dramatiq calls it
        board.recorded()


broker.add_middleware(Counting())
dramatiq.set_broker(broker)


def no_op(number: int) -> int:
    board.begun(f"job-{number}")
    return number


enqueue = dramatiq.actor(store_results=True, max_retries=0)(no_op).send

"""Whether the master's memory stays what it is over many jobs done."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import zmq

from tests.bench.crowd import rss_mib
from tests.bench.load import BATCHED
from tests.bench.measure import Aim, Of, Row
from tests.bench.pipeline import Client
from tests.bench.plan import Plan
from tests.bench.systems import real

JOBS: Final = 100_000
FEW: Final = 20_000
MANY: Final = 1_000_000
PARTS: Final = 10


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Look at the master's memory after each tenth of the jobs."""
    jobs = FEW if plan.quick else MANY if plan.long else JOBS
    load = replace(BATCHED, jobs=jobs // PARTS)
    context: zmq.Context[Any] = zmq.Context()
    try:
        with real(folder) as system:
            client = Client(context, system)
            rates, seen = [], []
            for _ in range(PARTS):
                rates.append(client.measure(load)["end to end"])
                seen.append(rss_mib(system.pids["broker"]))
            client.close()
    finally:
        context.term()
    aim = Aim(of=Of.MEDIAN, most=200.0)
    yield Row(what=f"memory of the master, {jobs // PARTS:,} jobs done", unit="MiB", values=seen[:1])
    yield Row(what=f"memory of the master, {jobs:,} jobs done", unit="MiB", values=seen[-1:], aim=aim)
    flat = Aim(most=1.1)
    half = PARTS // 2
    # What it remembers of jobs that are done has a bound, which is reached in the first half.
    middle = [seen[half - 1]] * half
    yield Row(
        what="memory of the master, second half vs the middle", unit="MiB", values=seen[half:], base=middle, aim=flat
    )
    yield Row(what="jobs end to end, second half vs first", unit="/s", values=rates[half:], base=rates[:half])

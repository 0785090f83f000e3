"""What metering costs the worker: one look at the meters and at who used the machine."""

import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from typing import Final

from ffrtmp_worker.meters import Meters, find_rapl
from ffrtmp_worker.sampler import IDLE_EVERY_S, Sampler
from tests.bench.measure import Row
from tests.bench.plan import Plan
from tests.worker.powercap import server

LOOKS: Final = 200
ROUNDS: Final = 5
JOBS: Final = 4


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Look without jobs, with jobs, and with jobs among many strangers; counters are files, not the kernel's MSRs."""
    folder.mkdir()
    meter, _ = find_rapl(server(folder / "powercap").root)
    for jobs, strangers in ((0, 0), (JOBS, 0), (JOBS, 1_000)):
        with ExitStack() as stack:
            sampler = Sampler(Meters(cpu=meter), idle_w=0.0)
            for _ in range(strangers):
                _sleeper(stack)
            for child in range(jobs):
                sampler.begin(child, _sleeper(stack), None, time.monotonic())
            here = sum(folder.name.isdecimal() for folder in Path("/proc").iterdir())
            # Moments so far apart that a look is due at each.
            moments = (time.monotonic() + IDLE_EVERY_S * look for look in count(1))
            found = [_look_s(sampler, islice(moments, LOOKS)) for _ in range(plan.rounds(ROUNDS))]
        what = f"one look, {jobs} jobs, {here} processes"
        yield Row(what=what, unit="µs", values=[seconds * 1e6 for seconds in found])
        yield Row(what="  of a processor, once a second", unit="%", values=[seconds * 100 for seconds in found])


def _sleeper(stack: ExitStack) -> int:
    child = stack.enter_context(subprocess.Popen(["sleep", "600"], start_new_session=True))
    stack.callback(child.kill)
    return child.pid


def _look_s(sampler: Sampler, moments: Iterable[float]) -> float:
    """Return processor seconds of one look."""
    begun_s = time.process_time()
    for now_s in moments:
        sampler.tick(now_s)
    return (time.process_time() - begun_s) / LOOKS

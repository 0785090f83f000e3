"""What a key costs in a console with 100,000 jobs, and what a screen costs that is drawn twice a second."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ffrtmp_tui.console.app import View
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from tests.bench.measure import Row
from tests.bench.plan import Plan
from tests.console.cluster import quiet_house
from tests.console.desk import Desk

JOBS: Final = 100_000
BATCH: Final = 1_000
ROUNDS: Final = 200
SIZES: Final = ((80, 24), (160, 45))


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Measure keys and redraws before a real broker with a full store."""
    house = quiet_house()
    jobs_all = JOBS // 10 if plan.quick else JOBS
    for first in range(0, jobs_all, BATCH):
        jobs = tuple(
            Submission(key=f"job-{first + at:08d}", spec=JobSpec(scenario="1080p30-h264")) for at in range(BATCH)
        )
        house.ask(Submit(request_id="s", jobs=jobs))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    desk = Desk(house)
    desk.wait(1.0)
    view = View(desk.console, lambda: desk.now)
    for size in SIZES:
        view.render(size, True)
        keys, draws, dearest_s = [], [], 0.0
        for number in range(ROUNDS):
            begun_s, worked_s = time.perf_counter(), time.thread_time()
            # Every tenth goes to the last row that is here, which fetches more; the master's time is in it.
            view.keypress(size, "end" if number % 10 == 0 else "down")
            desk.pump()
            view.render(size, True)
            keys.append((time.perf_counter() - begun_s) * 1_000)
            dearest_s = max(dearest_s, time.thread_time() - worked_s)
            begun_s = time.perf_counter()
            view.refresh()
            view.render(size, True)
            draws.append((time.perf_counter() - begun_s) * 1_000)
        name = f"{size[0]}x{size[1]}"
        yield Row(what=f"console {name}, {jobs_all:,} jobs: key to screen", unit="ms", values=keys)
        # Other programs take time from the clock, and none from the processor time of this one.
        yield Row(what=f"console {name}: the dearest key, processor time", unit="ms", values=[dearest_s * 1_000])
        yield Row(what=f"console {name}: one redraw", unit="ms", values=draws)
        begun_s = time.process_time()
        for _ in range(20):
            desk.wait(0.5)
            view.refresh()
            view.render(size, True)
        share = (time.process_time() - begun_s) / 10.0 * 100
        yield Row(what=f"console {name}: of a core at 2 Hz, broker with it", unit="%", values=[share])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    yield Row(what="console: memory beyond the master's", unit="MiB", values=[grown / 1_024])

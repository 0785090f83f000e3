"""What a worker costs beside its encoders: its own processor time, and the throughput of two slots."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from ffrtmp_worker.ffmpeg import environment
from tests.bench.crowd import cpu_s
from tests.bench.measure import PER_SECOND, Aim, Of, Row, in_turns
from tests.bench.plan import Plan
from tests.e2e.cluster import Cluster, cluster, wait_until
from tests.worker.powercap import server

SCENARIO: Final = "720p30-h264"
ROUNDS: Final = 3
SLOTS: Final = 2
JOBS: Final = 4
# Of media, seconds: long enough that a probe of 75 ms says little.
LENGTH_S: Final = 30
QUICK_S: Final = 5
LOOK_EVERY_S: Final = 0.5
# The encode that is looked at, and the windows in which it is.
LOOKED_AT_S: Final = 90
LOOK_S: Final = 2.0
LOOKS: Final = 5


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Look at a worker while one job encodes, then bring jobs through two slots and by hand two at a time."""
    folder.mkdir()
    meters = server(folder / "powercap").root
    with cluster(folder / "house") as house:
        house.start_master()
        worker = house.worker("bench", slots=SLOTS, settings=f'[energy]\npowercap = "{meters}"\n')
        job = house.submit(SCENARIO, "--duration", str(LOOKED_AT_S))
        wait_until(lambda: (house.job(job)["progress"] or {}).get("frame"), dump=house.dump)
        shares = [_share(worker.pid) for _ in range(LOOKS)]
        assert house.job(job)["state"] == "processing", "the encode is too short for a look"
        house.ok("jobs", "cancel", job)
        house.wait_for(job, "canceled")
        aim = Aim(of=Of.MEDIAN, most=1.0)
        yield Row(what="the worker beside one encode: of a core", unit="%", values=shares, aim=aim)
        two = _Two(house, QUICK_S if plan.quick else LENGTH_S)
        found = in_turns(plan.rounds(ROUNDS), two.through_cluster, two.by_hand)
        what, bare = f"{JOBS} jobs of {two.length_s} s, two at a time", found["bare"]
        yield Row(what=f"{what}: ffmpeg by hand", unit=PER_SECOND, values=bare)
        least = Aim(least=0.98)
        yield Row(what=f"{what}: two slots", unit=PER_SECOND, values=found["slots"], base=bare, aim=least)


def _share(worker: int) -> float:
    """Return the percentage of a core that the worker's own process used meanwhile."""
    before_s, begun_s = cpu_s(worker), time.monotonic()
    time.sleep(LOOK_S)
    return (cpu_s(worker) - before_s) / (time.monotonic() - begun_s) * 100


class _Two:
    """The same encodes through a node of two slots and by hand; both in jobs a second."""

    def __init__(self, house: Cluster, length_s: int) -> None:
        self._house, self.length_s = house, length_s
        self._commands: list[Sequence[str]] = []
        self._manifest = house.folder / "jobs.jsonl"

    def through_cluster(self) -> Mapping[str, float]:
        house = self._house
        outputs = [house.media / f"slots_{number}.mp4" for number in range(JOBS)]
        job = {"scenario": SCENARIO, "duration": f"{self.length_s}s"}
        self._manifest.write_text("".join(json.dumps({**job, "output": str(output)}) + "\n" for output in outputs))
        jobs = house.ok("jobs", "submit", "-f", str(self._manifest), "-q").split()
        # Nobody asks meanwhile: a client that follows jobs hears of each progress, and takes 0.3 % of two processors
        # with what the master does for it. When they were done the master tells.
        while not all(output.exists() for output in outputs):
            time.sleep(LOOK_EVERY_S)
        house.ok("jobs", "wait", *jobs)
        told: list[dict[str, Any]] = [house.json("jobs", "status", job) for job in jobs]
        assert all(one["job"]["state"] == "completed" for one in told), house.dump()
        for output in outputs:
            output.unlink()
        self._commands = [one["report"]["command"] for one in told]
        ended_at = max(one["job"]["finished_at"] for one in told)
        return {"slots": JOBS / (ended_at - told[0]["job"]["created_at"])}

    def by_hand(self) -> Mapping[str, float]:
        outputs = [self._house.folder / f"by_hand_{number}.mp4" for number in range(JOBS)]
        begun_s = time.monotonic()
        with ThreadPoolExecutor(SLOTS) as pool:
            list(pool.map(_encode, self._commands, outputs))
        took_s = time.monotonic() - begun_s
        for output in outputs:
            output.unlink()
        return {"bare": JOBS / took_s}


def _encode(command: Sequence[str], output: Path) -> None:
    argv = [*command[:-1], f"file:{output}"]
    # As the worker runs it: Linux shares a busy machine out by session.
    subprocess.run(
        argv,
        env=environment(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        start_new_session=True,
    )

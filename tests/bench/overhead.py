"""What the cluster costs on one file job, beyond the very ffmpeg command that it runs."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ffrtmp_worker.ffmpeg import environment
from tests.bench.measure import Aim, Of, Row, cost, in_turns
from tests.bench.plan import Plan
from tests.e2e.cluster import Cluster, cluster

PAIRS = 5
SECONDS = "5"
SCENARIO = "720p30-h264"


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Encode through a master and a worker, then by hand, over and over: a generated source, then a file."""
    with cluster(folder) as house:
        house.start_master()
        house.worker("bench")
        yield from _pairs(house, "generated source", ["--duration", SECONDS], plan)
        clip = house.media / "clip.mkv"
        (made,) = house.state("bench").glob("sources/*.mkv")
        clip.hardlink_to(made)
        yield from _pairs(house, "input file", ["--input", str(clip)], plan)


def _pairs(house: Cluster, source: str, arguments: list[str], plan: Plan) -> Iterator[Row]:
    pair = _Pair(house, arguments)
    found = in_turns(plan.rounds(PAIRS), pair.through_cluster, pair.by_hand)
    bare = found["bare"]
    yield Row(what=f"{source}: ffmpeg by hand", unit="s", values=bare)
    aim = Aim(of=Of.BEYOND, most=0.3)
    yield Row(what=f"{source}: submitted to completed", unit="s", values=found["job"], base=bare, aim=aim)
    yield Row(what=f"{source}: ffrtmp jobs submit --wait", unit="s", values=found["command"], base=bare)
    yield Row(what=f"{source}: submitted to completed, less the encode", unit="ms", values=_ms(found["around"]))
    for name in ("command begun to submitted", *_PARTS, "completed to command ended"):
        yield Row(what=f"  {name}", unit="ms", values=_ms(found[name]))


_PARTS = (
    "submitted to assigned",
    "assigned to started: a file is probed",
    "started to encoded: ffmpeg as the worker runs it",
    "encoded to completed: probe, fsync, publish",
)


class _Pair:
    """One encode through the cluster, and the same by hand."""

    def __init__(self, house: Cluster, arguments: list[str]) -> None:
        self._house = house
        self._arguments = arguments
        self._command: list[str] = []

    def through_cluster(self) -> Mapping[str, float]:
        begun_at = time.time()
        told = self._house.json("jobs", "submit", SCENARIO, *self._arguments, "--wait")
        ended_at = time.time()
        job, report = told["job"], told["report"]
        self._command = report["command"]
        created_at, finished_at = job["created_at"], job["finished_at"]
        return {
            "job": finished_at - created_at,
            "around": finished_at - created_at - report["encode_s"],
            "command": ended_at - begun_at,
            "command begun to submitted": created_at - begun_at,
            **dict(zip(_PARTS, _parts(told), strict=True)),
            "completed to command ended": ended_at - finished_at,
        }

    def by_hand(self) -> Mapping[str, float]:
        output = self._house.folder / "by_hand.mp4"
        bare = cost([*self._command[:-1], f"file:{output}"], env=environment(os.environ))
        output.unlink()
        return {"bare": bare.wall_s}


def _ms(seconds: Sequence[float]) -> list[float]:
    return [value * 1_000 for value in seconds]


def _parts(told: Mapping[str, Any]) -> list[float]:
    """Return the seconds between submitted, assigned, started, encoded and completed."""
    at = {entry["event"]: entry["at"] for entry in told["history"]}
    encode_s = told["report"]["encode_s"]
    return [
        at["assign"] - at["submit"],
        at["start"] - at["assign"],
        encode_s,
        at["complete"] - at["start"] - encode_s,
    ]

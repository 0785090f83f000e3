"""What an onlooker sees of a job, without asking the worker: its file, its processes, and its trail."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from ffrtmp_worker.probe import parse_probe, probe_command
from ffrtmp_worker.process import run_tool
from ffrtmp_worker.tools import find_tools
from ffrtmpd.lifecycle import INITIAL, JobEvent, next_state
from ffrtmpd.wire.messages.jobs import MediaInfo
from ffrtmpd.wire.vocabulary import JobState
from tests.e2e.cluster import Cluster, wait_until


def probe(path: Path) -> MediaInfo:
    """Look at a file with the tools of this machine, not with what the worker said."""
    tools = find_tools()
    return parse_probe(run_tool(probe_command(tools, f"file:{path}"), timeout_s=60).stdout, tools)


def frames_of(path: Path) -> int | None:
    video = probe(path).video
    return None if video is None else video.frames


def running_job(house: Cluster, *arguments: str) -> str:
    """Submit a job that takes a while and return its id once it encodes."""
    job_id = house.submit("720p30-h264", "--duration", "600", *arguments)

    def encodes() -> bool:
        progress = house.job(job_id)["progress"] or {}
        return (progress.get("frame") or 0) > 0

    wait_until(encodes, dump=house.dump)
    return job_id


def encoder_of(house: Cluster, job_id: str, attempt: int = 1) -> list[int]:
    """Return the process ids of the encoder that writes this attempt's partial output."""
    return processes_with(f"{job_id}.{attempt}.")


def processes_with(words: str) -> list[int]:
    """Return the process ids whose command line has these words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if words.encode() in line:
                found.append(int(entry.name))
    return found


def history(house: Cluster, job_id: str) -> list[dict[str, Any]]:
    """Return the job's trail, checked to be a path of the table with one end at most."""
    trail: list[dict[str, Any]] = house.json("jobs", "status", job_id)["history"]
    assert trail, job_id
    assert trail[0].get("from_state") is None
    assert JobState(trail[0]["to_state"]) in INITIAL
    for before, step in pairwise(trail):
        assert step["from_state"] == before["to_state"], trail
        assert next_state(JobState(step["from_state"]), JobEvent(step["event"])) == step["to_state"], trail
    assert sum(step["to_state"] == "completed" for step in trail) <= 1, trail
    return trail


def done_once(house: Cluster, job_id: str, output: Path, *, frames: int, attempt: int) -> None:
    """The job ends completed, by that attempt, with one whole file and nothing else left."""
    job = house.wait_for(job_id, "completed", "failed", "canceled")
    assert job["state"] == "completed", f"{job}\n{house.dump()}"
    assert job["attempt"] == attempt, f"{job}\n{house.dump()}"
    assert history(house, job_id)[-1]["to_state"] == "completed"
    assert frames_of(output) == frames

    def alone() -> bool:
        return [path.name for path in house.media.glob(f"{output.name}*")] == [output.name]

    wait_until(alone, dump=house.dump)
    wait_until(lambda: not processes_with(f"{job_id}."), dump=house.dump)


def stamp(text: str, *words: str) -> str | None:
    """Return when the first line of a log with these words was written; times of one form sort as text."""
    for line in text.splitlines():
        if all(word in line.split() for word in words):
            return line.split()[0].removeprefix("at=")
    return None


def listens(port: int, pid: int) -> bool:
    """Tell from the kernel's table for the network of a process, since the ingest takes but one connection."""
    line = f"0100007F:{port:04X}"
    rows = (row.split() for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    return any(row[1] == line and row[3] == "0A" for row in rows)

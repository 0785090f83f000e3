"""How long a turn takes that removes old jobs, from a file with many of them, and what the file costs to open."""

import os
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store import Store
from ffrtmpd.store.retention import JOBS_MAX
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.session import TOKEN_BYTES
from ffrtmpd.wire.vocabulary import JobState
from tests.bench.claim import filled
from tests.bench.measure import Row
from tests.bench.plan import Plan

JOBS = 200_000
STEPS = 2_000
REPORT = Report(encoder="libx264", exit_code=0, output="/out/film.mp4", log_tail="frame= 3600 fps=240\n" * 50)


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Remove the oldest of many jobs, each with five rows of history and a kilobyte of its log."""
    folder.mkdir()
    path = folder / "master.db"
    part = 10 if plan.quick else 1
    jobs, steps = JOBS // part, STEPS // part
    _fill(path, jobs)
    # Whatever the page cache has of it goes, as on a master that has not looked back for weeks.
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begun_s = time.perf_counter()
    store = Store.open(path)
    opened_s = time.perf_counter() - begun_s
    took_ms, gone = [], 0
    for _ in range(steps):
        begun_s = time.perf_counter()
        store.begin()
        gone += len(store.purge(JobState.COMPLETED, 3.0).jobs)
        store.commit()
        took_ms.append((time.perf_counter() - begun_s) * 1e3)
    store.close()
    assert gone == steps * JOBS_MAX
    took_ms.sort()
    yield Row(what=f"a master's file with {jobs:,} jobs, to open it", unit="s", values=[opened_s])
    yield Row(what=f"a turn that removes {JOBS_MAX} old jobs", unit="ms", values=[statistics.median(took_ms), *took_ms])
    yield Row(what="  its 99th percentile", unit="ms", values=[took_ms[int(0.99 * len(took_ms))]])


def _fill(path: Path, count: int) -> None:
    """Make a file of completed jobs: one that went through the store, and copies of it and its history."""
    store = filled(path, 1)
    store.begin()
    row = store.apply(1, JobEvent.ASSIGN, at=1.0, who="bench", node_id="node-1", token=b"t" * TOKEN_BYTES)
    store.apply(1, JobEvent.START, at=1.0, who="node-1")
    store.update(1, state=JobState.PROCESSING, attempt=row.attempt, report=REPORT)
    store.apply(1, JobEvent.COMPLETE, at=2.0, who="node-1")
    store.commit()
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = OFF")
        numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
        for table, changed in (
            ("jobs", {"key": "lower(hex(randomblob(16)))"}),
            ("audit", {"job_seq": "n + 1"}),
        ):
            number = "seq" if table == "jobs" else "id"
            names = [name for _, name, *_ in file.execute(f"PRAGMA table_info({table})") if name != number]
            values = ", ".join(changed.get(name, name) for name in names)
            one = "jobs.seq = 1" if table == "jobs" else "audit.job_seq = 1"
            file.execute(
                f"{numbers}INSERT INTO {table} ({', '.join(names)}) "  # noqa: S608 - names of the tables' own columns
                f"SELECT {values} FROM numbers CROSS JOIN {table} WHERE {one}",
                (count,),
            )
        # A row of today, so that the newest is not an old job's.
        file.execute(
            "INSERT INTO audit (job_seq, at, to_state, event, who, attempt) VALUES (0, 9.0, '', 'started', 'bench', 0)"
        )

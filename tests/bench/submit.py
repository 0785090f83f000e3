"""Submits a second that are on disk when they are answered, beside bare SQLite with the same tables."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ffrtmp_tui import contexts
from ffrtmp_tui.link import Link, new_id
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit, Submitted
from tests.bench.measure import Aim, Of, Row, cost, in_turns
from tests.bench.plan import Plan
from tests.e2e.cluster import BIN, cluster

ROUNDS = 5
SINGLE = 200
BULK = 1_000
LINES = 100_000
FEW_LINES = 2_000
FILES = 3


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Submit one by one and by the thousand, each beside the same rows put into a file of SQLite alone."""
    with cluster(folder) as house:
        house.start_master()
        context = contexts.resolve(house.env)
        with Link(context.master, context.server_key, context.key_pair()) as link:
            _submit(link, 1)
            bare = Bare(house.home / "master.db", folder / "bare.db")
            found = in_turns(
                plan.rounds(ROUNDS),
                lambda: {"single": _rate(partial(_submit, link), SINGLE, 1)},
                lambda: {"bare single": _rate(bare.insert, SINGLE, 1)},
                lambda: {"bulk": _rate(partial(_submit, link), 1, BULK)},
                lambda: {"bare bulk": _rate(bare.insert, 1, BULK)},
            )
            bare.close()
        lines = FEW_LINES if plan.quick else LINES
        manifest = folder / "jobs.jsonl"
        manifest.write_text('{"scenario": "720p30-h264"}\n' * lines)
        argv = [str(BIN / "ffrtmp"), "jobs", "submit", "-f", str(manifest), "-q"]
        files = [cost(argv, env=house.env) for _ in range(plan.rounds(FILES))]
    yield Row(what="SQLite alone, a commit each", unit="/s", values=found["bare single"])
    yield Row(what="submits one at a time, vs SQLite", unit="/s", values=found["single"], base=found["bare single"])
    yield Row(what=f"SQLite alone, {BULK:,} a commit", unit="/s", values=found["bare bulk"])
    yield Row(what=f"submits by {BULK:,}, vs SQLite", unit="/s", values=found["bulk"], base=found["bare bulk"])
    what, aim = f"ffrtmp jobs submit -f, {lines:,} lines", Aim(of=Of.MEDIAN, most=15.0)
    yield Row(what=what, unit="s", values=[taken.wall_s for taken in files], aim=aim)
    yield Row(what="  processor time of the command", unit="s", values=[taken.cpu_s for taken in files])


def _submit(link: Link, count: int) -> None:
    jobs = tuple(Submission(key=new_id(), spec=JobSpec(scenario="720p30-h264")) for _ in range(count))
    reply = link.ask(Submit(request_id=new_id(), jobs=jobs), Submitted)
    refused = [result.problem for result in reply.results if result.job_id is None]
    if refused:
        raise RuntimeError(f"{len(refused)} of {count} were refused, such as {refused[0]}")


def _rate(add: Callable[[int], None], times: int, at_once: int) -> float:
    """Return jobs a second, added ``times`` times so many ``at_once``."""
    begun_s = time.perf_counter()
    for _ in range(times):
        add(at_once)
    return times * at_once / (time.perf_counter() - begun_s)


class Bare:
    """The master's tables in a file of their own, filled without the master.

    Every job is a copy of the one that the master's file holds, with the rows of its history; only its key is new.
    """

    def __init__(self, master: Path, path: Path) -> None:
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = FULL")
        with closing(sqlite3.connect(f"file:{master}?mode=ro", uri=True)) as source:
            source.row_factory = sqlite3.Row
            for (statement,) in source.execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"):
                self._file.execute(statement)
            self._job = _without(dict(source.execute("SELECT * FROM jobs").fetchone()), "seq")
            self._audit = _without(dict(source.execute("SELECT * FROM audit").fetchone()), "id")
        self._add_job = _insert("jobs", self._job)
        self._add_audit = _insert("audit", self._audit)

    def insert(self, count: int) -> None:
        """Add jobs and commit once."""
        self._file.execute("BEGIN IMMEDIATE")
        for _ in range(count):
            added = self._file.execute(self._add_job, {**self._job, "key": new_id()})
            self._file.execute(self._add_audit, {**self._audit, "job_seq": added.lastrowid})
        self._file.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def _insert(table: str, row: Mapping[str, Any]) -> str:
    # The names are those of the tables' own columns.
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"  # noqa: S608

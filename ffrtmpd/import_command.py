"""``ffrtmpd import-db FILE``: takes over the jobs of the Go project's master, in one transaction.

It says what could not be taken, row by row.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ffrtmpd.broker.settings import Retention
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.old_jobs import WHO, Brought, CannotBringIn, bring, shown
from ffrtmpd.scenario import Scenarios
from ffrtmpd.store import JobRow, Store, StoreError, open_old
from ffrtmpd.wire.vocabulary import JobState

# Jobs, with their logs, that are held in memory at once; more of them may be a gigabyte.
HANDED_OVER: Final = 1_000
EXAMPLES: Final = """\
examples:
  ffrtmpd import-db --dry-run /var/lib/ffmpeg-rtmp/master.db   say what would be imported
  ffrtmpd import-db /var/lib/ffmpeg-rtmp/master.db

FILE is the SQLite database of ffmpeg-rtmp's master, of any of its releases; stop that master first, or what it goes on
to do is not in the copy. ffrtmpd must be stopped too. FILE is only read.

Jobs that are over come with state, times, reason and the end of their logs. Those that wait are queued here, those that
ran begin anew, those that were paused are held until they are resumed. Each job keeps its id as the label old-id, so a
second import adds nothing that is here already. Nodes have no keys that could be taken over: invite each
(ffrtmp keys invite NAME --role worker).

exit codes: 0 every job is here, 1 some could not be taken (the rest is here; the report says which and why), 65 the
file is no such database, 78 settings or the database of this master cannot be used; with 65 and 78 nothing was changed
"""


@dataclass(slots=True)
class Report:
    """What became of each job. ``taken`` counts by state, ``refused`` and ``noted`` say why, by job."""

    taken: Counter[JobState] = field(default_factory=Counter)
    known: int = 0
    began: int = 0
    later: int = 0
    too_old: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    noted: list[tuple[str, str]] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)

    def lines(self, file: Path, *, dry_run: bool) -> Iterator[str]:
        """Yield the report as lines for people."""
        total = sum(self.taken.values())
        yield f"{'would import' if dry_run else 'imported'} {_jobs(total)} from {file}"
        for state, number in sorted(self.taken.items()):
            began = f", {self.began} of them ran and begin anew" if state is JobState.QUEUED and self.began else ""
            yield f"  {number:>7} {'held' if state is JobState.PAUSED else state}{began}"
        if self.known:
            yield f"{_jobs(self.known)} of it {'is' if self.known == 1 else 'are'} here already"
        if self.later:
            yield (
                f"{_jobs(self.later)} count as submitted after those that were here before; their own time is the "
                "label created"
            )
        if self.too_old:
            yield (
                f"{_jobs(self.too_old)} ended longer ago than this master keeps them and will be removed once it runs: "
                "to keep them, set retention in ffrtmpd.toml first"
            )
        yield from _listed(f"could not import {_jobs(len(self.refused))}", self.refused)
        yield from _listed("imported with a change", self.noted)
        if self.nodes:
            yield "nodes to invite (ffrtmp keys invite NAME --role worker)"
            yield from (f"  {node}" for node in self.nodes)


def run(database: Path, scenarios: Scenarios, file: Path, *, kept: Retention, dry_run: bool) -> Report:
    """Bring the jobs of ``file`` into ``database``, all that can be or, if anything else fails, none.

    Args:
        database: this master's.
        scenarios: what names mean here.
        file: the Go project's database.
        kept: how long this master keeps what is over.
        dry_run: leave ``database`` as it is.

    Raises:
        NotOurs: ``file`` is no database of the Go project.
        StoreError: ``database`` is not there, in use, or takes no writes.
    """
    if not database.is_file():
        raise StoreError(f"there is no database {database}: run ffrtmpd init")
    report = Report()
    now = time.time()
    with open_old(file) as old:
        store = Store.open(database)
        try:
            store.begin()
            names = {str(node.get("id")): str(node.get("name") or node.get("address")) for node in old.nodes}
            report.nodes = [_node(node) for node in old.nodes]
            newest = store.newest_created_at()
            around = _Circumstances(scenarios, names, now, kept)
            for number, row in enumerate(old.jobs, start=1):
                newest = _take(store, report, row, around, newest)
                if number % HANDED_OVER == 0:
                    store.flush()
            if dry_run:
                store.rollback()
            else:
                store.commit()
        finally:
            # An unfinished turn is undone.
            store.close()
    return report


@dataclass(frozen=True, slots=True)
class _Circumstances:
    scenarios: Scenarios
    nodes: Mapping[str, str]
    now: float
    kept: Retention

    def is_too_old(self, job: JobRow) -> bool:
        """Tell whether a job is one that the master will remove."""
        if job.finished_at is None:
            return False
        kept_s = self.kept.of(job.state)
        return 0 < kept_s < self.now - job.finished_at


def _take(store: Store, report: Report, row: Mapping[str, Any], around: _Circumstances, newest: float) -> float:
    """Bring one job in and return when the newest job here was submitted."""
    try:
        brought = bring(row, around.scenarios, around.nodes, around.now)
    except CannotBringIn as error:
        report.refused.append((_name(row), shown(error, 500)))
        return newest
    # Lists by age take the order of the numbers for that of the submits.
    created_at = max(brought.created_at, newest)
    added = _add(store, brought, created_at, around.now)
    if added is None:
        report.known += 1
        return newest
    report.taken[added.state] += 1
    report.began += brought.began
    report.too_old += around.is_too_old(added)
    report.later += created_at > brought.created_at
    report.noted += [(_name(row), note) for note in brought.notes]
    return created_at


def _add(store: Store, brought: Brought, created_at: float, now: float) -> JobRow | None:
    added = store.bring_in(brought.new, brought.past, created_at=created_at, at=now)
    if added is None or not brought.held:
        return added
    why = "was paused in the Go project"
    return store.apply(added.seq, JobEvent.HOLD, at=now, who=WHO, why=why)


def _jobs(number: int) -> str:
    return f"{number} job{'' if number == 1 else 's'}"


def _name(row: Mapping[str, Any]) -> str:
    number, identity = row.get("sequence_number"), row.get("id")
    name = f"job {shown(identity, 64)}" if identity is not None else "a job without an id"
    return name if number is None else f"{name} (number {shown(number, 20)})"


def _listed(title: str, entries: list[tuple[str, str]]) -> Iterator[str]:
    if entries:
        yield title
        yield from (f"  {name}: {what}" for name, what in entries)


def _node(node: Mapping[str, Any]) -> str:
    """Return a line about a node: what it is called, where it is, and what it has."""
    name = shown(node.get("name") or node.get("id") or "-", 64)
    parts = [
        shown(node.get("address") or "", 128),
        f"{threads} threads" if isinstance(threads := node.get("cpu_threads"), int) else "",
        shown(node.get("cpu_model") or "", 64),
        shown(node.get("gpu_type") or "", 64) if node.get("has_gpu") else "",
        f"{memory / 2**30:.0f} GiB"
        if isinstance(memory := node.get("ram_total_bytes", node.get("ram_bytes")), int)
        else "",
    ]
    return "  ".join([name, ", ".join(part for part in parts if part)]).strip()

"""The store: jobs and their transitions, keys and nodes, on one SQLite connection of one thread."""

import dataclasses
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Self, Unpack

from ffrtmpd.lifecycle import INITIAL, JobEvent
from ffrtmpd.store import effects, happened, hot, queries, retention
from ffrtmpd.store.errors import KeyConflict, StaleAttempt, StoreError
from ffrtmpd.store.files import Database, open_database
from ffrtmpd.store.orders import NewJob, new_row
from ffrtmpd.store.reader import Reader
from ffrtmpd.store.records import JOB_COLUMNS, JobChanges, JobRow, JobUpdate, Past, Step
from ffrtmpd.store.retention import Purged
from ffrtmpd.store.upgrade import Upgrade
from ffrtmpd.wire.vocabulary import JobState, Priority, Queue

_ASSIGN: Final = JobEvent.ASSIGN
_ATTEMPT, _NODE_ID = map(JOB_COLUMNS.index, ("attempt", "node_id"))


class Store(Reader):
    """What the master knows that must outlive it.

    Writes belong to a turn: ``begin``, any number of them, then ``commit`` or ``rollback``. Reads see them at once. Any
    write, and the commit, may raise ``StoreReadOnly``: then all of the turn is undone and only ``rollback`` is left.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._cluster_id = ""

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """Open the database at ``path``, made if there is none; None for one in memory.

        Raises:
            StoreError: it is damaged, newer than this program, another program's, in use, or cannot be written.
        """
        database = open_database(path)
        store = cls(database)
        try:
            store._load()
        except StoreError as error:
            store.close()
            raise StoreError(f"cannot use the database {path}: {error}") from error
        return store

    def close(self) -> None:
        """Undo an unfinished turn and close the file. A closed store may be closed again."""
        if not self._database.peewee.is_closed():
            self._turn.rollback()
        self._database.close()

    @property
    def upgrade(self) -> Upgrade | None:
        """How the schema changed when it was opened, None if it did not."""
        return self._database.upgrade

    # ── the turn ──────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Start a turn. One that writes nothing costs nothing."""
        if self.is_writing:
            raise RuntimeError("the turn before was neither committed nor rolled back")
        self._turn.begin()
        self._moved.clear()

    def commit(self) -> None:
        """Put the turn's writes on the disk.

        Raises:
            StoreReadOnly: the disk took them not; all are undone, and ``rollback`` ends the turn.
        """
        self._turn.commit()
        for cell, number in self._moved.items():
            self._counts[cell] += number
        self._moved.clear()
        self._rows.committed()

    def rollback(self) -> None:
        """Undo the turn's writes."""
        self._turn.rollback()
        self._moved.clear()
        self._rows.rolled_back()

    def flush(self) -> None:
        """Hand what was written to SQLite: reads, and the commit, do it by themselves.

        Raises:
            StoreReadOnly: the turn is undone.
        """
        self._rows.flush()

    @property
    def is_writing(self) -> bool:
        """Whether the turn has anything to commit."""
        return self._rows.is_writing or self._database.connection.in_transaction

    # ── the cluster ───────────────────────────────────────────────────────────────────────────────────────────────

    def epoch_up(self) -> int:
        """Raise the epoch by one and return it; the first is 1. It holds once committed."""
        epoch = int(self._fact("epoch") or 0) + 1
        self._put_fact("epoch", str(epoch))
        return epoch

    def longest_lease(self) -> float:
        """Return the longest lease in seconds that a push may still have; 0 if none was ever kept."""
        return float(self._fact("longest_lease_s") or 0.0)

    def keep_longest_lease(self, lease_s: float) -> None:
        """Keep the longest lease that a push may have, in seconds; nothing is written when it is the same."""
        if self.longest_lease() != lease_s:
            self._put_fact("longest_lease_s", repr(lease_s))

    def cluster_id(self) -> str:
        """Return the random name that this database was given when it was made: 16 hexadecimal digits."""
        return self._cluster_id

    def figures(self) -> dict[str, float]:
        """Return every counter by name."""
        return {str(name): float(value) for name, value in self._turn.read(hot.GET_FIGURES)}

    def add_figures(self, changes: Mapping[str, float]) -> None:
        """Count counters up; one that is not there begins at 0."""
        self._turn.add_rows(hot.add_figures, list(changes.items()))

    # ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def foresee(self, keys: Iterable[str]) -> None:
        """Look up at once the keys of the jobs that this turn will add one after the other: a tenth of their cost."""
        self._rows.foresee(keys)

    def add(self, job: NewJob, at: float) -> tuple[JobRow, bool]:
        """Add a job and return it with True, or the job that has this key already with False.

        Args:
            job: what to add.
            at: when, Unix seconds.

        Raises:
            KeyConflict: the key is known with another spec.
            ValueError: a job cannot begin in that state.
        """
        if job.state not in INITIAL:
            raise ValueError(f"a job cannot begin as {job.state}")
        before = self._rows.by_key(job.key)
        if before is not None:
            # Rows from before 0.1 was finished have digests of another form.
            if before.digest != job.order.digest and before.spec != job.order.spec:
                raise KeyConflict(job.key, before.job_id)
            return before, False
        row = new_row(self._rows.next_number(), job, at)
        self._rows.add(row)
        self._rows.audit((row.seq, at, None, row.state._value_, "submit", job.who, job.reason, 0, None))
        return row, True

    def bring_in(self, job: NewJob, past: Past | None, *, created_at: float, at: float) -> JobRow | None:
        """Add a job that another program has kept until ``at``, and return it; None if its key is known here.

        Args:
            job: what it is.
            past: what became of it; None: it is to be done here, and waits from now on.
            created_at: when it was submitted, Unix seconds. Lists by age take the numbers of jobs for their order, so
                this must not be before the newest here.
            at: now, Unix seconds.
        """
        try:
            row, is_new = self.add(job, created_at)
        except KeyConflict:
            return None
        if not is_new:
            return None
        if past is None:
            return self._rows.change(row, list(row._replace(state_at=at)))
        told = {field.name: getattr(past, field.name) for field in dataclasses.fields(past) if field.name != "report"}
        columns = list(row._replace(**told, state_at=past.finished_at))
        effects.put(columns, {"report": past.report})
        after = self._rows.change(row, columns)
        state, attempt, node_id = after.state._value_, after.attempt, after.node_id
        self._rows.audit(
            (row.seq, past.finished_at, row.state._value_, state, "import", job.who, past.reason, attempt, node_id)
        )
        return after

    def newest_created_at(self) -> float:
        """Return when the newest job was submitted (Unix seconds), 0 if there is none."""
        newest = self.jobs(limit=1)
        return newest[0].created_at if newest else 0.0

    def apply(
        self,
        seq: int,
        event: JobEvent,
        *,
        at: float,
        who: str,
        why: str | None = None,
        expect_attempt: int | None = None,
        **changes: Unpack[JobChanges],
    ) -> JobRow:
        """Let ``event`` happen to a job and return the job after it.

        Set without being asked, unless ``changes`` says otherwise: ``reason`` is ``why`` where the job waits, stands
        or has not ended well, else None. ``assign`` counts ``attempt`` up and forgets the outcome of the attempt
        before. ``start`` sets ``started_at`` and the phase. A terminal state sets ``finished_at``, forgets token and
        phase, and keeps the node for its logs. A state without a node forgets node, token, phase and progress.
        ``retry`` forgets every outcome and counts failures and losses anew. ``due_at`` is kept by a pending job alone.

        Args:
            seq: the job.
            event: what happened.
            at: when, Unix seconds.
            who: principal or ``master``.
            why: reason, for the audit row and the job.
            expect_attempt: refuse unless the job is at this attempt; None for acts that are about no attempt.
            changes: more to set; ``assign`` needs ``node_id`` and ``token``.

        Raises:
            NoSuchJob: no such job.
            StaleAttempt: the job is at another attempt.
            IllegalTransition: it cannot happen to a job in that state.
        """
        return self.walk(seq, ((event, why, changes),), at=at, who=who, expect_attempt=expect_attempt)

    def walk(
        self, seq: int, steps: Iterable[Step], *, at: float, who: str, expect_attempt: int | None = None
    ) -> JobRow:
        """Let one thing after the other happen to a job at one moment, as ``apply`` does; each has its audit row.

        Raises:
            NoSuchJob, StaleAttempt, IllegalTransition: nothing of it has happened.
        """
        row = self._rows.need(seq)
        if expect_attempt is not None and expect_attempt != row.attempt:
            raise StaleAttempt(f"{row.job_id} is at attempt {row.attempt}, not {expect_attempt}")
        columns, told = list(row), []
        for event, why, changes in steps:
            if event is _ASSIGN:
                _check_assignment(row, changes)
            was, now = effects.let_happen(columns, event, why, at)
            effects.put(columns, changes)
            node_id = columns[_NODE_ID] or row.node_id
            told.append((seq, at, was._value_, now._value_, event._value_, who, why, columns[_ATTEMPT], node_id))
        after = self._rows.change(row, columns)
        self._rows.audit(*told)
        return after

    def update(self, seq: int, *, state: JobState, attempt: int, **changes: Unpack[JobUpdate]) -> JobRow:
        """Change a job that stays in its state, and return it after that. No audit row is written.

        Raises:
            NoSuchJob: no such job.
            StaleAttempt: the job is in another state or at another attempt.
        """
        row = self._rows.need(seq)
        if row.state is not state or row.attempt != attempt:
            raise StaleAttempt(f"{row.job_id} is {row.state} at attempt {row.attempt}, not {state} at {attempt}")
        columns = list(row)
        effects.put(columns, changes)
        return self._rows.change(row, columns) if changes else row

    def purge(self, state: JobState, before: float) -> Purged:
        """Take one small step to remove the jobs in a final state that finished before then; see `retention`."""
        purged = retention.purge_jobs(self._turn, state, before)
        for seq, cell in purged.jobs:
            self._rows.forget(seq)
            self._moved[cell] -= 1
        return purged

    def purge_events(self, before: float) -> int:
        """Take one small step to remove what happened to nodes and keys before then; see `retention`."""
        return retention.purge_events(self._turn, before)

    def add_event(self, event: str, *, at: float, who: str, why: str | None, node_id: str | None) -> None:
        """Record what happened to a node or a key, in one order with the transitions of jobs."""
        self._rows.audit((happened.NO_JOB, at, None, "", event, who, why, 0, node_id))

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self) -> None:
        """Read what is kept in memory, and name the cluster if this database is new."""
        for state, queue, priority, number in self._ask(queries.cells()):
            self._counts[JobState(state), Queue(queue), Priority(priority)] = number
        known = self._fact("cluster_id")
        if known is None:
            known = secrets.token_hex(8)
            self.begin()
            self._put_fact("cluster_id", known)
            self.commit()
        self._cluster_id = known

    def _fact(self, name: str) -> str | None:
        found = self._turn.read(hot.GET_FACT, (name,))
        return str(found[0][0]) if found else None

    def _put_fact(self, name: str, value: str) -> None:
        self._turn.write(hot.PUT_FACT, (name, value))


def _check_assignment(row: JobRow, changes: JobChanges) -> None:
    """Refuse an assignment that the attempt before could be mistaken for."""
    if not (changes.get("node_id") and changes.get("token")):
        raise TypeError("assign takes node_id and token")
    if changes.get("attempt", row.attempt + 1) <= row.attempt:
        raise ValueError(f"{row.job_id} has had attempt {row.attempt} already")

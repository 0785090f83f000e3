"""The store: jobs and their transitions, keys and nodes, on one SQLite connection of one thread."""

import dataclasses
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self, Unpack

from ffrtmpd.lifecycle import INITIAL, JobEvent, next_state
from ffrtmpd.store import ended, happened, hot, queries, retention, search, windows
from ffrtmpd.store.effects import columns_of, consequences
from ffrtmpd.store.ended import Edge, Ended
from ffrtmpd.store.errors import KeyConflict, StaleAttempt, StoreError
from ffrtmpd.store.files import Database, open_database
from ffrtmpd.store.records import (
    SPECS,
    Head,
    JobChanges,
    JobRow,
    JobUpdate,
    NewJob,
    Past,
    audit_entry,
    digest_of,
    job_row,
    new_row,
)
from ffrtmpd.store.registrar import Registrar
from ffrtmpd.store.retention import Purged
from ffrtmpd.store.rows import Rows
from ffrtmpd.store.search import Found, Search
from ffrtmpd.store.upgrade import Upgrade
from ffrtmpd.wire.messages.jobs import AuditEntry
from ffrtmpd.wire.messages.overview import Event
from ffrtmpd.wire.vocabulary import JobState, Priority, Queue, SortKey

Cell = tuple[JobState, Queue, Priority]
# Counting further would hold up the turn, and nobody asks who is in place 1,001.
PLACES_MAX: Final = 1_000
_QUEUES: Final = list(Queue)
_PRIORITIES: Final = list(Priority)


class Store(Registrar):
    """What the master knows that must outlive it.

    Writes belong to a turn: ``begin``, any number of them, then ``commit`` or ``rollback``. Reads see them at once. Any
    write, and the commit, may raise ``StoreReadOnly``: then all of the turn is undone and only ``rollback`` is left.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._rows = Rows(self._turn, self._note_move)
        self._counts: Counter[Cell] = Counter()
        self._moved: Counter[Cell] = Counter()
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
        self._counts.update(self._moved)
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
        if changes:
            self._turn.write_many(hot.ADD_FIGURE, changes.items())

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
        spec_json = SPECS.dump(job.spec)
        before = self._rows.by_key(job.key)
        if before is not None:
            # Rows from before 0.1 was finished have digests of another form.
            if before.digest != digest_of(spec_json) and before.spec != job.spec:
                raise KeyConflict(job.key, before.job_id)
            return before, False
        row = new_row(self._rows.next_number(), job, spec_json, at)
        self._rows.add(row)
        self._rows.audit(row.seq, at, None, row.state._value_, "submit", job.who, job.reason, 0, None)
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
            return self._rows.change(row, {"state_at": at})
        columns = dict(columns_of({"report": past.report})) | {
            field.name: getattr(past, field.name) for field in dataclasses.fields(past) if field.name != "report"
        }
        after = self._rows.change(row, {**columns, "state_at": past.finished_at})
        self._rows.audit(
            row.seq,
            past.finished_at,
            row.state._value_,
            after.state._value_,
            "import",
            job.who,
            past.reason,
            after.attempt,
            after.node_id,
        )
        return after

    def newest_created_at(self) -> float:
        """Return when the newest job was submitted (Unix seconds), 0 if there is none."""
        newest = self.jobs(limit=1)
        return newest[0].created_at if newest else 0.0

    def job(self, seq: int) -> JobRow | None:
        """Return a job, None if there is none with that number."""
        return self._rows.get(seq)

    def head(self, requires: str) -> Head | None:
        """Return the next job of a requirement class, None if none is queued."""
        heads = self.heads(requires, 1)
        return heads[0] if heads else None

    def heads(self, requires: str, limit: int) -> list[Head]:
        """Return the next jobs of a requirement class in the order of work."""
        return [Head(seq, rank) for rank, seq in self._rows.heads.first(requires, limit)]

    def ready_classes(self) -> dict[str, int]:
        """Return how many jobs are queued by requirement class; it reads them all."""
        return dict(self._ask(queries.ready_classes()))

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

        Set without being asked, unless ``changes`` says otherwise: ``reason`` is ``why``. ``assign`` counts ``attempt``
        up and forgets the outcome of the attempt before. ``start`` sets ``started_at`` and the phase. A terminal state
        sets ``finished_at``, forgets token and phase, and keeps the node for its logs. A state without a node forgets
        node, token, phase and progress. ``retry`` forgets every outcome and counts failures and losses anew. ``due_at``
        is kept by a pending job alone.

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
        row = self._rows.need(seq)
        if expect_attempt is not None and expect_attempt != row.attempt:
            raise StaleAttempt(f"{row.job_id} is at attempt {row.attempt}, not {expect_attempt}")
        on_node = _has_node(row)
        target = next_state(row.state, event, on_node=on_node)
        if event is JobEvent.ASSIGN:
            _check_assignment(row, changes)
        columns = consequences(row, event, target, at)
        columns["reason"] = why
        columns.update(columns_of(changes))
        after = self._rows.change(row, columns)
        self._rows.audit(
            seq,
            at,
            row.state._value_,
            target._value_,
            event._value_,
            who,
            why,
            after.attempt,
            after.node_id or row.node_id,
        )
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
        columns = columns_of(changes)
        return self._rows.change(row, columns) if columns else row

    def waiting(self) -> list[tuple[int, float]]:
        """Return number and due time of the pending jobs, soonest first. One without a due time is due at 0."""
        rows = self._ask(queries.waiting())
        return sorted(((seq, due_at or 0.0) for seq, due_at in rows), key=lambda entry: (entry[1], entry[0]))

    def held_by_nodes(self) -> list[JobRow]:
        """Return the jobs that a node holds, by number."""
        return [job_row(values) for values in self._ask(queries.held_by_nodes())]

    def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        queues: Sequence[Queue] = (),
        node_id: str | None = None,
        limit: int = 100,
        before_seq: int | None = None,
        after_seq: int | None = None,
        oldest_first: bool = False,
    ) -> list[JobRow]:
        """Return a window of the jobs in the order of their submit.

        Args:
            states: only these; none: all.
            queues: only these; none: all.
            node_id: only jobs that this node holds or held last.
            limit: jobs at most.
            before_seq: only jobs with a smaller number: the last of the window before, newest first.
            after_seq: only jobs with a greater number: the last of the window before, oldest first.
            oldest_first: else newest first.
        """
        found = windows.find(
            self._turn.read,
            states=states,
            queues=queues,
            node_id=node_id,
            limit=limit,
            bounds=(after_seq, before_seq),
            oldest_first=oldest_first,
        )
        return [row for seq in found if (row := self._rows.look(seq)) is not None]

    def search(
        self, wanted: Search, *, limit: int, bounds: tuple[int | None, int | None], oldest_first: bool = False
    ) -> Found:
        """Return a window of the jobs that fit; see `search.find`."""
        return search.find(self._turn.read, wanted, limit=limit, bounds=bounds, oldest_first=oldest_first)

    def ended(self, wanted: Search, *, limit: int, edge: Edge | None, descending: bool) -> Ended:
        """Return a window of the jobs that fit and have ended, by when they did; see `ended.find`."""
        return ended.find(self._turn.read, wanted, limit=limit, edge=edge, descending=descending)

    def count_matches(self, wanted: Search) -> int:
        """Return how many jobs fit a search that an index counts."""
        if wanted.node_id is None and wanted.created_after is None and wanted.created_before is None:
            return sum(
                number
                for (state, queue, priority), number in self.counts().items()
                if (not wanted.states or state in wanted.states)
                and (not wanted.queues or queue in wanted.queues)
                and (not wanted.priorities or priority in wanted.priorities)
            )
        return search.count(self._turn.read, wanted)

    def in_order(self, seqs: Sequence[int], key: SortKey, *, descending: bool) -> list[int]:
        """Return jobs by a column; those without a value come last, equal ones newest first."""
        return search.in_order(self._turn.read, seqs, key, descending=descending)

    def count(
        self, *, states: Sequence[JobState] = (), queues: Sequence[Queue] = (), node_id: str | None = None
    ) -> int:
        """Return how many jobs match; nothing given matches all."""
        if node_id is None:
            return sum(
                number
                for (state, queue, _), number in self.counts().items()
                if (not states or state in states) and (not queues or queue in queues)
            )
        return int(self._ask(queries.count_of_node(node_id, states, queues))[0][0])

    def counts(self) -> dict[Cell, int]:
        """Return how many jobs there are by state, queue and priority, kept up to date in memory; zeros are absent."""
        self._rows.flush()
        total = self._counts.copy()
        total.update(self._moved)
        return {cell: number for cell, number in total.items() if number}

    def place(self, row: JobRow) -> int | None:
        """Return a queued job's place in the order of work, from 1; None beyond the first ``PLACES_MAX`` of its kind.

        Jobs before it may need another node than it does, so it can be served sooner.
        """
        ahead = len(self._ask(queries.waiting_before(row.queue, row.priority, row.seq, PLACES_MAX)))
        if ahead == PLACES_MAX:
            return None
        return 1 + ahead + sum(number for cell, number in self.counts().items() if _goes_before(cell, row))

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

    def history(self, seq: int, limit: int = 1_000) -> list[AuditEntry]:
        """Return the last transitions of a job, oldest first."""
        return [audit_entry(values) for values in reversed(self._ask(queries.history(seq, limit)))]

    def node_of_attempt(self, seq: int, attempt: int) -> str | None:
        """Return the node that was given an attempt, None if there was no such attempt."""
        found = self._ask(queries.node_of_attempt(seq, attempt))
        return str(found[0][0]) if found else None

    # ── what happened ─────────────────────────────────────────────────────────────────────────────────────────────

    def add_event(self, event: str, *, at: float, who: str, why: str | None, node_id: str | None) -> None:
        """Record what happened to a node or a key, in one order with the transitions of jobs."""
        self._rows.audit(happened.NO_JOB, at, None, "", event, who, why, 0, node_id)

    def last_event(self) -> int:
        """Return the number of the newest event, 0 if there is none."""
        return happened.last(self._turn.read)

    def newest_events(self, *, job: str | None, node_id: str | None, limit: int) -> list[Event]:
        """Return the last events, oldest first and ``limit`` at most."""
        return happened.newest(self._turn.read, job=job, node_id=node_id, limit=limit)

    def events_after(self, since: int, *, job: str | None, node_id: str | None, limit: int) -> tuple[list[Event], int]:
        """Return the events behind ``since``, oldest first, and the number to go on from."""
        return happened.after(self._turn.read, since, job=job, node_id=node_id, limit=limit)

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

    def _note_move(self, before: JobRow | None, after: JobRow) -> None:
        if before is not None:
            self._moved[before.state, before.queue, before.priority] -= 1
        self._moved[after.state, after.queue, after.priority] += 1

    def _fact(self, name: str) -> str | None:
        found = self._turn.read(hot.GET_FACT, (name,))
        return str(found[0][0]) if found else None

    def _put_fact(self, name: str, value: str) -> None:
        self._turn.write(hot.PUT_FACT, (name, value))


def _goes_before(cell: Cell, row: JobRow) -> bool:
    state, queue, priority = cell
    before = (_QUEUES.index(queue), _PRIORITIES.index(priority)) < (
        _QUEUES.index(row.queue),
        _PRIORITIES.index(row.priority),
    )
    return state is JobState.QUEUED and before


def _has_node(row: JobRow) -> bool | None:
    if row.state is JobState.PAUSED:
        return row.node_id is not None
    if row.state is JobState.QUEUED:
        return row.lost_node is not None
    return None


def _check_assignment(row: JobRow, changes: JobChanges) -> None:
    """Refuse an assignment that the attempt before could be mistaken for."""
    if not (changes.get("node_id") and changes.get("token")):
        raise TypeError("assign takes node_id and token")
    if changes.get("attempt", row.attempt + 1) <= row.attempt:
        raise ValueError(f"{row.job_id} has had attempt {row.attempt} already")

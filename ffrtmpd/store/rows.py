"""The rows of jobs that the present turns are about: read once, changed in memory, written together.

A turn's changes of one job are one write, and all writes of a kind go to SQLite in a few calls: that takes a fifth of
what a call for each would. They are written before anything else is read, and before the turn is committed.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import compress
from operator import is_not
from types import NoneType
from typing import Any, Final

from ffrtmpd.store import hot
from ffrtmpd.store.errors import NoSuchJob, StaleAttempt
from ffrtmpd.store.heads import Heads
from ffrtmpd.store.records import JOB_COLUMNS, Head, JobRow, columns_at, job_id, job_row, row_of
from ffrtmpd.store.turn import Turn
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState

# Between turns so many rows stay, those changed last: the jobs that nodes hold, and what was just submitted.
KEPT: Final = 4_096
_FIRST: Final = hot.CHANGING.start
_SEQ, _STATE, _ATTEMPT = map(JOB_COLUMNS.index, ("seq", "state", "attempt"))
# For every job: in Python 3.11 a member of an enumeration takes longer to look up.
_QUEUED: Final = JobState.QUEUED
# Told of the jobs that have left a state, as they were, and of those that have come into one, as they are.
Moved = Callable[[Collection[JobRow], Collection[JobRow]], None]


class Rows:
    """Reads and writes jobs and what happened.

    Args:
        turn: the transaction.
        moved: is told of jobs that come into a state when that is written.
    """

    def __init__(self, turn: Turn, moved: Moved) -> None:
        self._turn = turn
        self._moved = moved
        self._known: dict[int, JobRow] = {}
        # To be written: rows that are new, rows that are on disk as they were before the turn, and audit rows.
        self._new: set[int] = set()
        # What the turn knows of keys: the job that has it, None if none had it.
        self._keys: dict[str, int | None] = {}
        self._before: dict[int, JobRow] = {}
        self._audit: list[tuple[Any, ...]] = []
        self._last: int | None = None
        self.heads = Heads(self._read_heads)
        turn.before_read(self.flush)

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, seq: int) -> JobRow | None:
        """Return a job, None if there is none with that number."""
        row = self._known.get(seq)
        if row is None:
            found = self._turn.peek(hot.GET_JOB, (seq,))
            if not found:
                return None
            row = self._known[seq] = job_row(found[0])
        return row

    def need(self, seq: int) -> JobRow:
        """Return a job.

        Raises:
            NoSuchJob: no such job.
        """
        row = self.get(seq)
        if row is None:
            raise NoSuchJob(f"there is no {job_id(seq)}")
        return row

    def look(self, seq: int) -> JobRow | None:
        """Return a job, as ``get`` does, and remember nothing: lists look at many and come back to none."""
        row = self._known.get(seq)
        if row is None:
            found = self._turn.peek(hot.GET_JOB, (seq,))
            row = job_row(found[0]) if found else None
        return row

    def foresee(self, keys: Iterable[str]) -> None:
        """Look up at once what ``by_key`` will be asked for in this turn, key after key."""
        unknown = [key for key in keys if key not in self._keys]
        if not unknown:
            return
        self._keys.update(dict.fromkeys(unknown))
        # One alone is found in half the time without the list.
        statement, given = (hot.KNOWN_KEY, unknown) if len(unknown) == 1 else (hot.KNOWN_KEYS, [json.dumps(unknown)])
        self._keys.update(self._turn.peek(statement, given))

    def by_key(self, key: str) -> JobRow | None:
        """Return the job that has this key, None if there is none."""
        if key not in self._keys:
            self.foresee((key,))
        seq = self._keys[key]
        return None if seq is None else self.need(seq)

    def _read_heads(self, requires: str, limit: int) -> list[Head]:
        heads = [Head._make(found) for found in self._turn.read(hot.HEADS, (requires, limit))]
        # Most of them will be assigned one after the other.
        unknown = [head.seq for head in heads if head.seq not in self._known]
        for values in self._turn.peek(hot.GET_JOBS, (json.dumps(unknown),)):
            self._known[values[0]] = job_row(values)
        return heads

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────

    def next_number(self) -> int:
        """Return the number of the next job to add; one that was given is never given again."""
        if self._last is None:
            found = self._turn.peek(hot.LAST_NUMBER)
            self._last = int(found[0][0]) if found else 0
        return self._last + 1

    def add(self, row: JobRow) -> None:
        """Add a job, under the number that is next."""
        self._turn.refuse_broken()
        self._last = row.seq
        self._new.add(row.seq)
        self._keys[row.key] = row.seq
        self._known[row.seq] = row
        if row.state is _QUEUED:
            self.heads.entered(row.requires, Head(row.rank, row.seq))

    def change(self, row: JobRow, columns: list[Any]) -> JobRow:
        """Write a job with these columns, and return it after that."""
        self._turn.refuse_broken()
        after = row_of(columns)
        seq, was, state = row.seq, row.state, after.state
        if seq not in self._new and seq not in self._before:
            self._before[seq] = row
        # What changed last is forgotten last.
        self._known.pop(seq, None)
        self._known[seq] = after
        if state is not was:
            if was is _QUEUED:
                self.heads.left(row.requires, Head(row.rank, seq))
            elif state is _QUEUED:
                self.heads.entered(row.requires, Head(row.rank, seq))
        return after

    def audit(self, *rows: tuple[Any, ...]) -> None:
        """Add audit rows: of each job, at, from, to, event, who, why, attempt, node."""
        self._audit += rows

    @property
    def is_writing(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._audit or self._new or self._before)

    def flush(self) -> None:
        """Write what the turn has changed so far.

        Raises:
            StaleAttempt: another program has changed a job meanwhile.
            StoreReadOnly: the turn is undone and broken.
        """
        try:
            self._write()
        except BaseException:
            # What was undone on disk is undone here.
            self.rolled_back()
            raise
        self._forget_some()

    def _write(self) -> None:
        if self._new:
            new, self._new = sorted(self._new), set()
            self._write_new([self._known[seq] for seq in new])
        if self._before:
            before, self._before = self._before, {}
            if self._write_changes(before) != len(before):
                raise StaleAttempt(f"another program has changed one of {', '.join(map(job_id, sorted(before)[:10]))}")
        if self._audit:
            audit, self._audit = self._audit, []
            # In order, for their numbers are that of events.
            self._turn.add_rows(hot.add_audit, audit)

    def _write_new(self, rows: Collection[JobRow]) -> None:
        """Add jobs by the columns that they have: a new one has half of them, and to bind a NULL is not free."""
        self._moved((), rows)
        # Rows whose values are of the same types have the same columns.
        alike: dict[tuple[type, ...], list[JobRow]] = {}
        for row in rows:
            alike.setdefault(tuple(map(type, row)), []).append(row)
        for kinds, those in alike.items():
            present = tuple([place for place, kind in enumerate(kinds) if kind is not NoneType])
            self._turn.add_rows(partial(hot.add_jobs, present), list(map(columns_at(present), those)))

    def _write_changes(self, before: Mapping[int, JobRow]) -> int:
        """Write the columns that have changed, and return of how many jobs.

        Alone: an index costs as much as the row, and one of which no column is named is left as it is.
        """
        pairs = [(row, self._known[seq]) for seq, row in before.items()]
        moved = [(row, after) for row, after in pairs if after.state is not row.state]
        self._moved([row for row, _ in moved], [after for _, after in moved])
        alike: dict[tuple[int, ...], list[tuple[JobRow, JobRow]]] = {}
        for row, after in pairs:
            changed = tuple(compress(hot.CHANGING, map(is_not, row[_FIRST:], after[_FIRST:])))
            alike.setdefault(changed, []).append((row, after))
        same = alike.pop((), [])
        return len(same) + sum(self._write_alike(changed, those) for changed, those in alike.items())

    def _write_alike(self, changed: tuple[int, ...], pairs: Iterable[tuple[JobRow, JobRow]]) -> int:
        after_at, before_at = columns_at((*changed, _SEQ)), columns_at((_STATE, _ATTEMPT))
        rows = [after_at(after) + before_at(row) for row, after in pairs]
        return self._turn.change_rows(hot.set_jobs(changed), rows)

    # ── the turn ──────────────────────────────────────────────────────────────────────────────────────────────────

    def committed(self) -> None:
        """The turn is on disk."""
        self._keys.clear()
        self._forget_some()

    def _forget_some(self) -> None:
        """Nothing waits to be written: forget what will not be asked for soon."""
        if len(self._known) > KEPT:
            living = [(seq, row) for seq, row in self._known.items() if row.state not in TERMINAL_STATES]
            self._known = dict(living[-KEPT // 2 :])

    def rolled_back(self) -> None:
        """The turn never was."""
        self._known.clear()
        self._new.clear()
        self._keys.clear()
        self._before.clear()
        self._audit.clear()
        self._last = None
        self.heads.clear()

    def forget(self, seq: int) -> None:
        """A job is not there any more."""
        self._known.pop(seq, None)
        # Its key may be used again. What was added before stands on disk: removing begins with a read.
        self._keys.clear()

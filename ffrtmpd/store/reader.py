"""What is read of the store: jobs by number, in windows and in numbers, and what happened."""

from collections import Counter
from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Final

from ffrtmpd.store import ended, happened, queries, search, windows
from ffrtmpd.store.ended import Edge, Ended
from ffrtmpd.store.files import Database
from ffrtmpd.store.records import Head, JobRow, audit_entry, job_row
from ffrtmpd.store.registrar import Registrar
from ffrtmpd.store.rows import Rows
from ffrtmpd.store.search import Found, Search
from ffrtmpd.wire.messages.jobs import AuditEntry
from ffrtmpd.wire.messages.overview import Event
from ffrtmpd.wire.vocabulary import JobState, Priority, Queue, SortKey

Cell = tuple[JobState, Queue, Priority]
# Counting further would hold up the turn, and nobody asks who is in place 1,001.
PLACES_MAX: Final = 1_000
_CELL: Final = attrgetter("state", "queue", "priority")
_QUEUES: Final = list(Queue)
_PRIORITIES: Final = list(Priority)


class Reader(Registrar):
    """The part of the store that is asked about jobs and what happened; it sees what the turn has written."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._rows = Rows(self._turn, self._note_moves)
        self._counts: Counter[Cell] = Counter()
        self._moved: Counter[Cell] = Counter()

    def job(self, seq: int) -> JobRow | None:
        """Return a job, None if there is none with that number."""
        return self._rows.get(seq)

    def head(self, requires: str) -> Head | None:
        """Return the next job of a requirement class, None if none is queued."""
        heads = self.heads(requires, 1)
        return heads[0] if heads else None

    def heads(self, requires: str, limit: int) -> list[Head]:
        """Return the next jobs of a requirement class in the order of work."""
        return self._rows.heads.first(requires, limit)

    def ready_classes(self) -> dict[str, int]:
        """Return how many jobs are queued by requirement class; it reads them all."""
        return dict(self._ask(queries.ready_classes()))

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

    def history(self, seq: int, limit: int = 1_000) -> list[AuditEntry]:
        """Return the last transitions of a job, oldest first."""
        return [audit_entry(values) for values in reversed(self._ask(queries.history(seq, limit)))]

    def node_of_attempt(self, seq: int, attempt: int) -> str | None:
        """Return the node that was given an attempt, None if there was no such attempt."""
        found = self._ask(queries.node_of_attempt(seq, attempt))
        return str(found[0][0]) if found else None

    # ── what happened ─────────────────────────────────────────────────────────────────────────────────────────────

    def last_event(self) -> int:
        """Return the number of the newest event, 0 if there is none."""
        return happened.last(self._turn.read)

    def newest_events(self, *, job: str | None, node_id: str | None, limit: int) -> list[Event]:
        """Return the last events, oldest first and ``limit`` at most."""
        return happened.newest(self._turn.read, job=job, node_id=node_id, limit=limit)

    def events_after(self, since: int, *, job: str | None, node_id: str | None, limit: int) -> tuple[list[Event], int]:
        """Return the events behind ``since``, oldest first, and the number to go on from."""
        return happened.after(self._turn.read, since, job=job, node_id=node_id, limit=limit)

    def _note_moves(self, left: Collection[JobRow], came: Collection[JobRow]) -> None:
        for cell in map(_CELL, came):
            self._moved[cell] += 1
        for cell in map(_CELL, left):
            self._moved[cell] -= 1


def _goes_before(cell: Cell, row: JobRow) -> bool:
    state, queue, priority = cell
    before = (_QUEUES.index(queue), _PRIORITIES.index(priority)) < (
        _QUEUES.index(row.queue),
        _PRIORITIES.index(row.priority),
    )
    return state is JobState.QUEUED and before

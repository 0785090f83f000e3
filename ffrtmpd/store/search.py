"""Which jobs fit a filter: a search looks at a bounded number of them and says where it stopped.

State, queue, node and time of submit choose the part of an index that is walked. The rest is asked of the jobs on the
way, a few hundred a statement.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ffrtmpd.store import windows
from ffrtmpd.store.windows import Read
from ffrtmpd.wire.schema import INT_MAX
from ffrtmpd.wire.vocabulary import Engine, JobState, Priority, Queue, SortKey

# Looking at so many takes some 20 ms, which is what a turn may cost the others.
LOOK_MAX: Final = 10_000
_STEP: Final = 1_000

_COUNT_OF: Final = (
    "SELECT COUNT(*) FROM jobs WHERE state = ? AND queue = ? AND seq > ? AND seq < ? "
    "AND (? IS NULL OR priority IN (SELECT value FROM json_each(?)))"
)
_COUNT_OF_NODE: Final = (
    "SELECT COUNT(*) FROM jobs WHERE node_id = ? AND state = ? AND queue = ? AND seq > ? AND seq < ?"
)
_FROM: Final = "SELECT seq, created_at FROM jobs WHERE seq >= ? ORDER BY seq LIMIT 1"
_NEWEST: Final = "SELECT seq FROM jobs ORDER BY seq DESC LIMIT 1"
_OF_THESE: Final = "SELECT seq FROM jobs WHERE seq IN (SELECT value FROM json_each(?))"


def _place_of(column: str, words: Sequence[str]) -> str:
    cases = " ".join(f"WHEN '{word}' THEN {place}" for place, word in enumerate(words))
    return f"CASE {column} {cases} END"


# Columns and words are constants of this program. Those that only memory knows are missing.
_ORDERS: Final[dict[SortKey, str]] = {
    SortKey.QUEUE: _place_of("queue", tuple(Queue)),
    SortKey.PRIORITY: _place_of("priority", tuple(Priority)),
    SortKey.STATE: _place_of("state", tuple(JobState)),
    SortKey.SCENARIO: "scenario",
    SortKey.NODE: "node_id",
    SortKey.STARTED: "started_at",
    SortKey.FINISHED: "finished_at",
    SortKey.VMAF: "vmaf",
    SortKey.QOE: "qoe",
    SortKey.ENERGY: "energy_j",
    SortKey.JOULES_PER_MINUTE: "joules_per_minute",
    SortKey.DURATION: "nullif(processed_s, 0)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is asked of jobs; what is empty asks nothing.

    ``text`` is a part of the scenario, whatever its case. ``labels`` must all be there. ``created_after`` and
    ``created_before`` are Unix seconds: the first job that young, and the first that is not old enough any more. They
    trust that jobs are numbered in the order of their submit.
    """

    states: Sequence[JobState] = ()
    queues: Sequence[Queue] = ()
    priorities: Sequence[Priority] = ()
    node_id: str | None = None
    engines: Sequence[Engine] = ()
    text: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    created_after: float | None = None
    created_before: float | None = None

    @property
    def is_counted_by_index(self) -> bool:
        """Whether an index alone tells how many fit."""
        return not (self.engines or self.text or self.labels or (self.priorities and self.node_id is not None))


@dataclass(frozen=True, slots=True)
class Found:
    """Numbers of jobs. ``edge`` is where to go on; None: nothing is left to look at."""

    seqs: list[int]
    edge: int | None


def find(read: Read, search: Search, *, limit: int, bounds: tuple[int | None, int | None], oldest_first: bool) -> Found:
    """Return the first jobs that fit, in the order of submit, after looking at ``LOOK_MAX`` at most.

    Args:
        read: runs a statement.
        search: what is asked of them.
        limit: jobs at most.
        bounds: numbers just before and just behind the window; None: no bound.
        oldest_first: else newest first.
    """
    after, before = _narrowed(read, search, bounds)
    condition, values = _condition(search)
    found: list[int] = []
    looked = 0
    while True:
        step = max(_STEP, limit + 1) if condition else limit + 1
        seqs = windows.find(
            read,
            states=search.states,
            queues=search.queues,
            node_id=search.node_id,
            limit=step,
            bounds=(after, before),
            oldest_first=oldest_first,
        )
        looked += len(seqs)
        fits = seqs
        if condition:
            kept = {seq for (seq,) in read(f"{_OF_THESE}{condition}", (json.dumps(seqs), *values))}
            fits = [seq for seq in seqs if seq in kept]
        found += fits
        if len(found) > limit:
            return Found(found[:limit], found[limit - 1])
        if len(seqs) < step:
            return Found(found, None)
        if looked >= LOOK_MAX:
            return Found(found, seqs[-1])
        after, before = (seqs[-1], before) if oldest_first else (after, seqs[-1])


def those_that_fit(read: Read, search: Search, seqs: Sequence[int]) -> set[int]:
    """Return those of ``seqs`` that fit all of a search but its states."""
    after, before = _narrowed(read, search, (None, None))
    condition, values = _condition(search)
    if search.queues:
        condition += " AND queue IN (SELECT value FROM json_each(?))"
        values += (json.dumps([queue.value for queue in search.queues]),)
    if search.node_id is not None:
        condition += " AND node_id = ?"
        values += (search.node_id,)
    inside = [seq for seq in seqs if (after is None or seq > after) and (before is None or seq < before)]
    if not condition:
        return set(inside)
    return {seq for (seq,) in read(f"{_OF_THESE}{condition}", (json.dumps(inside), *values))}


def count(read: Read, search: Search) -> int:
    """Return how many jobs fit a search that an index counts."""
    after, before = _narrowed(read, search, (None, None))
    span = (0 if after is None else after, INT_MAX if before is None else before)
    cells = [
        (state.value, queue.value) for state in set(search.states or JobState) for queue in set(search.queues or Queue)
    ]
    if search.node_id is not None:
        return sum(read(_COUNT_OF_NODE, (search.node_id, *cell, *span))[0][0] for cell in cells)
    wanted = json.dumps([priority.value for priority in search.priorities]) if search.priorities else None
    return sum(read(_COUNT_OF, (*cell, *span, wanted, wanted))[0][0] for cell in cells)


def in_order(read: Read, seqs: Sequence[int], key: SortKey, *, descending: bool) -> list[int]:
    """Return ``seqs`` by a column; jobs without a value come last, equal ones newest first."""
    column = _ORDERS[key]
    order = f" ORDER BY {column} IS NULL, {column} {'DESC' if descending else 'ASC'}, seq DESC"
    return [seq for (seq,) in read(f"{_OF_THESE}{order}", (json.dumps(seqs),))]


def _condition(search: Search) -> tuple[str, tuple[Any, ...]]:
    """Return what indexes do not answer, as SQL that begins with AND, and its values."""
    parts: list[str] = []
    values: list[Any] = []
    if search.priorities:
        parts.append("priority IN (SELECT value FROM json_each(?))")
        values.append(json.dumps([priority.value for priority in search.priorities]))
    if search.text:
        parts.append("instr(lower(scenario), ?) > 0")
        values.append(search.text.lower())
    if search.engines:
        # A spec does not write down what is the default.
        parts.append("coalesce(json_extract(spec_json, '$.engine'), 'auto') IN (SELECT value FROM json_each(?))")
        values.append(json.dumps([engine.value for engine in search.engines]))
    for name, value in search.labels.items():
        parts.append(
            "instr(spec_json, '\"labels\"') > 0 AND EXISTS "
            "(SELECT 1 FROM json_each(spec_json, '$.labels') AS label WHERE label.key = ? AND label.value = ?)"
        )
        values += [name, value]
    return "".join(f" AND {part}" for part in parts), tuple(values)


def _narrowed(read: Read, search: Search, bounds: tuple[int | None, int | None]) -> tuple[int | None, int | None]:
    after, before = bounds
    if search.created_after is not None:
        after = max(after or 0, _first_since(read, search.created_after) - 1)
    if search.created_before is not None:
        before = min(before or INT_MAX, _first_since(read, search.created_before))
    return after, before


def _first_since(read: Read, at: float) -> int:
    """Return the number of the first job submitted at ``at`` or later, one beyond the last if there is none."""
    newest = read(_NEWEST, ())
    low, high = 1, (newest[0][0] if newest else 0) + 1
    while low < high:
        middle = (low + high) // 2
        seq, created_at = read(_FROM, (middle,))[0]
        if created_at < at:
            low = seq + 1
        else:
            high = middle
    return low

"""Rows as the rest of the master sees them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from operator import itemgetter
from typing import Any, Final, Generic, NamedTuple, TypedDict, TypeVar

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store.errors import Unreadable
from ffrtmpd.wire.messages.jobs import AuditEntry, JobSpec, Progress, Report
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.schema import INT_MAX, from_plain, to_plain
from ffrtmpd.wire.vocabulary import FailureClass, JobState, Phase, Priority, Queue

M = TypeVar("M")

# They hold the largest sequence number; more could only be another job's number with zeros before it.
REF_DIGITS: Final = 19


def job_id(seq: int) -> str:
    """Return the name of the job with that sequence number, such as ``job-000123``."""
    return f"job-{seq:06d}"


def parse_job_ref(text: str) -> int | None:
    """Return the sequence number in ``job-000123``, ``job-123`` or ``123``; None for anything else."""
    digits = text.removeprefix("job-")
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= REF_DIGITS):
        return None
    seq = int(digits)
    return seq if 1 <= seq <= INT_MAX else None


def dump(message: Any) -> str | None:
    """Return a wire type as JSON for a column, None for None."""
    return None if message is None else _JSON.encode(to_plain(message))


def load(cls: type[M], text: str) -> M:
    """Return the wire type that ``dump`` wrote.

    Raises:
        Unreadable: the column holds something else.
    """
    try:
        return from_plain(cls, json.loads(text))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"a stored {cls.__name__} cannot be read: {error}") from None


# A longer text is parsed anew each time: a spec may have some 100 kB of labels, and thousands of them would be the
# memory of the master.
REMEMBERED_MAX: Final = 16_384


class Remembered(Generic[M]):
    """Wire types by the JSON they are stored as, so that what was written or read a moment ago is not parsed again."""

    def __init__(self, cls: type[M], most: int) -> None:
        self._cls, self._most = cls, most
        self._known: dict[str, M] = {}

    def dump(self, message: M) -> str:
        """Return ``message`` as JSON for a column."""
        text = _JSON.encode(to_plain(message))
        self._keep(text, message)
        return text

    def load(self, text: str) -> M:
        """Return the wire type that ``dump`` wrote.

        Raises:
            Unreadable: the column holds something else.
        """
        known = self._known.get(text)
        if known is None:
            known = load(self._cls, text)
            self._keep(text, known)
        return known

    def _keep(self, text: str, message: M) -> None:
        if len(text) > REMEMBERED_MAX:
            return
        if len(self._known) >= self._most:
            # The oldest half: by then its jobs are on their nodes, or have ended.
            for old in list(self._known)[: self._most // 2]:
                del self._known[old]
        self._known[text] = message


# Sorted, so that a spec has one form in whatever order its labels came.
_JSON: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True)
# Between submit and end a job's row is looked at some five times.
SPECS: Final = Remembered(JobSpec, 2_048)
ENCODES_KEPT: Final = 2_048
ENCODES: Final = Remembered(Encode, ENCODES_KEPT)
# With the last lines of its log one may have ten kilobytes.
REPORTS: Final = Remembered(Report, 256)


class JobRow(NamedTuple):
    """A job as stored. Times are Unix seconds; what never happened or is not known is None.

    The fields are the columns, in order. ``attempt`` counts assignments; ``failures`` those that failed and ``losses``
    those that were lost with their node, both since the submit or the last retry.
    ``resuming``: paused, and waiting for a slot of its node to go on.
    ``lost_node`` and ``lost_token``: who had the attempt when it was taken for lost, until the next one is assigned.
    ``node_id`` is the node that holds the job or, in a terminal state, held it last.
    ``state_at``: when it came into its state. ``waited_s`` and ``processed_s``: seconds in queued and assigned, and in
    processing, before that, since the submit or the last retry. ``vmaf``, ``qoe``, ``energy_j`` and
    ``joules_per_minute`` stand in the report too; here lists find them.
    """

    seq: int
    key: str
    digest: bytes
    spec_json: str
    encode_json: str
    requires: str
    rank: int
    queue: Queue
    priority: Priority
    scenario: str
    state: JobState
    phase: Phase | None
    attempt: int
    token: bytes | None
    node_id: str | None
    max_attempts: int
    losses: int
    failures: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    due_at: float | None
    failure_class: FailureClass | None
    exit_code: int | None
    reason: str | None
    output: str | None
    resuming: bool
    lost_node: str | None
    lost_token: bytes | None
    progress_json: str | None
    report_json: str | None
    state_at: float
    waited_s: float
    processed_s: float
    vmaf: float | None
    qoe: float | None
    energy_j: float | None
    joules_per_minute: float | None

    @property
    def job_id(self) -> str:
        """Its name outside the store."""
        return job_id(self.seq)

    @property
    def spec(self) -> JobSpec:
        """What was submitted."""
        return SPECS.load(self.spec_json)

    @property
    def encode(self) -> Encode:
        """What to encode, as resolved at the submit."""
        return ENCODES.load(self.encode_json)

    @property
    def progress(self) -> Progress | None:
        """How far the attempt was when last recorded; of a completed job that was not measured, that it is done."""
        if self.progress_json is None:
            return Progress(percent=100.0) if self.state is JobState.COMPLETED else None
        return load(Progress, self.progress_json)

    @property
    def report(self) -> Report | None:
        """What the last attempt did."""
        return None if self.report_json is None else REPORTS.load(self.report_json)


JOB_COLUMNS: Final = JobRow._fields
# Makes a row of its columns, in a third of the time that `_make` takes, and a fifteenth of what names would.
row_of: Final = partial(tuple.__new__, JobRow)


class JobUpdate(TypedDict, total=False):
    """What may be set by itself."""

    token: bytes | None
    node_id: str | None
    phase: Phase | None
    max_attempts: int
    losses: int
    failures: int
    started_at: float | None
    finished_at: float | None
    due_at: float | None
    failure_class: FailureClass | None
    exit_code: int | None
    reason: str | None
    output: str | None
    resuming: bool
    lost_node: str | None
    lost_token: bytes | None
    progress: Progress | None
    report: Report | None


class JobChanges(JobUpdate, total=False):
    """What may be set along with a transition."""

    attempt: int


# Something that happens to a job: what, why, and what it sets that does not follow by itself. A job takes three, and to
# make one with names takes eight times as long.
Step = tuple[JobEvent, str | None, JobChanges]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What became of a job before it came here. Times are Unix seconds, durations seconds."""

    state: JobState
    started_at: float | None = None
    finished_at: float
    attempt: int = 0
    failures: int = 0
    failure_class: FailureClass | None = None
    reason: str | None = None
    output: str | None = None
    waited_s: float = 0.0
    processed_s: float = 0.0
    report: Report | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node as last seen. ``hardware`` and the times are None before its first session."""

    node_id: str
    address: str | None = None
    hardware: Hardware | None = None
    slots: int = 0
    draining: bool = False
    drain_until: float | None = None
    first_seen_at: float | None = None
    last_seen_at: float | None = None


class Head(NamedTuple):
    """A queued job by its place in the order of work: the smallest rank first, then the smallest sequence number."""

    rank: int
    seq: int


def job_row(values: tuple[Any, ...]) -> JobRow:
    """Return the job whose columns are ``values``, in the order of ``JOB_COLUMNS``."""
    taken = list(values)
    for place, members in _WORDS:
        taken[place] = members[taken[place]]
    taken[_RESUMING] = bool(taken[_RESUMING])
    return row_of(taken)


@cache
def columns_at(places: tuple[int, ...]) -> Callable[[JobRow], list[Any]]:
    """Return what takes the columns at these places, two or more, out of a row as SQLite stores them."""
    taken = itemgetter(*places)
    words = [at for at, place in enumerate(places) if place in _WORD_PLACES]

    def columns(row: JobRow) -> list[Any]:
        found = list(taken(row))
        for at in words:
            word = found[at]
            if word is not None:
                # SQLite takes a word that is no plain text only after some asking.
                found[at] = word._value_
        return found

    return columns


# A plain map is several times faster than calling the enum, and a row needs five.
_WORDS: Final[tuple[tuple[int, dict[str | None, Any]], ...]] = tuple(
    (JOB_COLUMNS.index(name), {None: None, **{member.value: member for member in kind}})
    for name, kind in (
        ("queue", Queue),
        ("priority", Priority),
        ("state", JobState),
        ("phase", Phase),
        ("failure_class", FailureClass),
    )
)
_WORD_PLACES: Final = frozenset(place for place, _ in _WORDS)
_RESUMING: Final = JOB_COLUMNS.index("resuming")


def audit_entry(values: tuple[Any, ...]) -> AuditEntry:
    """Return the transition whose columns are ``values``: at, from, to, event, who, why, attempt."""
    at, from_state, to_state, event, who, why, attempt = values
    return AuditEntry(
        at=at,
        from_state=None if from_state is None else JobState(from_state),
        to_state=JobState(to_state),
        event=event,
        who=who,
        why=why,
        attempt=attempt,
    )

"""Rows as the rest of the master sees them."""

import json
import re
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final, TypedDict, TypeVar

from ffrtmpd.store.errors import StoreError
from ffrtmpd.wire.messages.jobs import AuditEntry, JobSpec, Progress, Report
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.schema import INT_MAX, from_plain, to_plain
from ffrtmpd.wire.vocabulary import FailureClass, JobState, Phase, Priority, Queue

M = TypeVar("M")

# Nineteen digits hold the largest sequence number; more could only be another job's number with zeros before it.
_JOB_REF: Final = re.compile(r"(?:job-)?([0-9]{1,19})")


def job_id(seq: int) -> str:
    """Return the name of the job with that sequence number, such as ``job-000123``."""
    return f"job-{seq:06d}"


def parse_job_ref(text: str) -> int | None:
    """Return the sequence number in ``job-000123``, ``job-123`` or ``123``; None for anything else."""
    match = _JOB_REF.fullmatch(text)
    if match is None:
        return None
    seq = int(match[1])
    return seq if 1 <= seq <= INT_MAX else None


def dump(message: Any) -> str | None:
    """Return a wire type as JSON for a column, None for None."""
    return None if message is None else json.dumps(to_plain(message), separators=(",", ":"))


def load(cls: type[M], text: str) -> M:
    """Return the wire type that ``dump`` wrote.

    Raises:
        StoreError: the column holds something else.
    """
    try:
        return from_plain(cls, json.loads(text))
    except (ValueError, RecursionError) as error:
        raise StoreError(f"a stored {cls.__name__} cannot be read: {error}") from None


# Between submit and end a job's row is read some five times; its spec is parsed at the first.
@lru_cache(maxsize=2_048)
def _load_spec(text: str) -> JobSpec:
    return load(JobSpec, text)


@lru_cache(maxsize=2_048)
def _load_encode(text: str) -> Encode:
    return load(Encode, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
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
        return _load_spec(self.spec_json)

    @property
    def encode(self) -> Encode:
        """What to encode, as resolved at the submit."""
        return _load_encode(self.encode_json)

    @property
    def progress(self) -> Progress | None:
        """How far the attempt was when last recorded."""
        return None if self.progress_json is None else load(Progress, self.progress_json)

    @property
    def report(self) -> Report | None:
        """What the last attempt did."""
        return None if self.report_json is None else load(Report, self.report_json)


JOB_COLUMNS: Final = tuple(field.name for field in fields(JobRow))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to add.

    ``digest`` covers the spec, so that a key repeated with other content is noticed. ``encode`` is the spec resolved:
    a job keeps what its scenario meant at the submit.
    """

    key: str
    digest: bytes
    spec: JobSpec
    encode: Encode
    requires: str
    rank: int
    who: str
    state: JobState = JobState.QUEUED
    due_at: float | None = None
    reason: str | None = None


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


@dataclass(frozen=True, slots=True)
class Head:
    """The first job of a requirement class: the smallest rank, then the smallest sequence number."""

    seq: int
    rank: int


def job_row(values: tuple[Any, ...]) -> JobRow:
    """Return the job whose columns are ``values``, in the order of ``JOB_COLUMNS``."""
    taken = dict(zip(JOB_COLUMNS, values, strict=True))
    taken["queue"] = _QUEUES[taken["queue"]]
    taken["priority"] = _PRIORITIES[taken["priority"]]
    taken["state"] = _STATES[taken["state"]]
    taken["phase"] = _PHASES[taken["phase"]]
    taken["resuming"] = bool(taken["resuming"])
    taken["failure_class"] = _FAILURES[taken["failure_class"]]
    return JobRow(**taken)


# A plain map is several times faster than calling the enum, and a row needs five.
_QUEUES: Final = {member.value: member for member in Queue}
_PRIORITIES: Final = {member.value: member for member in Priority}
_STATES: Final = {member.value: member for member in JobState}
_PHASES: Final[dict[str | None, Phase | None]] = {None: None, **{member.value: member for member in Phase}}
_FAILURES: Final[dict[str | None, FailureClass | None]] = {
    None: None,
    **{member.value: member for member in FailureClass},
}


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

"""Jobs that are added, and the rows that they begin as."""

import hashlib
from functools import lru_cache
from typing import Final, NamedTuple

from ffrtmpd.store.records import ENCODES, ENCODES_KEPT, JOB_COLUMNS, SPECS, JobRow, row_of
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.vocabulary import JobState, Priority, Queue


class Order:
    """What all jobs of one spec have in common, worked out once however many they are.

    Args:
        spec: what was submitted.
        encode: the spec resolved: a job keeps what its scenario meant at the submit.
        requires: the class of the jobs.
        rank: their place in the order of service.
    """

    __slots__ = ("digest", "spec", "spec_json", "template")

    def __init__(self, *, spec: JobSpec, encode: Encode, requires: str, rank: int) -> None:
        self.spec = spec
        self.spec_json = SPECS.dump(spec)
        # Tells two specs apart, so that a key repeated with other content is noticed.
        self.digest = hashlib.sha256(self.spec_json.encode()).digest()
        self.template = values = list(_BLANK)
        values[_DIGEST] = self.digest
        values[_SPEC_JSON] = self.spec_json
        values[_ENCODE_JSON] = _encode_json(encode)
        values[_REQUIRES] = requires
        values[_RANK] = rank
        values[_QUEUE] = spec.queue
        values[_PRIORITY] = spec.priority
        values[_SCENARIO] = spec.scenario
        values[_MAX_ATTEMPTS] = spec.max_attempts


class NewJob(NamedTuple):
    """A job to add."""

    key: str
    order: Order
    who: str
    state: JobState = JobState.QUEUED
    due_at: float | None = None
    reason: str | None = None


@lru_cache(maxsize=ENCODES_KEPT)
def _encode_json(encode: Encode) -> str:
    """Return an encode as JSON; the jobs of a scenario share theirs."""
    return ENCODES.dump(encode)


def new_row(seq: int, job: NewJob, at: float) -> JobRow:
    """Return the row of a job that is added under number ``seq`` at ``at``, Unix seconds."""
    values = job.order.template.copy()
    values[_SEQ] = seq
    values[_KEY] = job.key
    values[_STATE] = job.state
    values[_CREATED_AT] = values[_STATE_AT] = at
    if job.state is JobState.PENDING:
        values[_DUE_AT] = job.due_at
    values[_REASON] = job.reason
    return row_of(values)


_SEQ, _KEY, _STATE, _CREATED_AT, _STATE_AT, _DUE_AT, _REASON = map(
    JOB_COLUMNS.index, ("seq", "key", "state", "created_at", "state_at", "due_at", "reason")
)
_DIGEST, _SPEC_JSON, _ENCODE_JSON, _REQUIRES, _RANK = map(
    JOB_COLUMNS.index, ("digest", "spec_json", "encode_json", "requires", "rank")
)
_QUEUE, _PRIORITY, _SCENARIO, _MAX_ATTEMPTS = map(JOB_COLUMNS.index, ("queue", "priority", "scenario", "max_attempts"))
# To a new job nothing has happened.
_BLANK: Final = JobRow(
    seq=0,
    key="",
    digest=b"",
    spec_json="",
    encode_json="",
    requires="",
    rank=0,
    queue=Queue.DEFAULT,
    priority=Priority.MEDIUM,
    scenario="",
    state=JobState.QUEUED,
    phase=None,
    attempt=0,
    token=None,
    node_id=None,
    max_attempts=0,
    losses=0,
    failures=0,
    created_at=0.0,
    started_at=None,
    finished_at=None,
    due_at=None,
    failure_class=None,
    exit_code=None,
    reason=None,
    output=None,
    resuming=False,
    lost_node=None,
    lost_token=None,
    progress_json=None,
    report_json=None,
    state_at=0.0,
    waited_s=0.0,
    processed_s=0.0,
    vmaf=None,
    qoe=None,
    energy_j=None,
    joules_per_minute=None,
)

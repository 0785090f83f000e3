"""Questions about jobs that are not asked for every job, through the models."""

from collections.abc import Sequence
from typing import Any, Final

import peewee

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store.models import Audit, Job
from ffrtmpd.wire.vocabulary import JobState, Priority, Queue

# A query as Peewee builds it; most of it has no types.
Query = Any

_COUNT: Final[Any] = peewee.fn.COUNT(peewee.SQL("*"))
_ON_A_NODE: Final = [state.value for state in (JobState.ASSIGNED, JobState.PROCESSING, JobState.PAUSED)]


def ready_classes() -> Query:
    """Return the query for requirement class and number of queued jobs."""
    return Job.select(Job.requires, _COUNT).where(Job.state == JobState.QUEUED.value).group_by(Job.requires)


def waiting() -> Query:
    """Return the query for number and due time of the pending jobs."""
    return Job.select(Job.seq, Job.due_at).where(Job.state == JobState.PENDING.value)


def held_by_nodes() -> Query:
    """Return the query for the jobs that a node holds."""
    return Job.select().where(Job.state.in_(_ON_A_NODE), Job.node_id.is_null(False)).order_by(Job.seq)


def cells() -> Query:
    """Return the query for state, queue, priority and number of jobs."""
    return Job.select(Job.state, Job.queue, Job.priority, _COUNT).group_by(Job.state, Job.queue, Job.priority)


def count_of_node(node_id: str, states: Sequence[JobState], queues: Sequence[Queue]) -> Query:
    """Return the query for the number of a node's jobs in these states and queues; none given: all."""
    return Job.select(_COUNT).where(
        Job.node_id == node_id,
        Job.state.in_([state.value for state in states or JobState]),
        Job.queue.in_([queue.value for queue in queues or Queue]),
    )


def waiting_before(queue: Queue, priority: Priority, seq: int, most: int) -> Query:
    """Return the query for the queued jobs of that queue and priority before ``seq``, as far as ``most``."""
    return (
        Job.select(Job.seq)
        .where(
            Job.state == JobState.QUEUED.value,
            Job.queue == queue.value,
            Job.priority == priority.value,
            Job.seq < seq,
        )
        .limit(most)
    )


def history(seq: int, limit: int) -> Query:
    """Return the query for the last transitions of a job, newest first."""
    columns = (Audit.at, Audit.from_state, Audit.to_state, Audit.event, Audit.who, Audit.why, Audit.attempt)
    return Audit.select(*columns).where(Audit.job_seq == seq).order_by(Audit.id.desc()).limit(limit)


def node_of_attempt(seq: int, attempt: int) -> Query:
    """Return the query for the node that an attempt was assigned to."""
    given = Audit.event == JobEvent.ASSIGN.value
    return Audit.select(Audit.node_id).where(Audit.job_seq == seq, Audit.attempt == attempt, given)

"""What clients ask about the whole cluster: its queues, and what happens in it."""

from typing import Annotated

from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.messages.jobs import PAGE_MAX, WAIT_MAX_S
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import Range, Size
from ffrtmpd.wire.vocabulary import JobState, Queue


@record
class Queues(Request):
    """Ask how the queues stand."""

    TYPE = "QUEUES"


@record
class StateCount:
    """How many jobs of a queue are in a state."""

    state: Annotated[JobState, "state"]
    jobs: Annotated[int, "how many"]


@record
class QueueView:
    """One queue."""

    queue: Annotated[Queue, "queue"]
    states: Annotated[tuple[StateCount, ...], "states that jobs are in", Size(0, 8)] = ()
    oldest_job: Annotated[str | None, "of the queued jobs, the one submitted first"] = None
    waiting_since: Annotated[float | None, "Unix seconds at which that one was queued, the last time it was"] = None
    completed: Annotated[int, "jobs completed within `window_s`"] = 0
    failed: Annotated[int, "jobs failed within `window_s`"] = 0


@record
class QueueList(Reply):
    """Every queue, in the order in which they are served."""

    TYPE = "QUEUE_LIST"
    queues: Annotated[tuple[QueueView, ...], "queues", Size(0, 16)]
    window_s: Annotated[float, "seconds that the counts of ended jobs cover: an hour, or since the master's start"]
    now: Annotated[float, "Unix seconds at the master"]


@record
class Events(Request):
    """Ask what happened, or wait for it: answered at once if there is something, else after ``wait_s``."""

    TYPE = "EVENTS"
    since: Annotated[int | None, "`cursor` of the answer before; nothing: the last `limit`", Range(0, 2**62)] = None
    job: Annotated[str | None, "only of this job", Size(1, 64)] = None
    node_id: Annotated[str | None, "only of this node and its jobs", Size(1, 128)] = None
    limit: Annotated[int, "events at most", Range(1, PAGE_MAX)] = 100
    wait_s: Annotated[float, "seconds to wait for something new; with `since` only", Range(0, WAIT_MAX_S)] = 0.0


@record
class Event:
    """Something that happened to a job, a node or a key.

    Of a job it is a transition, by the name in the transition table. Of nodes and keys: `node_online`, `node_offline`,
    `node_draining`, `node_undrained`, `node_removed`, `enrolled`, `key_revoked`.
    """

    number: Annotated[int, "grows with each event"]
    at: Annotated[float, "Unix seconds"]
    event: Annotated[str, "what happened"]
    job_id: Annotated[str | None, "job, if it is about one"] = None
    node_id: Annotated[str | None, "node, if one has part in it"] = None
    from_state: Annotated[JobState | None, "state that the job left"] = None
    to_state: Annotated[JobState | None, "state that the job entered"] = None
    attempt: Annotated[int, "attempt of the job"] = 0
    who: Annotated[str, "principal or `master`"]
    why: Annotated[str | None, "reason"] = None


@record
class EventList(Reply):
    """Events, oldest first."""

    TYPE = "EVENT_LIST"
    events: Annotated[tuple[Event, ...], "events"]
    cursor: Annotated[int, "to ask from next"]
    reset: Annotated[bool, "`since` is of another history of this cluster: the last events are here"] = False

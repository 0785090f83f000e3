"""What clients ask about the whole cluster: its queues, and what happens in it."""

from typing import Annotated

from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.messages.jobs import PAGE_MAX, WAIT_MAX_S
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import Range, Size
from ffrtmpd.wire.vocabulary import JobState, NodeStatus, Queue, Why


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
    wait_p95_s: Annotated[float | None, "seconds that 95 of 100 of those waited at most, to two digits"] = None


@record
class NodeCount:
    """How many nodes have a status."""

    status: Annotated[NodeStatus, "status"]
    nodes: Annotated[int, "how many"]


@record
class WaitCount:
    """How many queued jobs wait for something that no connected node has."""

    why: Annotated[Why, "why"]
    jobs: Annotated[int, "how many"]


@record
class NodesTogether:
    """All enrolled nodes together; readings are of those that are connected and tell them."""

    statuses: Annotated[tuple[NodeCount, ...], "statuses that nodes have", Size(0, 4)] = ()
    slots: Annotated[int, "slots of connected nodes"] = 0
    free_slots: Annotated[int, "of those without a job"] = 0
    power_watts: Annotated[float | None, "sum of the metered power"] = None
    gpu_percent: Annotated[float | None, "mean busy share of the GPUs"] = None
    encoder_percent: Annotated[float | None, "mean busy share of the GPUs' encoders"] = None


@record
class QueueList(Reply):
    """Every queue, in the order in which they are served, and what the whole cluster does."""

    TYPE = "QUEUE_LIST"
    queues: Annotated[tuple[QueueView, ...], "queues", Size(0, 16)]
    window_s: Annotated[float, "seconds that the counts of ended jobs cover: an hour, or since the master's start"]
    now: Annotated[float, "Unix seconds at the master"]
    energy_j: Annotated[float | None, "joules of the jobs that ended within `window_s`, of those metered"] = None
    vmaf_p5: Annotated[float | None, "VMAF that 95 of 100 of them reach, of those scored"] = None
    blocked: Annotated[tuple[WaitCount, ...], "queued jobs that no connected node can run", Size(0, 16)] = ()
    nodes: Annotated[NodesTogether | None, "all nodes together"] = None


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

"""What clients ask about the whole cluster: how the queues stand, and what happens."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from ffrtmpd.broker.cluster import Cluster
from ffrtmpd.broker.disclosure import masked, sees_secrets
from ffrtmpd.broker.hour import HOUR_S
from ffrtmpd.broker.journal import Watcher
from ffrtmpd.broker.paging import that_fit
from ffrtmpd.events import Peer
from ffrtmpd.principals import Principal
from ffrtmpd.roster import Node
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.overview import (
    Event,
    EventList,
    Events,
    NodeCount,
    NodesTogether,
    QueueList,
    Queues,
    QueueView,
    StateCount,
    WaitCount,
)
from ffrtmpd.wire.vocabulary import JobState, NodeStatus, Queue, Role, Why

# More clients than this waiting at once are answered at once, with nothing new.
WATCHERS_MAX: Final = 1_024


def queues(cluster: Cluster, request: Queues, by: Principal, peer: Peer) -> Message:
    """Answer QUEUES."""
    return QueueList(
        request_id=request.request_id,
        queues=tuple(_queue(cluster, queue) for queue in Queue),
        window_s=max(0.0, min(HOUR_S, cluster.now.mono_s - cluster.started_s)),
        now=cluster.now.wall_s,
        energy_j=cluster.hour.energy_j(cluster.now.mono_s),
        vmaf_p5=cluster.hour.vmaf_p5(cluster.now.mono_s),
        blocked=_blocked(cluster),
        nodes=together(cluster.roster),
    )


def _blocked(cluster: Cluster) -> tuple[WaitCount, ...]:
    found: Counter[Why] = Counter()
    for requires, jobs in cluster.queued.items():
        why = cluster.why_waiting(requires)
        if why is not None:
            found[why] += jobs
    return tuple(WaitCount(why=why, jobs=jobs) for why, jobs in found.most_common(16))


def together(nodes: Iterable[Node]) -> NodesTogether:
    """Return the sums and means of nodes."""
    statuses: Counter[NodeStatus] = Counter()
    slots = free = 0
    watts: list[float] = []
    gpus: list[float] = []
    encoders: list[float] = []
    for node in nodes:
        statuses[node.status] += 1
        if node.session is None:
            continue
        slots += node.slots
        free += node.free_slots
        if node.load is None:
            continue
        if node.load.power_watts is not None:
            watts.append(node.load.power_watts)
        for gpu in node.load.gpus:
            if gpu.usage_percent is not None:
                gpus.append(gpu.usage_percent)
            if gpu.encoder_percent is not None:
                encoders.append(gpu.encoder_percent)
    return NodesTogether(
        statuses=tuple(NodeCount(status=status, nodes=statuses[status]) for status in NodeStatus if statuses[status]),
        slots=slots,
        free_slots=free,
        power_watts=sum(watts) if watts else None,
        gpu_percent=sum(gpus) / len(gpus) if gpus else None,
        encoder_percent=sum(encoders) / len(encoders) if encoders else None,
    )


def _queue(cluster: Cluster, queue: Queue) -> QueueView:
    jobs = dict.fromkeys(JobState, 0)
    for (state, of_queue, _), number in cluster.store.counts().items():
        if of_queue is queue:
            jobs[state] += number
    (oldest,) = cluster.store.jobs(states=(JobState.QUEUED,), queues=(queue,), limit=1, oldest_first=True) or (None,)
    now_s = cluster.now.mono_s
    return QueueView(
        queue=queue,
        states=tuple(StateCount(state=state, jobs=number) for state, number in jobs.items() if number),
        oldest_job=oldest.job_id if oldest else None,
        waiting_since=oldest.state_at if oldest else None,
        completed=cluster.hour.count(queue, JobState.COMPLETED, now_s),
        failed=cluster.hour.count(queue, JobState.FAILED, now_s),
        wait_p95_s=cluster.hour.wait_p95_s(queue, now_s),
    )


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────


def events(cluster: Cluster, request: Events, by: Principal, peer: Peer) -> Message | None:
    """Answer EVENTS at once if something happened, else let the client wait."""
    store, since = cluster.store, request.since
    last = store.last_event()
    if since is None or since > last:
        # Numbers behind the last one were given out by a database that is not this one any more.
        newest = store.newest_events(job=request.job, node_id=request.node_id, limit=request.limit)
        # The newest are what is asked for, should they not all fit.
        shown = that_fit(reversed(_as_seen(newest, by.role)))
        return EventList(
            request_id=request.request_id, events=tuple(reversed(shown)), cursor=last, reset=since is not None
        )
    until_s = cluster.now.mono_s + request.wait_s
    watcher = Watcher(peer, by.user_id, by.role, request, since, until_s)
    reply = _news(cluster, watcher)
    full = len(cluster.watchers) >= WATCHERS_MAX
    if reply.events or reply.cursor < last or request.wait_s <= 0 or full:
        return reply
    cluster.watchers[peer] = replace(watcher, since=reply.cursor)
    cluster.timers.set(("watcher", peer), until_s)
    return None


def _news(cluster: Cluster, watcher: Watcher) -> EventList:
    request = watcher.request
    found, cursor = cluster.store.events_after(
        watcher.since, job=request.job, node_id=request.node_id, limit=request.limit
    )
    shown = that_fit(_as_seen(found, watcher.role))
    if len(shown) < len(found):
        cursor = shown[-1].number
    return EventList(request_id=request.request_id, events=tuple(shown), cursor=cursor)


def _as_seen(found: list[Event], role: Role) -> list[Event]:
    if sees_secrets(role):
        return found
    return [event if event.why is None else replace(event, why=masked(event.why)) for event in found]


def watch_over(cluster: Cluster, peer: Peer) -> None:
    """Answer a client whose time is up."""
    watcher = cluster.watchers.pop(peer, None)
    if watcher is not None:
        cluster.send(peer, EventList(request_id=watcher.request.request_id, events=(), cursor=watcher.since))


def tell_watchers(cluster: Cluster) -> None:
    """Answer every client for whom this turn brought something."""
    if not cluster.watchers:
        return
    last = cluster.store.last_event()
    for peer, watcher in list(cluster.watchers.items()):
        if watcher.since >= last:
            continue
        reply = _news(cluster, watcher)
        if not reply.events:
            cluster.watchers[peer] = replace(watcher, since=reply.cursor)
            continue
        del cluster.watchers[peer]
        cluster.timers.drop(("watcher", peer))
        # A key revoked while it waited hears nothing more.
        if cluster.principals.of(watcher.user_id, cluster.now.wall_s) is not None:
            cluster.send(peer, reply)


def save(cluster: Cluster) -> None:
    """Write what happened to nodes and keys since the last turn that could write."""
    for told in cluster.happened:
        cluster.store.add_event(told.event, at=told.at, who=told.who, why=told.why, node_id=told.node_id)
    cluster.happened.clear()

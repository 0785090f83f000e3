"""Give queued jobs to free slots, in the turn in which either appears."""

from heapq import heapify, heappop, heappush

from ffrtmpd.broker import holding
from ffrtmpd.broker.cluster import MASTER, Cluster
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.placement import Need, best_node
from ffrtmpd.store import Head
from ffrtmpd.wire.messages.session import TOKEN_BYTES
from ffrtmpd.wire.vocabulary import OutputMode


def dispatch(cluster: Cluster) -> None:
    """Assign jobs until no free node can run any.

    Only the heads of the classes that a free node can serve are looked at, so a job that nobody can run costs
    nothing and blocks nothing.
    """
    _resume(cluster)
    if not (cluster.roster.free and cluster.queued):
        return
    # Slots only get fewer here, so a class that finds no node now finds none later.
    served = [requires for requires in cluster.queued if best_node(Need.parse(requires), cluster.roster.free)]
    heads = [(head.rank, head.seq, requires) for requires in served if (head := _head(cluster, requires)) is not None]
    heapify(heads)
    while heads and cluster.roster.free:
        _, seq, requires = heappop(heads)
        node_id = best_node(Need.parse(requires), cluster.roster.free)
        if node_id is not None:
            _assign(cluster, seq, node_id)
            if cluster.roster.free and (head := _head(cluster, requires)) is not None:
                heappush(heads, (head.rank, head.seq, requires))


def _resume(cluster: Cluster) -> None:
    """Paused jobs that shall go on have first claim on the slots of their nodes.

    A node that is away has to say first what of it stands still: only then are its slots known.
    """
    for seq, node_id in sorted(cluster.resuming.items()):
        node = cluster.roster.get(node_id)
        held = node.holds.get(seq) if node else None
        if node is None or node.session is None or held is None or not node.free_slots:
            continue
        row = cluster.store.job(seq)
        if row is not None:
            holding.go_on(cluster, node, held, row, who=MASTER)


def _head(cluster: Cluster, requires: str) -> Head | None:
    """Return the next job of a class that may begin now; one that may not blocks none behind it."""
    limit = 1
    while True:
        heads = cluster.store.heads(requires, limit)
        for head in heads:
            if _may_begin(cluster, head):
                return head
        if len(heads) < limit:
            return None
        limit *= 4


def _may_begin(cluster: Cluster, head: Head) -> bool:
    """Tell whether no earlier run of the job can still reach its audience."""
    if head.seq in cluster.stopping:
        return False
    if cluster.now.mono_s >= cluster.memory_since_s + cluster.longest_lease_s:
        return True
    # Just started: an earlier run may go on at a node that has not said yet what it runs, or that was removed since.
    row = cluster.store.job(head.seq)
    if row is None or row.attempt == 0 or row.spec.output_mode is OutputMode.FILE:
        return True
    before = cluster.roster.get(cluster.store.node_of_attempt(row.seq, row.attempt))
    return before is not None and before.session is not None


def _assign(cluster: Cluster, seq: int, node_id: str) -> None:
    row, node = cluster.store.job(seq), cluster.roster.get(node_id)
    if row is None or node is None or node.session is None:
        raise LookupError(f"job {seq} was to be given to {node_id}: {node}")
    moved = cluster.move(
        row,
        JobEvent.ASSIGN,
        why=f"to {node.node_id}",
        token=cluster.random_bytes(TOKEN_BYTES),
        node_id=node.node_id,
        reason=None,
    )
    cluster.figures.count("schedule", "success")
    cluster.dispatched.append(row.state_at)
    holding.hold(cluster, node, moved)
    cluster.send(node.session.peer, holding.assignment(cluster, moved))

"""Give queued jobs to free slots, in the turn in which either appears."""

from collections.abc import Iterator
from heapq import heapify, heappop, heapreplace
from typing import Final

from ffrtmpd.broker import holding
from ffrtmpd.broker.cluster import MASTER, Cluster
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.placement import Need, best_node
from ffrtmpd.store import Head, JobChanges
from ffrtmpd.wire.messages.session import TOKEN_BYTES
from ffrtmpd.wire.vocabulary import OutputMode

# Heads are asked for so many at a time.
HEADS: Final = 16


def dispatch(cluster: Cluster) -> None:
    """Assign jobs until no free node can run any.

    Only the heads of the classes that a free node can serve are looked at, so a job that nobody can run costs
    nothing and blocks nothing.
    """
    _resume(cluster)
    roster = cluster.roster
    if not (cluster.queued and roster.free):
        return
    # Slots only get fewer here, so a class that finds no node now finds none later.
    served = [requires for requires in cluster.queued if best_node(Need.parse(requires), roster.free)]
    waiting = {requires: _heads(cluster, requires) for requires in served}
    heads = [(head, requires) for requires, behind in waiting.items() if (head := next(behind, None)) is not None]
    heapify(heads)
    while heads and (free := roster.free):
        (_, seq), requires = heads[0]
        node_id = best_node(Need.parse(requires), free)
        head = None
        if node_id is not None:
            _assign(cluster, seq, node_id)
            head = next(waiting[requires], None)
        if head is None:
            heappop(heads)
        else:
            heapreplace(heads, (head, requires))


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


def _heads(cluster: Cluster, requires: str) -> Iterator[Head]:
    """Yield the jobs of a class that may begin now; one that may not blocks none behind it.

    Each has left the queue when the next is asked for.
    """
    passed_over = 0
    while True:
        heads = cluster.store.heads(requires, passed_over + HEADS)[passed_over:]
        for head in heads:
            if _may_begin(cluster, head):
                yield head
            else:
                passed_over += 1
        if len(heads) < HEADS:
            return


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
    changes: JobChanges = {"token": cluster.random_bytes(TOKEN_BYTES), "node_id": node_id}
    moved = cluster.walk(row, ((JobEvent.ASSIGN, f"to {node_id}", changes),))
    cluster.figures.count("schedule", "success")
    cluster.dispatched.append(row.state_at)
    holding.hold(cluster, node, moved)
    cluster.send(node.session.peer, holding.assignment(cluster, moved))

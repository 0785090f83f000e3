"""Give queued jobs to free slots, in the turn in which either appears."""

from ffrtmpd.broker.cluster import Cluster
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.placement import Need, cannot, preference
from ffrtmpd.roster import Node
from ffrtmpd.store import Head
from ffrtmpd.wire.messages.session import TOKEN_BYTES


def dispatch(cluster: Cluster) -> None:
    """Assign jobs until no free node can run any.

    Only the heads of the classes that a free node can serve are looked at, so a job that nobody can run costs
    nothing and blocks nothing.
    """
    if not cluster.queued:
        return
    free = [node for node in cluster.roster if node.takes_jobs]
    heads: dict[str, Head | None] = {}
    while free and cluster.queued:
        choice = _first(cluster, free, heads)
        if choice is None:
            return
        requires, head, able = choice
        need = Need.parse(requires)
        node = min(able, key=lambda candidate: preference(need, candidate))
        _assign(cluster, head, node)
        del heads[requires]
        if not node.takes_jobs:
            free.remove(node)


def _first(cluster: Cluster, free: list[Node], heads: dict[str, Head | None]) -> tuple[str, Head, list[Node]] | None:
    """Return the job that is next among all that a free node can run, with the nodes that can."""
    best: tuple[str, Head, list[Node]] | None = None
    for requires in cluster.queued:
        need = Need.parse(requires)
        able = [node for node in free if cannot(need, node) is None]
        if not able:
            continue
        if requires not in heads:
            heads[requires] = cluster.store.head(requires)
        head = heads[requires]
        if head is not None and (best is None or (head.rank, head.seq) < (best[1].rank, best[1].seq)):
            best = (requires, head, able)
    return best


def _assign(cluster: Cluster, head: Head, node: Node) -> None:
    row = cluster.store.job(head.seq)
    if row is None or node.session is None:
        return
    moved = cluster.move(
        row,
        JobEvent.ASSIGN,
        why=f"to {node.node_id}",
        token=cluster.random_bytes(TOKEN_BYTES),
        node_id=node.node_id,
        reason=None,
    )
    cluster.hold(node, moved)
    cluster.send(node.session.peer, cluster.assignment(moved))

"""What clients ask about nodes, and how they drain and remove them."""

import math

from ffrtmpd.broker import holding
from ffrtmpd.broker.cluster import Cluster, Refusal
from ffrtmpd.broker.holding import Loss
from ffrtmpd.broker.paging import that_fit
from ffrtmpd.events import Peer
from ffrtmpd.principals import Principal
from ffrtmpd.roster import Node
from ffrtmpd.store import job_id
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.nodes import (
    DescribeNode,
    DrainNode,
    ListNodes,
    NodeList,
    NodeReply,
    NodeView,
    RemoveNode,
    UndrainNode,
)
from ffrtmpd.wire.vocabulary import ErrorCode, NodeSortKey, NodeStatus, Phase, Role

_STATUSES = list(NodeStatus)


def view(node: Node) -> NodeView:
    """Return a node as clients see it."""
    return NodeView(
        node_id=node.node_id,
        address=node.address,
        status=node.status,
        hardware=node.hardware,
        load=node.load,
        slots=node.slots,
        free_slots=node.free_slots if node.session else 0,
        drain_until=node.drain_until,
        active_jobs=tuple(job_id(seq) for seq, held in sorted(node.holds.items()) if held.dropped is None),
        last_seen_at=node.last_seen_at,
        connected_at=node.session.connected_at if node.session else None,
    )


def list_nodes(cluster: Cluster, request: ListNodes, by: Principal, peer: Peer) -> Message:
    """Answer LIST_NODES with one window and the way to the next.

    By name, the cursor is the last one shown; by anything else it is how many came before.
    """
    nodes = sorted((node for node in cluster.roster if _fits(node, request)), key=lambda node: node.node_id)
    by_name = request.sort is NodeSortKey.NODE
    skip = 0
    if not by_name:
        known = [node for node in nodes if _sorted_by(node, request.sort) is not None]
        known.sort(key=lambda node: _sorted_by(node, request.sort) or 0.0, reverse=request.descending)
        nodes = [*known, *(node for node in nodes if _sorted_by(node, request.sort) is None)]
    elif request.descending:
        nodes.reverse()
    if request.cursor is not None:
        skip = _skipped(nodes, request, request.cursor)
    left = nodes[skip:]
    views = that_fit(view(node) for node in left[: request.limit])
    onward = views[-1].node_id if by_name and views else str(skip + len(views))
    return NodeList(
        request_id=request.request_id,
        nodes=tuple(views),
        total=len(nodes),
        next=onward if len(views) < len(left) else None,
    )


def _skipped(nodes: list[Node], request: ListNodes, cursor: str) -> int:
    if request.sort is NodeSortKey.NODE:
        if request.descending:
            return sum(node.node_id >= cursor for node in nodes)
        return sum(node.node_id <= cursor for node in nodes)
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Refusal(ErrorCode.INVALID_ARGUMENT, "cursor: not one that this master gave out")
    return int(cursor)


def _fits(node: Node, request: ListNodes) -> bool:
    hardware, text = node.hardware, (request.text or "").lower()
    return not (
        (request.statuses and node.status not in request.statuses)
        or (text and text not in node.node_id.lower() and text not in (node.address or "").lower())
        or (request.encoder is not None and (hardware is None or request.encoder not in hardware.encoders))
        or (request.engine is not None and (hardware is None or request.engine not in hardware.engines))
        or (request.gpu is not None and request.gpu is not bool(hardware and hardware.gpus))
    )


def _sorted_by(node: Node, key: NodeSortKey) -> float | None:
    load = node.load
    match key:
        case NodeSortKey.STATUS:
            return float(_STATUSES.index(node.status))
        case NodeSortKey.LOAD:
            return load.cpu_load_percent if load else None
        case NodeSortKey.POWER:
            return load.power_watts if load else None
        case NodeSortKey.FREE_SLOTS:
            return float(node.free_slots if node.session else 0)
        case NodeSortKey.JOBS:
            return float(sum(held.dropped is None for held in node.holds.values()))
        case NodeSortKey.LAST_SEEN:
            return node.last_seen_at
        case NodeSortKey.NODE:
            return None


def describe_node(cluster: Cluster, request: DescribeNode, by: Principal, peer: Peer) -> Message:
    """Answer DESCRIBE_NODE."""
    return NodeReply(request_id=request.request_id, node=view(find(cluster, request.node_id)))


def find(cluster: Cluster, node_id: str) -> Node:
    """Return the node of that name.

    Raises:
        Refusal: no such node.
    """
    node = cluster.roster.get(node_id)
    if node is None:
        raise Refusal(ErrorCode.NOT_FOUND, f"no node {node_id!r}", hint="`ffrtmp nodes list` shows them")
    return node


# ── draining ──────────────────────────────────────────────────────────────────────────────────────────────────────


def drain(cluster: Cluster, request: DrainNode, by: Principal, peer: Peer) -> Message:
    """Give the node no more jobs. Drained again, the newer deadline counts."""
    node = find(cluster, request.node_id)
    node.draining = True
    cluster.roster.changed(node)
    node.drain_until = None if request.deadline_s is None else cluster.now.wall_s + request.deadline_s
    if request.deadline_s is None:
        cluster.timers.drop(("drain", node.node_id))
    else:
        cluster.timers.set(("drain", node.node_id), cluster.now.mono_s + request.deadline_s)
    cluster.unsaved.add(node.node_id)
    cluster.note("info", "node_draining", node=node.node_id, by=by.name, deadline_s=request.deadline_s)
    why = None if request.deadline_s is None else f"what it runs goes to others in {request.deadline_s:g} s"
    cluster.happen("node_draining", node_id=node.node_id, who=by.name, why=why)
    return NodeReply(request_id=request.request_id, node=view(node))


def undrain(cluster: Cluster, request: UndrainNode, by: Principal, peer: Peer) -> Message:
    """Let the node take jobs again."""
    node = find(cluster, request.node_id)
    if not node.draining:
        raise Refusal(ErrorCode.CONFLICT, f"{node.node_id} is not draining")
    node.draining, node.drain_until = False, None
    cluster.roster.changed(node)
    cluster.timers.drop(("drain", node.node_id))
    cluster.unsaved.add(node.node_id)
    cluster.note("info", "node_undrained", node=node.node_id, by=by.name)
    cluster.happen("node_undrained", node_id=node.node_id, who=by.name)
    return NodeReply(request_id=request.request_id, node=view(node))


def drain_over(cluster: Cluster, node_id: str) -> None:
    """The deadline of a drain is here: what the node still runs goes to others. What is being published may finish."""
    node = cluster.roster.get(node_id)
    if node is None or not node.draining:
        return
    for held in list(node.holds.values()):
        row = cluster.store.job(held.seq)
        if row is None or row.token != held.token or row.node_id != node_id or row.phase is Phase.PUBLISHING:
            continue
        holding.drop(cluster, node, row, "the node is drained")
        holding.requeue(cluster, row, why=f"{node_id} is drained")


def remove(cluster: Cluster, request: RemoveNode, by: Principal, peer: Peer) -> Message:
    """Forget a node that is offline, and refuse its key. What it still holds goes to others, published or not.

    A push is what cannot be taken from a node that does not answer: until its lease is over the node stays.
    """
    node = find(cluster, request.node_id)
    if node.session is not None:
        raise Refusal(
            ErrorCode.CONFLICT, f"{node.node_id} is {node.status}", hint="drain it, stop its worker, then remove it"
        )
    left_s = max((held.lease_until_s - cluster.now.mono_s for held in node.holds.values() if held.fenced), default=0.0)
    if left_s > 0:
        raise Refusal(
            ErrorCode.CONFLICT,
            f"{node.node_id} may still push",
            hint=f"it stops by itself; remove it in {math.ceil(left_s)} s",
            retryable=True,
        )
    for held in list(node.holds.values()):
        holding.release(cluster, node, held.seq)
        row = cluster.store.job(held.seq)
        if row is not None and row.token == held.token and row.node_id == node.node_id:
            holding.requeue(cluster, row, why=f"{node.node_id} was removed", loss=Loss.REMOVED)
    for principal in cluster.principals.everyone():
        if principal.name == node.node_id and principal.role is Role.WORKER and principal.revoked_at is None:
            cluster.principals.put(cluster.store.change_principal(principal.id, revoked_at=cluster.now.wall_s))
    cluster.store.remove_node(node.node_id)
    cluster.roster.forget(node.node_id)
    cluster.timers.drop(("drain", node.node_id))
    cluster.note("info", "node_removed", node=node.node_id, by=by.name)
    cluster.happen("node_removed", node_id=node.node_id, who=by.name)
    return NodeReply(request_id=request.request_id, node=view(node))

"""What clients ask about nodes."""

from ffrtmpd.broker.cluster import Cluster, Refusal
from ffrtmpd.events import Peer
from ffrtmpd.principals import Principal
from ffrtmpd.roster import Node
from ffrtmpd.store import job_id
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.nodes import DescribeNode, ListNodes, NodeList, NodeReply, NodeView
from ffrtmpd.wire.vocabulary import ErrorCode


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
        active_jobs=tuple(job_id(seq) for seq, held in sorted(node.holds.items()) if held.dropped is None),
        last_seen_at=node.last_seen_at,
        connected_at=node.session.connected_at if node.session else None,
    )


def list_nodes(cluster: Cluster, request: ListNodes, by: Principal, peer: Peer) -> Message:
    """Answer LIST_NODES."""
    nodes = sorted(cluster.roster, key=lambda node: node.node_id)
    return NodeList(request_id=request.request_id, nodes=tuple(view(node) for node in nodes))


def describe_node(cluster: Cluster, request: DescribeNode, by: Principal, peer: Peer) -> Message:
    """Answer DESCRIBE_NODE."""
    node = cluster.roster.get(request.node_id)
    if node is None:
        raise Refusal(ErrorCode.NOT_FOUND, f"no node {request.node_id!r}", hint="`ffrtmp nodes list` shows them")
    return NodeReply(request_id=request.request_id, node=view(node))

"""EXPLAIN: why a job is where it is."""

from ffrtmpd.base.logs import stamp
from ffrtmpd.broker.cluster import Cluster
from ffrtmpd.broker.jobs import find
from ffrtmpd.events import Peer
from ffrtmpd.placement import Need, refusal, waits_for_drained, why_waiting
from ffrtmpd.principals import Principal
from ffrtmpd.store import JobRow
from ffrtmpd.wire.codec import ARRAY_MAX, Message
from ffrtmpd.wire.messages.inquiries import Explain, Explanation, NodeAnswer
from ffrtmpd.wire.vocabulary import JobState, Why

_CANNOT = {
    Why.GPU_REQUIRED: "no connected node has a GPU that encodes it",
    Why.ENCODER_BUSY: "the hardware encoders of every node that could run it are taken",
    Why.NO_SCORER: "no connected node that encodes it measures what is asked for",
    Why.NO_WORKER: "no connected node can encode it",
}


def explain(cluster: Cluster, request: Explain, by: Principal, peer: Peer) -> Message:
    """Answer with the job's place and each node's reason for refusing it."""
    row = find(cluster, request.job)
    need = Need.parse(row.requires)
    queued = row.state is JobState.QUEUED
    waits = queued or row.state is JobState.PENDING
    nodes = sorted(cluster.roster, key=lambda node: node.node_id)[:ARRAY_MAX] if waits else []
    return Explanation(
        request_id=request.request_id,
        job=cluster.view(row),
        text=_text(cluster, row, need),
        place=cluster.store.place(row) if queued else None,
        requires=row.requires,
        nodes=tuple(NodeAnswer(node_id=node.node_id, why=refusal(need, node)) for node in nodes),
    )


def _text(cluster: Cluster, row: JobRow, need: Need) -> str:
    match row.state:
        case JobState.PENDING:
            until = stamp(row.due_at or cluster.now.wall_s)
            if row.attempt == 0:
                return f"it is queued at {until}"
            return f"attempt {row.attempt} failed ({row.reason}); it is tried again at {until}"
        case JobState.QUEUED:
            why = why_waiting(need, cluster.roster.abilities)
            if why is not None:
                return f"it waits: {_CANNOT[why]}"
            if waits_for_drained(need, cluster.roster):
                return "it waits: every connected node that can run it is being drained"
            return "it waits for a free slot"
        case JobState.ASSIGNED:
            return f"{row.node_id} has it and has not begun to encode"
        case JobState.PROCESSING:
            return f"{row.node_id} runs it: {cluster.view(row).phase}{_losses(cluster, row)}"
        case JobState.PAUSED if row.node_id is None:
            return "it is held; resume puts it back into its place in the queue"
        case JobState.PAUSED:
            return row.reason if row.resuming and row.reason else f"it is frozen on {row.node_id} until it is resumed"
        case JobState.COMPLETED:
            return f"it is done: {row.output}"
        case _:
            return row.reason or "no reason was given"


def _losses(cluster: Cluster, row: JobRow) -> str:
    """Return how often the push of a job was lost, nothing for none."""
    progress = cluster.view(row).progress
    times = 0 if progress is None else progress.reconnects or 0
    return f"; its push was lost {times} time{'' if times == 1 else 's'}" if times else ""

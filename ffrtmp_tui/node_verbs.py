"""What `ffrtmp nodes` does: list and describe; drain, undrain and remove one, several, or all that fit a filter."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ffrtmp_tui import bulk, units
from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmp_tui.filters import node_filter, require_terms
from ffrtmp_tui.link import new_id
from ffrtmp_tui.node_view import NODE_COLUMNS, node_sheet
from ffrtmp_tui.run import Run
from ffrtmpd.wire.messages.common import Request
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
from ffrtmpd.wire.vocabulary import NodeStatus


def list_nodes(run: Run) -> int:
    """Show the nodes that fit."""
    fields = {**node_filter(run.args.filter or ()), **(run.args.sort or {})}
    nodes, last = _every(run, fields, limit=run.args.limit)
    run.show_list("nodes", nodes, NODE_COLUMNS, name_of=lambda node: node.node_id, extra={"total": last.total})
    if last.next is not None and run.form != "json":
        run.terminal.say(f"{len(nodes)} of {last.total} nodes")
    return Exit.OK


def describe(run: Run) -> int:
    """Show everything about one node."""
    node = run.ask(DescribeNode(request_id=new_id(), node_id=named(run, run.args.node)), NodeReply).node
    _show(run, node, lambda: node_sheet(node, run.terminal))
    return Exit.OK


def drain(run: Run) -> int:
    """Give nodes no more jobs."""

    def told(node: NodeView) -> str:
        at = node.drain_until
        until = "" if at is None else f"; what it still runs at {units.time_text(at)} moves on"
        count = len(node.active_jobs)
        return f"is draining with {count} active job{'' if count == 1 else 's'}{until}"

    return _act(run, lambda name: DrainNode(request_id=new_id(), node_id=name, deadline_s=run.args.deadline), told=told)


def undrain(run: Run) -> int:
    """Let nodes take jobs again."""
    return _act(
        run,
        lambda name: UndrainNode(request_id=new_id(), node_id=name),
        told=lambda _: "takes jobs again",
        statuses=(NodeStatus.DRAINING,),
    )


def remove(run: Run) -> int:
    """Forget nodes and refuse their keys."""
    return _act(
        run,
        lambda name: RemoveNode(request_id=new_id(), node_id=name),
        told=lambda _: "removed; its key is refused from now on",
        statuses=(NodeStatus.OFFLINE,),
        whole=True,
    )


def named(run: Run, word: str) -> str:
    """Return the node that ``word`` names: in full, or by a beginning that only one has.

    Raises:
        Failure: several begin so.
    """
    begun = run.ask(ListNodes(request_id=new_id(), text=word), NodeList)
    names = [node.node_id for node in begun.nodes if node.node_id.lower().startswith(word.lower())]
    if word in names or not names or begun.next is not None:
        # What nobody is called the master refuses in its own words.
        return word
    if len(names) > 1:
        raise usage(f"{word!r} begins the names of several nodes", f"say which: {', '.join(names[:8])}")
    return names[0]


def _act(
    run: Run,
    request: Callable[[str], Request],
    *,
    told: Callable[[NodeView], str],
    statuses: Sequence[NodeStatus] = (),
    whole: bool = False,
) -> int:
    """Do it to the nodes that the command names; ``statuses`` are meant where its filter says none."""

    def ask(name: str) -> NodeView:
        return run.ask(request(name), NodeReply).node

    def line(node: NodeView) -> str:
        return f"Node {node.node_id} {told(node)}"

    names = _chosen(run, statuses, whole=whole)
    if len(names) == 1 and not run.args.filter:
        node = ask(names[0])
        _show(run, node, lambda: f"{run.terminal.tick} {line(node)}\n")
        return Exit.OK
    if run.args.filter:
        bulk.confirm(run, len(names), "node")
    return bulk.act(
        run, names, bulk.each(ask), kind="node", told=line, columns=NODE_COLUMNS, name_of=lambda node: node.node_id
    )


def _chosen(run: Run, statuses: Sequence[NodeStatus], *, whole: bool) -> list[str]:
    if run.args.filter and run.args.node:
        raise usage("nodes and --filter are given", "say either")
    if run.args.filter:
        return _matching(run, run.args.filter, statuses)
    words = [part.strip() for word in run.args.node or () for part in word.split(",")]
    if not words:
        raise usage("no node is named: required: NODE or --filter", "see `ffrtmp nodes list`")
    if "" in words:
        raise usage("a node is missing between two commas", "write worker-1,worker-2")
    # Whom nobody can get back is named in full.
    return list(dict.fromkeys(word if whole else named(run, word) for word in words))


def _matching(run: Run, filters: Sequence[str], statuses: Sequence[NodeStatus]) -> list[str]:
    require_terms(filters, "status", statuses or (NodeStatus.ACTIVE, NodeStatus.BUSY))
    fields = {"statuses": tuple(statuses), **node_filter(filters)}
    nodes, _ = _every(run, fields)
    found = [node.node_id for node in nodes]
    if not found:
        raise Failure(
            Exit.NOT_FOUND, f"no node fits {' '.join(filters)!r}", code="not_found", hint="see `ffrtmp nodes list`"
        )
    return found


def _every(run: Run, fields: Mapping[str, Any], *, limit: int | None = None) -> tuple[list[NodeView], NodeList]:
    """Return the nodes that fit, page after page and ``limit`` at most, and the last page."""
    nodes: list[NodeView] = []
    cursor: str | None = None
    while True:
        left = None if limit is None else limit - len(nodes)
        reply = run.ask(ListNodes(request_id=new_id(), cursor=cursor, limit=left, **fields), NodeList)
        nodes += reply.nodes
        cursor = reply.next
        if cursor is None or not reply.nodes or (limit is not None and len(nodes) >= limit):
            return nodes, reply


def _show(run: Run, node: NodeView, people: Callable[[], str]) -> None:
    run.show_one({"node": node}, name=node.node_id, people=people, columns=NODE_COLUMNS, row=node)

"""LIST_JOBS: a window of the jobs that fit a filter, in the order of submit or another."""

import re
from typing import Final

from ffrtmpd.broker.cluster import Cluster, Refusal
from ffrtmpd.broker.jobs import shown
from ffrtmpd.broker.paging import that_fit
from ffrtmpd.events import Peer
from ffrtmpd.principals import Principal
from ffrtmpd.store import LOOK_MAX, Edge, Search, job_id, parse_job_ref
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.jobs import IDS_MAX, JobList, JobView, ListJobs
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, ErrorCode, Role, SortKey

# What a running encode says of itself is known here alone.
_END_CURSOR: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?),([0-9]{1,18})")
_LIVE: Final = {SortKey.PROGRESS: "percent", SortKey.FPS: "fps", SortKey.ETA: "eta_s"}


def list_jobs(cluster: Cluster, request: ListJobs, by: Principal, peer: Peer) -> Message:
    """Answer LIST_JOBS with one window and the way to the next."""
    wanted = Search(
        states=request.states,
        queues=request.queues,
        priorities=request.priorities,
        node_id=request.node_id,
        engines=request.engines,
        text=request.text,
        labels=request.labels,
        created_after=request.created_after,
        created_before=request.created_before,
    )
    if request.ids_only or request.sort is SortKey.CREATED:
        return _by_submit(cluster, request, wanted, by.role)
    if request.sort is SortKey.FINISHED and request.states and TERMINAL_STATES.issuperset(request.states):
        return _by_end(cluster, request, wanted, by.role)
    return _sorted(cluster, request, wanted, by.role)


def _by_submit(cluster: Cluster, request: ListJobs, wanted: Search, role: Role) -> JobList:
    edge = None
    if request.cursor is not None:
        edge = parse_job_ref(request.cursor)
        if edge is None:
            raise _no_cursor()
    bounds = (edge, None) if request.oldest_first else (None, edge)
    limit = IDS_MAX if request.ids_only else request.limit
    found = cluster.store.search(wanted, limit=limit, bounds=bounds, oldest_first=request.oldest_first)
    views = [] if request.ids_only else _views(cluster, found.seqs, role)
    cut = not request.ids_only and len(views) < len(found.seqs)
    onward = found.seqs[len(views) - 1] if cut else found.edge
    exact = wanted.is_counted_by_index
    return JobList(
        request_id=request.request_id,
        jobs=tuple(views),
        ids=tuple(job_id(seq) for seq in found.seqs) if request.ids_only else (),
        total=cluster.store.count_matches(wanted) if exact else len(found.seqs),
        partial=not exact and (onward is not None or edge is not None),
        next=None if onward is None else str(onward),
        revision=cluster.journal.revision,
    )


def _by_end(cluster: Cluster, request: ListJobs, wanted: Search, role: Role) -> JobList:
    """Answer from the index of jobs that ended; the cursor is the end and the number of the last one shown."""
    edge = None if request.cursor is None else _edge_of(request.cursor)
    found = cluster.store.ended(wanted, limit=request.limit, edge=edge, descending=request.descending)
    views = _views(cluster, [job.seq for job in found.jobs], role)
    onward = found.jobs[len(views) - 1] if len(views) < len(found.jobs) else found.edge
    exact = wanted.is_counted_by_index
    return JobList(
        request_id=request.request_id,
        jobs=tuple(views),
        total=cluster.store.count_matches(wanted) if exact else len(found.jobs),
        partial=not exact and (onward is not None or edge is not None),
        next=None if onward is None else f"{onward.finished_at!r},{onward.seq}",
        revision=cluster.journal.revision,
    )


def _edge_of(cursor: str) -> Edge:
    match = _END_CURSOR.fullmatch(cursor)
    if match is None:
        raise _no_cursor()
    return Edge(float(match[1]), int(match[2]))


def _sorted(cluster: Cluster, request: ListJobs, wanted: Search, role: Role) -> JobList:
    """Answer by another order than that of submit; the cursor is how many jobs came before."""
    skip = 0
    if request.cursor is not None:
        if not (request.cursor.isascii() and request.cursor.isdigit() and int(request.cursor) <= LOOK_MAX):
            raise _no_cursor()
        skip = int(request.cursor)
    found = cluster.store.search(wanted, limit=LOOK_MAX, bounds=(None, None))
    if request.sort in _LIVE:
        every = _by_live(cluster, found.seqs, request)
    else:
        every = cluster.store.in_order(found.seqs, request.sort, descending=request.descending)
    views = _views(cluster, every[skip : skip + request.limit], role)
    onward = skip + len(views)
    return JobList(
        request_id=request.request_id,
        jobs=tuple(views),
        total=cluster.store.count_matches(wanted) if wanted.is_counted_by_index else len(every),
        partial=found.edge is not None,
        next=str(onward) if views and onward < len(every) else None,
        revision=cluster.journal.revision,
    )


def _by_live(cluster: Cluster, seqs: list[int], request: ListJobs) -> list[int]:
    name = _LIVE[request.sort]
    sign = -1.0 if request.descending else 1.0

    def key(seq: int) -> tuple[bool, float, int]:
        live = cluster.live.get(seq)
        value = getattr(live.progress, name) if live and live.progress else None
        return value is None, 0.0 if value is None else sign * value, -seq

    return sorted(seqs, key=key)


def _views(cluster: Cluster, seqs: list[int], role: Role) -> list[JobView]:
    rows = (cluster.store.job(seq) for seq in seqs)
    return that_fit(shown(cluster, row, role) for row in rows if row is not None)


def _no_cursor() -> Refusal:
    return Refusal(ErrorCode.INVALID_ARGUMENT, "cursor: not one that this master gave out")

"""What clients ask about jobs, and how they steer them."""

from dataclasses import replace
from typing import Unpack

from ffrtmpd.broker import holding
from ffrtmpd.broker.cluster import Cluster, Fetch, Refusal
from ffrtmpd.broker.disclosure import masked, masked_report, masked_spec, masked_view, sees_secrets
from ffrtmpd.broker.journal import Waiter
from ffrtmpd.broker.paging import that_fit
from ffrtmpd.events import Peer
from ffrtmpd.lifecycle import IllegalTransition, JobEvent
from ffrtmpd.principals import Principal
from ffrtmpd.roster import Hold, Node
from ffrtmpd.scenario import UnknownScenario
from ffrtmpd.store import JobChanges, JobRow, parse_job_ref
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.acts import Acted, Cancel, Pause, Resume, Retry
from ffrtmpd.wire.messages.inquiries import ListScenarios, Logs, LogsReply, ScenarioList
from ffrtmpd.wire.messages.jobs import Changes, ChangesReply, JobView, Status, StatusReply
from ffrtmpd.wire.messages.session import FetchLog, LogChunk
from ffrtmpd.wire.vocabulary import ErrorCode, JobState, Phase, Role

# More clients than this waiting at once are answered at once, with nothing new.
WAITERS_MAX = 4_096
CHANGES_MAX = 500
# A transition's reason may have a kilobyte, and an answer has to fit into one message.
HISTORY_MAX = 200


def find(cluster: Cluster, ref: str) -> JobRow:
    """Return the job that ``ref`` names by id or sequence number.

    Raises:
        Refusal: no such job.
    """
    seq = parse_job_ref(ref)
    row = None if seq is None else cluster.store.job(seq)
    if row is None:
        raise Refusal(ErrorCode.NOT_FOUND, f"no job {ref!r}", hint="`ffrtmp jobs list` shows what is there")
    return row


def status(cluster: Cluster, request: Status, by: Principal, peer: Peer) -> Message:
    """Answer STATUS."""
    row = find(cluster, request.job)
    whole = sees_secrets(by.role)
    return StatusReply(
        request_id=request.request_id,
        job=shown(cluster, row, by.role),
        spec=row.spec if whole else masked_spec(row.spec),
        failure_class=row.failure_class,
        exit_code=row.exit_code,
        report=row.report if whole else masked_report(row.report),
        history=tuple(
            entry if whole or entry.why is None else replace(entry, why=masked(entry.why))
            for entry in cluster.store.history(row.seq, HISTORY_MAX)
        ),
    )


def shown(cluster: Cluster, row: JobRow, role: Role) -> JobView:
    """Return a job as a key of that role sees it."""
    view = cluster.view(row)
    return view if sees_secrets(role) else masked_view(view)


def list_scenarios(cluster: Cluster, request: ListScenarios, by: Principal, peer: Peer) -> Message:
    """Answer LIST_SCENARIOS."""
    if request.name is not None:
        try:
            one = cluster.scenarios.meaning(request.name)
        except UnknownScenario as error:
            raise Refusal(error.code, error.message, hint=error.hint) from None
        return ScenarioList(request_id=request.request_id, scenarios=(one,))
    return ScenarioList(request_id=request.request_id, scenarios=tuple(cluster.scenarios.names()))


# ── waiting for changes ───────────────────────────────────────────────────────────────────────────────────────────


def changes(cluster: Cluster, request: Changes, by: Principal, peer: Peer) -> Message | None:
    """Answer CHANGES at once if there are any, else let the client wait."""
    seqs = []
    for ref in request.jobs:
        seq = parse_job_ref(ref)
        if seq is None:
            raise Refusal(ErrorCode.INVALID_ARGUMENT, f"jobs: {ref!r} is not a job id")
        seqs.append(seq)
    until_s = cluster.now.mono_s + request.wait_s
    waiter = Waiter(peer, by.user_id, by.role, request, frozenset(seqs), until_s)
    found = news(cluster, waiter)
    if found is not None or request.wait_s <= 0 or len(cluster.waiters) >= WAITERS_MAX:
        return found or _nothing(cluster, waiter)
    cluster.waiters[peer] = waiter
    cluster.timers.set(("waiter", peer), until_s)
    return None


def news(cluster: Cluster, waiter: Waiter) -> ChangesReply | None:
    """Return what a waiter has not seen yet, None if there is nothing."""
    request = waiter.request
    if not cluster.journal.knows(request.since):
        return ChangesReply(request_id=request.request_id, jobs=(), revision=cluster.journal.revision, reset=True)
    seqs = cluster.journal.after(request.since, waiter.seqs, CHANGES_MAX)
    rows = [row for seq in seqs if (row := cluster.store.job(seq)) is not None]
    views = that_fit(shown(cluster, row, waiter.role) for row in rows)
    if not views:
        # Where all of a piece were removed meanwhile, what comes behind it is asked for with the next request.
        passed = len(seqs) == CHANGES_MAX
        revision = cluster.journal.of(seqs[-1]) if passed else 0
        return ChangesReply(request_id=request.request_id, jobs=(), revision=revision) if passed else None
    cut = len(seqs) == CHANGES_MAX or len(views) < len(rows)
    revision = views[-1].revision if cut else cluster.journal.revision
    return ChangesReply(request_id=request.request_id, jobs=tuple(views), revision=revision)


def _nothing(cluster: Cluster, waiter: Waiter) -> ChangesReply:
    return ChangesReply(request_id=waiter.request.request_id, jobs=(), revision=cluster.journal.revision)


def wait_over(cluster: Cluster, peer: Peer) -> None:
    """Answer a waiter whose time is up."""
    waiter = cluster.waiters.pop(peer, None)
    if waiter is not None:
        cluster.send(peer, _nothing(cluster, waiter))


def tell_waiters(cluster: Cluster) -> None:
    """Answer every waiter for whom this turn brought something."""
    fresh = cluster.journal.take_fresh()
    if not fresh:
        return
    for peer, waiter in list(cluster.waiters.items()):
        if waiter.seqs and waiter.seqs.isdisjoint(fresh):
            continue
        found = news(cluster, waiter)
        if found is not None:
            del cluster.waiters[peer]
            cluster.timers.drop(("waiter", peer))
            # A key revoked while it waited hears nothing more.
            if cluster.principals.of(waiter.user_id, cluster.now.wall_s) is not None:
                cluster.send(peer, found)


# ── steering ──────────────────────────────────────────────────────────────────────────────────────────────────────


def cancel(cluster: Cluster, request: Cancel, by: Principal, peer: Peer) -> Message:
    """Cancel a job; the node stops its processes and removes what they wrote.

    One that is being published is past that. Should its node have gone away in between, canceling it is the way not to
    wait for the node; its output may stand there under its final name.
    """
    row = find(cluster, request.job)
    node = cluster.roster.get(row.node_id)
    if row.phase is Phase.PUBLISHING and node is not None and node.session is not None:
        raise Refusal(
            ErrorCode.CONFLICT,
            f"{row.job_id} has finished and is being published",
            hint="it will be completed in a moment",
        )
    live = cluster.live.get(row.seq)
    # What was measured until now stays true of what was done.
    measured: JobChanges = {"progress": live.progress} if live and live.progress else {}
    moved = _move(cluster, row, JobEvent.CANCEL, by, "cancel", **measured)
    holding.drop(cluster, node, row, "canceled")
    return Acted(request_id=request.request_id, job=cluster.view(moved))


def pause(cluster: Cluster, request: Pause, by: Principal, peer: Peer) -> Message:
    """Freeze a running job or hold a waiting one."""
    row = find(cluster, request.job)
    if row.state is JobState.ASSIGNED or row.phase is Phase.PUBLISHING:
        raise Refusal(
            ErrorCode.CONFLICT,
            f"{row.job_id} is {'starting' if row.state is JobState.ASSIGNED else 'being published'}",
            hint="try again in a moment",
            retryable=True,
        )
    if row.resuming:
        row = _resume_later(cluster, row, wanted=False)
        return Acted(request_id=request.request_id, job=cluster.view(row))
    waits = row.state in (JobState.PENDING, JobState.QUEUED)
    moved = _move(cluster, row, JobEvent.HOLD if waits else JobEvent.PAUSE, by, "pause")
    node, held = _held(cluster, row)
    if node is not None and held is not None:
        held.paused = True
        holding.steer(cluster, node, held, row.job_id)
    return Acted(request_id=request.request_id, job=cluster.view(moved))


def resume(cluster: Cluster, request: Resume, by: Principal, peer: Peer) -> Message:
    """Let a paused job go on: its processes, or its place in the queue.

    Its slot may have been given to another meanwhile; then it has first claim on the next one of its node.
    """
    row = find(cluster, request.job)
    node, held = _held(cluster, row)
    if row.state is not JobState.PAUSED or node is None or held is None:
        row = _move(cluster, row, JobEvent.RELEASE if row.node_id is None else JobEvent.RESUME, by, "resume")
    elif node.session is None or (held.frozen and not node.free_slots):
        if not row.resuming:
            row = _resume_later(cluster, row, wanted=True)
    else:
        row = holding.go_on(cluster, node, held, row, who=by.name)
    return Acted(request_id=request.request_id, job=cluster.view(row))


def _resume_later(cluster: Cluster, row: JobRow, *, wanted: bool) -> JobRow:
    node = cluster.roster.get(row.node_id)
    until = "is back" if node is None or node.session is None else "has a free slot"
    reason = f"resumes when {row.node_id} {until}" if wanted else "pause asked"
    row = cluster.store.update(row.seq, state=row.state, attempt=row.attempt, resuming=wanted, reason=reason)
    if wanted and row.node_id is not None:
        cluster.resuming[row.seq] = row.node_id
    else:
        cluster.resuming.pop(row.seq, None)
    cluster.journal.touch(row.seq)
    return row


def retry(cluster: Cluster, request: Retry, by: Principal, peer: Peer) -> Message:
    """Queue a failed or canceled job anew, with all its attempts before it again."""
    row = find(cluster, request.job)
    moved = _move(cluster, row, JobEvent.RETRY, by, "retry")
    return Acted(request_id=request.request_id, job=cluster.view(moved))


def _move(
    cluster: Cluster, row: JobRow, event: JobEvent, by: Principal, verb: str, **changes: Unpack[JobChanges]
) -> JobRow:
    try:
        return cluster.move(row, event, who=by.name, why=f"{verb} asked", **changes)
    except IllegalTransition:
        raise Refusal(
            ErrorCode.CONFLICT, f"cannot {verb} {row.job_id}: it is {row.state}", hint=_hint(row.state)
        ) from None


def _hint(state: JobState) -> str | None:
    if state in (JobState.FAILED, JobState.CANCELED):
        return "`ffrtmp jobs retry` queues it anew"
    return None


def _held(cluster: Cluster, row: JobRow) -> tuple[Node | None, Hold | None]:
    node = cluster.roster.get(row.node_id)
    return node, node.holds.get(row.seq) if node else None


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def logs(cluster: Cluster, request: Logs, by: Principal, peer: Peer) -> None:
    """Ask the node that ran the job for a piece of its log; its answer goes to the client."""
    row = find(cluster, request.job)
    attempt = request.attempt or row.attempt
    if not 1 <= attempt <= row.attempt:
        raise Refusal(ErrorCode.NOT_FOUND, f"{row.job_id} has no attempt {attempt or 1} yet")
    node_id = cluster.store.node_of_attempt(row.seq, attempt)
    node = cluster.roster.get(node_id)
    if node is None or node.session is None:
        raise Refusal(
            ErrorCode.UNAVAILABLE,
            f"the log of {row.job_id} is on {node_id or 'a node that was removed'}, which is offline",
            hint="`ffrtmp jobs status` shows the last lines of a finished attempt",
            retryable=True,
        )
    fetch_id = int.from_bytes(cluster.random_bytes(6))
    until_s = cluster.now.mono_s + cluster.settings.fetch_timeout_s
    cluster.fetches[fetch_id] = Fetch(peer, by.role, request, row.job_id, attempt, node.node_id, until_s)
    cluster.timers.set(("fetch", fetch_id), until_s)
    cluster.send(
        node.session.peer,
        FetchLog(fetch_id=fetch_id, job_id=row.job_id, attempt=attempt, offset=request.offset, limit=request.limit),
    )


def log_came(cluster: Cluster, chunk: LogChunk, node_id: str) -> None:
    """Hand a piece of a log on to the client that asked."""
    fetch = cluster.fetches.get(chunk.fetch_id)
    if fetch is None or fetch.node_id != node_id:
        return
    del cluster.fetches[chunk.fetch_id]
    cluster.timers.drop(("fetch", chunk.fetch_id))
    if chunk.missing:
        refusal = Refusal(ErrorCode.NOT_FOUND, f"{node_id} keeps no log of {fetch.job_id} attempt {fetch.attempt}")
        cluster.refuse(fetch.peer, fetch.request.request_id, refusal)
        return
    cluster.send(
        fetch.peer,
        LogsReply(
            request_id=fetch.request.request_id,
            job_id=fetch.job_id,
            attempt=fetch.attempt,
            text=chunk.text if sees_secrets(fetch.role) else masked(chunk.text),
            offset=chunk.offset,
            next_offset=chunk.next_offset,
            end=chunk.end,
        ),
    )


def fetch_over(cluster: Cluster, fetch_id: int) -> None:
    """Answer a client whose log did not come in time."""
    fetch = cluster.fetches.pop(fetch_id, None)
    if fetch is not None:
        refusal = Refusal(ErrorCode.TIMEOUT, f"{fetch.node_id} did not send the log in time", retryable=True)
        cluster.refuse(fetch.peer, fetch.request.request_id, refusal)

"""Workers come, beat, fall silent and go."""

from ffrtmpd.broker import holding
from ffrtmpd.broker.cluster import Cluster
from ffrtmpd.broker.holding import Loss
from ffrtmpd.events import Peer
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.principals import Principal
from ffrtmpd.roster import Candidate, Hold, Node, Session
from ffrtmpd.store import JobRow, NodeRow, job_id, parse_job_ref
from ffrtmpd.wire.messages.common import Problem
from ffrtmpd.wire.messages.session import (
    TOKEN_BYTES,
    Bye,
    Commit,
    Denied,
    Heartbeat,
    HeartbeatAck,
    Held,
    Hello,
    Kill,
    Ready,
    Reset,
    Welcome,
)
from ffrtmpd.wire.vocabulary import SUPPORTED_VERSIONS, ErrorCode, JobState, Phase

# Beats that may have left the worker before an assignment reached it.
UNSEEN_BEATS = 2


def restore(cluster: Cluster) -> None:
    """After a start: every node offline, every lease armed in full, nothing requeued.

    The settings may have changed since an attempt was assigned, and its worker, while it is silent, keeps to the fence
    that it was told. So a push from before the start has the longest lease that it may have been told
    (``Store.longest_lease``) until its worker greets; WELCOME then cuts its fence to the longest of the present
    settings. One figure for the whole database will do: it only makes the leases of that time longer than they need be.
    """
    for row in cluster.store.nodes():
        cluster.roster.add(
            Node(
                node_id=row.node_id,
                address=row.address,
                hardware=row.hardware,
                slots=row.slots,
                draining=row.draining,
                drain_until=row.drain_until,
                first_seen_at=row.first_seen_at,
                last_seen_at=row.last_seen_at,
            )
        )
        if row.drain_until is not None:
            cluster.timers.set(
                ("drain", row.node_id), cluster.now.mono_s + max(0.0, row.drain_until - cluster.now.wall_s)
            )
    for job in cluster.store.held_by_nodes():
        if job.node_id is not None:
            node = cluster.roster.get_or_add(job.node_id)
            # The slot of a paused job may have been given to another before the restart.
            started = job.state is not JobState.ASSIGNED
            holding.hold(cluster, node, job, frozen=True, started=started, fenced_lease_s=cluster.longest_lease_s)


# ── coming ────────────────────────────────────────────────────────────────────────────────────────────────────────


def hello(cluster: Cluster, message: Hello, by: Principal, peer: Peer, address: str) -> None:
    """Offer a session; it begins with a READY that repeats the nonce."""
    spoken = [version for version in SUPPORTED_VERSIONS if version in message.versions]
    if not spoken:
        known = ", ".join(str(version) for version in SUPPORTED_VERSIONS)
        problem = Problem(
            code=ErrorCode.UNSUPPORTED_VERSION,
            message=f"this master speaks version {known}",
            hint="install the same release on master and workers",
        )
        cluster.send(peer, Denied(problem=problem))
        return
    before = cluster.roster.connected_as(peer)
    if before is not None:
        # Whatever were sent to it from now on could be missing from the inventory that it is about to send.
        cluster.roster.disconnect(before)
        cluster.timers.drop(("silence", before.node_id))
    settings = cluster.settings
    nonce = cluster.random_bytes(TOKEN_BYTES)
    cluster.roster.offer(
        peer,
        Candidate(node_id=by.name, user_id=by.user_id, nonce=nonce, hello=message, address=address),
    )
    cluster.send(
        peer,
        Welcome(
            version=max(spoken),
            node_id=by.name,
            epoch=cluster.epoch,
            nonce=nonce,
            life=cluster.life,
            heartbeat_s=settings.heartbeat_s,
            fence_s=settings.longest.fence_s,
            lost_after_s=settings.lost_after_s,
        ),
    )


def ready(cluster: Cluster, message: Ready, by: Principal, peer: Peer, address: str) -> None:
    """Begin the session and make what the worker runs and what the master believes one."""
    node = _begin(cluster, message, by, peer)
    if node is not None:
        _reconcile(cluster, node, message)
        _note_online(cluster, node)


def ready_unwritten(cluster: Cluster, message: Ready, by: Principal, peer: Peer, address: str) -> None:
    """Begin a session while nothing can be written: its beats are answered, its inventory is asked for again later."""
    node = _begin(cluster, message, by, peer)
    if node is not None and node.session is not None:
        node.session.provisional = True
        cluster.provisional.add(node.node_id)
        _note_online(cluster, node)


def confirm(cluster: Cluster) -> None:
    """Writes are tried again: ask the nodes that came meanwhile what they run now."""
    names, cluster.provisional = sorted(cluster.provisional), set()
    for node in filter(None, map(cluster.roster.get, names)):
        if not _is_provisional(node):
            continue
        cluster.tell(node, Reset())
        cluster.roster.disconnect(node)
        cluster.timers.drop(("silence", node.node_id))
        # Something to write, so that the word goes out only if writes work.
        cluster.unsaved.add(node.node_id)


def _begin(cluster: Cluster, message: Ready, by: Principal, peer: Peer) -> Node | None:
    candidate = cluster.roster.candidates.get(peer)
    if candidate is None or candidate.nonce != message.nonce:
        cluster.send(peer, Reset())
        return None
    del cluster.roster.candidates[peer]
    node = cluster.roster.get_or_add(candidate.node_id)
    _replace_session(cluster, node, peer, candidate)
    now = cluster.now
    node.address = candidate.address or node.address
    node.hardware = candidate.hello.hardware
    node.slots = candidate.hello.slots
    node.first_seen_at = node.first_seen_at or now.wall_s
    node.last_seen_at = now.wall_s
    cluster.roster.connect(
        node,
        Session(
            peer=peer,
            user_id=by.user_id,
            boot_id=candidate.hello.boot_id,
            connected_at=now.wall_s,
            last_heard_s=now.mono_s,
        ),
    )
    cluster.timers.set(("silence", node.node_id), now.mono_s + cluster.settings.silent_s)
    cluster.unsaved.add(node.node_id)
    return node


def _note_online(cluster: Cluster, node: Node) -> None:
    cluster.note(
        "info",
        "node_online",
        node=node.node_id,
        address=node.address,
        slots=node.slots,
        holds=len(node.holds),
        encoders=",".join(node.hardware.encoders) if node.hardware else None,
    )
    cluster.happen("node_online", node_id=node.node_id, why=f"{node.slots} slots, from {node.address}")


def _replace_session(cluster: Cluster, node: Node, peer: Peer, candidate: Candidate) -> None:
    old = node.session
    if old is None or old.peer == peer:
        return
    if old.boot_id != candidate.hello.boot_id:
        cluster.note("warning", "key_used_twice", node=node.node_id, address=candidate.address)
    cluster.send(old.peer, Reset())


def save(cluster: Cluster) -> None:
    """Write what a restart shall still know of the nodes that have changed."""
    for node_id in sorted(cluster.unsaved):
        node = cluster.roster.get(node_id)
        if node is not None:
            cluster.store.save_node(
                NodeRow(
                    node_id=node.node_id,
                    address=node.address,
                    hardware=node.hardware,
                    slots=node.slots,
                    draining=node.draining,
                    drain_until=node.drain_until,
                    first_seen_at=node.first_seen_at,
                    last_seen_at=node.last_seen_at,
                )
            )
    cluster.unsaved.clear()


def _reconcile(cluster: Cluster, node: Node, message: Ready) -> None:
    shown: set[int] = set()
    for held in message.running:
        if adopt(cluster, node, held) is not None:
            shown.add(parse_job_ref(held.job_id) or 0)
        elif (seq := _stop(cluster, node, held)) is not None:
            shown.add(seq)
    for held in message.finished:
        # Its result is on the way and decides; until then the job is not given away.
        seq = parse_job_ref(held.job_id)
        if seq is not None and _owner(cluster, node, held) is not None:
            shown.add(seq)
            adopt(cluster, node, held)
    for seq in [seq for seq in node.holds if seq not in shown]:
        held_here = node.holds[seq]
        row = cluster.store.job(seq)
        if held_here.fenced and row is not None:
            # Should its assignment still be on the way, the answer to this comes before it can begin.
            holding.drop(cluster, node, row, "the worker does not run it")
        else:
            holding.release(cluster, node, seq)
        if row is not None and row.node_id == node.node_id and row.attempt == held_here.attempt and row.token:
            loss = Loss.GONE if held_here.started else None
            holding.requeue(cluster, row, why=f"{node.node_id} does not run it any more", loss=loss)


def _owner(cluster: Cluster, node: Node, held: Held) -> JobRow | None:
    """Return the job if this very attempt holds it, or held it when it was lost and nobody has it since."""
    seq = parse_job_ref(held.job_id)
    row = None if seq is None else cluster.store.job(seq)
    if row is None or row.attempt != held.attempt:
        return None
    if _lost(row, node, held):
        return cluster.move(row, JobEvent.ADOPT, why=f"{node.node_id} is back with the run alive")
    return row if (row.node_id, row.token) == (node.node_id, held.token) else None


def _lost(row: JobRow, node: Node, held: Held) -> bool:
    """Tell whether this very attempt held the job when its node was lost, and nobody has it since."""
    return row.state is JobState.QUEUED and (row.lost_node, row.lost_token) == (node.node_id, held.token)


def adopt(cluster: Cluster, node: Node, held: Held) -> Hold | None:
    """Count a run that the worker shows as held, if it is the attempt that holds the job."""
    row = _owner(cluster, node, held)
    if row is None:
        return None
    before = node.holds.get(row.seq)
    # It has read WELCOME, so no fence of it is longer than the longest of the present settings.
    lease_s = None if before is None else min(before.lease_s, cluster.settings.longest.give_away_s)
    hold = holding.hold(cluster, node, row, frozen=held.paused, started=held.started, fenced_lease_s=lease_s)
    if hold.paused is not held.paused:
        holding.steer(cluster, node, hold, row.job_id)
    if row.phase is Phase.PUBLISHING:
        cluster.tell(node, Commit(job_id=row.job_id, attempt=row.attempt, token=held.token))
    return hold


def _stop(cluster: Cluster, node: Node, held: Held) -> int | None:
    """Tell the worker to stop a run that holds no job; return the job's number if its end is waited for."""
    seq = parse_job_ref(held.job_id)
    row = None if seq is None else cluster.store.job(seq)
    if row is not None and _is_provisional(node) and _lost(row, node, held):
        # To be adopted as soon as that can be written.
        return None
    cluster.tell(
        node,
        Kill(job_id=held.job_id, attempt=held.attempt, token=held.token, reason="another attempt holds the job"),
    )
    if row is None or cluster.store.node_of_attempt(row.seq, held.attempt) != node.node_id:
        return None
    if row.seq in node.holds and node.holds[row.seq].dropped is None:
        return None
    holding.hold_dropped(cluster, node, row, held, "another attempt holds the job")
    return row.seq


# ── beating ───────────────────────────────────────────────────────────────────────────────────────────────────────


def heard(cluster: Cluster, node: Node) -> None:
    """Any message of a session is a sign of life."""
    if node.session is not None:
        node.session.last_heard_s = cluster.now.mono_s
        node.last_seen_at = cluster.now.wall_s


def heartbeat(cluster: Cluster, message: Heartbeat, node: Node) -> None:
    """Renew the leases of what the worker shows, repeat what it seems to have missed, stop what it should not run."""
    if node.session is None or message.sent_ms < node.session.beat_ms:
        # Overtaken by a later one: what it shows is no longer so.
        return
    node.session.beat_ms = message.sent_ms
    node.load = message.load
    cluster.tell(node, HeartbeatAck(sent_ms=message.sent_ms))
    shown: dict[int, Held] = {}
    stopped: set[int | None] = set()
    for held in message.running:
        seq = parse_job_ref(held.job_id)
        hold = None if seq is None else node.holds.get(seq)
        if seq is None or hold is None or hold.attempt != held.attempt or hold.token != held.token:
            stopped.add(_stop(cluster, node, held))
        else:
            shown[seq] = held
    for hold in list(node.holds.values()):
        held_there = shown.get(hold.seq)
        if held_there is not None:
            _renew(cluster, node, hold, held_there)
        elif hold.seq not in stopped:
            _missed(cluster, node, hold)
    # Its load is another now, and what it shows paused has left its slot.
    cluster.roster.changed(node)


def _renew(cluster: Cluster, node: Node, hold: Hold, held: Held) -> None:
    hold.unseen = 0
    hold.started = hold.started or held.started
    hold.lease_until_s = cluster.now.mono_s + hold.lease_s
    hold.frozen = hold.paused and held.paused
    if hold.dropped is not None:
        cluster.tell(node, holding.kill(hold, held.job_id))
    elif hold.paused is not held.paused:
        holding.steer(cluster, node, hold, held.job_id)


def _missed(cluster: Cluster, node: Node, hold: Hold) -> None:
    hold.unseen += 1
    if hold.unseen < UNSEEN_BEATS:
        return
    row = cluster.store.job(hold.seq)
    if hold.dropped is not None:
        # It may not have been seen yet: only its answer, or the end of the lease, says that it does not run.
        hold.unseen = 0
        cluster.tell(node, holding.kill(hold, job_id(hold.seq)))
    elif row is None or row.token != hold.token or row.node_id != node.node_id:
        holding.release(cluster, node, hold.seq)
    elif row.state is JobState.ASSIGNED and not _is_provisional(node):
        # The worker counts the lease from the assignment that reaches it.
        hold.unseen = 0
        hold.lease_until_s = cluster.now.mono_s + hold.lease_s
        cluster.tell(node, holding.assignment(cluster, row))
    # A processing attempt that a beat omits has finished, and its result is on the way; else its lease ends.


def _is_provisional(node: Node) -> bool:
    return node.session is not None and node.session.provisional


# ── going ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def bye(cluster: Cluster, message: Bye, node: Node) -> None:
    """The worker ends on purpose: what it ran goes to others at once, and counts as no loss."""
    for hold in list(node.holds.values()):
        row = cluster.store.job(hold.seq)
        owns = row is not None and row.node_id == node.node_id and row.token == hold.token
        if row is not None and owns and row.phase is Phase.PUBLISHING:
            continue
        holding.release(cluster, node, hold.seq)
        if row is not None and owns:
            holding.requeue(cluster, row, why=f"{node.node_id} was stopped")
    offline(cluster, node, why="stopped")


def bye_unwritten(cluster: Cluster, message: Bye, node: Node) -> None:
    """The worker ends while nothing can be written: what it ran is given away when its leases end."""
    offline(cluster, node, why="stopped")


def offline(cluster: Cluster, node: Node, *, why: str) -> None:
    """End the session; leases run on."""
    cluster.roster.disconnect(node)
    cluster.timers.drop(("silence", node.node_id))
    cluster.unsaved.add(node.node_id)
    cluster.note("warning", "node_offline", node=node.node_id, why=why, holds=len(node.holds))
    cluster.happen("node_offline", node_id=node.node_id, why=why)


def silence(cluster: Cluster, node_id: str) -> None:
    """A node's silence may have lasted too long: look again."""
    node = cluster.roster.get(node_id)
    if node is None or node.session is None:
        return
    until_s = node.session.last_heard_s + cluster.settings.silent_s
    if cluster.now.mono_s < until_s:
        cluster.timers.set(("silence", node_id), until_s)
    else:
        offline(cluster, node, why=f"silent for {cluster.settings.silent_s:g} s")


def leases_due(cluster: Cluster, node_id: str) -> None:
    """Leases of a node may have run out: give away the jobs whose have, and look again when the next may."""
    node = cluster.roster.get(node_id)
    if node is None:
        return
    for hold in [hold for hold in node.holds.values() if hold.lease_until_s <= cluster.now.mono_s]:
        _lease_over(cluster, node, hold)
    if node.holds:
        cluster.timers.set(("leases", node_id), min([hold.lease_until_s for hold in node.holds.values()]))


def _lease_over(cluster: Cluster, node: Node, hold: Hold) -> None:
    row = cluster.store.job(hold.seq)
    owns = row is not None and row.node_id == node.node_id and row.token == hold.token and hold.dropped is None
    if row is not None and owns and row.phase is Phase.PUBLISHING:
        # It was given leave to publish, and only its node knows whether it has: two may never do.
        hold.lease_until_s = cluster.now.mono_s + hold.lease_s
        return
    holding.release(cluster, node, hold.seq)
    if row is not None and owns:
        # A push has been stopped by the worker itself by now; only what is staged can be taken up again.
        holding.requeue(cluster, row, why=f"{node.node_id} was lost", loss=Loss.SILENT, adoptable=not hold.fenced)

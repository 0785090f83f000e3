"""What nodes hold: attempts counted as theirs, under a lease, until they have ended or are given to another."""

from enum import StrEnum

from ffrtmpd.broker.cluster import Cluster
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.placement import Need
from ffrtmpd.roster import Hold, Node
from ffrtmpd.store import JobRow
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import Assign, Held, Kill, PauseAttempt, ResumeAttempt
from ffrtmpd.wire.vocabulary import FailureClass, JobState, OutputMode, VmafMode


class Loss(StrEnum):
    """How an attempt was lost with its node: it fell silent, came back without it, or was removed."""

    SILENT = "silent"
    GONE = "gone"
    REMOVED = "removed"


def hold(
    cluster: Cluster,
    node: Node,
    row: JobRow,
    *,
    frozen: bool = False,
    started: bool = False,
    fenced_lease_s: float | None = None,
) -> Hold:
    """Count an attempt as held by ``node``, under a full lease.

    ``frozen``: the worker shows it paused. ``fenced_lease_s``: the lease of a push; None: that of its queue.
    """
    fenced = row.spec.output_mode is not OutputMode.FILE
    if not fenced:
        lease_s = cluster.settings.lost_after_s
    elif fenced_lease_s is None:
        lease_s = cluster.settings.terms(row.queue).give_away_s
    else:
        lease_s = fenced_lease_s
    before = node.holds.get(row.seq)
    told = before is not None and before.token == row.token and before.hardware
    held = Hold(
        seq=row.seq,
        attempt=row.attempt,
        token=row.token or b"",
        fenced=fenced,
        lease_s=lease_s,
        lease_until_s=cluster.now.mono_s + lease_s,
        paused=row.state is JobState.PAUSED,
        frozen=frozen and row.state is JobState.PAUSED,
        started=started,
        hardware=told or Need.parse(row.requires).wants_hardware,
    )
    _put(cluster, node, held)
    if row.resuming:
        cluster.resuming[row.seq] = node.node_id
    return held


def hold_dropped(cluster: Cluster, node: Node, row: JobRow, shown: Held, why: str) -> None:
    """Count a run that holds no job, until it has stopped or the lease that it may have had is over."""
    fenced = row.spec.output_mode is not OutputMode.FILE
    # Which terms its assignment named is not known any more.
    lease_s = cluster.settings.longest.give_away_s if fenced else cluster.settings.lost_after_s
    held = Hold(
        seq=row.seq,
        attempt=shown.attempt,
        token=shown.token,
        fenced=fenced,
        lease_s=lease_s,
        lease_until_s=cluster.now.mono_s + lease_s,
        started=shown.started,
        hardware=Need.parse(row.requires).wants_hardware,
        dropped=why,
    )
    wait_for_stop(cluster, node, held)


def wait_for_stop(cluster: Cluster, node: Node, held: Hold) -> None:
    """Count a dropped run until its node shows that it has ended, or its lease has."""
    _put(cluster, node, held)
    _stops(cluster, held, 1)


def _put(cluster: Cluster, node: Node, held: Hold) -> None:
    before = node.holds.get(held.seq)
    if before is not None and before.dropped is not None:
        _stops(cluster, before, -1)
    node.holds[held.seq] = held
    cluster.roster.changed(node)
    cluster.timers.hasten(("leases", node.node_id), held.lease_until_s)


def _stops(cluster: Cluster, held: Hold, step: int) -> None:
    if held.fenced:
        cluster.stopping[held.seq] += step
        if not cluster.stopping[held.seq]:
            del cluster.stopping[held.seq]


def release(cluster: Cluster, node: Node, seq: int) -> None:
    """Count an attempt as held no more."""
    cluster.resuming.pop(seq, None)
    held = node.holds.pop(seq, None)
    if held is not None:
        cluster.roster.changed(node)
        if held.dropped is not None:
            _stops(cluster, held, -1)


def avoid_encoders(cluster: Cluster, node: Node, until_s: float) -> None:
    """Give the hardware encoders of ``node`` no job until then, in monotonic seconds."""
    node.avoided_until_s = until_s
    cluster.roster.changed(node)
    cluster.timers.set(("encoders", node.node_id), until_s)


def drop(cluster: Cluster, node: Node | None, row: JobRow, why: str) -> None:
    """Tell ``node`` to stop an attempt; its slot stays taken until it has."""
    held = node.holds.get(row.seq) if node else None
    if node is None or held is None or held.attempt != row.attempt:
        return
    if held.dropped is None:
        _stops(cluster, held, 1)
    held.dropped = why
    cluster.tell(node, kill(held, row.job_id))


def go_on(cluster: Cluster, node: Node, held: Hold, row: JobRow, *, who: str) -> JobRow:
    """Let a paused attempt run again; it takes its slot at once."""
    moved = cluster.move(row, JobEvent.RESUME, who=who, why="resume asked")
    held.paused = held.frozen = False
    cluster.roster.changed(node)
    steer(cluster, node, held, row.job_id)
    return moved


def steer(cluster: Cluster, node: Node, held: Hold, job_id: str) -> None:
    """Tell the worker whether an attempt shall run or stand still."""
    kind = PauseAttempt if held.paused else ResumeAttempt
    cluster.tell(node, kind(job_id=job_id, attempt=held.attempt, token=held.token))


def assignment(cluster: Cluster, row: JobRow) -> Assign:
    """Return the message that gives a job's present attempt to its node."""
    spec = row.spec
    fenced = spec.output_mode is not OutputMode.FILE
    return Assign(
        job_id=row.job_id,
        attempt=row.attempt,
        token=row.token or b"",
        encode=row.encode,
        input=spec.input,
        output=spec.output,
        output_mode=spec.output_mode,
        duration_s=spec.duration_s,
        encoder=spec.encoder,
        engine=spec.engine,
        require_gpu=spec.require_gpu,
        timeout_s=spec.timeout_s,
        vmaf=_vmaf_of(spec),
        vmaf_floor=spec.vmaf_floor,
        psnr=spec.psnr,
        ssim=spec.ssim,
        verify=spec.verify,
        fence_s=cluster.settings.terms(row.queue).fence_s if fenced else None,
    )


def _vmaf_of(spec: JobSpec) -> VmafMode:
    """Return how much of a job's output is scored: a floor needs a score."""
    return VmafMode.FULL if spec.vmaf is VmafMode.OFF and spec.vmaf_floor is not None else spec.vmaf


def requeue(cluster: Cluster, row: JobRow, *, why: str, loss: Loss | None = None, adoptable: bool = False) -> JobRow:
    """Give a job that its node will not finish to the next; after too many losses fail it as poison.

    ``loss``: how it was lost with its node, None if it was given back.
    ``adoptable``: should the node come back with the run alive before another has it, the run is taken up again.
    """
    if row.resuming:
        # It was to go on, so it is not held by anybody's wish.
        row = cluster.move(row, JobEvent.RESUME, why="resume asked")
    losses = row.losses
    if loss is not None:
        losses += 1
        cluster.figures.count("losses", loss)
    if loss and losses >= cluster.settings.loss_limit:
        cluster.figures.count("poisoned")
        return cluster.move(
            row,
            JobEvent.FAIL,
            why=f"poison: {losses} losses, the last: {why}",
            losses=losses,
            failure_class=FailureClass.PERMANENT,
            reason=f"poison: lost {losses} times with its node ({why})",
        )
    if adoptable:
        return cluster.move(row, JobEvent.REQUEUE, why=why, losses=losses, lost_node=row.node_id, lost_token=row.token)
    return cluster.move(row, JobEvent.REQUEUE, why=why, losses=losses)


def kill(held: Hold, job_id: str) -> Kill:
    """Return the message that stops a held attempt."""
    return Kill(job_id=job_id, attempt=held.attempt, token=held.token, reason=held.dropped or "")

"""What a worker says about an attempt: begun, so far, ended, published.

Only the attempt that holds the job, told by its token and its node, changes anything; all others are stale.
"""

import dataclasses
from typing import Any

from ffrtmpd.broker import holding
from ffrtmpd.broker.cluster import Cluster, Live, full
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.roster import Node
from ffrtmpd.store import JobChanges, JobRow, JobUpdate, Step, parse_job_ref
from ffrtmpd.wire.media import ENCODERS, PROBED_AS
from ffrtmpd.wire.messages.jobs import Progress, Report
from ffrtmpd.wire.messages.session import (
    About,
    Commit,
    Committed,
    Kill,
    ProgressReport,
    Result,
    ResultVerdict,
    Started,
)
from ffrtmpd.wire.vocabulary import (
    TERMINAL_STATES,
    Engine,
    FailureClass,
    JobState,
    Outcome,
    OutputMode,
    Phase,
    Sla,
    Verdict,
)

# Spreads retries of jobs that failed together, by up to a fifth of the wait.
JITTER = 0.2
# Beside the classes of failures.
SUCCESS = "success"
UNSTOPPED = "it finished before it could be stopped"


def started(cluster: Cluster, message: Started, node: Node) -> None:
    """The encoder has begun."""
    row = _holder(cluster, message, node)
    if row is None:
        _tell_stale(cluster, message, node)
        return
    held = node.holds.get(row.seq)
    if held is not None:
        held.started = True
        # A job that leaves the choice to its node may have got hardware, or lost it.
        encoder = ENCODERS.get(message.encoder)
        held.hardware = encoder is not None and encoder.hardware is not None
        cluster.roster.changed(node)
    if row.state is JobState.ASSIGNED:
        _begin(cluster, row, message.encoder, message.engine)


def _begin(cluster: Cluster, row: JobRow, encoder: str | None, engine: Engine | None) -> JobRow:
    moved = cluster.walk(row, (_start(cluster, encoder, engine),))
    cluster.live[row.seq] = Live()
    return moved


def _start(cluster: Cluster, encoder: str | None, engine: Engine | None) -> Step:
    if engine is not None:
        cluster.figures.count("engine", engine)
    return JobEvent.START, encoder, {}


def progress(cluster: Cluster, message: ProgressReport, node: Node) -> None:
    """Remember how far it is, in memory: what is lost with the master is said again by the worker."""
    row = _holder(cluster, message, node)
    if row is None:
        _tell_stale(cluster, message, node)
        return
    if row.state is JobState.ASSIGNED:
        row = _begin(cluster, row, None, None)
    _keep_progress(cluster, message, row)


def _keep_progress(cluster: Cluster, message: ProgressReport, row: JobRow) -> None:
    live = cluster.live.get(row.seq)
    cluster.live[row.seq] = Live(message.phase, _onward(live.progress if live else None, message.progress))
    cluster.journal.touch(row.seq)


def _onward(before: Progress | None, after: Progress) -> Progress:
    """Return ``after`` with a percentage that does not go back."""
    if before is None or before.percent is None or (after.percent is not None and after.percent >= before.percent):
        return after
    return dataclasses.replace(after, percent=before.percent)


def result(cluster: Cluster, message: Result, node: Node) -> None:
    """Record how an attempt ended."""
    row = _holder(cluster, message, node)
    if row is None:
        _settled(cluster, message, node)
    elif message.outcome is Outcome.ENCODED:
        if not _publishes(row):
            _complete(cluster, message, node, row, message.report)
        elif (problem := unproven(message.report, row)) is None:
            _encoded(cluster, message, node, row)
        else:
            reason = f"{node.node_id} reports another output than was asked for: {problem}"
            _failed(cluster, dataclasses.replace(message, reason=reason), node, row)
    elif message.outcome is Outcome.FAILED:
        _failed(cluster, message, node, row)
    else:
        # The worker stopped it without having been told by this master: give it to the next.
        holding.release(cluster, node, row.seq)
        holding.requeue(cluster, row, why=message.reason or f"{node.node_id} stopped it")
        _verdict(cluster, message, node, Verdict.RECORDED)


def _encoded(cluster: Cluster, message: Result, node: Node, row: JobRow) -> None:
    if row.phase is not Phase.PUBLISHING:
        if row.state is JobState.ASSIGNED:
            row = _begin(cluster, row, message.report.encoder, message.report.engine)
        elif row.state is JobState.PAUSED:
            row = cluster.move(row, JobEvent.RESUME, why=UNSTOPPED)
        row = _keep_report(cluster, row, message.report, phase=Phase.PUBLISHING)
        live = cluster.live.get(row.seq)
        cluster.live[row.seq] = Live(Phase.PUBLISHING, live.progress if live else None)
        cluster.journal.touch(row.seq)
    cluster.tell(node, Commit(job_id=message.job_id, attempt=message.attempt, token=message.token))


def _publishes(row: JobRow) -> bool:
    """Tell whether its output is a file, which gets its name only after COMMIT."""
    spec = row.spec
    return spec.output_mode is OutputMode.FILE and spec.engine is not Engine.NULL


def unproven(report: Report, row: JobRow) -> str | None:
    """Return how the probe of a file in ``report`` differs from what was asked, None if it does not."""
    video = report.media.video if report.media else None
    if video is None:
        return "no picture was probed"
    wanted = row.encode
    if (video.codec, video.width, video.height) == (PROBED_AS[wanted.codec], wanted.width, wanted.height):
        return None
    return f"{video.codec} {video.width}x{video.height}, not {wanted.codec} {wanted.width}x{wanted.height}"


def _keep_report(cluster: Cluster, row: JobRow, report: Report, *, phase: Phase | None = None) -> JobRow:
    changes: JobUpdate = {"report": report, "exit_code": report.exit_code}
    if phase is not None:
        changes["phase"] = phase
    return cluster.store.update(row.seq, state=row.state, attempt=row.attempt, **changes)


def committed(cluster: Cluster, message: Committed, node: Node) -> None:
    """The output is published: the job is done."""
    row = _holder(cluster, message, node)
    if row is None:
        _settled(cluster, message, node)
    elif row.phase is not Phase.PUBLISHING:
        # Leave was given after the copy that this database was restored from, and what was proved of the output is
        # lost with it: the job runs again and replaces it.
        holding.release(cluster, node, row.seq)
        holding.requeue(cluster, row, why=f"{node.node_id} published it before the master was restored")
        _verdict(cluster, message, node, Verdict.STALE)
    else:
        _complete(cluster, message, node, row, None)


def _complete(cluster: Cluster, message: About, node: Node, row: JobRow, told: Report | None) -> None:
    """Record that a job is done; ``told`` is its report, None if that is on disk already."""
    steps: list[Step] = []
    if told is not None and row.state is JobState.ASSIGNED:
        # It was done before it could say that it had begun.
        steps.append(_start(cluster, told.encoder, told.engine))
        cluster.figures.count("jobs", JobState.PROCESSING)
    elif row.state is JobState.PAUSED:
        row = cluster.move(row, JobEvent.RESUME, why=UNSTOPPED)
    live = cluster.live.get(row.seq)
    holding.release(cluster, node, row.seq)
    report = row.report if told is None else told
    measured = live.progress if live else row.progress
    changes: JobChanges = {
        "progress": measured and full(measured),
        "output": report.output if report else None,
    }
    if told is not None:
        changes["report"], changes["exit_code"] = told, told.exit_code
    steps.append((JobEvent.COMPLETE, _figures(report), changes))
    done = cluster.walk(row, steps)
    cluster.figures.count("attempts", SUCCESS)
    if report is not None and report.engine is not None:
        cluster.figures.count("engine_done", report.engine)
    _verdict(cluster, message, node, Verdict.RECORDED, sla=cluster.sla(done))


def _figures(report: Report | None) -> str | None:
    """Return what was measured of a finished job in one line, None if nothing was."""
    if report is None:
        return None
    told: list[str] = []
    if report.quality is not None and report.quality.vmaf is not None:
        told.append(f"VMAF {report.quality.vmaf:.1f}")
    if report.experience is not None and report.experience.score is not None:
        told.append(f"QoE {report.experience.score:.1f}")
    if report.energy is not None and report.energy.joules is not None:
        told.append(_joules(report.energy.joules))
    return ", ".join(told) or None


def _joules(joules: float) -> str:
    return f"{joules / 1_000:.1f} kJ" if joules >= 1_000 else f"{joules:.3g} J"


def _failed(cluster: Cluster, message: Result, node: Node, row: JobRow) -> None:
    live = cluster.live.get(row.seq)
    failure = message.failure_class or FailureClass.TRANSIENT
    if failure is FailureClass.BUSY:
        if _went_elsewhere(cluster, message, node, row):
            return
        failure = FailureClass.TRANSIENT
    failures = row.failures + 1
    cluster.figures.count("attempts", failure)
    changes: JobChanges = {
        "failures": failures,
        "failure_class": failure,
        "reason": message.reason,
        "exit_code": message.report.exit_code,
        "report": message.report,
        "progress": live.progress if live else row.progress,
    }
    holding.release(cluster, node, row.seq)
    if row.resuming:
        row = cluster.move(row, JobEvent.RESUME, why="resume asked")
    if failure is FailureClass.TRANSIENT and failures < row.max_attempts:
        if row.state is not JobState.PAUSED:
            changes["due_at"] = cluster.now.wall_s + back_off(cluster, failures)
        row = cluster.move(row, JobEvent.BACK_OFF, why=message.reason, **changes)
    else:
        row = cluster.move(row, JobEvent.FAIL, why=message.reason, **changes)
    _verdict(cluster, message, node, Verdict.RECORDED, sla=cluster.sla(row))


def _went_elsewhere(cluster: Cluster, message: Result, node: Node, row: JobRow) -> bool:
    """Give a job that found the hardware encoders of ``node`` taken to another, unless that came too often in a row.

    That is no failure: nothing of the job was tried.
    """
    settings = cluster.settings
    holding.avoid_encoders(cluster, node, cluster.now.mono_s + settings.busy_s)
    times = cluster.busy.get(row.seq, 0) + 1
    if times >= settings.busy_limit:
        cluster.busy.pop(row.seq, None)
        return False
    holding.release(cluster, node, row.seq)
    holding.requeue(cluster, row, why=message.reason or f"the hardware encoders of {node.node_id} are taken")
    cluster.busy[row.seq] = times
    cluster.figures.count("attempts", FailureClass.BUSY)
    _verdict(cluster, message, node, Verdict.RECORDED)
    return True


def encoders_free(cluster: Cluster, node_id: Any) -> None:
    """Let the hardware encoders of a node that had no room be tried again."""
    node = cluster.roster.get(node_id)
    if node is not None:
        node.avoided_until_s = None
        cluster.roster.changed(node)


def back_off(cluster: Cluster, failures: int) -> float:
    """Return the seconds to wait after that many failures: 5, 10, 20 … 300, and up to a fifth more."""
    settings = cluster.settings
    wait_s = settings.back_off_s
    for _ in range(failures - 1):
        wait_s = min(wait_s * 2, settings.back_off_max_s)
    spread = int.from_bytes(cluster.random_bytes(2)) / 0xFFFF
    return min(wait_s, settings.back_off_max_s) * (1 + JITTER * spread)


def unwritten(cluster: Cluster, message: About, node: Node) -> None:
    """Take of a message what no disk is needed for: it renews the lease, and tells how far the run is.

    Whatever it would change is said again by the worker, or shown by its next message.
    """
    row = _holder(cluster, message, node)
    if row is not None and row.state is not JobState.ASSIGNED and isinstance(message, ProgressReport):
        _keep_progress(cluster, message, row)


# ── who speaks ────────────────────────────────────────────────────────────────────────────────────────────────────


def _find(cluster: Cluster, message: About) -> JobRow | None:
    seq = parse_job_ref(message.job_id)
    return None if seq is None else cluster.store.job(seq)


def _holder(cluster: Cluster, message: About, node: Node) -> JobRow | None:
    """Return the job if this message speaks for the attempt that holds it, and renew its lease.

    A finished attempt is in no beat any more; its result, said again until it is answered, is what keeps the lease.
    """
    row = _find(cluster, message)
    if row is None or row.state in TERMINAL_STATES or row.node_id != node.node_id:
        return None
    if row.attempt != message.attempt or row.token != message.token:
        return None
    held = node.holds.get(row.seq)
    if held is not None:
        held.lease_until_s = cluster.now.mono_s + held.lease_s
    return row


def _settled(cluster: Cluster, message: About, node: Node) -> None:
    """Answer a result that comes again, or too late: nothing changes."""
    row = _find(cluster, message)
    if row is not None:
        held = node.holds.get(row.seq)
        if held is not None and held.attempt == message.attempt and held.token == message.token:
            holding.release(cluster, node, row.seq)
    own = row is not None and row.node_id == node.node_id and row.attempt == message.attempt
    recorded = own and row is not None and row.state in TERMINAL_STATES
    if own and row is not None and row.state is JobState.CANCELED and isinstance(message, Result) and not row.report:
        _keep_report(cluster, row, message.report)
    _verdict(cluster, message, node, Verdict.RECORDED if recorded else Verdict.STALE)


def _verdict(cluster: Cluster, message: About, node: Node, verdict: Verdict, *, sla: Sla | None = None) -> None:
    cluster.tell(
        node,
        ResultVerdict(job_id=message.job_id, attempt=message.attempt, token=message.token, verdict=verdict, sla=sla),
    )


def _tell_stale(cluster: Cluster, message: About, node: Node) -> None:
    cluster.tell(
        node,
        Kill(
            job_id=message.job_id,
            attempt=message.attempt,
            token=message.token,
            reason="another attempt holds the job",
        ),
    )

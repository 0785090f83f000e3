"""Following jobs by a long poll: the master answers as soon as one of them has changed."""

from collections.abc import Iterable, Iterator
from typing import Final

from ffrtmp_tui.failures import Exit, Failure
from ffrtmp_tui.link import new_id
from ffrtmp_tui.run import Run
from ffrtmpd.wire.messages.jobs import PAGE_MAX, Changes, ChangesReply, JobView, Status, StatusReply
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState

# Long enough to cost a quiet cluster nothing, short enough that a dead master is noticed.
POLL_S: Final = 10.0
_NAMED: Final = 5


class TimedOut(Failure):
    """What was waited for did not happen in time."""

    def __init__(self, waited_s: float, waiting: Iterable[str]) -> None:
        jobs = tuple(waiting)
        more = len(jobs) - _NAMED
        others = f" and {more} other{'' if more == 1 else 's'}" if more > 0 else ""
        super().__init__(
            Exit.WAIT_TIMED_OUT,
            f"after {waited_s:g} s still waiting for {', '.join(jobs[:_NAMED])}{others}",
            code="wait_timed_out",
            retryable=True,
        )


def status(run: Run, job: str, *, patient: bool = False) -> StatusReply:
    """Return everything about a job, by id or number."""
    return run.ask(Status(request_id=new_id(), job=job), StatusReply, patient=patient)


def follow(run: Run, jobs: Iterable[JobView], *, timeout_s: float | None = None) -> Iterator[list[JobView]]:
    """Yield ``jobs``, then those of them that changed, whenever some have. The caller says when it is enough.

    Raises:
        TimedOut: ``timeout_s`` seconds have passed.
        Failure: the master refuses, or is away for longer than all tries.
    """
    begun = run.clock()
    now = {job.job_id: job for job in jobs}
    yield list(now.values())
    since = min(job.revision for job in now.values())
    ids = tuple(now)
    while True:
        wait_s = POLL_S
        if timeout_s is not None:
            wait_s = min(POLL_S, timeout_s - (run.clock() - begun))
            if wait_s <= 0:
                raise TimedOut(timeout_s, (job for job in ids if now[job].state not in TERMINAL_STATES))
        reply = run.ask(
            # More jobs than one request may name: hear of all and keep ours.
            Changes(request_id=new_id(), since=since, jobs=ids if len(ids) <= PAGE_MAX else (), wait_s=wait_s),
            ChangesReply,
            wait_s=wait_s,
            patient=True,
        )
        changed = [job for job in reply.jobs if job.job_id in now]
        if reply.reset:
            changed = [status(run, job, patient=True).job for job in ids]
        since = reply.revision
        now.update((job.job_id, job) for job in changed)
        if changed:
            yield changed


def until_done(run: Run, jobs: Iterable[JobView], *, timeout_s: float | None = None) -> Iterator[list[JobView]]:
    """Yield as `follow` does, and end when every job has reached a terminal state."""
    running = {job.job_id for job in jobs}
    for changed in follow(run, jobs, timeout_s=timeout_s):
        yield changed
        running.difference_update(job.job_id for job in changed if job.state in TERMINAL_STATES)
        if not running:
            return


def verdict(jobs: Iterable[JobView]) -> Exit:
    """Return how a command ends that waited for ``jobs``: a failed one weighs more than a canceled one."""
    states = {job.state for job in jobs}
    if JobState.FAILED in states:
        return Exit.JOB_FAILED
    return Exit.JOB_CANCELED if JobState.CANCELED in states else Exit.OK

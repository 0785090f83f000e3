"""What `ffrtmp jobs` does: read, wait, act."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmp_tui.run import Run
from ffrtmpd.wire.vocabulary import JobState

if TYPE_CHECKING:
    from ffrtmpd.wire.messages.common import Request
    from ffrtmpd.wire.messages.jobs import JobView

# Each of them is asked for by itself at first.
WAITED_MOST: Final = 10_000
_LIVE: Final = (JobState.PENDING, JobState.QUEUED, JobState.ASSIGNED, JobState.PROCESSING, JobState.PAUSED)


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────


def list_jobs(run: Run) -> int:
    """Show a window of the jobs."""
    from ffrtmp_tui.filters import job_filter, merged
    from ffrtmp_tui.job_view import JOB_COLUMNS
    from ffrtmp_tui.link import new_id
    from ffrtmpd.wire.messages.jobs import PAGE_MAX, JobList, ListJobs

    args = run.args
    flags: dict[str, Any] = {}
    if args.state:
        flags["states"] = tuple(dict.fromkeys(state for part in args.state for state in part))
    if args.queue:
        flags["queues"] = tuple(dict.fromkeys(queue for part in args.queue for queue in part))
    if args.node is not None:
        flags["node_id"] = args.node
    order = dict(args.sort or {})
    if args.oldest:
        order = merged(order, {"oldest_first": True})
    fields = merged(flags, job_filter(args.filter or (), run.wall()))
    left = None if args.all else args.limit
    # Of all jobs their ids alone come eight times as many to a window.
    ids_only = left is None and run.form == "name" and "sort" not in order
    found: list[JobView | str] = []
    cursor: str | None = None
    total, partial = 0, False
    while True:
        limit = PAGE_MAX if left is None else min(PAGE_MAX, left - len(found))
        request = ListJobs(request_id=new_id(), limit=limit, cursor=cursor, ids_only=ids_only, **order, **fields)
        reply = run.ask(request, JobList)
        found += reply.ids if ids_only else reply.jobs
        cursor = reply.next
        # A window of a filter tells only how many it found itself.
        partial = reply.partial
        total = max(len(found), reply.total)
        if cursor is None or (left is not None and len(found) >= left):
            break
    if cursor is None and "sort" not in order:
        partial = False
    run.show_list(
        "jobs",
        found,
        JOB_COLUMNS,
        name_of=lambda job: job if ids_only else job.job_id,
        extra={"total": total, "partial": partial, "next": cursor},
    )
    # In JSON it stands beside the jobs.
    if run.form != "json":
        if cursor is not None:
            run.terminal.say(f"{len(found)} of {'at least ' if partial else ''}{total} jobs; --all shows every one")
        elif partial:
            run.terminal.say("sorted are the newest 10,000 that fit; narrow the filter to see all in order")
    if not found and "node_id" in fields:
        from ffrtmp_tui.selection import say_if_no_node

        say_if_no_node(run, fields["node_id"])
    return Exit.OK


def show_status(run: Run) -> int:
    """Show everything about one job, now or when it is done."""
    from ffrtmp_tui import follow
    from ffrtmp_tui.job_view import show_job
    from ffrtmp_tui.selection import select_one

    reply = follow.status(run, select_one(run, run.args.job))
    if run.args.follow:
        from ffrtmp_tui.board import Board

        board = Board(run.terminal)
        for changed in follow.until_done(run, [reply.job]):
            board.update(changed)
        board.close()
        reply = follow.status(run, reply.job.job_id, patient=True)
    show_job(run, reply)
    return follow.verdict([reply.job]) if run.args.follow else Exit.OK


def wait(run: Run) -> int:
    """Wait until jobs are done, or have reached a state."""
    from ffrtmp_tui import follow
    from ffrtmp_tui.board import Board
    from ffrtmp_tui.job_view import JOB_COLUMNS
    from ffrtmp_tui.selection import chosen
    from ffrtmpd.wire.vocabulary import TERMINAL_STATES

    wanted = JobState(run.args.until) if run.args.until else None
    selected = chosen(run, _LIVE).jobs
    if len(selected) > WAITED_MOST:
        raise usage(f"{len(selected)} jobs are selected, and {WAITED_MOST} at most can be waited for")
    jobs = [follow.status(run, job).job for job in selected]
    last = {job.job_id: job for job in jobs}
    waiting = set(last)
    reached: set[str] = set()
    board = Board(run.terminal)
    for changed in follow.follow(run, jobs, timeout_s=run.args.timeout):
        last.update((job.job_id, job) for job in changed)
        board.update(job for job in changed if run.form not in ("json", "jsonl"))
        for job in changed:
            if job.state == wanted:
                reached.add(job.job_id)
            elif job.state in TERMINAL_STATES and wanted is not None and job.job_id in waiting:
                # Between two answers a job can pass through the state that is waited for.
                history = follow.status(run, job.job_id, patient=True).history
                reached.update(job.job_id for entry in history if entry.to_state == wanted)
            if job.state in TERMINAL_STATES or job.job_id in reached:
                waiting.discard(job.job_id)
        if not waiting:
            break
    board.close()
    run.show_list("jobs", list(last.values()), JOB_COLUMNS, name_of=lambda job: job.job_id)
    if wanted is None:
        return follow.verdict(last.values())
    missed = [job for job in last.values() if job.job_id not in reached]
    return (follow.verdict(missed) or Exit.FAILED) if missed else Exit.OK


def logs(run: Run) -> int:
    """Write the log of a job's encoder."""
    from ffrtmp_tui.logs import write_log

    return write_log(run)


def explain(run: Run) -> int:
    """Say why a job is where it is."""
    from ffrtmp_tui.explain import explain as explain_job

    return explain_job(run)


def submit(run: Run) -> int:
    """Add jobs."""
    from ffrtmp_tui.submit import submit_jobs

    return submit_jobs(run)


# ── acting ────────────────────────────────────────────────────────────────────────────────────────────────────────


def cancel(run: Run) -> int:
    """Cancel jobs."""
    from ffrtmpd.wire.messages.acts import Cancel

    return _act(run, Cancel, "canceled", _LIVE)


def pause(run: Run) -> int:
    """Pause jobs."""
    from ffrtmpd.wire.messages.acts import Pause

    return _act(run, Pause, "paused", (JobState.PENDING, JobState.QUEUED, JobState.PROCESSING))


def resume(run: Run) -> int:
    """Resume jobs."""
    from ffrtmpd.wire.messages.acts import Resume

    return _act(run, Resume, "resumed", (JobState.PAUSED,))


def retry(run: Run) -> int:
    """Queue jobs anew."""
    from ffrtmpd.wire.messages.acts import Retry

    return _act(run, Retry, "queued again", (JobState.FAILED, JobState.CANCELED))


def _done(state: JobState, reason: str | None, done: str) -> str:
    # A resumed job whose slot was given away stays paused until the next one of its node is free.
    waits = done == "resumed" and state == JobState.PAUSED
    return reason or "resumes when its node has a free slot" if waits else f"{done} successfully"


def _act(run: Run, request: "Callable[..., Request]", done: str, states: "tuple[JobState, ...]") -> int:
    from ffrtmp_tui import bulk
    from ffrtmp_tui.job_view import JOB_COLUMNS
    from ffrtmp_tui.link import Refused, new_id
    from ffrtmp_tui.selection import chosen, job_id
    from ffrtmpd.wire.messages.acts import ACT_MAX, Acted, ActedOnJobs, ActOnJobs, ActResult
    from ffrtmpd.wire.vocabulary import JobAct

    selection = chosen(run, states)
    count = len(selection.jobs)
    if (selection.by_range and count > 1) or run.args.filter:
        bulk.confirm(run, count, "job")

    def many(jobs: "Sequence[str]") -> "list[ActResult | Failure]":
        asked = ActOnJobs(request_id=new_id(), act=JobAct(run.args.verb_word), jobs=tuple(jobs))
        results = run.ask(asked, ActedOnJobs).results
        return [result if result.problem is None else Refused(result.problem) for result in results]

    if count > 1 and run.form in ("table", "wide", "name"):
        return bulk.act(
            run,
            selection.jobs,
            many,
            at_once=ACT_MAX,
            kind="job",
            told=lambda result: f"Job {job_id(result.job)} {_done(result.state or JobState.QUEUED, None, done)}",
            columns=(),
            name_of=lambda result: job_id(result.job),
        )
    # Who wants more of each job than its name asks for one after the other.
    return bulk.act(
        run,
        selection.jobs,
        bulk.each(lambda job: run.ask(request(request_id=new_id(), job=job), Acted).job),
        kind="job",
        told=lambda job: f"Job {job.job_id} {_done(job.state, job.reason, done)}",
        columns=JOB_COLUMNS,
        name_of=lambda job: job.job_id,
    )

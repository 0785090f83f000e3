"""`ffrtmp jobs submit`: from arguments and manifests to jobs on the master's disk."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgpack

from ffrtmp_tui import manifest, units
from ffrtmp_tui.bulk import outcome
from ffrtmp_tui.failures import Exit, Failure, exit_for, usage
from ffrtmp_tui.fit import Column
from ffrtmp_tui.link import Refused, Unreachable, new_id
from ffrtmp_tui.run import Run, names
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.codec import MESSAGE_MAX
from ffrtmpd.wire.messages.common import Problem
from ffrtmpd.wire.messages.jobs import SUBMIT_MAX, JobSpec, Submission, Submit, SubmitResult, Submitted
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import to_plain
from ffrtmpd.wire.vocabulary import ErrorCode, Why

# Half of what a message may be: the envelope and the repeated names take their share.
BATCH_BYTES: Final = MESSAGE_MAX // 2
KEY_LEAST: Final = 8
KEY_MOST: Final = 128

WAITS: Final[dict[str, str]] = {
    Why.GPU_REQUIRED: "no connected node has a GPU that encodes it",
    Why.ENCODER_BUSY: "the hardware encoders of every node that could run it are taken",
    Why.NO_SCORER: "no connected node that encodes it measures what is asked for",
    Why.NO_WORKER: "no connected node can encode it",
}

RESULT_COLUMNS: Final = (
    Column(title="Manifest", name="where", get=lambda row: row["where"]),
    Column(title="Job ID", name="job_id", get=lambda row: row["job_id"]),
    Column(title="Status", name="state", get=lambda row: row["state"]),
    Column(title="Waits", name="reason", get=lambda row: row["reason"], sparse=True),
    Column(title="Key", name="key", get=lambda row: row["key"], wide=True),
    Column(
        title="Problem",
        name="problem",
        get=lambda row: row["problem"] and row["problem"]["message"],
        least=20,
        fold=True,
    ),
)


@record
class Wish:
    """A job to submit, or why there can be none; ``where`` it stands in its manifest."""

    where: str | None
    submission: Submission | None = None
    problem: Problem | None = None


def submit_jobs(run: Run) -> int:
    """Submit what the arguments say."""
    # Known before the first request leaves: submitted again under it, what was taken already is not made twice.
    key = run.args.idempotency_key or new_id()
    wishes = wishes_of(run, key)
    if run.args.dry_run:
        return _dry_run(run, wishes)
    results = list(_submit(run, wishes, key))
    problems = [exit_for(result.problem.code) for _, result in results if result.problem]
    if len(results) == 1 and (problem := results[0][1].problem):
        where = results[0][0].where
        if where:
            from dataclasses import replace

            problem = replace(problem, message=f"{where}: {problem.message}")
        raise Refused(problem)
    ids = [result.job_id for _, result in results if result.job_id]
    waiting = run.args.wait or run.args.follow
    if not waiting or run.form == "name":
        _show(run, results)
    else:
        for job_id in ids:
            run.terminal.say(f"submitted {job_id}")
    _say_what_waits(run, [result for _, result in results])
    for wish, result in results:
        if result.problem and (waiting or run.form == "name"):
            run.terminal.say(f"error: {wish.where}: {clean(result.problem.message)}")
    code = outcome(len(ids), problems)
    if waiting and ids:
        ended = _wait(run, ids)
        return code if code is not Exit.OK and ended is Exit.OK else ended
    return code


def wishes_of(run: Run, key: str) -> list[Wish]:
    """Return what the arguments ask for; each job has a key that follows from ``key`` unless it has its own.

    Raises:
        Failure: they contradict each other, or the one job they describe cannot be.
    """
    args = run.args
    if args.scenario and args.scenario_flag:
        raise usage("the scenario is said twice", "say it by position or with --scenario")
    if not KEY_LEAST <= len(key) <= KEY_MOST:
        raise usage(f"an idempotency key has {KEY_LEAST} to {KEY_MOST} characters")
    defaults = _defaults(run)
    if args.file is None:
        if "scenario" not in defaults:
            raise usage("no scenario", "say which, such as 720p30-h264; see `ffrtmp scenarios list`")
        try:
            spec = manifest.spec({}, defaults, now_s=run.wall())
        except ValueError as error:
            raise usage(str(error)) from None
        return [Wish(where=None, submission=Submission(key=key, spec=spec))]
    entries = manifest.read(args.file, form=args.file_format, stdin=run.stdin)
    return [_wish(entry, defaults, key, number, run.wall()) for number, entry in enumerate(entries, 1)]


def batches(submissions: Sequence[Submission]) -> Iterator[tuple[Submission, ...]]:
    """Yield the submissions in as few requests as the limits of a message allow."""
    batch: list[Submission] = []
    room = BATCH_BYTES
    for submission in submissions:
        size = len(msgpack.packb(to_plain(submission)))
        if batch and (size > room or len(batch) == SUBMIT_MAX):
            yield tuple(batch)
            batch, room = [], BATCH_BYTES
        batch.append(submission)
        room -= size
    if batch:
        yield tuple(batch)


def _defaults(run: Run) -> dict[str, Any]:
    args = run.args
    given: dict[str, Any] = {
        "scenario": args.scenario or args.scenario_flag,
        "input": args.input,
        "output": args.output,
        "output_mode": args.output_mode,
        "queue": args.queue,
        "priority": args.priority,
        "duration_s": args.duration,
        "bitrate_bps": args.bitrate,
        "codec": args.codec,
        "preset": args.preset,
        "encoder": args.encoder,
        "engine": args.engine,
        "require_gpu": args.require_gpu or None,
        "vmaf": args.vmaf,
        "vmaf_floor": args.vmaf_floor,
        "psnr": args.psnr or None,
        "ssim": args.ssim or None,
        "verify": args.verify,
        "timeout_s": args.timeout,
        "max_attempts": args.max_attempts,
    }
    if args.label:
        try:
            given["labels"] = units.labels(args.label)
        except ValueError as error:
            raise usage(f"--label: {error}") from None
    if args.not_before is not None:
        try:
            given["not_before"] = units.moment(args.not_before, run.wall())
        except ValueError as error:
            raise usage(f"--not-before: {error}") from None
    return {name: value for name, value in given.items() if value is not None}


def _wish(entry: manifest.Entry, defaults: Mapping[str, Any], key: str, number: int, now_s: float) -> Wish:
    # Numbered, so that the same file under the same key makes the same jobs.
    own_key = entry.key or f"{key}-{number}"
    if not KEY_LEAST <= len(own_key) <= KEY_MOST:
        return _refused(entry, f"idempotency_key: takes {KEY_LEAST} to {KEY_MOST} characters")
    try:
        units.utf8(own_key)
    except ValueError as error:
        return _refused(entry, f"idempotency_key: {error}")
    try:
        spec = manifest.spec(entry.fields, defaults, now_s=now_s)
    except ValueError as error:
        return _refused(entry, str(error))
    return Wish(where=entry.where, submission=Submission(key=own_key, spec=spec))


def _refused(entry: manifest.Entry, message: str) -> Wish:
    return Wish(where=entry.where, problem=Problem(code=ErrorCode.INVALID_ARGUMENT, message=message))


def _submit(run: Run, wishes: Sequence[Wish], key: str) -> Iterator[tuple[Wish, SubmitResult]]:
    found: list[SubmitResult] = []
    away: Unreachable | None = None
    again = f"run it again with --idempotency-key {key}, so that what was taken already is not made twice"
    for batch in batches([wish.submission for wish in wishes if wish.submission]):
        # A master that did not answer is not asked for each of the batches that are left.
        answer = away or _ask(run, batch)
        if not isinstance(answer, Failure):
            found += answer
            continue
        if isinstance(answer, Unreachable) and (answer.sent or found):
            answer.hint, away = again, answer
        if not found:
            raise answer
        # What was taken before must be told all the same.
        problem = Problem(code=ErrorCode.UNAVAILABLE, message=answer.message, hint=answer.hint)
        found += [SubmitResult(key=submission.key, problem=problem) for submission in batch]
    if away is not None:
        run.terminal.say(f"hint: {again}")
    answers = iter(found)
    for wish in wishes:
        if wish.submission:
            yield wish, next(answers)
        else:
            yield wish, SubmitResult(key="", problem=wish.problem)


def _ask(run: Run, batch: tuple[Submission, ...]) -> tuple[SubmitResult, ...] | Failure:
    try:
        return run.ask(Submit(request_id=new_id(), jobs=batch), Submitted).results
    except Failure as failure:
        return failure


def _say_what_waits(run: Run, results: Sequence[SubmitResult]) -> None:
    """Tell, once for each reason, that no node can run what was submitted."""
    reasons = [result.reason for result in results if result.reason]
    for reason in dict.fromkeys(reasons):
        meaning = f" ({WAITS[reason]})" if reason in WAITS else ""
        count = f"{reasons.count(reason)} jobs: " if len(results) > 1 else ""
        run.terminal.say(f"waits: {count}{clean(reason)}{meaning}")


def _show(run: Run, results: Sequence[tuple[Wish, SubmitResult]]) -> None:
    from ffrtmp_tui.render import plain

    rows = [{"where": wish.where, **plain(result)} for wish, result in results]
    if run.form in ("table", "wide") and len(rows) == 1:
        run.terminal.write(f"{run.terminal.tick} Job {rows[0]['job_id']} submitted successfully ({rows[0]['state']})")
        return
    if run.form == "name":
        run.terminal.out.write(names(row["job_id"] for row in rows if row["job_id"]))
        return
    run.show_list("jobs", rows, RESULT_COLUMNS, name_of=lambda row: row["job_id"])


def _wait(run: Run, ids: Sequence[str]) -> Exit:
    from ffrtmp_tui import follow
    from ffrtmp_tui.board import Board
    from ffrtmp_tui.job_view import JOB_COLUMNS, show_job

    jobs = [follow.status(run, job_id, patient=True).job for job_id in ids]
    last = {job.job_id: job for job in jobs}
    board = Board(run.terminal)
    for changed in follow.until_done(run, jobs, timeout_s=run.args.wait_timeout):
        last.update((job.job_id, job) for job in changed)
        if run.args.follow:
            board.update(changed)
    board.close()
    if run.form != "name":
        if len(ids) == 1:
            show_job(run, follow.status(run, ids[0], patient=True))
        else:
            run.show_list("jobs", list(last.values()), JOB_COLUMNS, name_of=lambda job: job.job_id)
    return follow.verdict(last.values())


def _dry_run(run: Run, wishes: Sequence[Wish]) -> int:
    from ffrtmp_tui.render import plain

    rows = []
    problems = []
    for wish in wishes:
        spec: JobSpec | None = wish.submission.spec if wish.submission else None
        rows.append({"where": wish.where, "spec": plain(spec) if spec else None, "problem": plain(wish.problem)})
        if wish.problem:
            problems.append(exit_for(wish.problem.code))
    run.show_list("jobs", rows, _DRY_COLUMNS, name_of=lambda row: row["spec"]["scenario"] if row["spec"] else "-")
    run.terminal.say(f"{len(rows) - len(problems)} of {len(rows)} jobs could be submitted; nothing was")
    return outcome(len(rows) - len(problems), problems)


def _field(name: str) -> Any:
    return lambda row: row["spec"] and row["spec"][name]


_DRY_COLUMNS: Final = (
    Column(title="Manifest", name="where", get=lambda row: row["where"]),
    Column(title="Scenario", name="scenario", get=_field("scenario")),
    Column(title="Queue", name="queue", get=_field("queue"), rank=4),
    Column(title="Priority", name="priority", get=_field("priority"), rank=5),
    Column(title="Duration", name="duration_s", get=_field("duration_s"), show=units.duration_text),
    Column(title="Bitrate", name="bitrate_bps", get=_field("bitrate_bps"), show=units.bitrate_text, rank=3),
    Column(title="Input", name="input", get=_field("input"), least=12, rank=1),
    Column(title="Output", name="output", get=_field("output"), least=12, rank=2),
    Column(
        title="Problem",
        name="problem",
        get=lambda row: row["problem"] and row["problem"]["message"],
        least=20,
        fold=True,
    ),
)

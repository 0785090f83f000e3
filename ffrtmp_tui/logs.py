"""`ffrtmp jobs logs`: the encoder's log, piece by piece through the master."""

from collections.abc import Iterator
from typing import Final

from ffrtmp_tui import follow
from ffrtmp_tui.failures import Exit
from ffrtmp_tui.link import new_id
from ffrtmp_tui.run import Run
from ffrtmp_tui.selection import select_one
from ffrtmp_tui.terminal import clean_lines
from ffrtmpd.wire.messages.jobs import LOG_MAX, Changes, ChangesReply, Logs, LogsReply

# The master fetches the piece from the node before it answers.
FETCH_S: Final = 10.0
# A log can grow without any change of the job's figures.
QUIET_S: Final = 2.0


def write_log(run: Run) -> int:
    """Write a log to standard output."""
    job = select_one(run, run.args.job)
    show = run.terminal.out_shows
    if run.form in ("json", "jsonl"):
        _write_json(run, job)
        return Exit.OK
    for text in _pieces(run, job):
        # A log may hold what a hostile input file says; a person's terminal must not obey it.
        run.terminal.out.write(clean_lines(text) if show else text)
        run.terminal.out.flush()
    return Exit.OK


def _write_json(run: Run, job: str) -> None:
    from ffrtmp_tui.render import json_text, jsonl_text

    first = _ask(run, job, 0, 1)
    record = {"job_id": first.job_id, "attempt": first.attempt, "text": "".join(_pieces(run, job))}
    run.terminal.write(json_text(record) if run.form == "json" else jsonl_text([record]))


def _pieces(run: Run, job: str) -> Iterator[str]:
    piece = _ask(run, job, -LOG_MAX if run.args.tail else 0, LOG_MAX)
    if run.args.tail:
        yield "\n".join(piece.text.rstrip("\n").split("\n")[-run.args.tail :]) + ("\n" if piece.text else "")
    else:
        yield piece.text
    since: int | None = None
    while not piece.end:
        before = piece.next_offset
        if not piece.text:
            if not run.args.follow:
                return
            if since is None:
                since = follow.status(run, piece.job_id).job.revision
            changes = Changes(request_id=new_id(), since=since, jobs=(piece.job_id,), wait_s=QUIET_S)
            since = run.ask(changes, ChangesReply, wait_s=QUIET_S, patient=True).revision
        elif run.args.tail and not run.args.follow:
            return
        piece = _ask(run, job, before, LOG_MAX)
        yield piece.text


def _ask(run: Run, job: str, offset: int, limit: int) -> LogsReply:
    request = Logs(request_id=new_id(), job=job, attempt=run.args.attempt, offset=offset, limit=limit)
    return run.ask(request, LogsReply, wait_s=FETCH_S)

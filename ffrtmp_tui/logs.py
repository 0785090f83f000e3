"""`ffrtmp jobs logs`: the encoder's log, piece by piece through the master."""

from collections.abc import Iterator
from typing import Final

from ffrtmp_tui import follow
from ffrtmp_tui.failures import Exit
from ffrtmp_tui.link import Refused, new_id
from ffrtmp_tui.run import Run
from ffrtmp_tui.selection import select_one
from ffrtmp_tui.terminal import clean, clean_lines
from ffrtmpd.wire.ask import TRIES_S
from ffrtmpd.wire.messages.inquiries import Logs, LogsReply
from ffrtmpd.wire.messages.jobs import LOG_MAX, Changes, ChangesReply, JobView
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, ErrorCode

# The master fetches the piece from the node before it answers.
FETCH_S: Final = 10.0
# A log can grow without any change of the job's figures.
QUIET_S: Final = 2.0
# How long the log of an attempt that has ended is worth waiting for: as long as a master that is away.
AWAY_S: Final = sum(TRIES_S)


def write_log(run: Run) -> int:
    """Write a log to standard output."""
    log = _Log(run, select_one(run, run.args.job))
    show = run.terminal.out_shows
    if run.form in ("json", "jsonl"):
        _write_json(run, log)
        return Exit.OK
    for text in _pieces(run, log):
        # A log may hold what a hostile input file says; a person's terminal must not obey it.
        run.terminal.out.write(clean_lines(text) if show else text)
        run.terminal.out.flush()
    return Exit.OK


def _write_json(run: Run, log: "_Log") -> None:
    from ffrtmp_tui.render import json_text, jsonl_text

    first = log.read(0, 1)
    record = {"job_id": first.job_id, "attempt": first.attempt, "text": "".join(_pieces(run, log))}
    run.terminal.write(json_text(record) if run.form == "json" else jsonl_text([record]))


def _pieces(run: Run, log: "_Log") -> Iterator[str]:
    tail, goes_on = run.args.tail, run.args.follow
    piece = log.read(-LOG_MAX if tail else 0)
    if tail:
        yield "\n".join(piece.text.rstrip("\n").split("\n")[-tail:]) + ("\n" if piece.text else "")
    else:
        yield piece.text
    while not piece.end:
        if not goes_on and (tail or not piece.text):
            return
        if not piece.text:
            log.wait()
        piece = log.read(piece.next_offset)
        yield piece.text


class _Log:
    """The log of one attempt. One that is followed outlasts a node or a master that is away for the moment."""

    def __init__(self, run: Run, job: str) -> None:
        self._run, self._job = run, job
        self._follow: bool = run.args.follow
        self._attempt: int | None = run.args.attempt
        self._view: JobView | None = None
        self._since = 0
        self._told = False

    def read(self, offset: int, limit: int = LOG_MAX) -> LogsReply:
        """Return the piece at ``offset``; a negative one counts from the end.

        Raises:
            Failure: there is no such log and will be none, or it cannot be had now and nobody follows it.
        """
        away_since = self._run.clock()
        while True:
            request = Logs(request_id=new_id(), job=self._job, attempt=self._attempt, offset=offset, limit=limit)
            try:
                piece = self._run.ask(request, LogsReply, wait_s=FETCH_S, patient=self._follow)
            except Refused as refused:
                if not (self._follow and self._may_come(refused)):
                    raise
                self._tell(refused)
                self.wait()
                if self._has_ended() and self._run.clock() - away_since >= AWAY_S:
                    raise
            else:
                # An offset belongs to this attempt, whatever becomes of the job.
                self._attempt = piece.attempt
                return piece

    def wait(self) -> None:
        """Wait until the job has changed, two seconds at most."""
        if self._view is None:
            self._look()
            return
        changes = Changes(request_id=new_id(), since=self._since, jobs=(self._view.job_id,), wait_s=QUIET_S)
        reply = self._run.ask(changes, ChangesReply, wait_s=QUIET_S, patient=True)
        if reply.reset:
            self._look()
            return
        self._since = reply.revision
        self._view = next((job for job in reply.jobs if job.job_id == self._view.job_id), self._view)

    def _look(self) -> None:
        self._view = follow.status(self._run, self._job, patient=True).job
        self._since = self._view.revision

    def _may_come(self, refused: Refused) -> bool:
        if refused.problem.code is not ErrorCode.NOT_FOUND:
            return refused.retryable
        self._look()
        job = self._view
        return job is not None and job.attempt < (self._attempt or 1) and job.state not in TERMINAL_STATES

    def _has_ended(self) -> bool:
        job = self._view
        if job is None:
            return False
        return job.state in TERMINAL_STATES or (self._attempt is not None and job.attempt > self._attempt)

    def _tell(self, refused: Refused) -> None:
        if not self._told:
            self._run.terminal.say(f"note: {clean(refused.message)}; waiting")
        self._told = True

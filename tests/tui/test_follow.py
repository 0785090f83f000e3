"""Following jobs: deltas as they come, a bar on a screen, plain lines elsewhere, and how it ends."""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ffrtmp_tui.board import Board, bar, line
from ffrtmp_tui.follow import TimedOut
from ffrtmp_tui.terminal import Terminal
from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.messages.inquiries import Logs, LogsReply
from ffrtmpd.wire.messages.jobs import Changes, ChangesReply, JobView, Status, Submit, SubmitResult, Submitted
from ffrtmpd.wire.vocabulary import ErrorCode, JobState, Phase
from tests.tui.commands import Shell
from tests.tui.masters import Answer, ScriptedMaster
from tests.tui.samples import DONE, RUNNING, error, job, status_of

Start = Callable[[Answer], ScriptedMaster]


class Story:
    """A master with one job whose views come one after the other, one to each CHANGES."""

    def __init__(self, *views: JobView, reset: bool = False) -> None:
        self.views: Iterator[JobView] = iter(views)
        self.now = next(self.views)
        self.reset = reset
        self.asked: list[Changes] = []

    def __call__(self, request: Request) -> Reply | None:
        if isinstance(request, Status):
            return status_of(self.now, request)
        if isinstance(request, Submit):
            result = SubmitResult(key=request.jobs[0].key, job_id=self.now.job_id, state=self.now.state)
            return Submitted(request_id=request.request_id, results=(result,))
        assert isinstance(request, Changes)
        self.asked.append(request)
        self.now = next(self.views)
        jobs = () if self.reset else (self.now,)
        return ChangesReply(request_id=request.request_id, jobs=jobs, revision=self.now.revision, reset=self.reset)


@pytest.mark.parametrize(("state", "code"), [(JobState.COMPLETED, 0), (JobState.FAILED, 10), (JobState.CANCELED, 11)])
@pytest.mark.parametrize("words", ["jobs status 123 --follow", "jobs wait 123", "jobs submit 720p30-h264 --wait"])
def test_end_of_the_job_is_the_exit_code(shell: Shell, scripted: Start, state: JobState, code: int, words: str) -> None:
    scripted(Story(job(), job(JobState.PROCESSING, revision=2, percent=50.0), job(state, revision=3)))
    assert shell(*words.split()).code == code


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (2, "job-000001, job-000002"),
        (5, "job-000001, job-000002, job-000003, job-000004, job-000005"),
        (300, "job-000001, job-000002, job-000003, job-000004, job-000005 and 295 others"),
    ],
)
def test_wait_that_takes_too_long_names_some_and_counts_the_others(count: int, said: str) -> None:
    failure = TimedOut(1.5, (f"job-{number:06d}" for number in range(1, count + 1)))
    assert failure.message == f"after 1.5 s still waiting for {said}"


def test_each_question_goes_on_from_the_last_answer(shell: Shell, scripted: Start) -> None:
    story = Story(job(revision=5), job(JobState.ASSIGNED, revision=8), job(JobState.COMPLETED, revision=11))
    scripted(story)
    shell("jobs", "status", "123", "--follow")
    assert [(request.since, request.jobs) for request in story.asked] == [(5, ("job-000123",)), (8, ("job-000123",))]


def test_revision_of_another_epoch_reads_the_job_anew(shell: Shell, scripted: Start) -> None:
    scripted(Story(job(revision=900), job(JobState.COMPLETED, revision=3), reset=True))
    assert shell("jobs", "status", "123", "--follow").code == 0


def test_progress_without_a_screen_is_plain_lines_for_states_and_steps(shell: Shell, scripted: Start) -> None:
    shares = [0.0, 4.0, 11.0, 12.0, 25.0]
    views = [job(JobState.PROCESSING, revision=2 + at, percent=share) for at, share in enumerate(shares)]
    scripted(Story(job(), *views, job(JobState.COMPLETED, revision=99, percent=100.0)))
    ended = shell("jobs", "status", "123", "--follow")
    assert [row.split()[1] + " " + row.split()[3] for row in ended.err.splitlines()] == [
        "queued -",
        "processing 0.0%",
        "processing 11.0%",
        "processing 25.0%",
        "completed 100.0%",
    ]
    assert "\x1b" not in ended.err
    assert ended.out.startswith("Job ID: ")


def test_progress_on_a_screen_is_one_line_redrawn(shell: Shell, scripted: Start) -> None:
    scripted(Story(RUNNING, DONE_LIKE))
    ended = shell("jobs", "status", "125", "--follow", screen=True)
    assert ended.err.count("\x1b[1A") == 1
    assert "71 fps  x1.18  ETA 02:31" in ended.err
    assert ended.out.startswith("┌")


DONE_LIKE = job(JobState.COMPLETED, number=125, revision=11, percent=100.0)


def test_submit_and_wait_shows_the_finished_job_and_its_id_at_once(shell: Shell, scripted: Start) -> None:
    scripted(Story(job(), job(JobState.COMPLETED, revision=2)))
    ended = shell("jobs", "submit", "720p30-h264", "--wait", "-o", "json")
    assert ended.err == "submitted job-000123\n"
    assert ended.json["job"]["state"] == "completed"


def test_waiting_for_a_state_that_was_passed_between_two_answers_is_reached(shell: Shell, scripted: Start) -> None:
    def passed(request: Request) -> Reply:
        assert isinstance(request, Status)
        return status_of(DONE, request, full=True)

    scripted(passed)
    assert shell("jobs", "wait", "124", "--for", "queued").code == 0
    assert shell("jobs", "wait", "124", "--for", "paused").code == 1


def test_bar_is_full_only_at_the_end() -> None:
    assert bar(None) == "[" + "." * 20 + "]"
    assert bar(50.0) == "[" + "#" * 10 + "." * 10 + "]"
    assert bar(100.0) == "[" + "#" * 20 + "]"


def test_line_shows_why_a_job_waits() -> None:
    assert line(job(percent=3.0)) == "job-000123  queued      [#...................]   3.0%"


def test_more_jobs_than_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "80")
    err = io.StringIO()
    board = Board(Terminal(out=io.StringIO(), err=err, err_shows=True))
    board.update(job(JobState.QUEUED if number % 2 else JobState.FAILED, number=number) for number in range(50))
    assert "25 failed  25 queued\n" in err.getvalue()


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def keeper(log: bytes, *, piece: int = 10, ended: bool = True) -> Answer:
    """A master that hands out a log in pieces."""

    def answer(request: Request) -> Reply | None:
        if not isinstance(request, Logs):
            return None
        begin = max(0, len(log) + request.offset) if request.offset < 0 else request.offset
        size = request.limit if request.offset < 0 else min(piece, request.limit)
        text = log[begin : begin + size]
        after = begin + len(text)
        return LogsReply(
            request_id=request.request_id,
            job_id="job-000123",
            attempt=request.attempt or 2,
            text=text.decode(),
            offset=begin,
            next_offset=after,
            end=ended and after == len(log),
        )

    return answer


LOG = b"first line\nsecond line\nthird \x1b[2J line\n"


def test_log_is_written_whole_from_its_pieces(shell: Shell, scripted: Start) -> None:
    scripted(keeper(LOG))
    assert shell("jobs", "logs", "123").out == LOG.decode()


def test_log_of_an_attempt_that_runs_is_written_as_far_as_it_is(shell: Shell, scripted: Start) -> None:
    scripted(keeper(LOG, ended=False))
    assert shell("jobs", "logs", "123").out == LOG.decode()


def test_tail_is_the_last_lines(shell: Shell, scripted: Start) -> None:
    scripted(keeper(LOG))
    assert shell("jobs", "logs", "123", "--tail", "2").out == "second line\nthird \x1b[2J line\n"


def test_log_on_a_screen_cannot_move_the_cursor(shell: Shell, scripted: Start) -> None:
    scripted(keeper(LOG, piece=1_000))
    assert "\x1b" not in shell("jobs", "logs", "123", screen=True).out


def test_log_as_json_names_job_and_attempt(shell: Shell, scripted: Start) -> None:
    scripted(keeper(LOG))
    told = shell("jobs", "logs", "123", "--attempt", "1", "-o", "json").json
    assert told == {"version": 1, "job_id": "job-000123", "attempt": 1, "text": LOG.decode()}


def test_log_that_the_node_cannot_give_ends_with_1(shell: Shell, scripted: Start) -> None:
    scripted(lambda request: error(request, ErrorCode.UNAVAILABLE, "the node is away"))
    ended = shell("jobs", "logs", "123")
    assert (ended.code, ended.err) == (1, "error: the node is away\n")


class AwayNode:
    """A master whose node gives the first half of a log, is away, and gives the rest; CHANGES are answered at once."""

    def __init__(self, *problems: ErrorCode, state: JobState = JobState.PROCESSING) -> None:
        self.log = keeper(LOG)
        self.problems = list(problems)
        self.view = job(state, revision=1)

    def __call__(self, request: Request) -> Reply | None:
        if isinstance(request, Status):
            return status_of(self.view, request)
        if isinstance(request, Changes):
            return ChangesReply(request_id=request.request_id, jobs=(), revision=request.since)
        assert isinstance(request, Logs)
        if request.offset >= 20 and self.problems:
            return error(request, self.problems.pop(0), "node-1 is offline", retryable=True)
        return self.log(request)


def test_followed_log_outlasts_a_node_that_is_away_and_says_so_once(shell: Shell, scripted: Start) -> None:
    master = scripted(AwayNode(ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT, ErrorCode.UNAVAILABLE))
    ended = shell("jobs", "logs", "123", "--follow")
    assert (ended.code, ended.out) == (0, LOG.decode())
    assert ended.err == "note: node-1 is offline; waiting\n"
    asked = [request for _, request in master.heard if isinstance(request, Logs)]
    assert [request.offset for request in asked] == [0, 10, 20, 20, 20, 20, 30]
    # The first answer says which attempt it was; what is read on belongs to it.
    assert [request.attempt for request in asked] == [None, *[2] * 6]


def test_log_that_nobody_follows_ends_at_the_first_refusal(shell: Shell, scripted: Start) -> None:
    scripted(AwayNode(ErrorCode.UNAVAILABLE))
    ended = shell("jobs", "logs", "123")
    assert (ended.code, ended.out, ended.err) == (1, LOG.decode()[:20], "error: node-1 is offline\n")


def test_followed_log_of_an_attempt_that_has_ended_is_not_waited_for_for_ever(
    shell: Shell, scripted: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffrtmp_tui.logs.AWAY_S", 0.05)
    scripted(AwayNode(*[ErrorCode.UNAVAILABLE] * 100_000, state=JobState.COMPLETED))
    ended = shell("jobs", "logs", "123", "--follow")
    assert ended.code == 1
    assert ended.err == "note: node-1 is offline; waiting\nerror: node-1 is offline\n"


def test_followed_log_waits_for_a_job_that_has_not_begun(shell: Shell, scripted: Start) -> None:
    class Queued(AwayNode):
        def __call__(self, request: Request) -> Reply | None:
            if isinstance(request, Logs) and self.problems:
                return error(request, self.problems.pop(0), "job-000123 has no attempt 1 yet")
            return super().__call__(request)

    scripted(Queued(ErrorCode.NOT_FOUND, ErrorCode.NOT_FOUND, state=JobState.QUEUED))
    ended = shell("jobs", "logs", "123", "--follow")
    assert (ended.code, ended.out) == (0, LOG.decode())
    assert ended.err == "note: job-000123 has no attempt 1 yet; waiting\n"


@pytest.mark.usefixtures("hasty")
def test_followed_log_outlasts_a_lost_reply(shell: Shell, scripted: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[Request] = []

    class Deaf(AwayNode):
        def __call__(self, request: Request) -> Reply | None:
            if isinstance(request, Logs) and request.offset == 10 and not lost:
                lost.append(request)
                return None
            return super().__call__(request)

    monkeypatch.setattr("ffrtmp_tui.logs.FETCH_S", 0.0)
    scripted(Deaf())
    assert shell("jobs", "logs", "123", "--follow").out == LOG.decode()


# ── a master that falls silent ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("hasty")
def test_submit_that_may_have_arrived_names_the_key_that_makes_it_harmless_to_repeat(
    shell: Shell, scripted: Start
) -> None:
    master = scripted(lambda _: None)
    ended = shell("jobs", "submit", "720p30-h264", "-o", "json")
    assert ended.code == 6
    sent = master.heard[0][1]
    assert isinstance(sent, Submit)
    assert f"--idempotency-key {sent.jobs[0].key}," in json.loads(ended.err)["error"]["hint"]


@pytest.mark.usefixtures("hasty")
def test_manifest_cut_short_names_one_key_under_which_it_makes_the_same_jobs_again(
    shell: Shell, scripted: Start
) -> None:
    def first_batch_only(request: Request) -> Reply | None:
        assert isinstance(request, Submit)
        if len(master.heard) > 1 and len(keys) == 1_000:
            return None
        keys.extend(submission.key for submission in request.jobs)
        results = tuple(
            SubmitResult(key=submission.key, job_id=f"job-{at:06d}", state=JobState.QUEUED)
            for at, submission in enumerate(request.jobs)
        )
        return Submitted(request_id=request.request_id, results=results)

    keys: list[str] = []
    text = "".join('{"scenario": "720p30-h264"}\n' for _ in range(2_100))
    master = scripted(first_batch_only)
    ended = shell("jobs", "submit", "-f", "-", "-q", stdin=text)
    assert (ended.code, len(ended.out.split())) == (8, 1_000)
    # Two tries of the second batch, and none of the third.
    assert len(master.heard) == 3
    told = re.search(r"^hint: run it again with --idempotency-key (\w+),", ended.err, re.MULTILINE)
    assert told is not None
    taken = list(keys)
    keys.append("whole from now on")
    assert shell("jobs", "submit", "-f", "-", "-q", "--idempotency-key", told[1], stdin=text).code == 0
    assert keys[1_001:2_001] == taken


def test_submit_that_never_left_has_no_such_hint(shell: Shell, scripted: Start) -> None:
    scripted(lambda _: None)
    ended = shell("jobs", "submit", "720p30-h264", "--master", "127.0.0.1:1")
    assert ended.code == 6
    assert "--idempotency-key" not in ended.err


def test_what_comes_after_the_encode_is_said_by_its_name() -> None:
    scoring = replace(RUNNING, phase=Phase.SCORING)
    assert line(scoring).split()[1] == "scoring"
    assert line(RUNNING).split()[1] == "processing"

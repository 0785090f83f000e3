"""What is shown was measured, by the attempt that holds the job, and only to those who may see it."""

import dataclasses
from typing import Any

import pytest

from ffrtmpd.broker.disclosure import masked
from ffrtmpd.broker.paging import BUDGET_BYTES
from ffrtmpd.broker.strikes import LOGGED
from ffrtmpd.events import GarbageCame, Note, Peer, Side
from ffrtmpd.wire.codec import MESSAGE_MAX, ProtocolError, encode
from ffrtmpd.wire.messages.acts import Cancel, Pause
from ffrtmpd.wire.messages.jobs import (
    Changes,
    ChangesReply,
    JobList,
    JobSpec,
    ListJobs,
    MediaInfo,
    Progress,
    Report,
    Status,
    StatusReply,
    Submission,
    Submit,
    Submitted,
    VideoStream,
)
from ffrtmpd.wire.messages.measures import Energy, Experience, Quality
from ffrtmpd.wire.messages.session import Commit, Committed, ProgressReport, Result, ResultVerdict
from ffrtmpd.wire.vocabulary import ErrorCode, FailureClass, JobState, Outcome, OutputMode
from tests.master.house import House, Worker, as_asked

SPEC = JobSpec(scenario="720p30-h264")
PUSH = "rtmp://user:pw@ingest.example/live/app/SECRET?token=abc"


def running(house: House, spec: JobSpec = SPEC) -> tuple[Worker, str]:
    worker = house.worker("w1")
    (job,) = house.submit(spec)
    worker.hear()
    worker.start(job)
    return worker, job


def tell(worker: Worker, job: str, **figures: Any) -> None:
    worker.say(ProgressReport(**worker._about(job), progress=Progress(**figures)))


# ── figures ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (
            {
                "quality": Quality(vmaf=93.12),
                "experience": Experience(score=4.43),
                "energy": Energy(joules=41_249.0, scoring_joules=9.0),
            },
            "VMAF 93.1, QoE 4.4, 41.2 kJ",
        ),
        ({"quality": Quality(note="it cannot be scored"), "energy": Energy(joules=0.0421)}, "0.0421 J"),
        ({"quality": Quality(ssim=0.99), "experience": Experience(score=1.0)}, "QoE 1.0"),
        ({}, None),
    ],
)
def test_completion_says_what_was_measured(measured: dict[str, Any], said: str | None) -> None:
    house = House()
    worker, job = running(house)
    worker.result(job, **measured)
    worker.committed(job)
    last = house.status(job).history[-1]
    assert (last.event, last.why) == ("complete", said)
    assert house.job(job).reason is None


def test_percentage_of_an_attempt_never_goes_back() -> None:
    house = House()
    worker, job = running(house)
    seen = []
    for percent in (10.0, 40.0, 5.0, 60.0):
        tell(worker, job, percent=percent, frame=int(percent))
        progress = house.job(job).progress
        assert progress is not None
        seen.append((progress.percent, progress.frame))
    assert seen == [(10.0, 10), (40.0, 40), (40.0, 5), (60.0, 60)]


def test_rates_are_shown_only_while_they_are_true() -> None:
    house = House()
    worker, job = running(house)
    tell(worker, job, percent=40.0, fps=50.0, speed=1.5, eta_s=9.0)
    live = house.job(job).progress
    assert live is not None
    assert (live.fps, live.eta_s) == (50.0, 9.0)
    house.ask(Pause(request_id="p", job=job))
    paused = house.job(job).progress
    assert paused is not None
    assert (paused.percent, paused.fps, paused.speed, paused.eta_s) == (40.0, None, None, None)


def test_rates_of_a_node_that_is_offline_are_not_shown() -> None:
    house = House()
    worker, job = running(house)
    tell(worker, job, percent=40.0, fps=50.0)
    worker.lose_connection()
    progress = house.job(job).progress
    assert progress is not None
    assert (progress.percent, progress.fps) == (40.0, None)


def test_what_a_canceled_job_had_measured_stays() -> None:
    house = House()
    worker, job = running(house)
    tell(worker, job, percent=46.0, frame=100)
    house.ask(Cancel(request_id="c", job=job))
    worker.say(Result(**worker._about(job), outcome=Outcome.CANCELED, report=Report(encoder="libx264", cpu_s=1.5)))
    status = house.status(job)
    assert status.job.progress is not None
    assert (status.job.progress.percent, status.job.progress.frame) == (46.0, 100)
    assert status.report is not None
    assert status.report.cpu_s == 1.5


def test_exit_code_is_the_encoders() -> None:
    house = House()
    worker, job = running(house)
    media = MediaInfo(container="mp4", video=as_asked(worker.jobs[job].encode))
    worker.say(Result(**worker._about(job), outcome=Outcome.ENCODED, report=Report(media=media, output="/o/a.mp4")))
    assert worker.got(Commit)
    worker.committed(job)
    status = house.status(job)
    assert (status.job.state, status.exit_code, status.job.output) == (JobState.COMPLETED, None, "/o/a.mp4")


@pytest.mark.parametrize(
    "media",
    [
        None,
        MediaInfo(container="mp4"),
        MediaInfo(container="mp4", video=VideoStream(codec="hevc", width=1280, height=720)),
        MediaInfo(container="mp4", video=VideoStream(codec="h264", width=640, height=360)),
    ],
)
def test_output_that_was_not_proved_is_not_published(media: MediaInfo | None) -> None:
    house = House()
    worker, job = running(house)
    worker.say(Result(**worker._about(job), outcome=Outcome.ENCODED, report=Report(media=media)))
    assert worker.got(Commit) == []
    assert len(worker.got(ResultVerdict)) == 1
    view = house.job(job)
    assert view.state is JobState.PENDING
    assert view.reason is not None
    assert "w1 reports another output" in view.reason
    worker.say(Committed(**worker._about(job), output="/nowhere.mp4"))
    assert house.job(job).state is JobState.PENDING


# ── reasons ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_reason_explains_where_a_job_is_stuck_and_nothing_else() -> None:
    house = House()
    worker, job = running(house)
    assert house.job(job).reason is None
    worker.result(job, Outcome.FAILED, failure_class=FailureClass.TRANSIENT, reason="connection reset")
    assert house.job(job).reason == "connection reset"
    worker.jobs.clear()
    worker.beat_for(8)
    assert house.job(job).reason is None


def test_job_paused_by_the_user_stays_paused_when_its_attempt_fails() -> None:
    house = House()
    worker, job = running(house)
    house.ask(Pause(request_id="p", job=job))
    worker.result(job, Outcome.FAILED, failure_class=FailureClass.TRANSIENT, reason="out of memory")
    worker.jobs.clear()
    worker.beat_for(20)
    view = house.job(job)
    assert (view.state, view.node_id, view.reason) == (JobState.PAUSED, None, "out of memory")
    assert house.row(job).failures == 1


def test_submit_says_at_once_when_nobody_can_run_the_job() -> None:
    house = House()
    house.worker("w1")
    jobs = (
        Submission(key="key-00000001", spec=dataclasses.replace(SPEC, encoder="h264_nvenc")),
        Submission(key="key-00000002", spec=SPEC),
    )
    reply = house.ask(Submit(request_id="s", jobs=jobs))
    assert isinstance(reply, Submitted)
    assert [result.reason for result in reply.results] == ["gpu_required", None]


# ── who sees what ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (PUSH, "rtmp://***@ingest.example/live/app/***"),
        ("rtmp://h:1935/live/key", "rtmp://h:1935/live/***"),
        ("http://user@h/a.mp4", "http://***@h/a.mp4"),
        ("https://h/a.mp4?sig=1&x=2", "https://h/a.mp4?***"),
        ("srt://h:9000?passphrase=secret&mode=caller", "srt://h:9000?***"),
        ("open 'rtmp://u:p@h/a/b': refused", "open 'rtmp://***@h/a/***': refused"),
        ("/srv/in/a.mp4", "/srv/in/a.mp4"),
    ],
)
def test_secrets_of_urls_are_hidden(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_viewer_does_not_see_stream_keys_and_an_operator_does() -> None:
    house = House()
    spec = dataclasses.replace(SPEC, output=PUSH, output_mode=OutputMode.RTMP)
    worker, job = running(house, spec)
    report = Report(output=PUSH, command=("ffmpeg", "-f", "flv", PUSH), log_tail=f"opening {PUSH}", exit_code=0)
    worker.say(Result(**worker._about(job), outcome=Outcome.ENCODED, report=report))
    for by, secret in (("eyes", False), ("ops", True)):
        answers = [
            house.ask(Status(request_id="s", job=job), by=by),
            house.ask(ListJobs(request_id="l"), by=by),
            house.ask(Changes(request_id="c", since=house.broker.cluster.epoch << 40), by=by),
        ]
        assert isinstance(answers[0], StatusReply)
        for answer in answers:
            assert answer is not None
            assert ("SECRET" in str(answer)) is secret, answer


# ── how much ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_window_is_cut_to_what_fits_into_a_message_and_nothing_is_left_out() -> None:
    house = House()
    names = [f"/out/{index:04d}-{'x' * 3_000}.mp4" for index in range(500)]
    house.submit(*(dataclasses.replace(SPEC, output=name) for name in names))
    seen: list[str | None] = []
    cursor = None
    while True:
        reply = house.ask(ListJobs(request_id="l", limit=1_000, cursor=cursor, oldest_first=True))
        assert isinstance(reply, JobList)
        assert len(encode(reply)[2]) <= MESSAGE_MAX
        seen += [job.output for job in reply.jobs]
        cursor = reply.next
        if cursor is None:
            break
    assert seen == names


def test_changes_are_cut_to_what_fits_and_told_in_the_next_answers() -> None:
    house = House()
    since = house.broker.cluster.journal.revision
    jobs = house.submit(*(dataclasses.replace(SPEC, output=f"/out/{'y' * 4_000}{index}") for index in range(400)))
    seen: list[str] = []
    while True:
        reply = house.ask(Changes(request_id="c", since=since, wait_s=0.0))
        assert isinstance(reply, ChangesReply)
        assert len(encode(reply)[2]) <= BUDGET_BYTES + 65_536
        if not reply.jobs:
            break
        seen += [job.job_id for job in reply.jobs]
        since = reply.revision
    assert seen == jobs


def test_loud_peer_fills_only_its_share_of_the_log() -> None:
    house = House()
    peer = Peer(Side.CLIENTS, b"loud")
    problem = ProtocolError(ErrorCode.MALFORMED, "nonsense")

    def notes() -> list[Note]:
        house.store.begin()
        found = house.broker.handle(GarbageCame(peer, house.who("ops").user_id, problem), house.now)
        house.store.commit()
        return [action for action in found if isinstance(action, Note)]

    logged = [note for _ in range(1_000) for note in notes()]
    assert len(logged) == LOGGED
    house.now_s += 61
    assert [(note.event, note.fields.get("count")) for note in notes()] == [
        ("complaints_not_logged", 1_000 - LOGGED),
        ("garbage", None),
    ]

"""A master whose disk takes no writes: nothing is decided, and everybody who is there stays."""

import dataclasses

import pytest

from ffrtmpd.broker.cluster import Cluster
from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.daemon import READ_ONLY_S
from ffrtmpd.events import MessageCame, Peer, PeerLost, Side
from ffrtmpd.roster import Hold
from ffrtmpd.wire.messages.acts import Acted, Cancel, Pause, Resume
from ffrtmpd.wire.messages.inquiries import Logs, LogsReply
from ffrtmpd.wire.messages.jobs import Changes, ChangesReply, JobSpec, Progress, Submission, Submit
from ffrtmpd.wire.messages.keys import KeyList, ListKeys, RevokeKey
from ffrtmpd.wire.messages.nodes import DrainNode
from ffrtmpd.wire.messages.session import (
    Assign,
    Bye,
    Commit,
    Denied,
    FetchLog,
    HeartbeatAck,
    Hello,
    Kill,
    LogChunk,
    PauseAttempt,
    ProgressReport,
    Reset,
    ResultVerdict,
    ResumeAttempt,
    Welcome,
)
from ffrtmpd.wire.vocabulary import ErrorCode, JobState, NodeStatus, OutputMode, Verdict
from tests.master.house import Full, House, Worker

FILE = JobSpec(scenario="720p30-h264")
PUSH = dataclasses.replace(FILE, output="rtmp://ingest/live/x", output_mode=OutputMode.RTMP)
HOUR_S = 3_600.0

both = pytest.mark.parametrize("full", list(Full), ids=lambda full: full.name.lower())


def running(house: House, spec: JobSpec = FILE, name: str = "w1", slots: int = 1) -> tuple[Worker, str]:
    worker = house.worker(name, slots=slots)
    (job,) = house.submit(spec)
    worker.hear()
    worker.start(job)
    worker.beat(worker.held(job))
    worker.got(HeartbeatAck)
    return worker, job


def fill(house: House, full: Full) -> None:
    """Let the next turn that writes fail."""
    house.full = full
    submit = Submit(request_id="f", jobs=(Submission(key="key-of-fill", spec=FILE),))
    assert house.refused(submit).code is ErrorCode.READ_ONLY


def make_room(house: House, *workers: tuple[Worker, str]) -> None:
    """Let writes work again, and time pass until they are tried."""
    house.full = None
    house.wait(READ_ONLY_S)
    for worker, job in workers:
        worker.beat(worker.held(job))


def check_memory(house: House) -> None:
    """Compare what decisions hang on with what is on disk."""
    cluster = house.broker.cluster
    assert cluster.queued == house.store.ready_classes()
    on_disk = {(row.node_id, row.seq, row.attempt, row.token) for row in house.store.held_by_nodes()}
    assert {(node, held.seq, held.attempt, held.token) for node, held in holds(cluster)} == on_disk
    assert {node.node_id: node.draining for node in cluster.roster} == {
        row.node_id: row.draining for row in house.store.nodes()
    }


def holds(cluster: Cluster) -> list[tuple[str, Hold]]:
    return [(node.node_id, held) for node in cluster.roster for held in node.holds.values() if held.dropped is None]


# ── those who were there ──────────────────────────────────────────────────────────────────────────────────────────


@both
def test_push_and_its_session_live_through_an_hour(full: Full) -> None:
    house = House()
    worker, job = running(house, PUSH)
    peer = worker.peer
    fill(house, full)
    beats = 0
    until_s = house.now_s + HOUR_S
    while house.now_s < until_s:
        house.wait(2.0)
        # Every turn in which something is to be written fails anew.
        assert house.refused(Cancel(request_id="c", job=job)).code is ErrorCode.READ_ONLY
        worker.beat(worker.held(job))
        beats += 1
    assert len(worker.got(HeartbeatAck)) == beats
    assert [*worker.got(Reset), *worker.got(Kill), *worker.got(Denied)] == []
    assert (worker.peer, house.job(job).state, house.job(job).attempt) == (peer, JobState.PROCESSING, 1)
    make_room(house, (worker, job))
    check_memory(house)
    worker.result(job)
    assert [verdict.verdict for verdict in worker.got(ResultVerdict)] == [Verdict.RECORDED]
    assert (house.job(job).state, house.job(job).losses) == (JobState.COMPLETED, 0)
    assert worker.got(Reset) == []


@both
def test_nothing_of_a_turn_that_was_not_kept_was_sent_or_is_remembered(full: Full) -> None:
    house = House()
    worker, job = running(house, slots=3)
    (waiting,) = house.submit(PUSH)
    worker.hear()
    worker.start(waiting)
    house.full = full
    assert house.refused(Cancel(request_id="c", job=job)).code is ErrorCode.READ_ONLY
    house.wait(READ_ONLY_S)
    drain = DrainNode(request_id="d", node_id="w1", deadline_s=0.0)
    assert house.refused(drain).code is ErrorCode.READ_ONLY
    assert [*worker.got(Kill), *worker.got(Assign)] == []
    check_memory(house)
    worker.beat(worker.held(job), worker.held(waiting))
    assert worker.got(Kill) == []
    house.full = None
    house.wait(READ_ONLY_S)
    assert isinstance(house.ask(Cancel(request_id="c", job=job)), Acted)
    assert len(worker.got(Kill)) == 1
    check_memory(house)


@both
def test_finished_run_keeps_its_job_until_its_result_can_be_written(full: Full) -> None:
    house = House()
    worker, job = running(house)
    fill(house, full)
    for _ in range(100):
        worker.beat()
        worker.result(job)
        house.wait(2.0)
    assert [*worker.got(ResultVerdict), *worker.got(Commit)] == []
    house.full = None
    worker.beat_for(READ_ONLY_S)
    assert (house.job(job).state, house.job(job).attempt) == (JobState.PROCESSING, 1)
    worker.result(job)
    assert worker.got(Commit)
    worker.committed(job)
    assert (house.job(job).state, house.job(job).losses) == (JobState.COMPLETED, 0)


@both
def test_measured_progress_outlives_a_completion_that_was_not_kept(full: Full) -> None:
    house = House()
    worker, job = running(house, PUSH)
    about = worker._about(job)
    worker.say(ProgressReport(**about, progress=Progress(frame=10, percent=1.0)))
    house.full = full
    worker.result(job)
    worker.say(ProgressReport(**about, progress=Progress(frame=90, percent=9.0)))
    progress = house.job(job).progress
    assert progress is not None
    assert progress.frame == 90
    house.full = None
    house.wait(READ_ONLY_S)
    worker.result(job)
    done = house.job(job)
    assert done.progress is not None
    assert (done.state, done.progress.frame, done.progress.percent) == (JobState.COMPLETED, 90, 100.0)


@both
def test_silent_node_is_offline_and_its_job_waits_for_the_disk(full: Full) -> None:
    house = House()
    worker, job = running(house)
    other = house.worker("w2")
    fill(house, full)
    for _ in range(60):
        house.wait(2.0)
        other.beat()
    assert house.broker.cluster.roster.get("w1") is not None
    assert [node.status for node in house.broker.cluster.roster] == [NodeStatus.OFFLINE, NodeStatus.ACTIVE]
    assert house.job(job).attempt == 1
    house.full = None
    # The turn that was to give it away and could not has left it a full lease.
    other.beat_for(house.settings.lost_after_s + 2.0)
    assert (house.job(job).attempt, house.job(job).node_id, house.job(job).losses) == (2, "w2", 1)
    check_memory(house)
    assert worker.got(Reset) == []


@both
def test_lost_connection_in_the_turn_that_fails_is_seen_at_once(full: Full) -> None:
    house = House()
    worker, job = running(house)
    house.full = full
    cancel = MessageCame(Peer(Side.CLIENTS, b"ops"), house.who("ops").user_id, Cancel(request_id="c", job=job))
    house.turn(PeerLost(worker.peer), cancel)
    node = house.broker.cluster.roster.get("w1")
    assert node is not None
    assert node.status is NodeStatus.OFFLINE
    assert list(node.holds) == [house.row(job).seq]


@both
def test_slot_of_a_run_that_was_told_to_stop_stays_taken(full: Full) -> None:
    house = House(BrokerSettings(back_off_s=1.0))
    worker, job = running(house, PUSH)
    house.worker("w2")
    assert isinstance(house.ask(Cancel(request_id="c", job=job)), Acted)
    assert worker.got(Kill)
    fill(house, full)
    node = house.broker.cluster.roster.get("w1")
    assert node is not None
    assert node.free_slots == 0
    assert house.row(job).seq in house.broker.cluster.stopping


# ── those who come ────────────────────────────────────────────────────────────────────────────────────────────────


@both
def test_worker_that_comes_back_is_answered_and_asked_for_its_inventory_later(full: Full) -> None:
    house = House()
    worker, job = running(house, PUSH)
    fill(house, full)
    worker.lose_connection()
    worker.connect(running=(worker.held(job),), boot=False)
    for _ in range(1_000):
        worker.beat(worker.held(job))
        house.wait(2.0)
    assert len(worker.got(HeartbeatAck)) == 1_000
    assert [*worker.got(Reset), *worker.got(Kill)] == []
    make_room(house, (worker, job))
    assert len(worker.got(Reset)) >= 1
    worker.connect(running=(worker.held(job),), boot=False)
    check_memory(house)
    worker.result(job)
    done = house.job(job)
    assert (done.state, done.attempt, done.losses) == (JobState.COMPLETED, 1, 0)


@both
def test_ready_in_the_turn_that_fails_begins_the_session(full: Full) -> None:
    house = House()
    worker, job = running(house, PUSH)
    house.full = full
    # Its node's row is to be written.
    worker.connect(running=(worker.held(job),), boot=False)
    assert house.now_s < house.read_only_until_s
    assert worker.got(Reset) == []
    worker.beat(worker.held(job))
    assert len(worker.got(HeartbeatAck)) == 1


@both
def test_worker_started_anew_is_given_nothing_until_the_disk_takes_writes(full: Full) -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(FILE)
    worker.hear()
    fill(house, full)
    worker.connect()
    for _ in range(10):
        worker.beat()
        house.wait(2.0)
    # The same attempt may have begun in its life before.
    assert worker.got(Assign) == []
    assert (house.job(job).state, house.job(job).attempt) == (JobState.ASSIGNED, 1)
    make_room(house)
    worker.beat()
    assert worker.got(Reset)
    worker.jobs.clear()
    worker.connect(boot=False)
    assert house.job(job).attempt == 2
    assert worker.assigned() == [job]


@both
def test_lost_run_that_comes_back_meanwhile_is_adopted_later(full: Full) -> None:
    house = House()
    worker, job = running(house)
    house.wait(200.0)
    assert house.job(job).state is JobState.QUEUED
    fill(house, full)
    worker.connect(running=(worker.held(job),), boot=False)
    for _ in range(10):
        worker.beat(worker.held(job))
        house.wait(2.0)
    assert worker.got(Kill) == []
    make_room(house, (worker, job))
    assert worker.got(Reset)
    worker.connect(running=(worker.held(job),), boot=False)
    assert (house.job(job).state, house.job(job).attempt) == (JobState.PROCESSING, 1)
    check_memory(house)


@both
def test_canceled_run_that_comes_back_meanwhile_is_stopped(full: Full) -> None:
    house = House()
    worker, job = running(house, PUSH)
    worker.lose_connection()
    house.ask(Cancel(request_id="c", job=job))
    fill(house, full)
    worker.connect(running=(worker.held(job),), boot=False)
    worker.beat(worker.held(job))
    assert worker.got(Kill)


@both
def test_worker_that_says_goodbye_is_offline(full: Full) -> None:
    house = House()
    worker, job = running(house)
    fill(house, full)
    worker.say(Bye())
    node = house.broker.cluster.roster.get("w1")
    assert node is not None
    assert node.status is NodeStatus.OFFLINE
    assert house.job(job).state is JobState.PROCESSING


@both
def test_greeting_is_answered(full: Full) -> None:
    house = House()
    worker, _ = running(house)
    fill(house, full)
    worker.peer = Peer(Side.WORKERS, b"anew")
    hardware = house.broker.cluster.roster.get("w1").hardware  # type: ignore[union-attr]
    assert hardware is not None
    worker.say(Hello(versions=(1,), boot_id="b", slots=1, hardware=hardware))
    assert len(worker.got(Welcome)) == 1


@both
def test_key_that_could_not_be_revoked_keeps_its_session(full: Full) -> None:
    house = House()
    worker, job = running(house, PUSH)
    house.full = full
    assert house.refused(RevokeKey(request_id="r", name="w1"), by="root").code is ErrorCode.READ_ONLY
    worker.beat(worker.held(job))
    assert len(worker.got(HeartbeatAck)) == 1
    assert [*worker.got(Denied), *worker.got(Reset)] == []


# ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────────


def wait_for_changes(house: House, *, wait_s: float = 60.0) -> None:
    since = house.broker.cluster.journal.revision
    assert house.ask(Changes(request_id="w", since=since, jobs=(), wait_s=wait_s), by="eyes") is None


@both
def test_client_that_waits_is_answered_when_its_time_is_up(full: Full) -> None:
    house = House()
    worker, job = running(house)
    wait_for_changes(house)
    fill(house, full)
    for _ in range(31):
        house.wait(2.0)
        worker.beat(worker.held(job))
    # Told at most once that a job has changed which has not; never forgotten.
    assert len(house.take(Peer(Side.CLIENTS, b"eyes"), ChangesReply)) == 1


@both
def test_client_told_by_a_turn_that_was_not_kept_is_told_what_is_so(full: Full) -> None:
    house = House()
    _, job = running(house)
    wait_for_changes(house)
    house.full = full
    assert house.refused(Cancel(request_id="c", job=job)).code is ErrorCode.READ_ONLY
    replies = house.take(Peer(Side.CLIENTS, b"eyes"), ChangesReply)
    assert [view.state for reply in replies for view in reply.jobs] in ([], [JobState.PROCESSING])
    if not replies:
        assert len(house.broker.cluster.waiters) == 1


@both
def test_progress_reaches_those_who_wait_for_it(full: Full) -> None:
    house = House()
    worker, job = running(house)
    fill(house, full)
    wait_for_changes(house)
    worker.say(ProgressReport(**worker._about(job), progress=Progress(frame=33)))
    (reply,) = house.take(Peer(Side.CLIENTS, b"eyes"), ChangesReply)
    (view,) = reply.jobs
    assert view.progress is not None
    assert view.progress.frame == 33


@both
def test_log_asked_for_before_comes_through(full: Full) -> None:
    house = House()
    worker, job = running(house)
    assert house.ask(Logs(request_id="l", job=job), by="eyes") is None
    (fetch,) = worker.got(FetchLog)
    fill(house, full)
    worker.say(LogChunk(fetch_id=fetch.fetch_id, text="frame=1", end=False))
    (reply,) = house.take(Peer(Side.CLIENTS, b"eyes"), LogsReply)
    assert reply.text == "frame=1"


@both
def test_keys_are_listed(full: Full) -> None:
    house = House()
    running(house)
    fill(house, full)
    assert isinstance(house.ask(ListKeys(request_id="k"), by="root"), KeyList)


@both
def test_resume_that_was_not_kept_leaves_the_job_paused(full: Full) -> None:
    house = House()
    worker, job = running(house)
    house.ask(Pause(request_id="p", job=job))
    worker.beat(worker.held(job, paused=True))
    assert worker.got(PauseAttempt)
    house.full = full
    assert house.refused(Resume(request_id="r", job=job)).code is ErrorCode.READ_ONLY
    worker.beat(worker.held(job, paused=True))
    assert worker.got(ResumeAttempt) == []
    assert house.job(job).state is JobState.PAUSED
    node = house.broker.cluster.roster.get("w1")
    assert node is not None
    assert node.free_slots == 1
    check_memory(house)

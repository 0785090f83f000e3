"""Queues as they stand, and what happens as it is told."""

import dataclasses
import math
import random

import pytest

from ffrtmpd.broker.cluster import HAPPENED_MAX
from ffrtmpd.broker.hour import Hour
from ffrtmpd.events import Peer, Side
from ffrtmpd.store import JobRow, happened
from ffrtmpd.wire.messages.acts import Cancel
from ffrtmpd.wire.messages.jobs import JobSpec, Status, StatusReply
from ffrtmpd.wire.messages.keys import RevokeKey
from ffrtmpd.wire.messages.measures import Energy, Quality
from ffrtmpd.wire.messages.nodes import DrainNode, GpuLoad, Load, RemoveNode, UndrainNode
from ffrtmpd.wire.messages.overview import EventList, Events, NodeCount, NodesTogether, QueueList, Queues, WaitCount
from ffrtmpd.wire.vocabulary import FailureClass, JobState, NodeStatus, Queue, Why
from tests.master.house import Full, House

SPEC = JobSpec(scenario="720p30-h264")


def queues(house: House) -> QueueList:
    reply = house.ask(Queues(request_id="q"), by="eyes")
    assert isinstance(reply, QueueList)
    return reply


def events(house: House, by: str = "eyes", **fields: object) -> EventList:
    reply = house.ask(Events(request_id="e", **fields), by=by)  # type: ignore[arg-type]
    assert isinstance(reply, EventList)
    return reply


def told(reply: EventList) -> list[tuple[str | None, str]]:
    return [(event.job_id or event.node_id, event.event) for event in reply.events]


def heard(house: House, by: str = "eyes") -> list[EventList]:
    return house.take(Peer(Side.CLIENTS, by.encode()), EventList)


# ── queues ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_queues_tell_what_waits_since_when_and_what_ended() -> None:
    house = House()
    first, second, third = house.submit(SPEC, SPEC, SPEC)
    submitted_at = house.now.wall_s
    house.wait(30.0)
    worker = house.worker("w1")
    worker.run(first)
    worker.fail(second, FailureClass.PERMANENT)
    house.submit(SPEC)
    live, default, batch = queues(house).queues
    assert [live.queue, default.queue, batch.queue] == list(Queue)
    assert {count.state: count.jobs for count in default.states} == {
        JobState.COMPLETED: 1,
        JobState.FAILED: 1,
        JobState.ASSIGNED: 1,
        JobState.QUEUED: 1,
    }
    assert (default.completed, default.failed) == (1, 1)
    assert (default.oldest_job, default.waiting_since) == ("job-000004", submitted_at + 30.0)
    assert (live.states, live.oldest_job, live.waiting_since, live.completed) == ((), None, None, 0)
    assert third in worker.assigned()


def test_counts_of_ended_jobs_cover_an_hour_and_no_more() -> None:
    house = House()
    (job,) = house.submit(SPEC)
    house.worker("w1").run(job)
    assert queues(house).window_s == 0.0
    house.wait(3_000.0)
    assert (queues(house).queues[1].completed, queues(house).window_s) == (1, 3_000.0)
    house.wait(1_000.0)
    assert (queues(house).queues[1].completed, queues(house).window_s) == (0, 3_600.0)


def test_queues_tell_what_the_hour_was_like() -> None:
    house = House()
    first, second, third = house.submit(SPEC, SPEC, dataclasses.replace(SPEC, queue=Queue.BATCH))
    reply = queues(house)
    assert (reply.energy_j, reply.vmaf_p5, reply.queues[1].wait_p95_s) == (None, None, None)
    house.wait(12.34)
    worker = house.worker("w1")
    for job, vmaf, joules in ((first, 93.14, 40.0), (second, 88.0, None), (third, None, 2.0)):
        worker.hear()
        worker.start(job)
        energy = None if joules is None else Energy(joules=joules)
        worker.result(job, quality=Quality(vmaf=vmaf), energy=energy)
        worker.committed(job)
    reply = queues(house)
    assert (reply.energy_j, reply.vmaf_p5) == (42.0, 88.0)
    assert [queue.wait_p95_s for queue in reply.queues] == [None, 12.0, 12.0]
    house.wait(4_000.0)
    reply = queues(house)
    assert (reply.energy_j, reply.vmaf_p5, reply.queues[1].wait_p95_s) == (None, None, None)


def test_queues_tell_what_all_nodes_are_and_what_blocks() -> None:
    house = House()
    assert queues(house).nodes == NodesTogether()
    gpus = (GpuLoad(name="g", usage_percent=60.0, encoder_percent=80.0), GpuLoad(name="g", usage_percent=20.0))
    house.worker("a1", slots=2).beat(load=Load(power_watts=300.0, gpus=gpus))
    house.worker("b2", slots=3).beat(load=Load())
    gone = house.worker("c3")
    gone.beat(load=Load(power_watts=1_000.0))
    gone.lose_connection()
    house.submit(SPEC)
    house.submit(dataclasses.replace(SPEC, require_gpu=True))
    reply = queues(house)
    assert reply.nodes == NodesTogether(
        statuses=(NodeCount(status=NodeStatus.ACTIVE, nodes=2), NodeCount(status=NodeStatus.OFFLINE, nodes=1)),
        slots=5,
        free_slots=4,
        power_watts=300.0,
        gpu_percent=40.0,
        encoder_percent=80.0,
    )
    assert reply.blocked == (WaitCount(why=Why.GPU_REQUIRED, jobs=1),)


def test_sums_of_the_hour_are_those_of_its_minutes() -> None:
    house = House()
    (job,) = house.submit(SPEC)
    house.worker("w1").run(job)
    done = house.row(job)
    hour, rng = Hour(), random.Random(7)
    ended: list[tuple[float, JobRow]] = []
    now_s = 0.0
    for _ in range(2_000):
        now_s += rng.choice((0.0, 5.0, 70.0))
        row = done._replace(
            queue=rng.choice(tuple(Queue)),
            waited_s=rng.choice((0.0, 0.123, 4.0, 77.7)),
            vmaf=rng.choice((None, 70.04, 95.0)),
            energy_j=rng.choice((None, 2.0)),
        )
        hour.note(row, now_s)
        hour.keep()
        ended.append((now_s, row))
        within = [row for at, row in ended if at // 60 > now_s // 60 - 60]
        assert hour.count(Queue.LIVE, JobState.COMPLETED, now_s) == sum(row.queue is Queue.LIVE for row in within)
        scored = sorted(row.vmaf for row in within if row.vmaf is not None)
        assert hour.vmaf_p5(now_s) == (round(scored[math.ceil(0.05 * len(scored)) - 1], 1) if scored else None)
        joules = [row.energy_j for row in within if row.energy_j is not None]
        assert hour.energy_j(now_s) == (sum(joules) if joules else None)
    assert hour.count(Queue.LIVE, JobState.COMPLETED, now_s + 3_700.0) == 0
    assert hour._sum.waits_s == hour._sum.vmaf == hour._sum.ended == {}


def test_job_that_ended_in_a_turn_that_was_not_kept_is_counted_once() -> None:
    house = House()
    (job,) = house.submit(SPEC)
    worker = house.worker("w1")
    worker.start(job)
    worker.result(job)
    house.full = Full.AT_THE_COMMIT
    worker.committed(job)
    house.full = None
    house.wait(60.0)
    assert queues(house).queues[1].completed == 0
    worker.connect(boot=False, finished=(worker.held(job),))
    worker.committed(job)
    assert queues(house).queues[1].completed == 1


def test_hour_keeps_no_more_than_sixty_minutes() -> None:
    house = House()
    (job,) = house.submit(JobSpec(scenario="720p30-h264", queue=Queue.LIVE))
    queued = house.row(job)
    house.worker("w1").run(job)
    completed = house.row(job)
    hour = Hour()
    for minute in range(1_000):
        hour.note(completed, minute * 60.0)
        hour.note(queued, minute * 60.0)
        hour.keep()
    assert len(hour._minutes) == 60
    assert hour.count(Queue.LIVE, JobState.COMPLETED, 999 * 60.0) == 60


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_events_of_jobs_nodes_and_keys_stand_in_one_order() -> None:
    house = House()
    worker = house.worker("w1")
    (job,) = house.submit(SPEC)
    house.ask(DrainNode(request_id="d", node_id="w1", deadline_s=60.0))
    house.ask(UndrainNode(request_id="u", node_id="w1"))
    worker.assigned()
    worker.run(job)
    worker.lose_connection()
    house.ask(RevokeKey(request_id="r", name="w1"), by="root")
    house.ask(RemoveNode(request_id="r", node_id="w1"), by="root")
    found = events(house)
    assert told(found) == [
        ("w1", "node_online"),
        (job, "submit"),
        (job, "assign"),
        ("w1", "node_draining"),
        ("w1", "node_undrained"),
        (job, "start"),
        (job, "complete"),
        ("w1", "node_offline"),
        ("w1", "key_revoked"),
        ("w1", "node_removed"),
    ]
    draining = found.events[3]
    assert (draining.who, draining.why) == ("ops", "what it runs goes to others in 60 s")
    assert (draining.from_state, draining.to_state) == (None, None)
    assert (found.events[6].from_state, found.events[6].to_state) == (JobState.PROCESSING, JobState.COMPLETED)
    assert found.cursor == found.events[-1].number
    assert told(events(house, job=job)) == [entry for entry in told(found) if entry[0] == job]
    assert told(events(house, node_id="w1")) == [entry for entry in told(found) if entry[1] != "submit"]
    assert told(events(house, limit=2)) == told(found)[-2:]
    assert events(house, job="nonsense").events == ()
    reply = house.ask(Status(request_id="s", job=job))
    assert isinstance(reply, StatusReply)
    assert [entry.event for entry in reply.history] == ["submit", "assign", "start", "complete"]


def test_events_are_read_in_pieces_from_any_point() -> None:
    house = House()
    house.submit(*[SPEC] * 7)
    since, found = 0, []
    for _ in range(4):
        reply = events(house, since=since, limit=2)
        found += [event.job_id for event in reply.events]
        since = reply.cursor
    assert found == [f"job-{number:06d}" for number in range(1, 8)]
    assert events(house, since=since).events == ()


def test_waiting_client_hears_of_it_in_the_turn_in_which_it_happens() -> None:
    house = House()
    one, two = house.submit(SPEC, SPEC)
    since = events(house).cursor
    assert house.ask(Events(request_id="e", since=since, job=two, wait_s=20.0), by="eyes") is None
    house.ask(Cancel(request_id="c", job=one))
    assert heard(house) == []
    house.ask(Cancel(request_id="c", job=two))
    (reply,) = heard(house)
    assert told(reply) == [(two, "cancel")]
    assert events(house, since=reply.cursor).events == ()
    assert house.broker.cluster.watchers == {}


def test_nothing_happened_is_told_when_time_is_up() -> None:
    house = House()
    house.submit(SPEC)
    since = events(house).cursor
    assert house.ask(Events(request_id="e", since=since, wait_s=5.0), by="eyes") is None
    house.wait(4.9)
    assert heard(house) == []
    house.wait(0.2)
    assert [(reply.events, reply.cursor) for reply in heard(house)] == [((), since)]


def test_cursor_of_another_database_is_answered_with_the_last_events() -> None:
    house = House()
    house.submit(SPEC)
    reply = events(house, since=1 << 40, wait_s=9.0)
    assert reply.reset
    assert told(reply) == [("job-000001", "submit")]


def test_key_revoked_while_it_waits_hears_nothing_more() -> None:
    house = House()
    house.submit(SPEC)
    since = events(house).cursor
    assert house.ask(Events(request_id="e", since=since, wait_s=9.0), by="eyes") is None
    house.ask(RevokeKey(request_id="r", name="eyes"), by="root")
    assert heard(house) == []


def test_viewer_does_not_see_the_secrets_in_a_reason() -> None:
    house = House()
    (job,) = house.submit(SPEC)
    house.worker("w1").fail(job, FailureClass.PERMANENT, "rtmp://host/live/key refused")
    assert "live/key" not in str(events(house).events)
    assert "live/key" in str(events(house, by="ops").events)
    assert "live/key" not in str(house.ask(Status(request_id="s", job=job), by="eyes"))


@pytest.mark.parametrize("full", Full)
def test_node_that_went_away_while_nothing_could_be_written_is_recorded_later(full: Full) -> None:
    house = House()
    worker = house.worker("w1")
    house.full = full
    worker.lose_connection()
    assert told(events(house)) == [("w1", "node_online")]
    house.full = None
    house.wait(house.read_only_until_s - house.now_s + 1.0)
    house.submit(SPEC)
    assert told(events(house))[1:] == [("job-000001", "submit"), ("w1", "node_offline")]


def test_what_is_kept_to_be_written_is_bounded() -> None:
    cluster = House().broker.cluster
    for _ in range(HAPPENED_MAX + 5):
        cluster.happen("node_offline", node_id="w1")
    assert len(cluster.happened) == HAPPENED_MAX


def test_statements_of_events_read_no_whole_table() -> None:
    store = House().store
    plans = [
        [row[3] for row in store._turn.read(f"EXPLAIN QUERY PLAN {sql}", values)]
        for sql, values in (
            (happened.LAST, ()),
            (happened.OF_JOB_AFTER, (1, 0, 10)),
            (happened.OF_JOB_NEWEST, (1, 10)),
            (happened.OF_NODE_AFTER, (0, 10_000, "w1", 10)),
            (happened.OF_NODE_NEWEST, (0, 10_000, "w1", 10)),
        )
    ]
    assert plans == [
        ["SEARCH audit"],
        ["SEARCH audit USING INDEX audit_job (job_seq=? AND id>?)"],
        ["SEARCH audit USING INDEX audit_job (job_seq=?)"],
        ["SEARCH audit USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
        ["SEARCH audit USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
    ]

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from ffrtmpd.lifecycle import TRANSITIONS, IllegalTransition, JobEvent
from ffrtmpd.store import KeyConflict, NoSuchJob, StaleAttempt, Store, hot, windows
from ffrtmpd.store.records import JOB_COLUMNS
from ffrtmpd.wire.messages.jobs import MediaInfo, Progress, Report
from ffrtmpd.wire.schema import INT_MAX
from ffrtmpd.wire.vocabulary import FailureClass, JobState, Phase
from tests.master.store_kit import ENCODE, TOKEN, added, new_job, processing, turn


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store.open(None)
    yield opened
    opened.close()


# ── submits ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_added_job_reads_back_as_submitted(store: Store) -> None:
    job = new_job(state=JobState.PENDING, due_at=500.0)
    row = added(store, job, at=100.0)
    assert store.job(row.seq) == row
    assert (row.job_id, row.spec, row.encode) == ("job-000001", job.order.spec, ENCODE)
    assert (row.state, row.due_at, row.created_at) == (JobState.PENDING, 500.0, 100.0)
    assert (row.attempt, row.losses, row.failures, row.max_attempts) == (0, 0, 0, 3)
    assert (row.progress, row.report, row.token, row.node_id, row.started_at, row.finished_at) == (None,) * 6


def test_submit_repeated_with_the_same_content_makes_one_job(store: Store) -> None:
    row = added(store)
    with turn(store):
        again, new = store.add(new_job(), at=200.0)
    assert (again, new) == (row, False)
    assert sum(store.counts().values()) == 1
    assert len(store.history(row.seq)) == 1


def test_submit_repeated_with_other_content_is_a_conflict(store: Store) -> None:
    row = added(store)
    with turn(store), pytest.raises(KeyConflict) as caught:
        store.add(new_job(scenario="720p30-h265"), at=200.0)
    assert caught.value.job_id == row.job_id
    assert store.jobs() == [row]


def test_time_that_has_come_already_is_not_kept(store: Store) -> None:
    assert added(store, new_job(due_at=5.0)).due_at is None


def test_job_that_begins_in_another_state_is_refused(store: Store) -> None:
    with turn(store), pytest.raises(ValueError, match="cannot begin as processing"):
        store.add(new_job(state=JobState.PROCESSING), at=1.0)
    assert store.jobs() == []


def test_number_is_never_given_again(store: Store) -> None:
    first = added(store)
    store._turn.write("DELETE FROM jobs WHERE seq = ?", (first.seq,))
    store.commit()
    assert added(store, new_job("key-0002")).seq == first.seq + 1


# ── the order of work ─────────────────────────────────────────────────────────────────────────────────────────────


def test_head_is_the_least_rank_then_the_earliest_submit(store: Store) -> None:
    for number, rank in enumerate((5, 3, 3, 9)):
        added(store, new_job(f"key-000{number}", rank=rank))
    added(store, new_job("key-other", rank=0, requires="h264_nvenc"))
    assert [(head.seq, head.rank) for head in store.heads("libx264", 10)] == [(2, 3), (3, 3), (1, 5), (4, 9)]
    head = store.head("libx264")
    assert head is not None
    assert head.seq == 2
    assert store.head("nobody asks for this") is None


def test_head_passes_over_what_is_not_queued(store: Store) -> None:
    first, second = added(store), added(store, new_job("key-0002"))
    with turn(store):
        store.apply(first.seq, JobEvent.HOLD, at=1.0, who="bob")
        assert [head.seq for head in store.heads("libx264", 5)] == [second.seq]


def test_released_and_retried_jobs_keep_their_place(store: Store) -> None:
    first, second = added(store), added(store, new_job("key-0002"))
    for away, back in ((JobEvent.HOLD, JobEvent.RELEASE), (JobEvent.CANCEL, JobEvent.RETRY)):
        with turn(store):
            store.apply(first.seq, away, at=1.0, who="bob")
            store.apply(first.seq, back, at=2.0, who="bob")
        assert [head.seq for head in store.heads("libx264", 5)] == [first.seq, second.seq]


def test_ready_classes_count_queued_jobs_alone(store: Store) -> None:
    added(store)
    added(store, new_job("key-0002"))
    added(store, new_job("key-0003", requires="h264_nvenc"))
    added(store, new_job("key-0004", state=JobState.PENDING, due_at=9.0))
    processing(store, new_job("key-0005"))
    assert store.ready_classes() == {"libx264": 2, "h264_nvenc": 1}


def test_head_of_many_is_read_from_the_index(store: Store) -> None:
    with turn(store):
        store._turn.write(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO jobs (key, digest, spec_json, encode_json, requires, rank, queue, priority, scenario, state, "
            "attempt, max_attempts, losses, failures, created_at, state_at) "
            "SELECT 'key-' || i, x'00', '{}', '{}', 'libx264', i % 9, 'default', 'medium', 's', 'queued', "
            "0, 3, 0, 0, 0.0, 0.0 FROM n",
            (100_000,),
        )
    plans = {
        name: [row[3].replace("COVERING ", "") for row in store._turn.read(f"EXPLAIN QUERY PLAN {sql}", values)]
        for name, sql, values in (
            ("head", hot.HEADS, ("libx264", 1)),
            ("moves", hot.set_jobs(tuple(hot.CHANGING[:2])), (0,) * 5),
            ("window", windows.NEWEST_OF, ("queued", "default", 0, INT_MAX, 10)),
            ("node", windows.OLDEST_OF_NODE, ("w1", "queued", "default", 0, INT_MAX, 10)),
        )
    }
    # One search each, and no sort: a sort would show as a line of its own.
    assert plans["head"] == ["SEARCH jobs USING INDEX jobs_ready (requires=?)"]
    assert plans["moves"] == ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]
    assert plans["window"] == ["SEARCH jobs USING INDEX jobs_state (state=? AND queue=? AND seq>? AND seq<?)"]
    assert plans["node"] == [
        "SEARCH jobs USING INDEX jobs_node (node_id=? AND state=? AND queue=? AND seq>? AND seq<?)"
    ]
    head = store.head("libx264")
    assert head is not None
    assert (head.seq, head.rank) == (9, 0)


# ── transitions ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_whole_run_sets_what_belongs_to_each_state(store: Store) -> None:
    row = added(store)
    report = Report(encoder="libx264", media=MediaInfo(container="mp4", duration_s=10.0))
    with turn(store):
        row = store.apply(row.seq, JobEvent.ASSIGN, at=101.0, who="master", why="to w1", node_id="w1", token=TOKEN)
        assert (row.state, row.attempt, row.node_id, row.token) == (JobState.ASSIGNED, 1, "w1", TOKEN)
        row = store.apply(row.seq, JobEvent.START, at=102.0, who="w1", expect_attempt=1)
        assert (row.state, row.phase, row.started_at, row.reason) == (JobState.PROCESSING, Phase.ENCODING, 102.0, None)
        row = store.update(row.seq, state=JobState.PROCESSING, attempt=1, phase=Phase.PUBLISHING, report=report)
        assert (row.phase, row.report) == (Phase.PUBLISHING, report)
        row = store.apply(
            row.seq, JobEvent.COMPLETE, at=110.0, who="w1", output="/out.mp4", progress=Progress(percent=100.0)
        )
    assert store.job(row.seq) == row
    assert (row.state, row.finished_at, row.output) == (JobState.COMPLETED, 110.0, "/out.mp4")
    assert (row.node_id, row.token, row.phase) == ("w1", None, None)
    assert (row.report, row.progress) == (report, Progress(percent=100.0))


def test_history_tells_every_transition_in_order(store: Store) -> None:
    row = processing(store)
    with turn(store):
        store.apply(row.seq, JobEvent.CANCEL, at=103.0, who="bob", why="cancel asked")
    told = [
        (entry.from_state, entry.to_state, entry.event, entry.who, entry.why, entry.attempt, entry.at)
        for entry in store.history(row.seq)
    ]
    assert told == [
        (None, JobState.QUEUED, "submit", "bob", None, 0, 100.0),
        (JobState.QUEUED, JobState.ASSIGNED, "assign", "master", None, 1, 101.0),
        (JobState.ASSIGNED, JobState.PROCESSING, "start", "w1", None, 1, 102.0),
        (JobState.PROCESSING, JobState.CANCELED, "cancel", "bob", "cancel asked", 1, 103.0),
    ]
    assert [entry.event for entry in store.history(row.seq, limit=2)] == ["start", "cancel"]
    assert store.history(99) == []


def test_node_of_attempt_outlives_the_attempt(store: Store) -> None:
    row = processing(store, node_id="w1")
    with turn(store):
        store.apply(row.seq, JobEvent.REQUEUE, at=103.0, who="master", why="w1 was lost", losses=1)
        store.apply(row.seq, JobEvent.ASSIGN, at=104.0, who="master", node_id="w2", token=TOKEN)
    assert [store.node_of_attempt(row.seq, attempt) for attempt in (0, 1, 2, 3)] == [None, "w1", "w2", None]


def test_audit_row_names_the_node_that_a_job_left(store: Store) -> None:
    row = processing(store, node_id="w1")
    with turn(store):
        store.apply(row.seq, JobEvent.REQUEUE, at=103.0, who="master", why="w1 was lost")
    assert store._turn.read("SELECT event, node_id FROM audit ORDER BY id") == [
        ("submit", None),
        ("assign", "w1"),
        ("start", "w1"),
        ("requeue", "w1"),
    ]


def test_requeued_job_belongs_to_no_node(store: Store) -> None:
    row = processing(store)
    with turn(store):
        store.update(row.seq, state=JobState.PROCESSING, attempt=1, progress=Progress(percent=40.0))
        row = store.apply(row.seq, JobEvent.REQUEUE, at=103.0, who="master", why="w1 was lost", losses=1)
    assert (row.state, row.reason, row.losses, row.attempt) == (JobState.QUEUED, "w1 was lost", 1, 1)
    assert (row.node_id, row.token, row.phase, row.progress) == (None,) * 4


def test_frozen_job_whose_node_is_lost_stays_held(store: Store) -> None:
    row = processing(store)
    with turn(store):
        store.apply(row.seq, JobEvent.PAUSE, at=103.0, who="bob")
        with pytest.raises(IllegalTransition):
            store.apply(row.seq, JobEvent.RELEASE, at=104.0, who="bob")
        row = store.apply(row.seq, JobEvent.REQUEUE, at=105.0, who="master")
        assert (row.state, row.node_id, row.token) == (JobState.PAUSED, None, None)
        with pytest.raises(IllegalTransition):
            store.apply(row.seq, JobEvent.RESUME, at=106.0, who="bob")
        row = store.apply(row.seq, JobEvent.RELEASE, at=107.0, who="bob")
    assert row.state is JobState.QUEUED


def test_back_off_waits_for_its_time_and_then_is_queued(store: Store) -> None:
    row = processing(store)
    with turn(store):
        row = store.apply(
            row.seq,
            JobEvent.BACK_OFF,
            at=103.0,
            who="w1",
            why="disk full",
            due_at=108.0,
            failures=1,
            failure_class=FailureClass.TRANSIENT,
            exit_code=-9,
        )
    assert (row.state, row.due_at, row.reason, row.exit_code) == (JobState.PENDING, 108.0, "disk full", -9)
    assert (row.failure_class, row.node_id) == (FailureClass.TRANSIENT, None)
    assert store.waiting() == [(row.seq, 108.0)]
    with turn(store):
        row = store.apply(row.seq, JobEvent.DUE, at=108.0, who="master")
    assert (row.state, row.due_at, row.reason) == (JobState.QUEUED, None, None)
    assert store.waiting() == []


def test_new_attempt_forgets_the_outcome_of_the_one_before(store: Store) -> None:
    row = processing(store)
    with turn(store):
        failed: dict[str, Any] = {"failure_class": FailureClass.TRANSIENT, "exit_code": 1, "report": Report()}
        store.apply(row.seq, JobEvent.BACK_OFF, at=103.0, who="w1", due_at=104.0, **failed)
        store.apply(row.seq, JobEvent.DUE, at=104.0, who="master")
        row = store.apply(row.seq, JobEvent.ASSIGN, at=105.0, who="master", node_id="w2", token=TOKEN)
    assert (row.attempt, row.failure_class, row.exit_code, row.report) == (2, None, None, None)


def test_retry_begins_anew_but_counts_attempts_on(store: Store) -> None:
    row = processing(store)
    with turn(store):
        store.apply(
            row.seq,
            JobEvent.FAIL,
            at=103.0,
            who="w1",
            why="bad input",
            failures=1,
            losses=2,
            failure_class=FailureClass.PERMANENT,
            exit_code=1,
            report=Report(),
            progress=Progress(percent=3.0),
            output="/out.mp4",
        )
        row = store.apply(row.seq, JobEvent.RETRY, at=104.0, who="bob")
    assert (row.state, row.attempt, row.failures, row.losses) == (JobState.QUEUED, 1, 0, 0)
    assert (row.finished_at, row.failure_class, row.exit_code, row.reason) == (None,) * 4
    assert (row.report, row.progress, row.output, row.node_id, row.token) == (None,) * 5


def test_waiting_jobs_come_soonest_first(store: Store) -> None:
    for number, due_at in enumerate((30.0, None, 10.0)):
        added(store, new_job(f"key-000{number}", state=JobState.PENDING, due_at=due_at))
    assert store.waiting() == [(2, 0.0), (3, 10.0), (1, 30.0)]


def test_held_by_nodes_are_live_attempts_alone(store: Store) -> None:
    running = processing(store)
    frozen = processing(store, new_job("key-0002"))
    ended = processing(store, new_job("key-0003"))
    held = added(store, new_job("key-0004"))
    with turn(store):
        store.apply(frozen.seq, JobEvent.PAUSE, at=1.0, who="bob")
        store.apply(ended.seq, JobEvent.CANCEL, at=1.0, who="bob")
        store.apply(held.seq, JobEvent.HOLD, at=1.0, who="bob")
    assert [row.seq for row in store.held_by_nodes()] == [running.seq, frozen.seq]


# ── guarded writes ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("state", "event"), sorted(set(itertools.product(JobState, JobEvent)) - set(TRANSITIONS)))
def test_illegal_event_changes_nothing(store: Store, state: JobState, event: JobEvent) -> None:
    seq = added(store).seq
    with turn(store):
        store._turn.write("UPDATE jobs SET state = ? WHERE seq = ?", (state.value, seq))
    # What it remembers is read anew.
    store.rollback()
    before = store.job(seq), store.history(seq), store.counts()
    with turn(store), pytest.raises(IllegalTransition):
        store.apply(seq, event, at=1.0, who="bob", node_id="w1", token=TOKEN)
    assert (store.job(seq), store.history(seq), store.counts()) == before


def test_event_of_another_attempt_changes_nothing(store: Store) -> None:
    row = processing(store)
    before = store.job(row.seq), store.history(row.seq)
    for attempt in (0, 2):
        with turn(store), pytest.raises(StaleAttempt):
            store.apply(row.seq, JobEvent.COMPLETE, at=1.0, who="w1", expect_attempt=attempt)
    # Stale comes before illegal: the attempt that once held the job has no say, whatever it asks.
    with turn(store), pytest.raises(StaleAttempt):
        store.apply(row.seq, JobEvent.RETRY, at=1.0, who="w1", expect_attempt=7)
    assert (store.job(row.seq), store.history(row.seq)) == before


def test_complete_twice_is_one_transition(store: Store) -> None:
    row = processing(store)
    with turn(store):
        store.apply(row.seq, JobEvent.COMPLETE, at=103.0, who="w1", expect_attempt=1)
        with pytest.raises(IllegalTransition):
            store.apply(row.seq, JobEvent.COMPLETE, at=104.0, who="w1", expect_attempt=1)
    assert [entry.event for entry in store.history(row.seq)].count("complete") == 1


@pytest.mark.parametrize(("state", "attempt"), [(JobState.ASSIGNED, 1), (JobState.PROCESSING, 2)])
def test_update_of_a_job_that_moved_on_changes_nothing(store: Store, state: JobState, attempt: int) -> None:
    row = processing(store)
    with turn(store), pytest.raises(StaleAttempt):
        store.update(row.seq, state=state, attempt=attempt, phase=Phase.PUBLISHING)
    assert store.job(row.seq) == row


def test_update_leaves_no_audit_row(store: Store) -> None:
    row = processing(store)
    with turn(store):
        store.update(row.seq, state=JobState.PROCESSING, attempt=1, phase=Phase.SCORING)
    assert len(store.history(row.seq)) == 3


def test_steps_of_one_moment_each_leave_their_audit_row(store: Store) -> None:
    row = added(store)
    with turn(store):
        store.apply(row.seq, JobEvent.ASSIGN, at=101.0, who="master", node_id="w1", token=TOKEN)
        done = store.walk(
            row.seq,
            ((JobEvent.START, "libx264", {}), (JobEvent.COMPLETE, "VMAF 90.0", {"exit_code": 0})),
            at=103.0,
            who="master",
            expect_attempt=1,
        )
    assert store.job(row.seq) == done
    assert (done.state, done.started_at, done.finished_at, done.exit_code) == (JobState.COMPLETED, 103.0, 103.0, 0)
    assert (done.waited_s, done.processed_s, done.node_id, done.reason) == (3.0, 0.0, "w1", None)
    assert [(entry.event, entry.from_state, entry.to_state, entry.why) for entry in store.history(row.seq)[2:]] == [
        ("start", JobState.ASSIGNED, JobState.PROCESSING, "libx264"),
        ("complete", JobState.PROCESSING, JobState.COMPLETED, "VMAF 90.0"),
    ]


def test_step_that_cannot_happen_undoes_those_before_it(store: Store) -> None:
    row = added(store)
    with turn(store), pytest.raises(IllegalTransition):
        store.walk(row.seq, ((JobEvent.HOLD, None, {}), (JobEvent.COMPLETE, None, {})), at=1.0, who="bob")
    assert store.job(row.seq) == row
    assert len(store.history(row.seq)) == 1


@pytest.mark.parametrize("jobs", [1, 2, 15, 16, 17, 64, 256, 600])
def test_each_row_of_a_turn_is_written_as_it_came_however_many(store: Store, jobs: int) -> None:
    with turn(store):
        rows = [store.add(new_job(f"key-{number:04}"), float(number))[0] for number in range(jobs)]
    with turn(store):
        for row in reversed(rows):
            store.apply(row.seq, JobEvent.CANCEL, at=1_000.0 - row.seq, who="bob", why=f"no {row.seq}")
    told, last = store.events_after(0, job=None, node_id=None, limit=2_000)
    assert [event.at for event in told[:jobs]] == [row.created_at for row in rows]
    assert [(event.job_id, event.why) for event in told[jobs:]] == [
        (row.job_id, f"no {row.seq}") for row in reversed(rows)
    ]
    assert (len(told), last) == (2 * jobs, store.last_event())
    assert store._turn.read("SELECT seq, key, state, reason, finished_at FROM jobs ORDER BY seq") == [
        (row.seq, row.key, "canceled", f"no {row.seq}", 1_000.0 - row.seq) for row in rows
    ]


def test_unknown_job_is_not_found(store: Store) -> None:
    assert store.job(1) is None
    with turn(store), pytest.raises(NoSuchJob, match="job-000001"):
        store.apply(1, JobEvent.CANCEL, at=1.0, who="bob")


def test_unknown_column_is_refused_before_any_write(store: Store) -> None:
    row = added(store)
    changes: dict[str, Any] = {"rank = 0, state": "queued"}
    with turn(store), pytest.raises(TypeError, match="no changeable"):
        store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob", **changes)
    assert store.job(row.seq) == row


def test_assignment_without_token_or_with_an_old_attempt_is_refused(store: Store) -> None:
    row = added(store)
    with turn(store):
        with pytest.raises(TypeError, match="node_id and token"):
            store.apply(row.seq, JobEvent.ASSIGN, at=1.0, who="master", node_id="w1")
        with pytest.raises(ValueError, match="has had attempt 0"):
            store.apply(row.seq, JobEvent.ASSIGN, at=1.0, who="master", node_id="w1", token=TOKEN, attempt=0)
    assert store.job(row.seq) == row


def test_columns_of_a_row_are_those_of_the_table(store: Store) -> None:
    assert tuple(row[1] for row in store._turn.read("PRAGMA table_info(jobs)")) == JOB_COLUMNS

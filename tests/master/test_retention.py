"""What has been kept long enough goes, in small steps; nothing else changes."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmpd.broker.jobs import CHANGES_MAX
from ffrtmpd.broker.retention import LOOK_S, PAUSE_S, STEP_S
from ffrtmpd.broker.settings import BrokerSettings, Retention
from ffrtmpd.events import Action, Note
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store import Store, retention
from ffrtmpd.wire.curve import new_key_pair
from ffrtmpd.wire.messages.acts import Cancel
from ffrtmpd.wire.messages.jobs import Changes, ChangesReply, JobList, JobSpec, ListJobs
from ffrtmpd.wire.vocabulary import FailureClass, JobState, Priority, Queue
from tests.master.house import START_WALL_S, Full, House
from tests.master.store_kit import TOKEN, new_job, turn

DAY_S = 86_400.0
SPEC = JobSpec(scenario="720p30-h264", max_attempts=1)
KEPT = Retention(completed_s=30 * DAY_S, failed_s=90 * DAY_S, canceled_s=30 * DAY_S, events_s=365 * DAY_S)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "master.db")
    yield opened
    opened.close()


def house_that_keeps(kept: Retention) -> House:
    return House(BrokerSettings(server_public=new_key_pair().public, retention=kept))


def ended(store: Store, count: int, *, at: float = 100.0, requeued: int = 0) -> list[int]:
    """Add jobs that were canceled at ``at``, each after so many requeues."""
    seqs = []
    with turn(store):
        for number in range(count):
            row, _ = store.add(new_job(f"key-{at}-{number:05}"), at=1.0)
            for _ in range(requeued):
                store.apply(row.seq, JobEvent.ASSIGN, at=1.0, who="master", node_id="w1", token=TOKEN)
                store.apply(row.seq, JobEvent.REQUEUE, at=1.0, who="master")
            store.apply(row.seq, JobEvent.CANCEL, at=at, who="bob")
            seqs.append(row.seq)
    return seqs


def audit_rows(store: Store) -> int:
    return int(store._turn.read("SELECT COUNT(*) FROM audit")[0][0])


def purge_all(store: Store, before: float) -> list[int]:
    """Return how many jobs went in each step."""
    steps: list[int] = []
    while True:
        with turn(store):
            purged = store.purge(JobState.CANCELED, before)
        if not purged.jobs and not purged.more:
            return steps
        steps.append(len(purged.jobs))


# ── the store ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_old_jobs_go_with_their_history_in_bounded_steps(store: Store) -> None:
    old = ended(store, 60, at=100.0)
    young = ended(store, 3, at=200.0)
    assert purge_all(store, before=150.0) == [25, 25, 10]
    assert [row.seq for row in store.jobs(oldest_first=True)] == young
    assert store.counts() == {(JobState.CANCELED, Queue.DEFAULT, Priority.MEDIUM): 3}
    assert audit_rows(store) == 2 * 3
    assert store.job(old[0]) is None
    assert store.history(old[0]) == []


def test_long_history_goes_before_its_job(store: Store) -> None:
    (seq,) = ended(store, 1, requeued=retention.AUDIT_MAX // 2 + 5)
    ended(store, 1, at=200.0)
    rows = audit_rows(store)
    with turn(store):
        assert store.purge(JobState.CANCELED, 150.0) == retention.Purged(more=True)
    assert audit_rows(store) == rows - retention.AUDIT_MAX
    assert store.job(seq) is not None
    assert purge_all(store, before=150.0) == [1]
    assert store.job(seq) is None


def test_number_of_an_event_is_never_given_again(store: Store) -> None:
    first, last = ended(store, 2)
    newest = store.last_event()
    assert purge_all(store, before=150.0) == [1]
    assert store.job(first) is None
    # The job of the newest row stays for it.
    assert store.job(last) is not None
    assert store.last_event() == newest
    ended(store, 1, at=200.0)
    assert store.last_event() == newest + 2
    assert purge_all(store, before=150.0) == [1]


def test_purge_undone_leaves_all_as_it_was(store: Store) -> None:
    ended(store, 5)
    ended(store, 1, at=200.0)
    before = store.counts(), store.jobs(), audit_rows(store)
    store.begin()
    assert len(store.purge(JobState.CANCELED, 150.0).jobs) == 5
    assert sum(store.counts().values()) == 1
    store.rollback()
    assert (store.counts(), store.jobs(), audit_rows(store)) == before


def test_reopened_store_counts_what_is_left(store: Store, tmp_path: Path) -> None:
    ended(store, 5)
    (young,) = ended(store, 1, at=200.0)
    purge_all(store, before=150.0)
    counts = store.counts()
    store.close()
    again = Store.open(tmp_path / "master.db")
    try:
        assert again.counts() == counts
        with turn(again):
            row, _ = again.add(new_job("another-key"), at=1.0)
        assert row.seq == young + 1
    finally:
        again.close()


def test_key_of_a_job_that_is_gone_makes_a_new_job(store: Store) -> None:
    seqs = ended(store, 2, at=100.0)
    ended(store, 1, at=200.0)
    purge_all(store, before=150.0)
    with turn(store):
        row, new = store.add(new_job("key-100.0-00000", scenario="720p30-h265"), at=1.0)
    assert new
    assert row.seq > max(seqs)


def test_old_events_of_nodes_and_keys_go_in_bounded_steps(store: Store) -> None:
    with turn(store):
        for number in range(retention.AUDIT_MAX + 10):
            store.add_event("node_online", at=float(number), who="master", why=None, node_id="w1")
    last = store.last_event()
    with turn(store):
        assert store.purge_events(1e9) == retention.AUDIT_MAX
    with turn(store):
        assert store.purge_events(1e9) == 9
    with turn(store):
        assert store.purge_events(1e9) == 0
    # The newest stays, or its number would be given again.
    assert store.last_event() == last
    assert audit_rows(store) == 1


def test_old_jobs_are_found_by_an_index(store: Store) -> None:
    plan = [row[3] for row in store._turn.read(f"EXPLAIN QUERY PLAN {retention.OLDEST}", ("failed", 1.0, 9))]
    assert plan[0] == "SEARCH jobs USING INDEX jobs_finished (state=? AND finished_at<?)"
    assert not any("TEMP B-TREE" in line for line in plan)


# ── the broker ────────────────────────────────────────────────────────────────────────────────────────────────────


def finished(house: House) -> tuple[str, str, str]:
    """Return a completed, a failed and a canceled job."""
    worker = house.worker("w1")
    done, broken = house.submit(SPEC, SPEC)
    worker.hear()
    worker.run(done)
    worker.fail(broken, FailureClass.PERMANENT)
    worker.lose_connection()
    (dropped,) = house.submit(SPEC)
    house.store.begin()
    house.store.apply(3, JobEvent.CANCEL, at=house.now.wall_s, who="ops")
    house.store.commit()
    return done, broken, dropped


def there(house: House) -> list[str]:
    reply = house.ask(ListJobs(request_id="l"))
    return sorted(view.job_id for view in reply.jobs)  # type: ignore[union-attr]


def test_each_kind_of_job_is_kept_for_as_long_as_is_set() -> None:
    house = house_that_keeps(KEPT)
    done, broken, dropped = finished(house)
    (waits,) = house.submit(SPEC)
    figures = dict(house.store.figures())
    house.wait(29 * DAY_S)
    assert there(house) == [done, broken, dropped, waits]
    house.wait(2 * DAY_S)
    assert there(house) == [broken, waits]
    house.wait(60 * DAY_S)
    assert there(house) == [waits]
    # What was counted stays counted.
    kept = house.store.figures()
    assert {name: kept[name] for name in figures} == figures
    house.wait(300 * DAY_S)
    assert [event.job_id for event in house.store.newest_events(job=None, node_id=None, limit=99)] == [waits]


def test_zero_keeps_for_ever() -> None:
    house = house_that_keeps(Retention())
    jobs = finished(house)
    house.wait(100 * DAY_S)
    assert there(house) == sorted(jobs)


def test_steps_follow_each_other_and_one_line_tells_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "JOBS_MAX", 2)
    house = house_that_keeps(dataclasses.replace(KEPT, completed_s=LOOK_S))
    worker = house.worker("w1", slots=5)
    jobs = house.submit(*[SPEC] * 5)
    worker.hear()
    for job in jobs:
        worker.run(job)
    house.submit(SPEC)
    notes: list[tuple[float, dict[str, object]]] = []
    perform = house._keep

    def keep(actions: list[Action]) -> None:
        notes.extend(
            (house.now_s, note.fields) for note in actions if isinstance(note, Note) and note.event == "purged"
        )
        perform(actions)

    monkeypatch.setattr(house, "_keep", keep)
    house.wait(3 * LOOK_S)
    ((told_s, fields),) = notes
    assert fields == {"jobs": 5, "events": 0}
    steps = (told_s - 1_000.0 - house.settings.lost_after_s) % LOOK_S / STEP_S
    assert round(steps, 3) == 3


def test_nothing_goes_while_the_disk_takes_no_writes() -> None:
    house = house_that_keeps(dataclasses.replace(KEPT, completed_s=LOOK_S))
    worker = house.worker("w1")
    (job,) = house.submit(SPEC)
    worker.hear()
    worker.run(job)
    (waits,) = house.submit(SPEC)
    house.full = Full.AT_THE_COMMIT
    house.wait(3 * LOOK_S)
    assert there(house) == [job, waits]
    assert sum(house.store.counts().values()) == 2
    house.full = None
    house.wait(3 * LOOK_S)
    assert there(house) == [waits]


def test_clock_set_far_ahead_removes_nothing_before_somebody_could_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    house = house_that_keeps(KEPT)
    done, broken, dropped = finished(house)
    house.wait(2 * LOOK_S)
    monkeypatch.setattr("tests.master.house.START_WALL_S", START_WALL_S + 60 * DAY_S)
    house.wait(PAUSE_S - LOOK_S)
    assert there(house) == [done, broken, dropped]
    # Put right in time.
    monkeypatch.setattr("tests.master.house.START_WALL_S", START_WALL_S)
    house.wait(2 * DAY_S)
    assert there(house) == [done, broken, dropped]
    # Nobody has, so it was meant.
    monkeypatch.setattr("tests.master.house.START_WALL_S", START_WALL_S + 60 * DAY_S)
    house.wait(PAUSE_S + 2 * LOOK_S)
    assert done not in there(house)


def test_client_behind_by_more_removed_jobs_than_one_answer_tells_gets_on() -> None:
    house = house_that_keeps(dataclasses.replace(KEPT, canceled_s=DAY_S))
    reply = house.ask(ListJobs(request_id="l", limit=1))
    assert isinstance(reply, JobList)
    since = reply.revision
    for _ in range(CHANGES_MAX):
        (job,) = house.submit(SPEC)
        house.ask(Cancel(request_id="c", job=job))
    house.wait(2 * DAY_S)
    (young,) = house.submit(SPEC)
    seen: list[str] = []
    while young not in seen:
        found = house.ask(Changes(request_id="c", since=since, wait_s=1.0))
        assert isinstance(found, ChangesReply)
        assert found.revision > since
        seen, since = [view.job_id for view in found.jobs], found.revision

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store import StaleAttempt, Store, StoreReadOnly
from ffrtmpd.store.files import open_database
from ffrtmpd.store.turn import Turn
from ffrtmpd.wire.vocabulary import JobState
from tests.master.store_kit import TOKEN, added, new_job, turn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "master.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store.open(path)
    yield opened
    opened.close()


@contextmanager
def no_room() -> Iterator[None]:
    """Let no file grow beyond what the database has, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(store: Store) -> None:
    for number in range(1_000):
        store.add(new_job(f"more-{number:04}"), at=1.0)
    store.flush()


def committed_jobs(path: Path) -> int:
    """Count the jobs as another program sees them."""
    with closing(sqlite3.connect(path)) as other:
        return int(other.execute("SELECT COUNT(*) FROM jobs").fetchone()[0])


def test_turn_is_seen_by_others_only_once_committed(store: Store, path: Path) -> None:
    store.begin()
    store.add(new_job(), at=1.0)
    assert (len(store.jobs()), committed_jobs(path)) == (1, 0)
    store.commit()
    assert committed_jobs(path) == 1


def test_turn_rolled_back_leaves_neither_rows_nor_figures(store: Store) -> None:
    row = added(store)
    before = store.counts()
    store.begin()
    store.add(new_job("key-0002"), at=1.0)
    store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob")
    assert store.count(states=[JobState.PAUSED]) == 1
    store.rollback()
    assert store.jobs() == [row]
    assert store.counts() == before
    assert [entry.event for entry in store.history(row.seq)] == ["submit"]


def test_turn_that_writes_nothing_touches_no_file(store: Store, path: Path) -> None:
    added(store)
    log = path.with_name(f"{path.name}-wal")
    before = log.stat().st_size, log.stat().st_mtime_ns
    with turn(store):
        store.jobs()
        store.head("libx264")
    assert (log.stat().st_size, log.stat().st_mtime_ns) == before


def test_turn_begun_while_another_is_open_is_a_fault(store: Store) -> None:
    store.begin()
    store.add(new_job(), at=1.0)
    with pytest.raises(RuntimeError, match="neither committed nor rolled back"):
        store.begin()


def test_many_writes_of_a_turn_are_one_transaction(store: Store) -> None:
    statements: list[str] = []
    store._database.connection.set_trace_callback(statements.append)
    with turn(store):
        for number in range(20):
            store.add(new_job(f"key-{number:04}"), at=1.0)
    assert [word for word in statements if word.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]


def test_turn_writes_to_no_file_but_the_database(store: Store, path: Path) -> None:
    """To undo one statement alone, SQLite would keep a file without a name: more than half of all writes."""
    store.begin()
    fill(store)
    for row in store.jobs(limit=1_000):
        store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob")
    store.flush()
    targets = {descriptor.readlink() for descriptor in Path("/proc/self/fd").iterdir() if descriptor.is_symlink()}
    store.commit()
    assert {target for target in targets if target.name.startswith("etilqs")} == set()
    assert path.with_name(f"{path.name}-wal") in targets


def test_row_that_cannot_be_added_undoes_the_turn(store: Store, path: Path) -> None:
    added(store)
    store.begin()
    store.add(new_job("key-0002"), at=1.0)
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE jobs SET seq = 2")
        other.commit()
    with pytest.raises(sqlite3.IntegrityError):
        store.flush()
    with pytest.raises(StoreReadOnly):
        store.commit()
    store.rollback()
    assert committed_jobs(path) == 1


def test_new_jobs_of_one_turn_are_written_each_with_its_own_columns(store: Store, path: Path) -> None:
    with turn(store):
        for number in range(6):
            store.add(new_job(f"key-000{number}"), at=1.0)
        store.add(new_job("key-0006", state=JobState.PENDING, due_at=9.0), at=1)
        store.add(new_job("key-0007")._replace(reason="why"), at=1.0)
        store.apply(2, JobEvent.ASSIGN, at=2.0, who="master", node_id="w1", token=TOKEN)
        store.apply(4, JobEvent.ASSIGN, at=2.0, who="master", node_id="w2", token=TOKEN)
        store.apply(4, JobEvent.START, at=3.0, who="w2")
        store.apply(5, JobEvent.CANCEL, at=2.0, who="bob", why="enough")
        expected = [store.job(seq) for seq in range(1, 9)]
    store.close()
    again = Store.open(path)
    assert [again.job(seq) for seq in range(1, 9)] == expected
    again.close()


def test_every_commit_waits_for_the_disk(store: Store) -> None:
    connection = store._database.connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_full_disk_refuses_the_turn_and_loses_nothing_acknowledged(store: Store, path: Path) -> None:
    row = added(store)
    before = store.counts()
    store.begin()
    store.add(new_job("key-0002"), at=1.0)
    with no_room(), pytest.raises(StoreReadOnly):
        store.commit()
    store.rollback()
    assert store.jobs() == [row]
    assert store.counts() == before
    # Room again: the same submit goes through.
    added(store, new_job("key-0002"))
    assert committed_jobs(path) == 2


def test_write_to_a_full_database_breaks_the_whole_turn(store: Store) -> None:
    row = added(store)
    pages = store._turn.read("PRAGMA page_count")[0][0]
    store._turn.read(f"PRAGMA max_page_count = {pages}")
    store.begin()
    store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob")
    with pytest.raises(StoreReadOnly, match="the disk is full"):
        fill(store)
    # What came before the failed write is undone too, so nothing of the turn may be acknowledged.
    with pytest.raises(StoreReadOnly):
        store.apply(row.seq, JobEvent.CANCEL, at=1.0, who="bob")
    with pytest.raises(StoreReadOnly):
        store.commit()
    store.rollback()
    assert store.jobs() == [row]
    store._turn.read("PRAGMA max_page_count = 1000000")
    added(store, new_job("key-0002"))


def test_read_only_database_answers_reads(store: Store) -> None:
    row = added(store)
    store._turn.read("PRAGMA query_only = 1")
    store.begin()
    store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob")
    with pytest.raises(StoreReadOnly, match="read-only"):
        store.commit()
    store.rollback()
    assert store.jobs() == [row]


def test_database_locked_by_another_program_is_waited_for_once_a_turn(store: Store, path: Path) -> None:
    row = added(store)
    store._turn.read("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.begin()
        store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob")
        with pytest.raises(StoreReadOnly, match="locked"):
            store.flush()
        other.execute("ROLLBACK")
        with pytest.raises(StoreReadOnly):
            store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob")
        store.rollback()
    with turn(store):
        assert store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob").state is JobState.PAUSED


@pytest.mark.parametrize("change", ["UPDATE jobs SET state = 'canceled'", "UPDATE jobs SET attempt = 1"])
def test_row_changed_by_another_program_meanwhile_is_stale(store: Store, path: Path, change: str) -> None:
    row = added(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(change)
    store.begin()
    store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob")
    with pytest.raises(StaleAttempt, match=row.job_id):
        store.commit()
    store.rollback()
    changed = store.job(row.seq)
    assert changed is not None
    assert changed.reason is None
    assert [entry.event for entry in store.history(row.seq)] == ["submit"]


def test_wrong_statement_is_our_fault_and_no_store_error() -> None:
    database = open_database(None)
    ours = Turn(database.connection)
    with pytest.raises(sqlite3.OperationalError):
        ours.read("SELECT nothing FROM nowhere")
    database.close()


def test_turn_with_a_wrong_statement_cannot_be_committed(store: Store) -> None:
    row = added(store)
    store.begin()
    store.apply(row.seq, JobEvent.HOLD, at=1.0, who="bob")
    with pytest.raises(sqlite3.IntegrityError):
        store._turn.write("INSERT INTO jobs (seq) VALUES (?)", (row.seq,))
    with pytest.raises(StoreReadOnly):
        store.commit()
    store.rollback()
    assert store.job(row.seq) == row


def test_unfinished_turn_is_undone_by_close(path: Path) -> None:
    store = Store.open(path)
    store.begin()
    store.add(new_job(), at=1.0)
    store.close()
    store.close()
    assert committed_jobs(path) == 0

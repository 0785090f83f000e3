import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ffrtmpd.store import Store, StoreError, backup, files
from ffrtmpd.store.migrations import SCHEMA_VERSION, version_of
from tests.master.store_kit import added, new_job, processing, turn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "master.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ── life of a database ────────────────────────────────────────────────────────────────────────────────────────────


def test_reopened_store_knows_everything(path: Path) -> None:
    store = Store.open(path)
    first = processing(store)
    added(store, new_job("key-0002"))
    with turn(store):
        assert store.epoch_up() == 1
    counts, history, cluster = store.counts(), store.history(first.seq), store.cluster_id()
    store.close()
    store = Store.open(path)
    assert store.job(first.seq) == first
    assert (store.counts(), store.history(first.seq), store.cluster_id()) == (counts, history, cluster)
    with turn(store):
        assert store.epoch_up() == 2
    store.close()


def test_epoch_not_committed_is_used_again(path: Path) -> None:
    store = Store.open(path)
    store.begin()
    store.epoch_up()
    store.rollback()
    with turn(store):
        assert store.epoch_up() == 1
    store.close()


def test_each_database_names_its_own_cluster() -> None:
    stores = [Store.open(None), Store.open(None)]
    names = {store.cluster_id() for store in stores}
    for store in stores:
        store.close()
    assert len(names) == 2
    assert all(len(name) == 16 for name in names)


_KILLED = """
import os, pathlib, signal, sys
from tests.master.store_kit import added, new_job
from ffrtmpd.store import Store
store = Store.open(pathlib.Path(sys.argv[1]))
added(store)
store.begin()
store.add(new_job("key-lost"), at=1.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_committed_job_survives_kill_9_and_an_open_turn_does_not(path: Path) -> None:
    places = [*(entry or os.curdir for entry in sys.path), str(Path(__file__).parents[2])]
    environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(places)}
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(path)],
        env=environment,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    store = Store.open(path)
    assert [row.key for row in store.jobs()] == ["key-0001"]
    assert [entry.event for entry in store.history(1)] == ["submit"]
    store.close()


def test_new_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "master.db"
    before = os.umask(0)
    try:
        store = Store.open(path)
        added(store)
        made = {entry.name: mode(entry) for entry in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert set(made) == {"master.db", "master.db-wal", "master.db-shm", "master.db.lock"}
    assert set(made.values()) == {0o600}
    assert mode(path.parent) == 0o700


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────────────────


def test_second_master_on_the_same_database_is_refused(path: Path) -> None:
    store = Store.open(path)
    with pytest.raises(StoreError, match=f"another ffrtmpd \\(process {os.getpid()}\\)"):
        Store.open(path)
    store.close()
    Store.open(path).close()


def test_older_sqlite_is_refused_with_what_is_needed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 3))
    with pytest.raises(StoreError, match=r"brings SQLite .*, and 3\.33\.0 or later is needed"):
        Store.open(path)
    assert not path.exists()


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is a folder: name a file in it"):
        Store.open(tmp_path)


def test_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write in"):
        Store.open(tmp_path / "file" / "master.db")


def test_folder_that_takes_no_files_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot write in /proc/self"):
        Store.open(Path("/proc/self/master.db"))


def test_file_that_is_no_database_is_refused_and_left_as_it_was(path: Path) -> None:
    path.write_bytes(b"these are my notes, not a database\n" * 500)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is not a database"):
        Store.open(path)
    assert path.read_bytes() == before
    # The refusal let go of the lock.
    path.unlink()
    Store.open(path).close()


def damaged(path: Path) -> None:
    store = Store.open(path)
    with turn(store):
        for number in range(200):
            store.add(new_job(f"key-{number:04}"), at=1.0)
    store.close()
    with path.open("r+b") as file:
        file.seek(4_096 * 3)
        file.write(b"\xff" * 4_096 * 4)


def read_all(path: Path) -> None:
    store = Store.open(path)
    try:
        store.jobs(limit=1_000)
    finally:
        store.close()


def test_damaged_database_is_refused_with_a_way_out(path: Path) -> None:
    damaged(path)
    with pytest.raises(StoreError, match=r"damaged .*: .*restore a backup"):
        Store.open(path)


def test_damage_in_a_database_too_large_to_check_shows_when_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged(path)
    monkeypatch.setattr(files, "CHECK_MAX_BYTES", 1_024)
    with pytest.raises(StoreError, match=r"damaged .*: .*restore a backup"):
        read_all(path)


def test_database_of_a_newer_program_is_refused_and_left_as_it_was(path: Path) -> None:
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(StoreError, match=f"schema version 99, this program knows {SCHEMA_VERSION}; start the newer"):
        Store.open(path)
    with closing(sqlite3.connect(path)) as other:
        assert version_of(other) == 99


def test_database_of_another_program_is_refused_and_left_as_it_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE songs (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Store.open(path)
    assert path.read_bytes() == before


def test_database_locked_by_another_program_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BUSY_S", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked the database"):
            Store.open(path)


# ── backups ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_backup_of_a_live_database_is_whole_and_private(path: Path, tmp_path: Path) -> None:
    store = Store.open(path)
    row = added(store)
    store.begin()
    store.add(new_job("key-open"), at=1.0)
    target = tmp_path / "copy.db"
    backup(path, target)
    store.rollback()
    store.close()
    assert mode(target) == 0o600
    copy = Store.open(target)
    assert copy.jobs() == [row]
    copy.close()
    assert not list(tmp_path.glob("*.partial"))


def test_backup_of_a_database_at_rest_needs_no_master(path: Path, tmp_path: Path) -> None:
    store = Store.open(path)
    row = added(store)
    store.close()
    backup(path, tmp_path / "copy.db")
    copy = Store.open(tmp_path / "copy.db")
    assert copy.job(row.seq) == row
    copy.close()


def test_backup_never_overwrites(path: Path, tmp_path: Path) -> None:
    Store.open(path).close()
    target = tmp_path / "precious"
    target.write_text("precious")
    with pytest.raises(StoreError, match="exists"):
        backup(path, target)
    assert target.read_text() == "precious"


@pytest.mark.parametrize("content", [None, b"no database at all" * 300])
def test_backup_of_no_database_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "source.db"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(StoreError):
        backup(source, tmp_path / "copy.db")
    assert [entry for entry in tmp_path.iterdir() if entry != source] == []


def test_backup_of_a_damaged_database_is_refused(path: Path, tmp_path: Path) -> None:
    damaged(path)
    with pytest.raises(StoreError):
        backup(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()

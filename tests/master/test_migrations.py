"""A schema that was released is never changed, only left: every one there was leads to the newest."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store import Store, StoreError, models, upgrade
from ffrtmpd.store.files import open_database
from ffrtmpd.store.migrations import MIGRATIONS, SCHEMA_VERSION, Migration, migrate, version_of
from ffrtmpd.store.upgrade import copy_path
from ffrtmpd.wire.vocabulary import JobState
from tests.master.schema_kit import NEED, fixture_path, restored, shape
from tests.master.store_kit import TOKEN, added, new_job, turn

VERSIONS = range(1, SCHEMA_VERSION + 1)
NEXT = SCHEMA_VERSION + 1
# What the next release might do.
LATER = (
    *MIGRATIONS,
    Migration(number=NEXT, title="a note", statements=("ALTER TABLE jobs ADD COLUMN note TEXT DEFAULT 'old'",)),
)
LATEST = (*LATER, Migration(number=NEXT + 1, title="more", statements=("CREATE TABLE more (name TEXT)",)))
BROKEN = (
    *MIGRATIONS,
    Migration(number=NEXT, title="broken", statements=(*LATER[-1].statements, "ALTER TABLE nowhere ADD COLUMN x")),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "master.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        yield opened


def version_at(path: Path) -> int:
    with closing(sqlite3.connect(path)) as opened:
        return version_of(opened)


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute(sql).fetchall()


# ── each schema there was ─────────────────────────────────────────────────────────────────────────────────────────


def test_migrations_are_numbered_without_gaps() -> None:
    assert [step.number for step in MIGRATIONS] == list(VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_frozen_schema_is_still_made_as_it_was(connection: sqlite3.Connection, tmp_path: Path, version: int) -> None:
    assert fixture_path(version).exists(), "freeze it: python -m tests.master.schema_kit"
    migrate(connection, MIGRATIONS[:version])
    with closing(sqlite3.connect(restored(version, tmp_path / "frozen.db"))) as frozen:
        assert version_of(frozen) == version
        assert shape(connection) == shape(frozen), "a frozen step was edited: take that back and add another step"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_way_leads_to_the_same_schema(connection: sqlite3.Connection, tmp_path: Path, version: int) -> None:
    migrate(connection)
    with closing(sqlite3.connect(restored(version, tmp_path / "old.db"), isolation_level=None)) as old:
        assert migrate(old) == version
        assert shape(old) == shape(connection)
        assert old.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_models_have_the_columns_of_the_schema(connection: sqlite3.Connection) -> None:
    migrate(connection)
    for model in models.TABLES:
        table = model._meta.table_name
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        declared = [(field.column_name, field.null) for field in model._meta.sorted_fields]
        stored = [(name, not not_null and not key) for _, name, _, not_null, _, key in columns]
        assert declared == stored, table


@pytest.mark.parametrize("version", VERSIONS)
def test_database_of_each_schema_is_read_whole(path: Path, version: int) -> None:
    restored(version, path)
    kept = rows(path, "SELECT seq, key, state FROM jobs ORDER BY seq")
    audit = rows(path, "SELECT job_seq FROM audit WHERE job_seq > 0")
    store = Store.open(path)
    found = store.jobs(limit=1_000, oldest_first=True)
    assert [(row.seq, row.key, row.state.value) for row in found] == kept
    assert {row.state for row in found} == set(JobState)
    for row in found:
        assert row.spec.scenario == row.scenario
        assert row.encode.width == 1280
        assert len(store.history(row.seq)) == Counter(audit)[row.seq,]
    done = next(row for row in found if row.state is JobState.COMPLETED)
    assert done.report is not None
    assert done.report.media is not None
    assert (done.vmaf, done.energy_j) == (93.5, 120.0)
    assert [entry.name for entry in store.principals()] == ["ann", "bob", "bob", "w1", "w1"]
    assert [node.node_id for node in store.nodes()] == ["w1", "w2"]
    assert store.figures() == {"jobs_completed": 1.0, "media_seconds": 12.5}
    assert (store.cluster_id(), store.longest_lease()) == ("0123456789abcdef", 45.0)
    store.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_master_goes_on_with_a_database_of_each_schema(path: Path, version: int) -> None:
    restored(version, path)
    store = Store.open(path)
    head = store.head(NEED)
    assert head is not None
    with turn(store):
        row = store.apply(head.seq, JobEvent.ASSIGN, at=300.0, who="master", node_id="w1", token=TOKEN)
    assert row.key == "queued-000"
    last = store.jobs(limit=1)[0].seq
    assert added(store, new_job("new-0001")).seq == last + 1
    store.close()


# ── a step ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_step_that_fails_half_way_leaves_the_version_before(path: Path) -> None:
    restored(SCHEMA_VERSION, path)
    with pytest.raises(StoreError, match="nowhere"):
        open_database(path, BROKEN)
    assert version_at(path) == SCHEMA_VERSION
    assert "note" not in {name for _, name, *_ in rows(path, "PRAGMA table_info(jobs)")}
    assert copy_path(path, SCHEMA_VERSION).exists()
    # The program before goes on with it.
    Store.open(path).close()


_KILLED = """
import os, pathlib, signal, sqlite3, sys
from ffrtmpd.store.migrations import MIGRATIONS, Migration, migrate
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
statements = ("ALTER TABLE jobs ADD COLUMN note TEXT", "UPDATE jobs SET note = 'half'", "SELECT die()")
migrate(connection, (*MIGRATIONS, Migration(number=len(MIGRATIONS) + 1, title="killed", statements=statements)))
"""


def test_step_that_is_killed_half_way_leaves_the_version_before(path: Path) -> None:
    restored(SCHEMA_VERSION, path)
    before = shape(sqlite3.connect(path))
    places = [*(entry or os.curdir for entry in sys.path), str(Path(__file__).parents[2])]
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(path)],
        env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(places)},
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert version_at(path) == SCHEMA_VERSION
    with closing(sqlite3.connect(path)) as opened:
        assert shape(opened) == before


# ── the copy ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_old_database_is_copied_first_and_keeps_every_job(path: Path) -> None:
    restored(SCHEMA_VERSION, path)
    jobs = rows(path, "SELECT seq, key, state FROM jobs ORDER BY seq")
    database = open_database(path, LATER)
    change = database.upgrade
    database.close()
    assert change is not None
    assert (change.was, change.now, change.copy) == (SCHEMA_VERSION, NEXT, copy_path(path, SCHEMA_VERSION))
    assert change.copy.stat().st_mode & 0o777 == 0o600
    assert rows(path, "SELECT DISTINCT note FROM jobs") == [("old",)]
    assert (version_at(path), version_at(change.copy)) == (NEXT, SCHEMA_VERSION)
    for place in (path, change.copy):
        assert rows(place, "SELECT seq, key, state FROM jobs ORDER BY seq") == jobs
    again = open_database(path, LATER)
    assert again.upgrade is None
    again.close()


def test_new_database_and_one_in_memory_need_no_copy(path: Path, tmp_path: Path) -> None:
    for place in (path, None):
        database = open_database(place, LATER)
        assert database.upgrade is None
        database.close()
    assert not list(tmp_path.glob("*.schema-*"))


def test_copies_of_the_last_two_schemas_are_kept(path: Path, tmp_path: Path) -> None:
    restored(SCHEMA_VERSION, path)
    bystander = tmp_path / "master.db.schema-notes"
    bystander.touch()
    last = (*LATEST, Migration(number=NEXT + 2, title="much more", statements=("CREATE TABLE last (name TEXT)",)))
    for steps in (LATER, LATEST, last):
        open_database(path, steps).close()
    kept = {copy.name for copy in tmp_path.glob("*.schema-*")}
    assert kept == {bystander.name, f"master.db.schema-{NEXT}", f"master.db.schema-{NEXT + 1}"}


def test_start_that_was_killed_while_it_copied_is_taken_up(path: Path) -> None:
    restored(SCHEMA_VERSION, path)
    for end in (".new", ".new.partial"):
        path.with_name(f"master.db.schema-{SCHEMA_VERSION}{end}").write_bytes(b"half a copy")
    database = open_database(path, LATER)
    assert database.upgrade is not None
    database.close()
    assert version_at(copy_path(path, SCHEMA_VERSION)) == SCHEMA_VERSION
    assert not list(path.parent.glob("*.new*"))


def test_second_change_after_going_back_keeps_the_newer_copy(path: Path) -> None:
    restored(SCHEMA_VERSION, path)
    open_database(path, LATER).close()
    copy_path(path, SCHEMA_VERSION).replace(path)
    store = Store.open(path)
    row = added(store, new_job("since-then"))
    store.close()
    open_database(path, LATER).close()
    assert (row.seq, "since-then") in rows(copy_path(path, SCHEMA_VERSION), "SELECT seq, key FROM jobs")


def test_without_room_for_the_copy_nothing_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restored(SCHEMA_VERSION, path)
    monkeypatch.setattr(upgrade, "ROOM_BYTES", 1 << 60)
    with pytest.raises(StoreError, match=r"no room to change its schema .* MiB are free .*make room"):
        open_database(path, LATER)
    assert version_at(path) == SCHEMA_VERSION
    assert not copy_path(path, SCHEMA_VERSION).exists()


def test_copy_that_cannot_be_written_stops_the_change(path: Path) -> None:
    restored(SCHEMA_VERSION, path)
    # A folder stands where the copy has to go.
    (copy_path(path, SCHEMA_VERSION) / "full").mkdir(parents=True)
    with pytest.raises(StoreError, match="no copy can be made before its schema changes"):
        open_database(path, LATER)
    assert version_at(path) == SCHEMA_VERSION


# ── the way back ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_newer_database_is_refused_and_the_copy_is_the_way_back(path: Path) -> None:
    restored(SCHEMA_VERSION, path)
    open_database(path, LATEST).close()
    before = path.read_bytes()
    copy = copy_path(path, SCHEMA_VERSION)
    with pytest.raises(StoreError, match=f"schema version {NEXT + 1}, this program knows {SCHEMA_VERSION}.*{copy}"):
        Store.open(path)
    assert path.read_bytes() == before
    # As docs/operations.md says.
    copy.replace(path)
    store = Store.open(path)
    assert store.jobs()
    store.close()


def test_newer_database_without_a_copy_is_refused_with_other_ways(path: Path) -> None:
    open_database(path, LATER).close()
    with pytest.raises(StoreError, match="start the newer ffrtmpd again, or restore a backup"):
        Store.open(path)


def test_copy_of_a_schema_that_is_too_new_as_well_is_no_way_back(path: Path) -> None:
    restored(SCHEMA_VERSION, path)
    open_database(path, LATER).close()
    copy_path(path, SCHEMA_VERSION).unlink()
    open_database(path, LATEST).close()
    with pytest.raises(StoreError, match="or restore a backup"):
        Store.open(path)

"""Databases of every schema there was, as SQL. ``python -m tests.master.schema_kit`` freezes the newest one."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.placement import rank_of
from ffrtmpd.store import JobRow, NodeRow, Store
from ffrtmpd.store.migrations import SCHEMA_VERSION
from ffrtmpd.wire.messages.jobs import MediaInfo, Progress, Report, VideoStream
from ffrtmpd.wire.messages.measures import Energy, Quality
from ffrtmpd.wire.messages.nodes import Gpu, Hardware
from ffrtmpd.wire.vocabulary import Engine, FailureClass, JobState, Phase, Priority, Queue, Role
from tests.master.store_kit import TOKEN, added, new_job, processing, turn

# As a submit makes it: a master goes on with such a database.
NEED = "auto:h264:any"
FIXTURES = Path(__file__).parent / "fixtures"


def fixture_path(version: int) -> Path:
    return FIXTURES / f"schema-{version}.sql"


def restored(version: int, path: Path) -> Path:
    """Make the database that a program with schema ``version`` left."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(fixture_path(version).read_text(encoding="utf-8"))
    return path


def shape(connection: sqlite3.Connection) -> dict[str, str]:
    """Return every table and index with the text that made it, spaces evened out."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'")
    return {str(name): " ".join(str(sql).split()) for name, sql in rows}


def fill(path: Path) -> None:
    """Make a database in which every table has rows and every state a job."""
    store = Store.open(path)
    with turn(store):
        store.epoch_up()
        store.keep_longest_lease(45.0)
        store.add_figures({"jobs_completed": 1.0, "media_seconds": 12.5})
    _people(store)
    _jobs(store)
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        # Random by nature, and a fixture is made but once: still it shall be known.
        connection.execute("UPDATE meta SET value = '0123456789abcdef' WHERE name = 'cluster_id'")


def _people(store: Store) -> None:
    hardware = Hardware(
        hostname="höst", gpus=(Gpu(name="L4", memory_bytes=1 << 34),), encoders=("libx264",), engines=(Engine.FFMPEG,)
    )
    with turn(store):
        store.add_principal(name="ann", role=Role.ADMIN, public="A" * 40, at=1.0)
        gone = store.add_principal(name="bob", role=Role.OPERATOR, public="B" * 40, at=2.0)
        store.change_principal(gone.id, revoked_at=3.0)
        store.add_principal(name="bob", role=Role.OPERATOR, public="C" * 40, at=4.0)
        invited = store.add_principal(
            name="w1", role=Role.ENROL, public="D" * 40, at=5.0, grants=Role.WORKER, expires_at=605.0
        )
        store.add_principal(name="w1", role=Role.WORKER, public="E" * 40, at=6.0)
        store.change_principal(invited.id, enrolled="E" * 40)
        store.save_node(
            NodeRow(node_id="w1", address="10.0.0.2", hardware=hardware, slots=4, first_seen_at=6.0, last_seen_at=200.0)
        )
        store.save_node(NodeRow(node_id="w2", draining=True, drain_until=900.0))
        store.add_event("node_online", at=6.0, who="master", why=None, node_id="w1")


def _jobs(store: Store) -> None:
    for number, (queue, priority) in enumerate((queue, priority) for queue in Queue for priority in Priority):
        job = new_job(
            f"queued-{number:03}", requires=NEED, rank=rank_of(queue, priority), queue=queue, priority=priority
        )
        added(store, job)
    added(store, new_job("pending", requires=NEED, state=JobState.PENDING, due_at=5_000.0))
    held = added(store, new_job("held", requires=NEED))
    canceled = added(store, new_job("canceled", requires=NEED))
    failed, done, frozen = (
        processing(store, new_job(key, requires=NEED)) for key in ("failed-1", "completed", "frozen-1")
    )
    running = processing(store, new_job("processing", requires=NEED))
    given = added(store, new_job("assigned", requires=NEED))
    with turn(store):
        store.apply(held.seq, JobEvent.HOLD, at=103.0, who="bob")
        store.apply(canceled.seq, JobEvent.CANCEL, at=104.0, who="bob", why="not needed")
        store.apply(
            failed.seq,
            JobEvent.FAIL,
            at=105.0,
            who="w1",
            why="no space left",
            failure_class=FailureClass.TRANSIENT,
            exit_code=1,
            failures=3,
        )
        store.apply(frozen.seq, JobEvent.PAUSE, at=106.0, who="bob")
        store.apply(given.seq, JobEvent.ASSIGN, at=107.0, who="master", node_id="w1", token=TOKEN)
        store.update(
            running.seq,
            state=JobState.PROCESSING,
            attempt=running.attempt,
            phase=Phase.SCORING,
            progress=Progress(percent=99.0, frame=299, fps=88.5),
        )
        _completed(store, done)


def _completed(store: Store, done: JobRow) -> None:
    video = VideoStream(codec="h264", width=1280, height=720, fps=30.0, frames=300, pixel_format="yuv420p")
    report = Report(
        encoder="libx264",
        engine=Engine.FFMPEG,
        command=("ffmpeg", "-i", "in.mp4", "out.mp4"),
        media=MediaInfo(container="mp4", size_bytes=3_000_000, duration_s=10.0, video=video, probe="ffprobe"),
        encode_s=4.5,
        exit_code=0,
        quality=Quality(vmaf=93.5),
        energy=Energy(joules=120.0),
    )
    store.apply(done.seq, JobEvent.COMPLETE, at=110.0, who="w1", exit_code=0, output="/srv/out/job.mp4", report=report)


def dump(path: Path) -> Iterator[str]:
    """Return the SQL that makes the database at ``path`` again."""
    with closing(sqlite3.connect(path)) as connection:
        yield from connection.iterdump()


def freeze(folder: Path) -> Path:
    """Write the fixture of the newest schema; one that is there stays as it is.

    Raises:
        FileExistsError: that schema is frozen.
    """
    made = folder / "master.db"
    fill(made)
    target = fixture_path(SCHEMA_VERSION)
    with target.open("x", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in dump(made))
    return target


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        freeze(Path(scratch))

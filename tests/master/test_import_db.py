"""``ffrtmpd import-db``: every job of the Go project's database is here afterwards, or named with the reason."""

import datetime
import itertools
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ffrtmpd import import_command
from ffrtmpd.broker.settings import Retention
from ffrtmpd.import_command import Report, run
from ffrtmpd.main import main
from ffrtmpd.scenario import load_scenarios
from ffrtmpd.store import JobRow, NotOurs, Search, Store, StoreError, StoreReadOnly, open_old, rows
from ffrtmpd.store.records import load
from ffrtmpd.wire.messages import jobs as wire
from ffrtmpd.wire.vocabulary import Codec, Engine, FailureClass, JobState, OutputMode, Priority, Queue
from tests.master.old_project_kit import RELEASES, Row, add, job, node, old_database
from tests.master.store_kit import added, new_job

SCENARIOS = load_scenarios([Path(__file__).parents[2] / "conf" / "scenarios.toml"])
DAY_S = 86_400.0
LONG_NUMBER = '[{"timestamp": 1' + "0" * 400 + "}]"
KEPT = Retention(completed_s=30 * DAY_S, failed_s=90 * DAY_S)
STATUSES = {
    "pending": JobState.QUEUED,
    "queued": JobState.QUEUED,
    "retrying": JobState.QUEUED,
    "assigned": JobState.QUEUED,
    "running": JobState.QUEUED,
    "processing": JobState.QUEUED,
    "paused": JobState.PAUSED,
    "completed": JobState.COMPLETED,
    "failed": JobState.FAILED,
    "timed_out": JobState.FAILED,
    "rejected": JobState.FAILED,
    "canceled": JobState.CANCELED,
}


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FFRTMPD_HOME", str(tmp_path / "home"))
    Store.open(tmp_path / "home" / "master.db").close()
    return tmp_path / "home" / "master.db"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "old.db"


def imported(database: Path, file: Path, *, dry_run: bool = False) -> Report:
    return run(database, SCENARIOS, file, kept=KEPT, dry_run=dry_run)


def kept(database: Path) -> list[JobRow]:
    store = Store.open(database)
    rows = store.jobs(limit=1_000, oldest_first=True)
    store.close()
    return rows


def only(database: Path, file: Path, *rows: Row, release: str = "last") -> tuple[JobRow, Report]:
    """Import rows and return the one job that is there then."""
    report = imported(database, old_database(file, release, rows))
    found = kept(database)
    assert len(found) == 1, report
    return found[0], report


# ── every release ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("release", RELEASES)
def test_every_state_of_every_release_has_its_place(database: Path, file: Path, release: str) -> None:
    old_database(file, release, tuple(job(number, status) for number, status in enumerate(STATUSES)))
    report = imported(database, file)
    assert [row.state for row in kept(database)] == list(STATUSES.values())
    assert (report.refused, report.known, report.began) == ([], 0, 3)
    assert sum(report.taken.values()) == len(STATUSES)


@pytest.mark.parametrize("release", RELEASES)
def test_nodes_of_every_release_are_named_for_their_invitation(database: Path, file: Path, release: str) -> None:
    gpu = {"has_gpu": 1, "gpu_type": "NVIDIA L4"}
    old_database(file, release, (), (node("enc-1", release), node("enc-2", release, **gpu)))
    report = imported(database, file)
    assert len(report.nodes) == 2
    assert "https://enc-1:8081, 16 threads, EPYC, 32 GiB" in report.nodes[0]
    assert "NVIDIA L4" in report.nodes[1]


def test_second_import_adds_nothing(database: Path, file: Path) -> None:
    old_database(file, "last", tuple(job(number, status) for number, status in enumerate(STATUSES)))
    imported(database, file)
    before = kept(database)
    report = imported(database, file)
    assert (report.known, sum(report.taken.values())) == (len(STATUSES), 0)
    assert kept(database) == before


def test_second_import_adds_what_is_new_there(database: Path, file: Path) -> None:
    old_database(file, "last", (job(1),))
    imported(database, file)
    with closing(sqlite3.connect(file)) as connection, connection:
        add(connection, "jobs", {"sequence_number": 2, **job(2)})
        connection.execute("UPDATE jobs SET status = 'completed' WHERE sequence_number = 1")
    report = imported(database, file)
    assert (report.known, report.taken) == (1, {JobState.QUEUED: 1})
    assert [row.state for row in kept(database)] == [JobState.QUEUED] * 2


# ── jobs that are over ────────────────────────────────────────────────────────────────────────────────────────────


def test_completed_job_keeps_times_place_and_logs(database: Path, file: Path) -> None:
    row, report = only(
        database,
        file,
        job(
            1,
            "completed",
            created_at="2026-01-02 15:00:00+01:00",
            started_at="2026-01-02 15:00:10.5+01:00",
            completed_at="2026-01-02 15:01:10.5+01:00",
            retry_count=1,
            queue="live",
            priority="high",
            engine="gstreamer",
            node_id="node-enc-1",
            logs="x" * 20_000 + "\nthe end",
            parameters={"output": "/srv/out.mp4", "duration": 60, "bitrate": "5M"},
        ),
    )
    assert (report.refused, report.noted) == ([], [])
    assert (row.created_at, row.started_at, row.finished_at) == (1767362400.0, 1767362410.5, 1767362470.5)
    assert (row.waited_s, row.processed_s, row.attempt, row.failures) == (10.5, 60.0, 2, 1)
    assert (row.queue, row.priority, row.spec.engine) == (Queue.LIVE, Priority.HIGH, Engine.GSTREAMER)
    assert (row.output, row.reason, row.node_id) == ("/srv/out.mp4", None, None)
    assert (row.spec.duration_s, row.encode.bitrate_bps) == (60.0, 5_000_000)
    assert row.report is not None
    assert row.report.log_tail is not None
    assert row.report.log_tail.endswith("x\nthe end")
    assert row.spec.labels["old-node"] == "node-enc-1"
    store = Store.open(database)
    steps = [(step.event, step.to_state, step.at) for step in store.history(row.seq)]
    store.close()
    assert steps == [("submit", JobState.QUEUED, row.created_at), ("import", JobState.COMPLETED, row.finished_at)]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("platform_error", FailureClass.TRANSIENT),
        ("timeout", FailureClass.TRANSIENT),
        ("input_error", FailureClass.PERMANENT),
        ("", FailureClass.PERMANENT),
        (None, FailureClass.PERMANENT),
    ],
)
def test_failure_keeps_its_reason_and_whose_fault_it_was(
    database: Path, file: Path, reason: str | None, expected: FailureClass
) -> None:
    row, _ = only(database, file, job(1, "failed", failure_reason=reason, error="exit \x1b[31m1\nno such file"))
    assert (row.failure_class, row.reason) == (expected, "exit [31m1 no such file")


def test_end_that_was_not_written_down_is_the_last_that_is_known(database: Path, file: Path) -> None:
    steps = '[{"from":"queued","to":"canceled","timestamp":"2026-01-01T10:05:00.5Z","reason":"by user"}]'
    row, report = only(database, file, job(1, "canceled", state_transitions=steps))
    assert row.finished_at == 1767261900.5
    assert "when it ended is not known" in report.noted[0][1]


def test_finished_job_whose_options_nothing_here_follows_is_kept_without_them(database: Path, file: Path) -> None:
    row, report = only(database, file, job(1, "completed", parameters={"codec": "mpeg2video"}))
    assert row.spec.encoder is None
    assert "its options were left out: unknown encoder 'mpeg2video'" in report.noted[0][1]


def test_jobs_that_ended_longer_ago_than_they_are_kept_are_counted(database: Path, file: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    ended = [str(now - datetime.timedelta(days=days)) for days in (29, 31)]
    states = ("completed", "failed", "canceled")
    jobs = [job(number, state, completed_at=at) for number, (state, at) in enumerate(itertools.product(states, ended))]
    old_database(file, "last", (*jobs, job(9)))
    report = imported(database, file)
    assert report.too_old == 1
    assert any(line.startswith("1 job ended longer ago than") for line in report.lines(file, dry_run=False))


# ── jobs that are to be done ──────────────────────────────────────────────────────────────────────────────────────


def test_running_job_begins_anew_and_says_so(database: Path, file: Path) -> None:
    old_database(
        file, "last", (job(1, "running", node_id="node-enc-1", started_at="2026-01-01 11:00:00+00:00", progress=40),),
        (node("enc-1", "last"),),
    )  # fmt: skip
    imported(database, file)
    (row,) = kept(database)
    assert (row.state, row.started_at, row.attempt, row.progress, row.node_id) == (JobState.QUEUED, None, 0, None, None)
    assert row.reason == "was running on enc-1 in the Go project, and begins anew"
    # What it waited over there is not held against this master.
    assert row.state_at > row.created_at + 86_400


def test_paused_job_is_held_until_it_is_resumed(database: Path, file: Path) -> None:
    row, _ = only(database, file, job(1, "paused"))
    assert (row.state, row.node_id, row.reason) == (JobState.PAUSED, None, "was paused in the Go project")


def test_waiting_jobs_are_served_in_the_order_of_before(database: Path, file: Path) -> None:
    old_database(file, "last", (job(9, queue="live"), job(3), job(5, priority="high"), job(1, queue="live")))
    imported(database, file)
    store = Store.open(database)
    served = [store.job(head.seq) for head in store.heads("auto:h264:any", 9)]
    store.close()
    assert [row.spec.labels["old-id"][-1] for row in served if row is not None] == ["1", "9", "5", "3"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"input": "/srv/in.mp4", "preset": "fast"}, {"input": "/srv/in.mp4", "preset": "fast"}),
        ({"duration_seconds": "30"}, {"duration_s": 30.0}),
        ({"bitrate": "2500k"}, {"bitrate_bps": 2_500_000}),
        ({"bitrate": 800_000}, {"bitrate_bps": 800_000}),
        ({"codec": "hevc"}, {"codec": Codec.H265, "encoder": None}),
        ({"codec": "libx265"}, {"codec": None, "encoder": "libx265"}),
        ({"hwaccel": "cuda"}, {"require_gpu": True}),
        ({"hwaccel": "none"}, {"require_gpu": False}),
        ({"hwaccel": "cuda", "codec": "libx264"}, {"require_gpu": False, "encoder": "libx264"}),
        ({"engine": "gstreamer"}, {"engine": Engine.GSTREAMER}),
        (
            {"output_mode": "rtmp", "rtmp_url": "rtmp://ingest/live/a"},
            {"output_mode": OutputMode.RTMP, "output": "rtmp://ingest/live/a"},
        ),
        ({"resource_limits": {"timeout_sec": 600}}, {"timeout_s": 600.0}),
    ],
)
def test_parameters_are_taken_over(
    database: Path, file: Path, parameters: dict[str, Any], expected: dict[str, Any]
) -> None:
    row, report = only(database, file, job(1, parameters=parameters, max_retries=5))
    assert {name: getattr(row.spec, name) for name in expected} == expected
    assert (row.max_attempts, report.noted) == (6, [])


def test_parameters_without_a_place_here_are_named(database: Path, file: Path) -> None:
    limits = {"timeout_sec": 600, "max_memory_mb": 2048}
    _, report = only(database, file, job(1, parameters={"crf": 23, "threads": 4, "resource_limits": limits}))
    assert report.noted[0][1] == "not taken over: crf, resource_limits, threads"


# ── what cannot be taken ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (job(1, id=None), "its id is not a text"),
        (job(1, id=""), "its id is not a text"),
        (job(1, id="x" * 101), "its id is not a text"),
        (job(1, "melted"), "its state 'melted' is not known"),
        (job(1, scenario="nonsense"), "no such scenario"),
        (job(1, "completed", scenario="nonsense"), "no such scenario"),
        (job(1, scenario=b"\xff\xfe"), "expected text"),
        (job(1, parameters="{"), "its parameters are no JSON"),
        (job(1, parameters="[1]"), "its parameters are no map"),
        (job(1, parameters="[" * 100_000), "its parameters are no JSON"),
        (job(1, parameters=b"\x00\x01"), "its parameters are no JSON"),
        (job(1, parameters={"bitrate": "much"}), "bitrate 'much' is none"),
        (job(1, parameters={"bitrate": "9" * 400}), "bitrate"),
        (job(1, parameters={"duration": "long"}), "duration_s"),
        (job(1, parameters={"duration": -1}), "duration_s"),
        (job(1, parameters={"codec": ["h264"]}), "unknown encoder"),
        (job(1, parameters={"input": 7}), "input: expected text"),
        (job(1, parameters={"output": "../../etc/passwd"}), "leads out of the folders"),
        (job(1, parameters={"output_mode": "rtmp"}), "no rtmp_url"),
        (job(1, parameters={"output_mode": "tape"}), "output mode 'tape' is not known"),
        (job(1, engine="melter"), "'melter' is not one of"),
    ],
)
def test_row_that_cannot_be_taken_is_named_and_the_others_are_taken(
    database: Path, file: Path, row: Row, why: str
) -> None:
    kept_row, report = only(database, file, row, job(2))
    assert kept_row.spec.labels["old-id"].endswith("2")
    ((name, said),) = report.refused
    assert name.startswith(("job ", "a job without an id"))
    assert why in said


@pytest.mark.parametrize(
    ("columns", "note"),
    [
        ({"queue": "express"}, "queue 'express' is not known: default is taken"),
        ({"priority": 7}, "priority '7' is not known"),
        ({"created_at": "yesterday"}, "created_at 'yesterday' is no time that was"),
        ({"created_at": "9999-01-01 00:00:00+00:00"}, "is no time that was"),
        ({"created_at": b"\xff"}, "is no time that was"),
    ],
)
def test_junk_in_a_column_that_has_a_usual_value_is_noted(database: Path, file: Path, columns: Row, note: str) -> None:
    _, report = only(database, file, job(1, **columns))
    assert note in report.noted[0][1]


def test_nulls_and_missing_values_are_usual(database: Path, file: Path) -> None:
    nothing: Row = dict.fromkeys(
        ("queue", "priority", "node_id", "started_at", "parameters", "logs", "max_retries", "error", "confidence")
    )
    row, report = only(database, file, job(1, **nothing, completed_at="0001-01-01 00:00:00+00:00"))
    assert (row.queue, row.priority, row.max_attempts) == (Queue.DEFAULT, Priority.MEDIUM, 3)
    assert report.noted == []


@pytest.mark.parametrize(
    "junk", ["", "x", "{}", "[1]", '[{"timestamp": 5}]', '[{"timestamp": "never"}]', b"\xff", LONG_NUMBER]
)
def test_junk_in_transitions_costs_nothing(database: Path, file: Path, junk: str | bytes) -> None:
    row, _ = only(database, file, job(1, "failed", state_transitions=junk, retry_count=-5, started_at="x"))
    assert (row.finished_at, row.attempt) == (row.created_at, 0)


@pytest.mark.parametrize("name", ["duration", "bitrate", "resource_limits"])
def test_number_that_nothing_holds_is_named(database: Path, file: Path, name: str) -> None:
    digits = "1" + "0" * 400
    value = f'{{"timeout_sec": {digits}}}' if name == "resource_limits" else digits
    old_database(file, "last", (job(1, parameters=f'{{"{name}": {value}}}'), job(2)))
    report = imported(database, file)
    assert len(report.refused) == 1
    assert len(kept(database)) == 1


def test_log_of_broken_text_can_be_shown(database: Path, file: Path) -> None:
    old_database(file, "last", (job(1, "failed"),))
    with closing(sqlite3.connect(file)) as connection, connection:
        # To SQLite one character, however many bytes follow; read, each byte becomes one.
        connection.execute("UPDATE jobs SET logs = CAST(? AS TEXT)", (b"\xc3" + b"\x80" * 20_000,))
    imported(database, file)
    # The report is read from the disk, as the master does.
    row = kept(database)[0]
    assert row.report_json is not None
    assert load(wire.Report, row.report_json).log_tail


def test_import_does_not_hold_every_job_in_memory(database: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_command, "HANDED_OVER", 10)
    monkeypatch.setattr(rows, "KEPT", 20)
    old_database(file, "last", tuple(job(number, "completed") for number in range(100)))
    held: list[int] = []
    add_row = rows.Rows.add

    def watched(self: rows.Rows, row: JobRow) -> None:
        add_row(self, row)
        held.append(len(self._known))

    monkeypatch.setattr(rows.Rows, "add", watched)
    imported(database, file)
    assert len(kept(database)) == 100
    assert max(held) <= 40


# ── one transaction ───────────────────────────────────────────────────────────────────────────────────────────────


def test_dry_run_says_the_same_and_changes_nothing(database: Path, file: Path) -> None:
    old_database(file, "last", tuple(job(number, status) for number, status in enumerate([*STATUSES, "melted"])))
    said = list(imported(database, file, dry_run=True).lines(file, dry_run=False))
    assert kept(database) == []
    assert said == list(imported(database, file).lines(file, dry_run=False))


def test_import_that_fails_half_way_leaves_nothing(database: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_database(file, "last", tuple(job(number) for number in range(3)))
    before = Store.bring_in
    seen: list[str] = []

    def full(self: Store, new: Any, past: Any, **times: float) -> JobRow | None:
        seen.append(new.key)
        if len(seen) == 3:
            raise StoreReadOnly("the disk is full")
        return before(self, new, past, **times)

    monkeypatch.setattr(Store, "bring_in", full)
    with pytest.raises(StoreReadOnly):
        imported(database, file)
    assert len(seen) == 3
    assert kept(database) == []


def test_old_file_is_not_changed(database: Path, file: Path) -> None:
    old_database(file, "last", (job(1),))
    before = file.read_bytes()
    imported(database, file)
    assert file.read_bytes() == before


def test_jobs_that_were_here_before_stay_first_in_lists_by_age(database: Path, file: Path) -> None:
    store = Store.open(database)
    added(store, new_job(), at=1_800_000_000.0 - 1)
    store.close()
    old_database(file, "last", (job(1, "completed"), job(2)))
    report = imported(database, file)
    assert report.later == 2
    first, *rows = kept(database)
    assert [row.created_at for row in rows] == [first.created_at] * 2
    assert rows[0].spec.labels["created"] == "2026-01-01T10:01:00+00:00"
    store = Store.open(database)
    found = store.search(Search(created_after=first.created_at), limit=10, bounds=(None, None), oldest_first=True).seqs
    store.close()
    assert found == [1, 2, 3]


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_command_tells_what_it_took_and_what_not(
    database: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = "2026-01-01 12:00:00+00:00"
    jobs = (
        job(1, "completed", completed_at=ended),
        job(2, "running"),
        job(3, scenario="nonsense"),
        job(4, parameters={"crf": 20}),
    )
    old_database(file, "last", jobs, (node("enc-1", "last"),))
    assert main(["import-db", "--dry-run", str(file)]) == 1
    assert "would import 3 jobs" in capsys.readouterr().out
    assert main(["import-db", str(file)]) == 1
    said = capsys.readouterr().out
    for part in (
        f"imported 3 jobs from {file}",
        "1 completed",
        "2 queued, 1 of them ran and begin anew",
        "could not import 1 job\n  job 0b7c5a3e-0000-4000-8000-000000000003 (number 3): ",
        "imported with a change\n  job 0b7c5a3e-0000-4000-8000-000000000004 (number 4): not taken over: crf",
        "nodes to invite (ffrtmp keys invite NAME --role worker)\n  enc-1  ",
    ):
        assert part in said
    assert main(["import-db", str(file)]) == 1
    assert "3 jobs of it are here already" in capsys.readouterr().out


def test_command_ends_well_when_every_job_is_here(database: Path, file: Path) -> None:
    assert main(["import-db", str(old_database(file, "last", (job(1),)))]) == 0


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 300])
def test_file_that_is_no_database_is_refused(
    database: Path, file: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        file.write_bytes(content)
    assert main(["import-db", str(file)]) == os.EX_DATAERR
    assert str(file) in capsys.readouterr().err


def test_file_that_may_not_be_read_is_refused(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    file = old_database(closed / "old.db", "last", (job(1),))
    before = os.geteuid()
    closed.chmod(0)
    try:
        if before == 0:
            # Root may look anywhere.
            os.seteuid(65_534)
        with pytest.raises(NotOurs, match="Permission denied"), open_old(file):
            pass
    finally:
        os.seteuid(before)
        closed.chmod(0o700)


def test_database_of_another_program_is_refused(database: Path, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE jobs (title TEXT)")
    with pytest.raises(NotOurs, match="is not a database of the Go project"):
        imported(database, file)


def test_own_database_is_not_taken_for_an_old_one(database: Path) -> None:
    with pytest.raises(NotOurs):
        imported(database, database)


def test_without_a_database_of_its_own_nothing_is_made(tmp_path: Path, file: Path) -> None:
    old_database(file, "last", (job(1),))
    with pytest.raises(StoreError, match="run ffrtmpd init"):
        imported(tmp_path / "nowhere" / "master.db", file)
    assert not (tmp_path / "nowhere").exists()


def test_running_master_is_to_be_stopped_first(database: Path, file: Path) -> None:
    old_database(file, "last", (job(1),))
    store = Store.open(database)
    with pytest.raises(StoreError, match="another ffrtmpd"):
        imported(database, file)
    store.close()


def test_help_names_what_the_report_says() -> None:
    assert "old-id" in import_command.EXAMPLES

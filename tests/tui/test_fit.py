"""Tables on a narrow terminal: written shorter, cut, or with fewer columns, and never wider than it."""

import pytest

from ffrtmp_tui.fit import Column, cut, fold, width
from ffrtmp_tui.job_view import HISTORY, JOB_COLUMNS
from ffrtmp_tui.keys import KEY_COLUMNS
from ffrtmp_tui.node_view import NODE_COLUMNS
from ffrtmp_tui.render import box_table, sheet, table
from ffrtmpd.wire.messages.jobs import AuditEntry, JobView
from ffrtmpd.wire.messages.keys import KeyView
from ffrtmpd.wire.vocabulary import JobState, Priority, Queue, Role
from tests.tui.samples import AT, BARE_NODE, DONE, NODE, RUNNING, job

WAITING = JobView(
    job_id="job-000126",
    scenario="1080p30-h264",
    state=JobState.QUEUED,
    queue=Queue.DEFAULT,
    priority=Priority.MEDIUM,
    created_at=AT,
    reason="gpu_required",
)
FAILED = JobView(
    job_id="job-000127",
    scenario="1080p30-h264",
    state=JobState.FAILED,
    queue=Queue.DEFAULT,
    priority=Priority.MEDIUM,
    node_id="worker-1",
    created_at=AT,
    reason="input: /srv/in/a.mov: no such file or folder",
)


def widest(text: str) -> int:
    return max(width(line) for line in text.splitlines())


def test_jobs_at_80_cells_keep_every_column_with_short_times_and_titles() -> None:
    assert table(JOB_COLUMNS, [DONE, job()], room=80) == (
        "Job ID      Scenario     Status     Queue    Prio    Done  Node ID   Created At\n"
        "job-000124  4K60-h264    completed  live     high    100%  worker-1  11-14 22:13\n"
        "job-000123  720p30-h264  queued     default  medium     -  -         11-14 22:13\n"
    )


def test_jobs_that_do_not_fit_lose_their_priority_first() -> None:
    assert table(JOB_COLUMNS, [RUNNING, job()], room=80) == (
        "Job ID      Scenario      Status      Queue    Done  Node ID   Created At\n"
        "job-000125  1080p30-h265  processing  batch     45%  worker-2  11-14 22:13\n"
        "job-000123  720p30-h264   queued      default     -  -         11-14 22:13\n"
    )


def test_jobs_have_the_titles_people_know_where_there_is_room() -> None:
    assert table(JOB_COLUMNS, [DONE, job()], room=94) == table(JOB_COLUMNS, [DONE, job()])
    assert table(JOB_COLUMNS, [DONE, job()], room=93) == (
        "Job ID      Scenario     Status     Queue    Priority  Progress  Node ID   Created At\n"
        "job-000124  4K60-h264    completed  live     high        100.0%  worker-1  11-14 22:13\n"
        "job-000123  720p30-h264  queued     default  medium           -  -         11-14 22:13\n"
    )


def test_reason_of_a_job_that_waits_or_failed_stays_at_80_cells_and_the_least_important_columns_go() -> None:
    assert table(JOB_COLUMNS, [WAITING, RUNNING, FAILED], room=80) == (
        "Job ID      Scenario      Status      Queue    Done  Node ID   Reason\n"
        "job-000126  1080p30-h264  queued      default     -  -         gpu_required\n"
        "job-000125  1080p30-h265  processing  batch     45%  worker-2  -\n"
        "job-000127  1080p30-h264  failed      default     -  worker-1  input: /srv/in/a…\n"
    )


def test_reason_stands_in_the_default_list_where_there_is_room_and_one_to_tell() -> None:
    assert table(JOB_COLUMNS, [WAITING], room=160).splitlines()[0].endswith("Created At           Reason")
    assert table(JOB_COLUMNS, [WAITING]).splitlines()[1].endswith("2023-11-14 22:13:20  gpu_required")
    assert "Reason" not in table(JOB_COLUMNS, [DONE])


def test_nodes_at_80_cells_leave_out_what_nobody_knows_before_what_is_known() -> None:
    text = table(NODE_COLUMNS, [NODE, BARE_NODE], room=80)
    assert text == (
        "Node ID   Status   CPU              Load  GPU            Free  Active Job\n"
        "worker-1  busy     32 x EPYC 7302  58.2%  RTX A4000  31.0 GiB  job-000124 +1\n"
        "worker-2  offline  -                   -  -                 -  -\n"
    )
    assert table(NODE_COLUMNS, [BARE_NODE], room=40).startswith("Node ID   Status   Free  Active Job\n")


@pytest.mark.parametrize("room", [60, 72, 80, 100, 120, 160])
@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        (JOB_COLUMNS, [DONE, RUNNING, WAITING, FAILED]),
        (NODE_COLUMNS, [NODE, BARE_NODE]),
        (
            KEY_COLUMNS,
            [
                KeyView(
                    name="n" * 64,
                    role=Role.OPERATOR,
                    fingerprint="0" * 16,
                    invitation=True,
                    created_at=AT,
                    expires_at=AT,
                    revoked_at=AT,
                )
            ],
        ),
    ],
    ids=["jobs", "nodes", "keys"],
)
def test_no_line_is_wider_than_the_terminal(columns: tuple[Column, ...], rows: list[object], room: int) -> None:
    assert widest(table(columns, rows, room=room)) <= room


def test_without_a_terminal_nothing_is_cut() -> None:
    assert "input: /srv/in/a.mov: no such file or folder" in table(JOB_COLUMNS, [FAILED])
    assert "GPU Capabilities" in table(NODE_COLUMNS, [NODE])


HISTORY_ROWS = (
    AuditEntry(at=AT, to_state=JobState.QUEUED, event="submit", who="ana"),
    AuditEntry(
        at=AT + 2,
        from_state=JobState.PROCESSING,
        to_state=JobState.FAILED,
        event="fail",
        who="worker-1",
        attempt=1,
        why="ffmpeg ended with exit code 1: Error opening input: No such file or directory",
    ),
)


def test_history_at_80_cells_is_a_whole_box_and_its_reasons_are_folded() -> None:
    text = box_table(HISTORY, HISTORY_ROWS, room=80)
    lines = text.splitlines()
    assert len({width(line) for line in lines}) == 1
    assert widest(text) <= 80
    assert lines[1].split() == ["│", "At", "│", "To", "│", "Event", "│", "Who", "│", "Why", "│"]
    told = " ".join(line.split("│")[5].strip() for line in lines[4:-1])
    assert told == HISTORY_ROWS[1].why
    assert len(lines) < 12


def test_history_keeps_its_columns_where_there_is_room() -> None:
    text = box_table(HISTORY, HISTORY_ROWS, room=200)
    assert text.splitlines()[1].split("│")[1:-1] == box_table(HISTORY, HISTORY_ROWS).splitlines()[1].split("│")[1:-1]
    assert "2023-11-14 22:13:20" in text


def test_values_of_a_sheet_are_folded_and_none_of_them_is_lost() -> None:
    path = "/srv/" + "long-name/" * 12 + "a.mp4"
    text = sheet([("Output", path), ("Labels", "show=a, " * 20)], box=True, unicode=True, room=80)
    assert {width(line) for line in text.splitlines()} == {80}
    assert "".join(line.split("│")[2].strip() for line in text.splitlines()[3:-1]).startswith(path)


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("ab cdef", 4, "ab…"),
        ("日本語", 4, "日…"),
        ("日本語", 6, "日本語"),
    ],
)
def test_cut_text_ends_with_an_ellipsis(text: str, room: int, shown: str) -> None:
    assert cut(text, room) == shown


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("one two three", 7, "one two\nthree"),
        ("abcdefgh", 3, "abc\ndef\ngh"),
        ("to abcdefgh", 4, "to\nabcd\nefgh"),
        ("日本語", 4, "日本\n語"),
        ("a  b", 9, "a  b"),
    ],
)
def test_folded_text_breaks_between_words_where_it_can(text: str, room: int, shown: str) -> None:
    assert fold(text, room) == shown


def test_width_counts_cells_not_letters() -> None:
    assert width("abc") == 3
    assert width("日本") == 4
    assert width("e\u0301") == 1

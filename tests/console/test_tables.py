"""Tables that are data: rows by id, keys, colours, filters."""

from pathlib import Path

import pytest

from ffrtmp_tui.console.keymap import KEYS, WORDS, Page, bindings, help_lines, shown_key
from ffrtmp_tui.console.model import Console
from ffrtmp_tui.console.palette import DARK, THEMES, depth_for, read_themes
from ffrtmp_tui.console.prompts import complete, complete_filter, numbers
from ffrtmp_tui.console.query import JOB_SORTS, Query, job_fields, list_jobs, node_fields
from ffrtmp_tui.console.table import Table
from ffrtmp_tui.console.text import age, bar, ending, fit_line, fold, pad, plain, sparkline
from ffrtmp_tui.failures import Failure
from ffrtmp_tui.selection import expand
from ffrtmpd.wire.vocabulary import JobState, Queue


def table(*rows: str) -> Table[str]:
    made: Table[str] = Table(str)
    made.show(rows, total=len(rows))
    return made


def test_selection_follows_the_id_when_rows_move() -> None:
    rows = table("a", "b", "c")
    rows.move(1)
    rows.show(["x", "y", "a", "b", "c"], total=5)
    assert rows.selected == "b"
    assert rows.place == 3


def test_selection_goes_to_the_neighbour_when_its_row_is_gone() -> None:
    rows = table("a", "b", "c")
    rows.move(1)
    rows.show(["a", "c"], total=2)
    assert rows.selected == "c"
    rows.show([], total=0)
    assert rows.current is None
    assert rows.targets() == []


def test_marks_outlive_the_window_and_the_selected_row_is_meant_without_any() -> None:
    rows = table("a", "b")
    assert rows.targets() == ["a"]
    rows.toggle()
    rows.show(["b"], total=1)
    assert rows.targets() == ["a"]
    rows.marks.clear()
    assert rows.targets() == ["b"]


def test_window_keeps_the_selected_row_in_sight() -> None:
    rows = table(*map(str, range(100)))
    rows.move(50)
    assert "50" in rows.window(10)
    rows.move(-50)
    assert rows.window(10)[0] == "0"
    rows.move(10**9)
    assert rows.window(10)[-1] == "99"


def test_every_key_and_word_of_the_tables_does_something_and_nothing_is_left_out() -> None:
    named = {key.action for key in KEYS} | {word.action for word in WORDS if not word.takes}
    done = {name.removeprefix("_do_") for name in dir(Console) if name.startswith("_do_")}
    assert named == done


@pytest.mark.parametrize("page", Page)
def test_no_key_has_two_meanings_on_a_page(page: Page) -> None:
    names = [name for key in KEYS if page in key.where for name in key.keys]
    assert len(names) == len(set(names)) == len(bindings(page))


def test_help_names_every_key_and_every_command() -> None:
    text = "\n".join(help_lines())
    for key in KEYS:
        assert key.help in text
        assert all(shown_key(name) in text for name in key.keys)
    for word in WORDS:
        assert f":{word.name}" in text


def test_a_filter_becomes_the_master_s_request() -> None:
    fields = job_fields("state:failed,canceled queue:live age:<1h label:show=a 4K60", now_s=10_000.0)
    assert fields == {
        "states": (JobState.FAILED, JobState.CANCELED),
        "queues": (Queue.LIVE,),
        "created_after": 6_400.0,
        "labels": {"show": "a"},
        "text": "4K60",
    }
    assert node_fields("status:busy gpu:no rack") == {"statuses": ("busy",), "gpu": False, "text": "rack"}


@pytest.mark.parametrize("text", ["state:faild", "colour:red", "age:1h", "age:<soon", "state:", "label:x"])
def test_a_filter_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        job_fields(text, now_s=0.0)


def test_sorting_by_submit_shows_the_newest_first_and_others_what_counts() -> None:
    query = Query(JOB_SORTS)
    assert not list_jobs(query, "r").oldest_first
    query.turned = True
    assert list_jobs(query, "r").oldest_first
    query.sort, query.turned = "energy", False
    assert list_jobs(query, "r").descending
    query.sort = "eta"
    assert not list_jobs(query, "r").descending


def test_ids_are_written_so_that_the_commands_read_them_back() -> None:
    ids = [f"job-{number:06d}" for number in (3, 4, 5, 9, 11, 12)]
    assert numbers(ids) == "3-5,9,11-12"
    assert expand([numbers(ids)]).jobs == ("3", "4", "5", "9", "11", "12")
    assert numbers(ids[:1]) == "job-000003"


def test_completion_goes_as_far_as_it_is_certain() -> None:
    assert complete("can", {}) == "cancel"
    assert complete("fil", {}) == "filter "
    assert complete("re", {}) == "re"
    assert complete("sort en", {"sort": JOB_SORTS}) == "sort energy"


def test_filter_is_completed_field_by_field_and_value_by_value() -> None:
    values = {"state": ["failed", "canceled", "completed"], "node": ["w-07", "w-12"]}
    for typed, completed in (
        ("st", "state:"),
        ("4K60 st", "4K60 state:"),
        ("state:f", "state:failed"),
        ("state:failed,can", "state:failed,canceled"),
        ("state:c", "state:c"),
        ("node:w", "node:w-"),
        ("colour:r", "colour:r"),
        ("x", "x"),
    ):
        assert complete_filter(typed, ("state", "node", "age"), values) == completed


def test_lines_are_as_wide_as_they_should_be_whatever_is_in_them() -> None:
    assert plain(fit_line([("", "ab"), ("x", "cdef")], 4)) == "abc~"
    assert plain(fit_line([("", "ab")], 4)) == "ab  "
    assert pad("日本語", 4) == "日~ "
    assert pad("7", 3, right=True) == "  7"
    assert fold("abcdefg", 3) == ["abc", "def", "g"]
    assert fold("a日本語b", 4) == ["a日", "本語", "b"]
    assert fold("abc", None) == ["abc"]
    assert [ending("worker-12", room) for room in (9, 6, 1, 0)] == ["worker-12", "~er-12", "~", ""]


def test_drawings() -> None:
    assert bar(50, 10) == "[####....]"
    assert bar(None, 4) == "[..]"
    assert bar(500, 4) == "[##]"
    assert sparkline([0, 1, 2, 3], 10) == " .:|"
    assert sparkline([], 10) == ""
    assert [age(seconds) for seconds in (8, 720, 7_300, 200_000)] == ["8s", "12m", "2h", "2d"]


@pytest.mark.parametrize(
    ("environ", "depth"),
    [
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 2**24),
        ({"TERM": "xterm"}, 16),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, 1),
        ({"TERM": "vt100"}, 1),
        ({}, 1),
    ],
)
def test_depth_of_colour(environ: dict[str, str], depth: int) -> None:
    assert depth_for(environ) == depth


def test_themes_come_from_a_file_and_what_they_leave_out_is_as_in_dark(tmp_path: Path) -> None:
    path = tmp_path / "themes.toml"
    path.write_text('[sea.bad]\nfg = "light magenta"\n')
    (theme,) = read_themes(path).values()
    assert {style.name: style.fg for style in theme}["bad"] == "light magenta"
    assert [style.name for style in theme] == [style.name for style in DARK]
    assert set(THEMES) == {"dark", "light"}


@pytest.mark.parametrize(
    "text", ["x = 1", "[a.bda]\nfg='red'", "[a.bad]\nfront='red'", "[a.bad]\nfg=3", "[a]\nbad=1", "["]
)
def test_a_theme_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "themes.toml"
    path.write_text(text)
    with pytest.raises(Failure, match=r"themes\.toml"):
        read_themes(path)


# ── tables that come in parts ─────────────────────────────────────────────────────────────────────────────────────


def parts(*, number: int, size: int = 100) -> Table[str]:
    """Return a table that was read in parts; the cursor of each is the last row before it."""
    made: Table[str] = Table(str)
    for part in range(number):
        rows = [f"{at:04d}" for at in range(part * size, (part + 1) * size)]
        cursor = None if part == 0 else f"{part * size - 1:04d}"
        if part == 0:
            made.show(rows, total=9_999, next_cursor=rows[-1])
        else:
            made.extend(rows, total=9_999, next_cursor=rows[-1], cursor=cursor)
    return made


def test_what_is_looked_at_is_read_anew_and_what_is_behind_it_is_dropped() -> None:
    rows = parts(number=5)
    rows.move(250)
    rows.window(20)
    cursor, limit = rows.reads(100)
    assert (cursor, limit) == ("0199", 150)
    rows.age()
    rows.show([f"{at:04d}" for at in range(200, 350)], total=9_999, next_cursor="0349", cursor=cursor)
    assert rows.fresh
    assert (len(rows), rows.selected, rows.place, rows.next_cursor) == (350, "0250", 250, "0349")
    rows.move(-250)
    rows.window(20)
    assert rows.reads(100) == (None, 100)
    # The first part is as old as it was.
    assert bool(rows.fresh) is False


def test_answer_that_is_late_changes_nothing() -> None:
    rows = parts(number=2)
    rows.extend(["x"], total=1, next_cursor=None, cursor="0050")
    rows.show(["y"], total=1, cursor="0777")
    assert (len(rows), rows.total) == (200, 9_999)


def test_list_may_begin_inside_and_at_its_true_beginning_again() -> None:
    rows = parts(number=2)
    rows.begin("0500", ["0501"])
    assert (rows.selected, rows.begins_inside, rows.reads(10)) == ("0501", True, ("0500", 100))
    rows.show(["0501", "0502"], total=9_999, cursor="0500")
    assert (rows.rows, rows.selected) == (["0501", "0502"], "0501")
    rows.begin(None)
    rows.show(["0000"], total=9_999)
    assert (rows.rows, rows.begins_inside) == (["0000"], False)


def test_row_that_moved_to_a_later_part_is_not_there_twice() -> None:
    rows = parts(number=2)
    rows.extend(["0003", "0200"], total=9_999, next_cursor=None, cursor="0199")
    assert rows.rows.count("0003") == 1
    assert rows.rows[-1] == "0200"

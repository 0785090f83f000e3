"""Whole screens, as they are to look. ``python -m tests.console.golden`` writes them anew."""

import pytest

from ffrtmp_tui.console.app import View
from ffrtmp_tui.console.screens import text_of
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.vocabulary import FailureClass
from tests.console import golden
from tests.console.desk import Desk
from tests.master.house import House


@pytest.mark.parametrize("name", golden.SCREENS)
def test_screen_is_as_kept(name: str) -> None:
    size, scene = golden.SCREENS[name]
    kept = golden.path(name).read_text(encoding="utf-8")
    assert golden.shown(golden.staged(scene), *size) == kept


def test_no_screen_is_kept_that_no_scene_shows() -> None:
    assert {path.stem for path in golden.FOLDER.glob("*.txt")} == set(golden.SCREENS)


@pytest.mark.parametrize("name", [name for name in golden.SCREENS if "160x45" in name or "80x24" in name])
def test_widget_draws_a_kept_screen_with_this_urwid(name: str) -> None:
    size, scene = golden.SCREENS[name]
    desk = golden.staged(scene)
    canvas = View(desk.console, lambda: desk.now).render(size, True)
    drawn = "".join(f"{line.decode().rstrip()}\n" for line in canvas.text)
    assert drawn == golden.path(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("size", [(1, 1), (20, 3), (79, 24), (80, 23), (80, 24), (139, 50), (140, 35), (300, 100)])
@pytest.mark.parametrize(
    "keys",
    [(), ("?",), ("n",), ("2",), ("3",), ("4",), ("5",), ("l", "w", "t"), (" ", "c"), (" ", " ", "c"), (":", "x")],
)
def test_screen_fills_any_size_exactly(desk: Desk, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    desk.press(*keys)
    lines = desk.text(*size).split("\n")
    assert len(lines) == size[1]
    assert {len(line) for line in lines} == {size[0]}


def test_places_of_rows_and_pages_are_known(desk: Desk) -> None:
    drawn = desk.draw(160, 45)
    row = next(at for at, key in drawn.rows.items() if key == "job-000004")
    assert drawn.key_at(3, row) == "job-000004"
    assert drawn.key_at(150, row) is None
    page = drawn.tabs[1]
    assert drawn.page_at(page[1], page[0]) == "nodes"


def test_what_a_node_or_a_job_calls_itself_cannot_move_the_cursor(desk: Desk) -> None:
    desk.state.connection.problem = "bad \x1b[2Jthing"
    desk.away = True
    desk.state.connection.missed("bad \x1b[2Jthing", desk.now.mono_s)
    assert "\x1b" not in desk.text()


def test_texts_are_folded_to_the_screen(house: House) -> None:
    house.worker("w-07")
    house.submit(JobSpec(scenario="720p30-h264"))
    house.workers[0].hear()
    house.workers[0].fail("job-000001", FailureClass.PERMANENT, f"input: {'/srv/deep' * 20}: no such file or folder")
    desk = Desk(house)
    desk.wait(1.0)
    desk.press("e")
    for size in ((80, 24), (160, 45), (40, 12)):
        assert "no such file or folder" in " ".join(desk.text(*size).split())


def test_of_what_is_longer_than_its_line_the_end_is_seen(desk: Desk) -> None:
    desk.press("/", *"label:x=", *"a" * 100, *"end")
    drawn = desk.draw()
    assert text_of(drawn)[22].rstrip().endswith("aaend")
    assert drawn.cursor == (79, 22)
    desk.press("esc", "n", "down", *"/srv/", *"b" * 100, *"end.mov")
    assert "bbend.mov_" in desk.text()
    assert "--input" in desk.text()
    assert "bbend.mov\n" in desk.text().replace(" ", "")


@pytest.mark.parametrize("rows", [24, 45])
@pytest.mark.parametrize("key", ["1", "2", "3", "5"])
def test_no_title_of_a_column_is_cut_at_any_width(desk: Desk, key: str, rows: int) -> None:
    desk.press(key)
    desk.wait(1.0)
    for columns in range(80, 221):
        drawn = desk.draw(columns, rows)
        titles = [text for line in drawn.lines for style, text in line if style == "title"]
        assert titles
        assert not any("~" in text for text in titles), columns
        if key == "1":
            assert {"VMAF", "STATE", "NODE"} <= set(titles[0].split())
            assert ("AGE" in titles[0]) == (columns >= 140 and rows >= 35)
            assert ("ENERGY" in titles[0]) == (columns >= 159 and rows >= 35)

"""A terminal below 80x24: what keys act on is seen there too."""

import pytest

from ffrtmpd.wire.messages.acts import Cancel
from tests.console.desk import Desk
from tests.console.golden import LOG

SIZES = [(60, 5), (79, 24), (80, 23), (40, 8), (40, 2)]


def top(desk: Desk, size: tuple[int, int]) -> str:
    return desk.text(*size).split("\n")[0].rstrip()


@pytest.mark.parametrize("size", SIZES)
def test_each_page_shows_its_own_rows(desk: Desk, size: tuple[int, int]) -> None:
    for key, shown in (("2", ">w-07 busy 1/1 slots"), ("3", "QUEUE"), ("4", "job-00000"), ("5", ">job-000002 failed")):
        desk.press(key)
        desk.wait(1.0)
        assert shown in desk.text(*size)
    desk.press("1")
    assert ">job-000006 queued" in desk.text(*size)


@pytest.mark.parametrize("size", [*SIZES, (40, 1)])
def test_form_is_seen_with_what_is_wrong_and_what_is_typed(desk: Desk, size: tuple[int, int]) -> None:
    desk.press("n", "enter")
    assert ">scenario" in desk.text(*size)
    assert "scenario: missing" in desk.text(*size)
    desk.press("up", "down", "down")
    desk.type("/srv/in/" + "x" * 90 + "end.mov")
    assert "end.mov_" in desk.text(*size)
    desk.press("up", "up")
    assert ">vmaf" in desk.text(*size)
    assert "< off >" in desk.text(*size)


@pytest.mark.parametrize("size", [*SIZES, (40, 1)])
def test_texts_and_the_log_are_seen_and_move(desk: Desk, size: tuple[int, int]) -> None:
    desk.logs["job-000003"] = LOG
    desk.press("?")
    assert "Keys" in desk.text(*size)
    desk.press(*["down"] * 3)
    assert "show the nodes" in desk.text(*size)
    desk.press("esc", "down", "down", "down", "l")
    desk.wait(2.0)
    assert "frame=8710" in desk.text(*size)
    desk.press("/", *"8710")
    assert "find 8710" in desk.text(*size)


@pytest.mark.parametrize("size", [*SIZES, (60, 1)])
def test_what_is_wrong_with_what_was_typed_is_told(desk: Desk, size: tuple[int, int]) -> None:
    desk.press(":", *"bogus", "enter")
    assert ":bogus" in desk.text(*size)
    assert "there is no command" in desk.text(*size)
    desk.press("esc", "/", *"state:xx", "enter")
    assert "xx' is not one of" in desk.text(*size).replace("\n", " ")


@pytest.mark.parametrize("size", SIZES)
def test_marks_are_shown(desk: Desk, size: tuple[int, int]) -> None:
    desk.press(" ", " ", "up")
    text = desk.text(*size)
    assert "2 marked" in text
    assert "+job-000005" in text
    desk.press("esc", "V", "down")
    assert "2 marked" in desk.text(*size)
    assert "+job-000004" in desk.text(*size)


def test_question_is_read_whole_and_where_it_cannot_be_nothing_is_done(desk: Desk) -> None:
    desk.press("c")
    assert "cancel job-000006 on prod; y confirms, Esc aborts" in " ".join(desk.text(30, 5).split())
    desk.draw(30, 1)
    desk.press("y")
    assert "needs 80x24" in (desk.state.prompt.problem if desk.state.prompt else "")
    assert not any(isinstance(request, Cancel) for request in desk.asked)
    desk.draw(30, 2)
    desk.press("y")
    assert any(isinstance(request, Cancel) for request in desk.asked)


def test_a_click_selects_the_row_that_is_seen(desk: Desk) -> None:
    desk.press("2")
    drawn = desk.draw(60, 5)
    assert drawn.key_at(3, 2) == "w-12"
    desk.press("?")
    assert desk.draw(60, 5).rows == {}


def test_line_tells_that_the_screen_stands_still_and_what_is_filtered(desk: Desk) -> None:
    desk.press("z", "/", *"4K60", "enter", "down")
    assert "FROZEN" in top(desk, (70, 5))
    assert "not yet: /4K60" in top(desk, (70, 5))

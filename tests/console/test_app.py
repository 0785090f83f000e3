"""The one widget, as urwid sees it: with the oldest urwid that is supported and with the newest."""

import pytest
import urwid

from ffrtmp_tui.console.app import View, entries
from ffrtmp_tui.console.palette import DARK, THEMES
from tests.console.desk import Desk


def test_widget_draws_the_screen(desk: Desk) -> None:
    view = View(desk.console, lambda: desk.now)
    canvas = view.render((80, 24), True)
    assert (canvas.cols(), canvas.rows()) == (80, 24)
    assert [line.decode() for line in canvas.text] == desk.text().split("\n")


def test_widget_hands_keys_on_and_shows_the_cursor_of_what_is_typed(desk: Desk) -> None:
    view = View(desk.console, lambda: desk.now)
    view.render((80, 24), True)
    for key in (":", "q", "u"):
        view.keypress((80, 24), key)
    canvas = view.render((80, 24), True)
    assert canvas.cursor == (3, 22)
    assert canvas.text[22].startswith(b":qu ")


def test_mouse_selects_rows_opens_pages_and_scrolls(desk: Desk) -> None:
    view = View(desk.console, lambda: desk.now)
    size = (80, 24)
    view.render(size, True)
    row = next(at for at, key in view.drawn.rows.items() if key == "job-000004")
    assert view.mouse_event(size, "mouse press", 1, 5, row, True)
    assert desk.state.jobs.selected == "job-000004"
    view.mouse_event(size, "mouse press", 5, 5, row, True)
    assert desk.state.jobs.selected == "job-000001"
    assert not view.mouse_event(size, "mouse release", 0, 5, row, True)
    at, first, _, _ = view.drawn.tabs[1]
    view.mouse_event(size, "mouse press", 1, first, at, True)
    assert desk.state.page == "nodes"


@pytest.mark.parametrize("keys", [("c",), ("/", "4"), (":",), ("n", "x"), ("l", "/")])
def test_mouse_changes_nothing_under_what_is_typed_or_asked(desk: Desk, keys: tuple[str, ...]) -> None:
    view = View(desk.console, lambda: desk.now)
    size = (80, 24)
    desk.press(*keys)
    view.render(size, True)
    before = desk.text()
    at, first, _, _ = view.drawn.tabs[1]
    view.mouse_event(size, "mouse press", 1, first, at, True)
    for row in range(size[1]):
        view.mouse_event(size, "mouse press", 1, 5, row, True)
        view.mouse_event(size, "mouse press", 5, 5, row, True)
    assert desk.text() == before
    assert desk.state.jobs.selected == "job-000006"


def test_every_style_is_one_that_urwid_takes_at_every_depth() -> None:
    for depth in (1, 16, 88, 256, 2**24):
        for theme in THEMES.values():
            for name, fg, bg, mono, high_fg, high_bg in entries(theme):
                if depth == 1:
                    spec = urwid.AttrSpec(mono, "default", 1)
                elif depth == 16:
                    spec = urwid.AttrSpec(fg, bg, 16)
                else:
                    spec = urwid.AttrSpec(high_fg or fg, high_bg or bg, depth)
                assert spec is not None, name


def test_a_screen_uses_only_styles_of_the_palette(desk: Desk) -> None:
    known = {style.name for style in DARK} | {""}
    for keys in ((), ("?",), ("esc", "n"), ("esc", "2"), ("4",), ("1", " ", "c")):
        desk.press(*keys)
        for size in ((80, 24), (160, 45), (40, 5)):
            assert {style for line in desk.draw(*size).lines for style, _ in line} <= known

"""What is pasted is text: it reaches what is typed, and never the keys."""

import pytest

from ffrtmp_tui.console.keymap import KEYS
from ffrtmp_tui.console.paste import Paste
from ffrtmpd.wire.messages.acts import Cancel
from tests.console.desk import Desk


def keys(text: str) -> list[str]:
    """Return the keys that a terminal makes of a text."""
    return [{"\n": "enter", "\t": "tab"}.get(letter, letter) for letter in text]


def paste(desk: Desk, text: str) -> None:
    desk.press("begin paste", *keys(text), "end paste")


def canceled(desk: Desk) -> bool:
    return any(isinstance(request, Cancel) for request in desk.asked)


@pytest.mark.parametrize("text", ["clip.mov\n", "cy", "c\n", "q", "*c6\n", "n\n", "2D\ny"])
@pytest.mark.parametrize("at", [(), ("2",), ("l",), ("?",)])
def test_pasted_text_is_no_key_of_any_page(desk: Desk, at: tuple[str, ...], text: str) -> None:
    desk.press(*at)
    before = (desk.state.page, desk.state.log_full, set(desk.state.jobs.marks))
    paste(desk, text)
    state = desk.state
    assert (state.page, state.log_full, state.jobs.marks) == before
    assert (state.prompt, state.plan, state.form) == (None, None, None)
    assert not state.leaving
    assert not canceled(desk)
    assert "only where text is typed" in desk.text()


def test_every_key_of_the_table_works_again_behind_it(desk: Desk) -> None:
    paste(desk, "".join(name for key in KEYS for name in key.keys if len(name) == 1))
    desk.press("2")
    assert desk.state.page == "nodes"


def test_pasted_text_confirms_nothing(desk: Desk) -> None:
    desk.press("c")
    paste(desk, "y\n")
    desk.press("enter")
    assert "y or Esc" in desk.text()
    desk.press("esc", " ", " ", "c")
    paste(desk, "2\n")
    assert desk.state.plan is not None
    desk.press("enter")
    assert not canceled(desk)
    assert desk.state.plan is not None


def test_enter_behind_a_refused_key_confirms_nothing(desk: Desk) -> None:
    # As a terminal without bracketed paste hands on a name that is pasted.
    desk.press(*keys("clip.mov\n"))
    assert not canceled(desk)
    assert desk.state.plan is not None
    desk.press("y")
    assert canceled(desk)


def test_pasted_text_goes_where_text_is_typed(desk: Desk) -> None:
    desk.press("/")
    paste(desk, "state:failed\n")
    desk.press("enter")
    assert desk.state.job_query.text == "state:failed"
    desk.press("esc", "n", "down")
    paste(desk, "/srv/in/a\tb.mov\n\n")
    assert desk.state.form is not None
    assert desk.state.form.values["input"] == "/srv/in/a b.mov"
    assert not desk.state.form.sent
    desk.press("down", "down")
    before = dict(desk.state.form.values)
    paste(desk, "   ")
    assert desk.state.form.values == before


def test_lines_that_are_pasted_become_one() -> None:
    taken = Paste()
    assert [taken.take(key) for key in ("begin paste", *keys("a\n\nb "), "up", "f1")] == [""] * 8
    assert taken.take("end paste") == "a b "
    assert taken.take("a") is None


@pytest.mark.parametrize("end", [("esc", *"[201~"), ("meta [", *"201~"), ("end paste",)])
def test_end_that_came_in_pieces_is_the_end(end: tuple[str, ...]) -> None:
    taken = Paste()
    for key in ("begin paste", *"a[201", *end[:-1]):
        assert taken.take(key) == ""
    assert taken.take(end[-1]) == "a[201"
    assert taken.take("c") is None


def test_ctrl_c_leads_out_of_a_paste_whose_end_was_lost(desk: Desk) -> None:
    desk.press("begin paste", *"abc", "ctrl c")
    assert desk.state.leaving

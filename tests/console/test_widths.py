"""Text that terminals, urwid and the encoding count differently: a row is as wide as the screen all the same."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import urwid
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ffrtmp_tui.console.app import View, encoded
from ffrtmp_tui.fit import width
from ffrtmpd.wire.messages.jobs import JobSpec
from tests.console.desk import Desk
from tests.master.house import House

HEXAGRAMS = "".join(chr(0x4DC0 + number) for number in range(12))
ACUTE = "e\u0301"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
PATHS = {
    "hexagrams": f"/srv/{HEXAGRAMS}/{'x' * 60}.mov",
    "decomposed": f"/srv/{ACUTE * 70}.mov",
    "families": f"/srv/{FAMILY * 30}.mov",
}
ENCODINGS = ("utf8", "ascii", "euc-jp")
# Letters that join, hexagrams, flags, syllables in pieces, drawing characters, shifts to others, half a letter.
HARD = f"a {ACUTE}{HEXAGRAMS}{FAMILY}\U0001f1e9\ufe0f\u1100\u1161\u2500\x0e\x0f\x1b\u6f22\u0915\u093f\ud800"
TEXTS = st.text(max_size=40) | st.text(HARD, max_size=40)
LINES = st.lists(st.tuples(st.sampled_from(("", "selected", "bad")), TEXTS), max_size=6)


@contextmanager
def encoding(name: str) -> Iterator[None]:
    """Let urwid write for a terminal of an encoding."""
    before = urwid.util._target_encoding
    urwid.set_encoding(name)
    try:
        yield
    finally:
        urwid.set_encoding(before)


@pytest.mark.parametrize("name", ENCODINGS)
def test_any_line_becomes_a_row_of_exactly_the_width_of_the_screen(name: str) -> None:
    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(LINES, st.integers(1, 100))
    @example([("", HEXAGRAMS * 4)], 80)
    @example([("", "\u6f22" * 41)], 81)
    @example([("", ACUTE * 80)], 80)
    @example([("", "00\u1160"), ("", "\u093e")], 2)
    def holds(line: list[tuple[str, str]], room: int) -> None:
        raw, runs, charsets = encoded(line, room)
        assert urwid.calc_width(raw, 0, len(raw)) == room
        # Whether the runs fit is for the canvas to judge; the screen draws from its content.
        canvas = urwid.TextCanvas([raw], [runs], [charsets], maxcol=room)
        assert b"".join(piece for row in canvas.content() for _, _, piece in row) == raw

    with encoding(name):
        holds()


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("size", [(80, 24), (160, 45), (60, 5)])
def test_job_with_any_path_is_shown(house: House, name: str, path: str, size: tuple[int, int]) -> None:
    house.submit(JobSpec(scenario="480p30-h264", input=path))
    desk = Desk(house)
    desk.wait(1.0)
    with encoding(name):
        for keys in ((), ("5",), ("1", "e"), ("esc", "n", "down", *path)):
            desk.press(*keys)
            canvas = View(desk.console, lambda: desk.now).render(size, True)
            assert {urwid.calc_width(line, 0, len(line)) for line in canvas.text} == {size[0]}


def test_cells_are_those_of_most_terminals() -> None:
    assert width("\u6f22\u5b57") == 4
    assert width(HEXAGRAMS) == 2 * len(HEXAGRAMS)
    assert width(ACUTE) == 1
    assert width("\u1100\u1161\u11a8") == 2
    assert width("\u2764\ufe0f") == 1
    assert width("naïve") == 5

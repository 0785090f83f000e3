"""The shell in urwid: keys and answers go to the model, screens come from it."""

import base64
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import urwid

from ffrtmp_tui.console.client import Client
from ffrtmp_tui.console.feed import EVERY_S
from ffrtmp_tui.console.model import Console
from ffrtmp_tui.console.palette import Style
from ffrtmp_tui.console.screens import Screen, screen
from ffrtmp_tui.console.state import Now
from ffrtmp_tui.console.text import Line
from ffrtmp_tui.failures import Failure
from ffrtmp_tui.terminal import clean

T = TypeVar("T")

# It moved in urwid 2.4.
_raw: Any = urwid.display.raw if hasattr(urwid, "display") else urwid.raw_display

# A filter that rests and a selection that rests are asked about a moment later.
SOON_S: Final = 0.1
# After Esc so long is waited for the rest of another key, such as an arrow's: it comes in one piece with its Esc.
ESC_S: Final = 0.01
# A terminal whose window is closed, or that is told to stop, must not be left in the console's modes.
_ENDS: Final = (signal.SIGTERM, signal.SIGHUP)
# Bracketed paste.
_PASTE_ON: Final = "\x1b[?2004h"
_PASTE_OFF: Final = "\x1b[?2004l"
_WHEEL: Final = {4: -3, 5: 3}


def real_now() -> Now:
    """Return this moment."""
    return Now(time.monotonic(), time.time())


class View(urwid.Widget):
    """The whole screen as one widget: one pre-formatted text a row, drawn only for the rows that are seen."""

    _sizing = frozenset(["box"])
    _selectable = True

    def __init__(self, console: Console, now: Callable[[], Now], after: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._console = console
        self._now = now
        self._after = after
        self.drawn = Screen()

    def render(self, size: tuple[int, int], focus: bool = False) -> Any:
        """Return the canvas."""
        self.drawn = screen(self._console.state, size, self._now())
        text, attr, charsets = [], [], []
        for line in self.drawn.lines:
            raw, runs, charset = encoded(line, size[0])
            text.append(raw)
            attr.append(runs)
            charsets.append(charset)
        return urwid.TextCanvas(text, attr, charsets, cursor=self.drawn.cursor, maxcol=size[0])

    def get_cursor_coords(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """Return where the cursor stands."""
        return self.drawn.cursor

    def keypress(self, size: tuple[int, int], key: str) -> None:
        """Hand a key on."""
        self._console.key(key, self._now())
        self.changed()

    def mouse_event(self, size: tuple[int, int], event: str, button: int, col: int, row: int, focus: bool) -> bool:
        """Select what is clicked, and move with the wheel."""
        if "press" not in event:
            return False
        now = self._now()
        if button in _WHEEL:
            self._console.scroll(_WHEEL[button], now)
        elif (page := self.drawn.page_at(col, row)) is not None:
            self._console.open_page(page, now)
        elif (key := self.drawn.key_at(col, row)) is not None:
            self._console.click(key, now)
        self.changed()
        return True

    def refresh(self) -> None:
        """Draw anew: time has passed."""
        self._invalidate()

    def changed(self) -> None:
        """Draw anew, and send what is to be sent."""
        self._invalidate()
        self._after()


class _Screen(_raw.Screen):
    """The terminal, asked to tell what is pasted from what is typed: not every urwid does so."""

    def _start(self, *args: Any, **kwargs: Any) -> None:
        super()._start(*args, **kwargs)
        self.write(_PASTE_ON)

    def _stop(self) -> None:
        self.write(_PASTE_OFF)
        super()._stop()


class App:
    """The console on a terminal."""

    def __init__(
        self,
        console: Console,
        client: Client,
        *,
        themes: "dict[str, tuple[Style, ...]]",
        depth: int,
        now: Callable[[], Now] = real_now,
    ) -> None:
        self._console = console
        self._client = client
        self._themes = themes
        self._theme = ""
        self._now = now
        self._screen = _Screen()
        self._screen.set_terminal_properties(colors=depth)
        self._screen.set_input_timeouts(complete_wait=ESC_S)
        self.view = View(console, now, self._stir)
        self._loop = urwid.MainLoop(self.view, screen=self._screen, handle_mouse=True)
        self._soon: Any = None
        self._code = 0

    def run(self) -> int:
        """Run until it is left, and return the exit code; the terminal is as before afterwards, also after a crash."""
        for number in _ENDS:
            signal.signal(number, self._told_to_end)
        self._loop.watch_file(self._client.fileno(), self._answers)
        self._paint()
        self._stir()
        self._loop.set_alarm_in(EVERY_S, self._beat)
        while True:
            try:
                self._loop.run()
            except KeyboardInterrupt:
                # A prompt is left by it, as by Esc; without one it leaves the console.
                self._console.key("ctrl c", self._now())
                if self._console.state.leaving:
                    return self._code
            else:
                return self._code

    def _told_to_end(self, number: int, frame: Any) -> None:
        # As a shell reports it of a program that did not catch it.
        self._code = 128 + number
        self._console.state.leaving = True
        raise urwid.ExitMainLoop

    def _beat(self, loop: Any, data: Any) -> None:
        self._stir()
        self.view.refresh()
        self._loop.set_alarm_in(EVERY_S, self._beat)

    def _answers(self) -> None:
        now = self._now()
        for ask, answer in self._client.receive():
            if isinstance(answer, Failure):
                self._console.missed(ask, answer, now)
            else:
                self._console.heard(ask, answer, now)
        self.view.changed()

    def _stir(self) -> None:
        if self._console.state.leaving:
            raise urwid.ExitMainLoop
        for ask in self._console.tick(self._now()):
            self._client.send(ask)
        if self._console.state.theme != self._theme:
            self._paint()
        if self._console.state.yanked is not None:
            self._screen.write(clipboard(self._console.state.yanked))
            self._console.state.yanked = None
        if self._soon is None:
            self._soon = self._loop.set_alarm_in(SOON_S * 2.5, self._later)

    def _later(self, loop: Any, data: Any) -> None:
        self._soon = None
        for ask in self._console.tick(self._now()):
            self._client.send(ask)

    def _paint(self) -> None:
        self._theme = self._console.state.theme
        self._screen.register_palette(entries(self._themes[self._theme]))
        self._screen.clear()


def clipboard(text: str) -> str:
    """Return what makes a terminal put ``text`` on its clipboard: OSC 52, also through ssh."""
    return f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07"


def entries(styles: Iterable[Style]) -> list[tuple[str, str, str, str, str | None, str | None]]:
    """Return styles as urwid's palette takes them."""
    return [(style.name, style.fg, style.bg, style.mono, style.fg_high, style.bg_high) for style in styles]


def encoded(line: Line, room: int) -> tuple[bytes, list[tuple[str | None, int]], list[tuple[Any, int]]]:
    """Return a row as urwid takes it: bytes, and runs of styles and of character sets over them.

    urwid counts cells by tables of its own, and what the terminal's encoding lacks becomes other characters: by its
    count the row gets exactly ``room`` cells here, for it refuses to draw what it takes for wider.
    """
    raw = b""
    runs: list[tuple[str | None, int]] = []
    charsets: list[tuple[Any, int]] = []
    for style, text in line:
        part, charset = urwid.util.apply_target_encoding(str(clean(text)))
        raw += part
        charsets += charset
        if part:
            runs.append((style or None, len(part)))
    if len(raw) == room and raw.isascii():
        return raw, runs, charsets
    end, wanted = len(raw), room
    # Its measure and its cut differ where letters join, by a cell or two.
    while (cells := urwid.calc_width(raw, 0, end)) > room:
        end, _ = urwid.calc_text_pos(raw, 0, end, wanted)
        wanted -= 1
    return raw[:end] + b" " * (room - cells), _until(runs, end), _until(charsets, end)


def _until(runs: Iterable[tuple[T, int]], end: int) -> list[tuple[T, int]]:
    """Return runs over the first ``end`` bytes only."""
    kept = []
    for what, length in runs:
        if end > 0:
            kept.append((what, min(length, end)))
        end -= length
    return kept

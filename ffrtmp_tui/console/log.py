"""A job's log as far as it is here: its lines, when each was seen, where it is looked at, and what is found. Pure."""

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from ffrtmp_tui.console.text import fold
from ffrtmp_tui.terminal import clean_lines
from ffrtmpd.wire.messages.inquiries import LogsReply

LINES_MAX: Final = 20_000


@dataclass(slots=True)
class Log:
    """Lines of one attempt's log, oldest first.

    Attributes:
        lines: without what a terminal would obey.
        seen_at: Unix seconds at which a line was first read; None for those that were there before the console looked.
        first, onward: bytes of the log at which the lines here begin, and at which to go on reading.
        top: the first line shown; None: the end is followed.
        hit: the line that a search found last.
        sought: a text that was looked for before there was a line; it is found when they come.
    """

    lines: list[str] = field(default_factory=list)
    seen_at: list[float | None] = field(default_factory=list)
    first: int = 0
    onward: int | None = None
    attempt: int = 0
    ended: bool = False
    note: str = ""
    asked_s: float | None = None
    top: int | None = None
    hit: int | None = None
    sought: str = ""
    # Counted once for a text, and not at each look at the screen.
    _counted: tuple[str, int, int] | None = None
    _places: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many lines are shown: the one that is being written counts once something is in it."""
        return len(self.lines) - (1 if self.lines and not self.lines[-1] else 0)

    def take(self, reply: LogsReply, now_s: float) -> None:
        """Take in a piece that follows what is here, or the first one."""
        begun = self.onward is not None
        if not begun:
            self.first = reply.offset
        self.note, self.attempt, self.onward, self.ended = "", reply.attempt, reply.next_offset, reply.end
        if not reply.text:
            return
        # What an encoder says may hold what a hostile input says; the terminal must not obey it.
        fresh = clean_lines(reply.text).split("\n")
        if self.lines:
            self.lines[-1] += fresh.pop(0)
            if self.lines[-1] and self.seen_at[-1] is None and begun:
                self.seen_at[-1] = now_s
        self.lines += fresh
        self.seen_at += [now_s if begun else None] * len(fresh)
        self._drop(len(self.lines) - LINES_MAX)
        if self.sought and self.count:
            self.find(self.sought, 1)
            self.sought = ""

    def put_before(self, reply: LogsReply) -> None:
        """Take in a piece that ends where what is here begins."""
        if reply.attempt != self.attempt or reply.next_offset != self.first or not reply.text:
            return
        older = clean_lines(reply.text).split("\n")
        # The first line here was cut where its piece began.
        joined = older.pop() + (self.lines[0] if self.lines else "")
        self.lines = [*older, joined, *self.lines[1:]]
        self.seen_at = [*[None] * len(older), *self.seen_at]
        self.first = reply.offset
        if self.top is not None:
            self.top += len(older)
        if self.hit is not None:
            self.hit += len(older)

    def _drop(self, number: int) -> None:
        if number > 0:
            del self.lines[:number], self.seen_at[:number]
            # What was dropped is not fetched again.
            self.first = 0
            self.top = None if self.top is None else max(0, self.top - number)
            self.hit = None if self.hit is None or self.hit < number else self.hit - number

    def scroll(self, steps: int, room: int) -> None:
        """Move by lines; the end is followed again where it is reached."""
        last = max(0, self.count - room)
        at = (last if self.top is None else min(self.top, last)) + steps
        self.top = None if at >= last else max(0, at)

    def find(self, text: str, step: int) -> bool:
        """Go to the next line with ``text`` (step 1) or the one before (step -1), around the end; tell if there is one.

        From the end that is followed, the last one is the first to be found.
        """
        wanted, count = text.lower(), self.count
        if not wanted or not count:
            return False
        start = self.hit if self.hit is not None else (self.top or 0) - 1 if self.top is not None else count
        if self.hit is None and self.top is None:
            step = -1
        for distance in range(1, count + 1):
            at = (start + step * distance) % count
            if wanted in self.lines[at].lower():
                self.hit = at
                return True
        self.hit = None
        return False

    def matches(self, text: str) -> tuple[int, int]:
        """Return which of the lines with ``text`` was found last, from 1, 0 for none, and how many there are."""
        known = (text, self.count, self.first)
        if known != self._counted:
            wanted = text.lower()
            self._counted = known
            self._places = [at for at in range(self.count) if wanted in self.lines[at].lower()] if wanted else []
        if self.hit is None:
            return 0, len(self._places)
        return bisect_right(self._places, self.hit), len(self._places)

    def window(self, room: int, width: int | None = None) -> list[tuple[int, str]]:
        """Return number and text of the rows that ``room`` rows show; with ``width`` long lines are folded."""
        rows = self._rows(room, width)
        for lead in (room // 2, 0):
            if self.hit is None or any(at == self.hit for at, _ in rows):
                break
            self.top = max(0, self.hit - lead)
            rows = self._rows(room, width)
        return rows

    def tail(self, room: int, width: int | None = None) -> list[tuple[int, str]]:
        """Return number and text of the last ``room`` rows."""
        back = ((at, part) for at in range(self.count - 1, -1, -1) for part in reversed(fold(self.lines[at], width)))
        return list(islice(back, room))[::-1]

    def _rows(self, room: int, width: int | None) -> list[tuple[int, str]]:
        if self.top is None:
            return self.tail(room, width)
        forward = ((at, part) for at in range(self.top, self.count) for part in fold(self.lines[at], width))
        return list(islice(forward, room))

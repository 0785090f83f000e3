"""Rows that the master filtered and sorted, as far as they are here. Selection and marks follow ids. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

# Rows that are read anew behind the selected one.
AHEAD: Final = 100
READ_MAX: Final = 1_000


@dataclass(slots=True)
class _Part:
    """Rows that came in one answer: where they begin, the cursor they were asked with, and whether they are as new."""

    at: int
    cursor: str | None
    fresh: bool = True


class Table(Generic[T]):
    """Rows by id, one of them selected, any number marked.

    They come in parts, each asked for with the cursor of the one before. What is looked at is read anew from the start
    of its part; what is behind it is dropped then, and fetched again when someone goes there: so an answer never holds
    more than what is looked at, however far down that is. ``answered``: the master has told what there is.

    ``total`` is how many there are at the master, at least as many if ``partial``; ``next_cursor`` is the way to those
    behind the last row here. ``about`` names filter and order of what is here.
    """

    def __init__(self, key: Callable[[T], str]) -> None:
        self._key = key
        self.rows: list[T] = []
        self.total = 0
        self.partial = False
        self.answered = False
        self.next_cursor: str | None = None
        self.marks: set[str] = set()
        self.about = ""
        self.selected: str | None = None
        self.top = 0
        self._place = 0
        self._index: dict[str, int] = {}
        self._parts: list[_Part] = [_Part(0, None, fresh=False)]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def place(self) -> int:
        """Where the selected row stands; the last place it had where it is gone."""
        if self.selected is not None and self.selected in self._index:
            self._place = self._index[self.selected]
        self._place = max(0, min(self._place, len(self.rows) - 1))
        return self._place

    @property
    def current(self) -> T | None:
        """The selected row."""
        return self.get(self.selected)

    def get(self, key: str | None) -> T | None:
        """Return the row of that id, None where it is not here."""
        at = None if key is None else self._index.get(key)
        return None if at is None else self.rows[at]

    # ── what the master tells ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def fresh(self) -> bool:
        """Whether nothing has become old of what is looked at."""
        return self._looked_at().fresh

    def reads(self, least: int) -> tuple[str | None, int]:
        """Return cursor and limit that read what is looked at anew, ``least`` rows or more."""
        part = self._looked_at()
        return part.cursor, min(READ_MAX, max(least, self.place - part.at + AHEAD))

    def age(self) -> None:
        """Take all rows for old: others have come, or some have moved."""
        for part in self._parts:
            part.fresh = False

    def show(
        self,
        rows: Sequence[T],
        *,
        total: int,
        next_cursor: str | None = None,
        cursor: str | None = None,
        partial: bool = False,
    ) -> None:
        """Put rows that were asked for with ``cursor`` in the place of all from there on; else of all there are."""
        place = self.place
        number = next((number for number, part in enumerate(self._parts) if part.cursor == cursor), None)
        if number is None:
            # The list is another one by now.
            return
        del self._parts[number + 1 :]
        part = self._parts[number]
        part.fresh = self.answered = True
        for row in self.rows[part.at :]:
            self._index.pop(self._key(row), None)
        del self.rows[part.at :]
        self._append(rows)
        self.total, self.next_cursor, self.partial = total, next_cursor, partial
        if self.selected not in self._index:
            self._place = max(0, min(place, len(self.rows) - 1))
            self.selected = self._key(self.rows[self._place]) if self.rows else None

    def extend(
        self, rows: Sequence[T], *, total: int, next_cursor: str | None, cursor: str | None, partial: bool = False
    ) -> None:
        """Put rows behind the last one, if they were asked for with the way to those."""
        if cursor != self.next_cursor:
            return
        if rows and self.rows:
            self._parts.append(_Part(len(self.rows), cursor))
        self._append(rows)
        self.total, self.next_cursor, self.partial = total, next_cursor, partial
        if self.selected is None and self.rows:
            self.selected = self._key(self.rows[0])

    def put_before(self, rows: Sequence[T], *, cursor: str | None) -> None:
        """Put rows before the first one; ``cursor`` leads to them, None where nothing else is before them."""
        if rows:
            self.rows[:0] = rows
            self._index = {self._key(row): at for at, row in enumerate(self.rows)}
            for part in self._parts:
                part.at += len(rows)
            self._parts.insert(0, _Part(0, cursor))
            # What is looked at stays where it is.
            self.top += len(rows)
        else:
            self._parts[0].cursor = cursor

    def begin(self, cursor: str | None, rows: Sequence[T] | None = None) -> None:
        """Let the list begin behind ``cursor``, None for its true beginning; until it is read, ``rows`` are all of it.

        Without ``rows`` those that are here stay until then.
        """
        self._parts = [_Part(0, cursor, fresh=False)]
        if rows is not None:
            self.rows, self._index, self.top = [], {}, 0
            self._append(rows)
            self.selected = self._key(self.rows[0]) if self.rows else None

    @property
    def begins_inside(self) -> bool:
        """Whether there may be rows before the first one here."""
        return self._parts[0].cursor is not None

    def update(self, row: T) -> bool:
        """Replace a row that is here; tell whether it is."""
        at = self._index.get(self._key(row))
        if at is None:
            return False
        self.rows[at] = row
        return True

    # ── what keys do ──────────────────────────────────────────────────────────────────────────────────────────────

    def move(self, steps: int) -> None:
        """Select the row ``steps`` further down, or up."""
        if self.rows:
            at = max(0, min(self.place + steps, len(self.rows) - 1))
            self._place, self.selected = at, self._key(self.rows[at])

    def select(self, key: str) -> bool:
        """Select a row by its id; tell whether it is here."""
        if key not in self._index:
            return False
        self.selected = key
        return True

    def toggle(self) -> None:
        """Mark the selected row, or take its mark away."""
        if self.selected is not None and self.selected in self._index:
            self.marks ^= {self.selected}

    def mark(self, keys: Iterable[str]) -> None:
        """Mark rows by id, whether they are here or not."""
        self.marks.update(keys)

    def between(self, one: str, other: str) -> list[str]:
        """Return the ids from one row to another, both with it; nothing where one is gone."""
        if one not in self._index or other not in self._index:
            return []
        first, last = sorted((self._index[one], self._index[other]))
        return [self._key(row) for row in self.rows[first : last + 1]]

    def targets(self) -> list[str]:
        """Return the ids that an action is about: the marked ones, else the selected one."""
        if self.marks:
            return sorted(self.marks)
        return [self.selected] if self.selected is not None and self.selected in self._index else []

    def window(self, room: int) -> list[T]:
        """Return the rows that ``room`` lines show, the selected one among them."""
        place = self.place
        room = max(1, room)
        if place < self.top:
            self.top = place
        elif place >= self.top + room:
            self.top = place - room + 1
        self.top = max(0, min(self.top, len(self.rows) - room))
        return self.rows[self.top : self.top + room]

    def _looked_at(self) -> _Part:
        # A list that is not drawn has no top.
        at = max(min(self.top, self.place), self.place - READ_MAX // 2)
        return next(part for part in reversed(self._parts) if part.at <= at or part.at == 0)

    def _append(self, rows: Iterable[T]) -> None:
        for row in rows:
            key = self._key(row)
            if key not in self._index:
                self._index[key] = len(self.rows)
                self.rows.append(row)

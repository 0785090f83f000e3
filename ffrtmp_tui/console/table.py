"""A window of rows that the master filtered and sorted. Selection and marks follow ids, never places. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Table(Generic[T]):
    """Rows by id, one of them selected, any number marked.

    ``total`` is how many there are at the master, ``next_cursor`` the way to those behind the last row here.
    """

    def __init__(self, key: Callable[[T], str]) -> None:
        self._key = key
        self.rows: list[T] = []
        self.total = 0
        self.next_cursor: str | None = None
        self.marks: set[str] = set()
        self.selected: str | None = None
        self.top = 0
        self._place = 0
        self._index: dict[str, int] = {}

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
        """Return the row of that id, None where it is not in the window."""
        at = None if key is None else self._index.get(key)
        return None if at is None else self.rows[at]

    def show(self, rows: Sequence[T], *, total: int, next_cursor: str | None = None) -> None:
        """Put other rows into the window."""
        place = self.place
        self.rows = list(rows)
        self.total, self.next_cursor = total, next_cursor
        self._number()
        if self.selected not in self._index:
            self._place = max(0, min(place, len(self.rows) - 1))
            self.selected = self._key(self.rows[self._place]) if self.rows else None

    def extend(self, rows: Sequence[T], *, total: int, next_cursor: str | None) -> None:
        """Put more rows behind the last one."""
        for row in rows:
            key = self._key(row)
            if key in self._index:
                self.rows[self._index[key]] = row
            else:
                self._index[key] = len(self.rows)
                self.rows.append(row)
        self.total, self.next_cursor = total, next_cursor

    def update(self, row: T) -> bool:
        """Replace a row that is in the window; tell whether it is."""
        at = self._index.get(self._key(row))
        if at is None:
            return False
        self.rows[at] = row
        return True

    def move(self, steps: int) -> None:
        """Select the row ``steps`` further down, or up."""
        if self.rows:
            at = max(0, min(self.place + steps, len(self.rows) - 1))
            self._place, self.selected = at, self._key(self.rows[at])

    def select(self, key: str) -> bool:
        """Select a row by its id; tell whether it is in the window."""
        if key not in self._index:
            return False
        self.selected = key
        return True

    def toggle(self) -> None:
        """Mark the selected row, or take its mark away."""
        if self.selected is not None and self.selected in self._index:
            self.marks ^= {self.selected}

    def mark(self, keys: Iterable[str]) -> None:
        """Mark rows by id, whether they are in the window or not."""
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

    def _number(self) -> None:
        self._index = {self._key(row): at for at, row in enumerate(self.rows)}

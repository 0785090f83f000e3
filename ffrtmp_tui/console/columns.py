"""What columns of any table on a screen share: how wide each is, and the line of their titles. Pure."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ffrtmp_tui.console.text import Line, pad


class Column(Protocol):
    """One column: its title, its cells, and its share of what is over on a wide screen."""

    @property
    def title(self) -> str:
        """What stands above it."""

    @property
    def room(self) -> int:
        """Its cells at least."""

    @property
    def grows(self) -> int:
        """Its share; 0: it stays as it is."""

    @property
    def rank(self) -> int:
        """Which is left out first where there is no room for all: the highest; 0: never."""


C = TypeVar("C", bound=Column)


def fitting(columns: Sequence[C], width: int) -> tuple[C, ...]:
    """Return the columns that a line of ``width`` has room for."""
    kept = list(columns)
    leaving = sorted((column for column in columns if column.rank), key=lambda column: -column.rank)
    while leaving and 1 + sum(column.room for column in kept) > width:
        kept.remove(leaving.pop(0))
    return tuple(kept)


def rooms(columns: Sequence[Column], width: int) -> list[int]:
    """Return the cells of each column on a line of ``width``; what is over goes to those that grow."""
    over = max(0, width - 1 - sum(column.room for column in columns))
    shares = sum(column.grows for column in columns)
    return [column.room + (over * column.grows // shares if column.grows else 0) for column in columns]


def title_line(columns: Sequence[Column], width: int) -> Line:
    """Return the line of titles."""
    cells = zip(columns, rooms(columns, width), strict=True)
    return [("title", " " + "".join(pad(column.title, room) for column, room in cells))]

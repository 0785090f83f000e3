"""Making a table fit a terminal: what is written shorter, what is cut, what is left out, in this order. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.record import record

ABSENT: Final = "-"


@record
class Column:
    """A column of a list.

    ``name`` is its name in CSV, ``get`` takes the value from a row (None: not known), ``show`` writes it for people.
    Without a ``title`` it stands in CSV only, without a ``name`` in tables only. ``wide`` columns are for those who ask
    for them, a ``sparse`` one for lists in which a row has a value.

    The rest is for a terminal that is too narrow: ``short_title`` and ``brief`` are a title and a writing that take
    less room, ``least`` is how many cells must be left when text is cut (None: it never is), ``fold`` has text go on
    below instead, and the columns with the highest ``rank`` are left out first (0: never).
    """

    title: str
    name: str
    get: Callable[[Any], Any]
    show: Callable[[Any], str] = str
    wide: bool = False
    right: bool = False
    sparse: bool = False
    short_title: str | None = None
    brief: Callable[[Any], str] | None = None
    least: int | None = None
    fold: bool = False
    rank: int = 0


class Shown:
    """A column as it is shown: its title, and its cells from top to bottom. Lines of a folded cell end in newlines."""

    def __init__(self, column: Column, title: str, cells: list[str]) -> None:
        self.column = column
        self.title = title
        self.cells = cells

    @property
    def empty(self) -> bool:
        """Whether nothing is known in it."""
        return all(cell == ABSENT for cell in self.cells)

    @property
    def room(self) -> int:
        """The cells that it takes."""
        return max(width(self.title), *(width(line) for cell in self.cells for line in cell.split("\n")), 1)

    @property
    def least(self) -> int:
        """The cells that it must have."""
        return self.room if self.column.least is None else min(self.room, max(self.column.least, width(self.title)))

    def limit(self, room: int, ellipsis: str) -> None:
        """Cut or fold the cells to ``room``."""
        shorten = fold if self.column.fold else _cutter(ellipsis)
        self.cells = [shorten(cell, room) for cell in self.cells]


def lay_out(columns: Sequence[Column], rows: Iterable[Any], *, wide: bool = False) -> list[Shown]:
    """Return the columns to show, with every text in full."""
    kept = list(rows)
    shown = [
        Shown(column, column.title, [_cell(column.show, column.get(row)) for row in kept])
        for column in columns
        if column.title and (wide or not column.wide)
    ]
    return [each for each in shown if wide or not (each.column.sparse and each.empty)]


def fit(
    shown: Sequence[Shown], rows: Iterable[Any], room: int, *, gap: int = 2, edge: int = -2, ellipsis: str = "…"
) -> list[Shown]:
    """Return ``shown`` made to fit into ``room`` cells, or as narrow as it can be.

    Args:
        shown: of `lay_out`.
        rows: the same as there.
        room: cells of a line.
        gap: cells between columns.
        edge: cells that a line has beyond its columns, each counted with its gap.
        ellipsis: the sign that stands for what was cut.
    """

    def over(columns: Sequence[Shown], taken: Callable[[Shown], int]) -> int:
        return sum(taken(each) + gap for each in columns) + edge - room

    if over(shown, _room) <= 0:
        return list(shown)
    kept_rows = list(rows)
    # The titles that people know stay as long as they can.
    kept = [each if each.column.short_title else _brief(each, kept_rows) for each in shown]
    if over(kept, _room) <= 0:
        return kept
    kept = [_brief(each, kept_rows) for each in shown]
    leaving = sorted((each for each in kept if each.column.rank), key=lambda each: -each.column.rank)
    # Where nothing is known nothing is lost.
    for each in [each for each in leaving if each.empty]:
        if over(kept, _room) > 0:
            kept.remove(each)
            leaving.remove(each)
    while leaving and over(kept, lambda each: each.least) > 0:
        kept.remove(leaving.pop(0))
    wanted = [each.room for each in kept]
    least = [each.least for each in kept]
    for _ in range(over(kept, _room)):
        at = max(range(len(kept)), key=lambda at: wanted[at] if wanted[at] > least[at] else 0)
        if wanted[at] <= least[at]:
            break
        wanted[at] -= 1
    for each, cells in zip(kept, wanted, strict=True):
        if cells < each.room:
            each.limit(cells, ellipsis)
    return kept


def cut(text: str, room: int, ellipsis: str = "…") -> str:
    """Return ``text`` in at most ``room`` cells, with ``ellipsis`` for what is left out."""
    if width(text) <= room:
        return text
    kept, taken = [], width(ellipsis)
    for letter in text:
        taken += width(letter)
        if taken > room:
            break
        kept.append(letter)
    return "".join(kept).rstrip() + ellipsis


def fold(text: str, room: int) -> str:
    """Return ``text`` in lines of at most ``room`` cells, broken between words where that is possible."""
    if width(text) <= room:
        return text
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width(joined) <= room:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if width(lines[-1]) + width(letter) > room:
                lines.append("")
            lines[-1] += letter
    return "\n".join(line.rstrip() for line in lines)


def width(text: str) -> int:
    """Return the cells that ``text`` takes on most terminals: as the C library's ``wcwidth`` counts them."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(letter: str) -> int:
    import unicodedata

    # The middle and the end of a Korean syllable are drawn into the cells of its beginning.
    if (
        unicodedata.category(letter) in ("Mn", "Me", "Cf")
        or "\u1160" <= letter <= "\u11ff"
        or "\ud7b0" <= letter <= "\ud7fb"
    ):
        return 0
    # Unicode calls the hexagrams wide from its version 16 on; terminals have drawn them so for longer.
    return 2 if unicodedata.east_asian_width(letter) in "WF" or "\u4dc0" <= letter <= "\u4dff" else 1


def _room(shown: Shown) -> int:
    return shown.room


def _brief(shown: Shown, rows: Sequence[Any]) -> Shown:
    column = shown.column
    cells = [_cell(column.brief, column.get(row)) for row in rows] if column.brief else shown.cells
    return Shown(column, column.short_title or column.title, cells)


def _cutter(ellipsis: str) -> Callable[[str, int], str]:
    return lambda text, room: cut(text, room, ellipsis)


def _cell(show: Callable[[Any], str], value: Any) -> str:
    return ABSENT if value is None or value == () else clean(show(value))

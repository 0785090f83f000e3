"""From replies to text: aligned columns, boxes, sheets of fields, JSON, CSV. Pure: no stream is touched here."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.schema import to_full

# Grows when a field of the JSON output changes its meaning or goes; new fields may come at any time.
JSON_VERSION: Final = 1
ABSENT: Final = "-"

Paint = Callable[[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a list.

    ``name`` is its name in CSV, ``get`` takes the value from a row (None: not known), ``show`` writes it for people.
    """

    title: str
    name: str
    get: Callable[[Any], Any]
    show: Callable[[Any], str] = str
    wide: bool = False
    right: bool = False


def no_paint(word: str, text: str) -> str:  # noqa: ARG001
    """Leave ``text`` as it is."""
    return text


def table(columns: Sequence[Column], rows: Iterable[Any], *, wide: bool = False, paint: Paint = no_paint) -> str:
    """Return aligned columns, two spaces apart, with their titles above."""
    shown = [column for column in columns if wide or not column.wide]
    cells = [[_cell(column, row) for column in shown] for row in rows]
    widths = [
        max(len(column.title), *(width(line[at]) for line in cells)) if cells else len(column.title)
        for at, column in enumerate(shown)
    ]
    lines = ["  ".join(_pad(column.title, widths[at], column.right) for at, column in enumerate(shown)).rstrip()]
    for line in cells:
        padded = [
            paint(line[at], _pad(line[at], widths[at], column.right))
            if line[at] != ABSENT
            else _pad(ABSENT, widths[at], column.right)
            for at, column in enumerate(shown)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def boxed(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, unicode: bool = True, paint: Paint = no_paint
) -> str:
    """Return a table drawn with lines; without ``titles``, rows only."""
    every = [list(titles), *rows] if titles else list(rows)
    widths = [max(width(row[at]) for row in every) for at in range(len(every[0]))]
    top, middle, bottom, bar = _rules(widths, unicode)

    def line(row: Sequence[str], colours: Paint) -> str:
        return bar + bar.join(f" {colours(cell, _pad(cell, widths[at], False))} " for at, cell in enumerate(row)) + bar

    head = [line(titles, no_paint), middle] if titles else []
    return "\n".join([top, *head, *(line(row, paint) for row in rows), bottom]) + "\n"


def sheet(fields: Sequence[tuple[str, str | None]], *, box: bool, unicode: bool, paint: Paint = no_paint) -> str:
    """Return fields one below the other: boxed for a person, ``Name:  value`` otherwise."""
    pairs = [(title, ABSENT if text is None else clean(text)) for title, text in fields]
    if box:
        return boxed(("Field", "Value"), pairs, unicode=unicode, paint=paint)
    room = max(len(title) for title, _ in pairs) + 1
    return "".join(f"{title + ':':<{room}}  {paint(text, text)}".rstrip() + "\n" for title, text in pairs)


def json_text(payload: dict[str, Any]) -> str:
    """Return ``payload`` as a JSON document that names its version."""
    return json.dumps({"version": JSON_VERSION, **payload}, ensure_ascii=False, indent=2) + "\n"


def jsonl_text(rows: Iterable[Any]) -> str:
    """Return one JSON object a line."""
    return "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows)


def csv_text(columns: Sequence[Column], rows: Iterable[Any]) -> str:
    """Return CSV with a header; every column, and nothing where nothing is known."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([_raw(column.get(row)) for column in columns])
    return text.getvalue()


def plain(row: Any) -> Any:
    """Return a message as maps, lists and scalars with every field present."""
    return row if isinstance(row, dict) else to_full(row)


def width(text: str) -> int:
    """Return the cells that ``text`` takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _cell(column: Column, row: Any) -> str:
    value = column.get(row)
    return ABSENT if value is None or value == () else clean(column.show(value))


def _raw(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ";".join(str(entry) for entry in value)
    return str(value)


def _pad(text: str, room: int, right: bool) -> str:
    gap = " " * (room - width(text))
    return gap + text if right else text + gap


def _rules(widths: Sequence[int], unicode: bool) -> tuple[str, str, str, str]:
    if not unicode:
        rule = "+" + "+".join("-" * (room + 2) for room in widths) + "+"
        return rule, rule, rule, "|"

    def rule_of(left: str, cross: str, right: str) -> str:
        return left + cross.join("─" * (room + 2) for room in widths) + right

    return rule_of("┌", "┬", "┐"), rule_of("├", "┼", "┤"), rule_of("└", "┴", "┘"), "│"

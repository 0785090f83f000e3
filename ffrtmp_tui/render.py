"""From replies to text: aligned columns, boxes, sheets of fields, JSON, CSV. Pure: no stream is touched here."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ffrtmp_tui.fit import ABSENT, Column, Shown, fit, fold, lay_out, width
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.schema import to_full

# Grows when a field of the JSON output changes its meaning or goes; new fields may come at any time.
JSON_VERSION: Final = 1
# A line of a box has two bars and two blanks for each column and one bar more; of a value, this much is never folded.
BOX_GAP: Final = 3
VALUE_LEAST: Final = 20

Paint = Callable[[str, str], str]


def no_paint(word: str, text: str) -> str:  # noqa: ARG001
    """Leave ``text`` as it is."""
    return text


def table(
    columns: Sequence[Column],
    rows: Iterable[Any],
    *,
    wide: bool = False,
    room: int | None = None,
    unicode: bool = True,
    paint: Paint = no_paint,
) -> str:
    """Return aligned columns, two spaces apart, with their titles above; made to fit into ``room`` cells, if given."""
    kept = list(rows)
    shown = lay_out(columns, kept, wide=wide)
    if room is not None:
        shown = fit(shown, kept, room, ellipsis=_ellipsis(unicode))
    widths = [each.room for each in shown]

    def line(cells: Sequence[str], words: Sequence[str] | None) -> str:
        padded = [_pad(cell, widths[at], shown[at].column.right) for at, cell in enumerate(cells)]
        if words is not None:
            padded = [text if word == ABSENT else paint(word, text) for word, text in zip(words, padded, strict=True)]
        return "  ".join(padded).rstrip()

    lines = [line([each.title for each in shown], None)]
    for cells in _rows(shown):
        lines += [line(part, cells) for part in _parts(cells)]
    return "\n".join(lines) + "\n"


def box_table(columns: Sequence[Column], rows: Iterable[Any], *, room: int | None = None, unicode: bool = True) -> str:
    """Return a table drawn with lines, made to fit into ``room`` cells, if given."""
    kept = list(rows)
    shown = lay_out(columns, kept)
    if room is not None:
        shown = fit(shown, kept, room, gap=BOX_GAP, edge=1, ellipsis=_ellipsis(unicode))
    return boxed([each.title for each in shown], _rows(shown), unicode=unicode)


def boxed(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, unicode: bool = True, paint: Paint = no_paint
) -> str:
    """Return a table drawn with lines; a cell may have several."""
    every = [list(titles), *rows]
    widths = [max(width(line) for row in every for line in row[at].split("\n")) for at in range(len(titles))]
    top, middle, bottom, bar = _rules(widths, unicode)

    def line(part: Sequence[str], words: Sequence[str], colours: Paint) -> str:
        cells = (f" {colours(words[at], _pad(cell, widths[at], False))} " for at, cell in enumerate(part))
        return bar + bar.join(cells) + bar

    lines = [line(part, row, paint) for row in rows for part in _parts(row)]
    return "\n".join([top, line(titles, titles, no_paint), middle, *lines, bottom]) + "\n"


def sheet(
    fields: Sequence[tuple[str, str | None]],
    *,
    box: bool,
    unicode: bool,
    room: int | None = None,
    paint: Paint = no_paint,
) -> str:
    """Return fields one below the other: boxed for a person, ``Name:  value`` otherwise.

    In a box, values are folded so that it fits into ``room`` cells, if given.
    """
    pairs = [(title, ABSENT if text is None else clean(text)) for title, text in fields]
    room_of_titles = max(len(title) for title, _ in pairs)
    if box:
        if room is not None:
            for_value = max(VALUE_LEAST, room - room_of_titles - 2 * BOX_GAP - 1)
            pairs = [(title, fold(text, for_value)) for title, text in pairs]
        return boxed(("Field", "Value"), pairs, unicode=unicode, paint=paint)
    return "".join(f"{title + ':':<{room_of_titles + 1}}  {paint(text, text)}".rstrip() + "\n" for title, text in pairs)


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
    named = [column for column in columns if column.name]
    writer.writerow([column.name for column in named])
    for row in rows:
        writer.writerow([_raw(column.get(row)) for column in named])
    return text.getvalue()


def plain(row: Any) -> Any:
    """Return a message as maps, lists and scalars with every field present."""
    return row if isinstance(row, dict) else to_full(row)


def _rows(shown: Sequence[Shown]) -> list[tuple[str, ...]]:
    return list(zip(*(each.cells for each in shown), strict=True))


def _parts(row: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the lines of a row, whose cells may have several each."""
    if not any("\n" in cell for cell in row):
        return [tuple(row)]
    from itertools import zip_longest

    return list(zip_longest(*(cell.split("\n") for cell in row), fillvalue=""))


def _ellipsis(unicode: bool) -> str:
    return "…" if unicode else "~"


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

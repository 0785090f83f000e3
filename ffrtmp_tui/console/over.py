"""What lies over a page: the form, and texts such as the help. Pure."""

from typing import Final

from ffrtmp_tui.console.form import FIELDS, Form
from ffrtmp_tui.console.state import Overlay
from ffrtmp_tui.console.text import Line, ending, fold, fold_words

# Before a value: the sign of the field that is being filled, and its name.
_NAME: Final = 10


def overlay_lines(overlay: Overlay, columns: int, room: int) -> list[Line]:
    """Return as much of a text as there is room for, from where it was moved to."""
    rows = (row for line in overlay.lines[overlay.top :] for row in fold_words(line, columns))
    return [[("", row)] for row, _ in zip(rows, range(room), strict=False)]


def form_lines(form: Form, columns: int) -> list[Line]:
    """Return every field, the command that does the same, and what is wrong."""
    lines: list[Line] = [_field_line(form, at, columns) for at in range(len(FIELDS))]
    lines += [[], *[[("dim", piece)] for piece in fold(f"= {form.command()}", columns)]]
    return [*lines, *form_told(form, columns)]


def form_told(form: Form, columns: int) -> list[Line]:
    """Return that it was sent, and what is wrong with it."""
    lines: list[Line] = [[("busy", "sent ...; Esc leaves it")]] if form.sent else []
    if form.problem:
        lines += [[("bad", piece)] for piece in fold_words(form.problem, columns)]
    return lines


def small_form_lines(form: Form, columns: int, room: int) -> list[Line]:
    """Return the field that is being filled, with those around it and what is wrong as far as there is room."""
    if room == 1:
        # What is typed is seen before all else.
        name, value, hint = _field_line(form, form.at, columns)
        return [[name, value, ("bad", f"  {form.problem}") if form.problem else hint]]
    told = form_told(form, columns)[: room - 1]
    shown = room - len(told)
    first = max(0, min(form.at - shown // 2, len(FIELDS) - shown))
    return [*(_field_line(form, at, columns) for at in range(len(FIELDS))[first : first + shown]), *told]


def _field_line(form: Form, at: int, columns: int) -> Line:
    entry, here = FIELDS[at], at == form.at
    value = form.values[entry.name]
    # Of a long one the end, where one types.
    shown = f"< {value} >" if entry.choices else ending(value, columns - _NAME - 3) + ("_" if here else "")
    return [
        ("selected" if here else "", f"{'>' if here else ' '}{entry.name:<{_NAME}}"),
        ("", f" {shown}"),
        ("dim", f"   {entry.help}" if here and entry.help else ""),
    ]

"""Lines of a screen as styled pieces of text, and the small drawings that stand in them. Pure, ASCII only."""

from collections.abc import Iterable, Sequence
from typing import Final

from ffrtmp_tui import fit
from ffrtmp_tui.fit import cut, width

# A style's name in the palette ("" is plain) and the text in it.
Segment = tuple[str, str]
Line = list[Segment]

_LEVELS: Final = " .:|"


def pad(text: str, room: int, *, right: bool = False) -> str:
    """Return ``text`` in exactly ``room`` cells."""
    shown = text if len(text) <= room and text.isascii() else cut(text, room, "~") if room > 0 else ""
    gap = " " * (room - (len(shown) if shown.isascii() else width(shown)))
    return gap + shown if right else shown + gap


def ending(text: str, room: int) -> str:
    """Return ``text`` in at most ``room`` cells, its end kept: names of nodes differ there."""
    if width(text) <= room:
        return text
    while text and width(text) > room - 1:
        text = text[1:]
    return f"~{text}" if room > 0 else ""


def fit_line(line: Iterable[Segment], room: int) -> Line:
    """Return ``line`` in exactly ``room`` cells: what is beyond is cut, what is missing is blank."""
    fitted: Line = []
    for style, text in line:
        if room <= 0:
            break
        cells = len(text) if text.isascii() else width(text)
        fitted.append((style, text if cells <= room else pad(text, room)))
        room -= cells
    if room > 0:
        fitted.append(("", " " * room))
    return fitted


def plain(line: Iterable[Segment]) -> str:
    """Return a line without its styles."""
    return "".join(text for _, text in line)


def bar(percent: float | None, room: int, *, brackets: bool = True) -> str:
    """Return ``[####....]`` of ``room`` cells; unknown is empty."""
    inner = max(0, room - 2 if brackets else room)
    full = 0 if percent is None else max(0, min(inner, int(inner * percent / 100)))
    drawn = "#" * full + "." * (inner - full)
    return f"[{drawn}]" if brackets else drawn


def sparkline(values: Sequence[float], room: int) -> str:
    """Return the last ``room`` values as heights between zero and the highest of them."""
    shown = list(values)[-room:]
    top = max(shown, default=0.0)
    if top <= 0:
        return ""
    return "".join(_LEVELS[min(3, int(3 * max(0.0, value) / top + 0.5))] for value in shown)


def age(seconds: float) -> str:
    """Return ``8s``, ``12m``, ``3h`` or ``4d``: at most four cells below a thousand days."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def rule(room: int, left: str, right: str = "") -> str:
    """Return ``-- left ---------- right --``."""
    head = f"-- {left} " if left else ""
    tail = f" {right} --" if right else ""
    return pad(head + "-" * max(0, room - width(head) - width(tail)) + tail, room)


def fold_words(text: str, room: int) -> list[str]:
    """Return ``text`` in lines of at most ``room`` cells, parted between words where that can be."""
    return fit.fold(text, room).split("\n")


def fold(text: str, room: int | None) -> list[str]:
    """Return ``text`` in pieces of at most ``room`` cells; whole without a room."""
    if room is None or width(text) <= room:
        return [text]
    room = max(2, room)
    if text.isascii():
        return [text[at : at + room] for at in range(0, len(text), room)]
    pieces, cells = [""], 0
    for character in text:
        wide = width(character)
        if cells + wide > room:
            pieces.append("")
            cells = 0
        pieces[-1] += character
        cells += wide
    return pieces

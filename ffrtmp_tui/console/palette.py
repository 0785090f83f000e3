"""The console's colours as a table: one row a style, one column a depth of colour; and themes from a file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ffrtmp_tui.failures import Failure, did_you_mean, usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How text of one meaning looks: with 16 colours, without any, and with 256 or more.

    Colours are named as urwid names them: ``light red``, ``h208``, ``#d75``. A state is always also a word, so nothing
    is lost without colours.
    """

    name: str
    fg: str = "default"
    bg: str = "default"
    mono: str = "default"
    fg_high: str | None = None
    bg_high: str | None = None


DARK: Final = (
    Style(name="header", fg="white", bg="dark blue", mono="standout", fg_high="#fff", bg_high="#006"),
    Style(name="title", fg="light cyan", mono="bold", fg_high="#8df"),
    Style(name="rule", fg="dark gray", fg_high="g50"),
    Style(name="tab", fg="black", bg="light gray", mono="standout", fg_high="#000", bg_high="#aaa"),
    Style(name="selected", fg="black", bg="dark cyan", mono="standout", fg_high="#fff", bg_high="#068"),
    Style(name="marked", fg="yellow", mono="bold", fg_high="#fd0"),
    Style(name="good", fg="light green", fg_high="#8f8"),
    Style(name="busy", fg="light cyan", fg_high="#6df"),
    Style(name="waits", fg="brown", fg_high="#da6"),
    Style(name="bad", fg="light red", mono="bold", fg_high="#f66"),
    Style(name="ended", fg="light magenta", fg_high="#c9f"),
    Style(name="dim", fg="dark gray", fg_high="g58"),
    Style(name="key", fg="yellow", mono="bold", fg_high="#fd6"),
    Style(name="alert", fg="white", bg="dark red", mono="standout", fg_high="#fff", bg_high="#a00"),
    Style(name="found", fg="black", bg="brown", mono="underline", fg_high="#000", bg_high="#fd0"),
)
_LIGHT: Final[dict[str, dict[str, str]]] = {
    "title": {"fg": "dark blue", "fg_high": "#006"},
    "rule": {"fg": "dark gray", "fg_high": "g66"},
    "marked": {"fg": "dark magenta", "fg_high": "#a06"},
    "good": {"fg": "dark green", "fg_high": "#060"},
    "busy": {"fg": "dark blue", "fg_high": "#06a"},
    "bad": {"fg": "dark red", "fg_high": "#a00"},
    "ended": {"fg": "dark magenta", "fg_high": "#808"},
    "dim": {"fg": "dark gray", "fg_high": "g46"},
    "key": {"fg": "dark blue", "fg_high": "#00a"},
}
LIGHT: Final = tuple(replace(style, **_LIGHT.get(style.name, {})) for style in DARK)
THEMES: Final[dict[str, tuple[Style, ...]]] = {"dark": DARK, "light": LIGHT}

STATE_STYLES: Final[dict[str, str]] = {
    "completed": "good",
    "processing": "busy",
    "assigned": "busy",
    "pending": "waits",
    "queued": "",
    "paused": "waits",
    "failed": "bad",
    "canceled": "ended",
    "active": "good",
    "busy": "busy",
    "draining": "waits",
    "offline": "bad",
}
_FIELDS: Final = ("fg", "bg", "mono", "fg_high", "bg_high")


def depth_for(environ: Mapping[str, str], *, no_colour: bool = False) -> int:
    """Return how many colours the terminal is taken to have: 1, 16, 256 or 2²⁴."""
    term = environ.get("TERM", "")
    if no_colour or environ.get("NO_COLOR") or term in ("", "dumb") or term.startswith("vt"):
        return 1
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return 2**24
    return 256 if "256color" in term or "direct" in term else 16


def read_themes(path: Path) -> dict[str, tuple[Style, ...]]:
    """Return the themes of a TOML file: a table a theme, in it a table a style, whatever it leaves out as in ``dark``.

    Raises:
        Failure: it cannot be read, or names a style or a field that there is not.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise usage(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise usage(f"{path} is not TOML: {error}") from None
    return {name: _theme(path, name, table) for name, table in document.items()}


def _theme(path: Path, name: str, table: object) -> tuple[Style, ...]:
    if not isinstance(table, dict):
        raise usage(f"{path}: {name} is not a table of styles")
    known = [style.name for style in DARK]
    for style, fields in table.items():
        if style not in known:
            raise _unknown(path, f"{name}.{style}", "style", style, known)
        if not isinstance(fields, dict):
            raise usage(f"{path}: {name}.{style} is not a table of colours")
        for field, colour in fields.items():
            if field not in _FIELDS:
                raise _unknown(path, f"{name}.{style}.{field}", "field", field, _FIELDS)
            if not isinstance(colour, str):
                raise usage(f"{path}: {name}.{style}.{field} is not the name of a colour")
    return tuple(replace(style, **table.get(style.name, {})) for style in DARK)


def _unknown(path: Path, where: str, what: str, word: str, known: "list[str] | tuple[str, ...]") -> Failure:
    return usage(f"{path}: {where}: there is no {what} {word!r}{did_you_mean(word, known)}")

"""Settings files: TOML read into a dataclass whose annotations say what each key is for.

The same annotations make the documented sample in ``conf/``, so the two cannot drift apart.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from ffrtmpd.wire.schema import FieldInfo, SchemaError, fields_of, from_plain

S = TypeVar("S")


class SettingsError(Exception):
    """A settings file cannot be used; the message names the file, the key and the way out."""


def load(cls: type[S], paths: Iterable[Path], overrides: Mapping[str, Any] | None = None) -> S:
    """Read ``paths`` in order, later ones winning key by key, then apply ``overrides`` (sections of keys).

    A path that does not exist is passed over; a folder stands for its ``*.toml`` in order of name.

    Raises:
        SettingsError: unreadable file, bad TOML, unknown key, wrong value.
    """
    merged: dict[str, Any] = {}
    for path in _files(paths):
        document = _read(path)
        _refuse_unknown(cls, document, "", path)
        _merge(merged, document)
        _build(cls, merged, str(path))
    _merge(merged, overrides or {})
    return _build(cls, merged, "command line")


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob("*.toml"))
        elif path.exists():
            yield path


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def _refuse_unknown(cls: type, document: Mapping[str, Any], prefix: str, path: Path) -> None:
    known = {info.name: info for info in fields_of(cls)}
    for key, value in document.items():
        info = known.get(key)
        if info is None:
            near = difflib.get_close_matches(key, known, n=1)
            meant = f"; did you mean {prefix}{near[0]}?" if near else f"; known: {', '.join(sorted(known))}"
            raise SettingsError(f"{path}: unknown key {prefix}{key}{meant}")
        if dataclasses.is_dataclass(info.type) and isinstance(info.type, type) and isinstance(value, dict):
            _refuse_unknown(info.type, value, f"{prefix}{key}.", path)
        elif get_origin(info.type) is dict and dataclasses.is_dataclass(get_args(info.type)[1]):
            for name, entry in value.items() if isinstance(value, dict) else ():
                if isinstance(entry, dict):
                    _refuse_unknown(get_args(info.type)[1], entry, f"{prefix}{key}.{name}.", path)


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _build(cls: type[S], merged: Mapping[str, Any], source: str) -> S:
    try:
        return from_plain(cls, dict(merged))
    except SchemaError as error:
        raise SettingsError(f"{source}: {error}") from None


def sample(cls: type, title: str) -> str:
    """Return a documented settings file in which every key stands, commented out, with its default."""
    lines = [f"# {line}".rstrip() for line in title.splitlines()]
    for section in fields_of(cls):
        lines += _section(section, section.name)
    return "\n".join(lines) + "\n"


def _section(section: FieldInfo, name: str) -> list[str]:
    lines = ["", f"# {section.help[:1].upper()}{section.help[1:]}.", f"[{name}]"]
    inner = []
    for info in fields_of(section.type):
        if dataclasses.is_dataclass(info.type):
            inner += _section(info, f"{name}.{info.name}")
        else:
            lines += [f"# {info.help[:1].upper()}{info.help[1:]}.", f"# {info.name} = {_toml(info)}".rstrip()]
    return lines + inner


def _toml(info: FieldInfo) -> str:
    value = info.default
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(f'"{entry}"' for entry in value) + "]"
    return f'"{value}"'

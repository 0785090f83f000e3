"""From the annotations of a message to a checker of what arrived.

A field is ``Annotated[type, "help text", Size(...) | Range(...) | Shared()]``. The checker of a class is built at its
first use, so importing a message costs nothing but its definition. A class that is met often gets one written for it
alone (``unrolled``), several times as fast, and the same holds for packers; what they take and give is the same.
"""

import math
import types
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin

from ffrtmpd.wire import record
from ffrtmpd.wire.record import REQUIRED, is_record

M = TypeVar("M")

# What SQLite can hold; larger integers could be stored only as text.
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
TEXT_MAX: Final = 65_536
KEY_MAX: Final = 128
# To write code for a class takes as long as some three hundred messages of it take longer without.
OFTEN: Final = 300


class SchemaError(ValueError):
    """A value does not fit its field; the message names the field and what it takes."""


class Size(NamedTuple):
    """Bounds on a length: characters, bytes or items."""

    least: int
    most: int


class Range(NamedTuple):
    """Inclusive bounds on a number."""

    least: float
    most: float


class Shared:
    """Most messages hold here what others held before: values that arrive alike may be one object."""


class FieldInfo(NamedTuple):
    """One field as the documentation shows it."""

    name: str
    type: Any
    help: str
    size: Size | None
    range: Range | None
    shared: bool
    required: bool
    default: Any


# The path says where in a message the value stands.
Check = Callable[[Any, str], Any]
Pack = Callable[[Any], Any]


@cache
def fields_of(cls: type) -> tuple[FieldInfo, ...]:
    """Return the fields of a message class, or of a dataclass, in order of definition."""
    found = []
    for field in record.fields_of(cls) if is_record(cls) else _fields_of_dataclass(cls):
        inner, notes = unwrap(field.type)
        found.append(
            FieldInfo(
                name=field.name,
                type=inner,
                help=next((note for note in notes if isinstance(note, str)), ""),
                size=next((note for note in notes if isinstance(note, Size)), None),
                range=next((note for note in notes if isinstance(note, Range)), None),
                shared=any(isinstance(note, Shared) for note in notes),
                required=field.is_required,
                default=field.new_default(),
            )
        )
    return tuple(found)


def _fields_of_dataclass(cls: type[Any]) -> list[record.Field]:
    from dataclasses import MISSING, fields

    return [
        record.Field(
            each.name,
            each.type,
            REQUIRED if each.default is MISSING else each.default,
            None if each.default_factory is MISSING else each.default_factory,
        )
        for each in fields(cls)
    ]


def has_fields(hint: Any) -> bool:
    """Tell whether that is a message class or a dataclass."""
    return is_record(hint) or hasattr(hint, "__dataclass_fields__")


def unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the type in an annotation, and its notes."""
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        return inner, tuple(notes)
    return hint, ()


# Written for classes that were met often.
_own_checkers: Final[dict[type, Check]] = {}
_own_packers: Final[dict[type, Pack]] = {}


@cache
def _checker(cls: type) -> Check:
    met = 0

    def check(value: Any, path: str) -> Any:
        nonlocal met
        met += 1
        return (_worded_checker(cls) if met < OFTEN else own_checker(cls))(value, path)

    return check


def own_checker(cls: type) -> Check:
    """Return the checker written for ``cls``; write it where there is none."""
    known = _own_checkers.get(cls)
    if known is None:
        from ffrtmpd.wire import unrolled

        known = _own_checkers[cls] = unrolled.checker(cls, _worded_checker(cls))
    return known


@cache
def _worded_checker(cls: type) -> Check:
    plan = [(info.name, _check_for(info), info.required) for info in fields_of(cls)]

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise SchemaError(f"{path or 'body'}: expected a map, got {_kind(value)}")
        prefix = f"{path}." if path else ""
        taken = {}
        for name, check_field, required in plan:
            if name in value:
                taken[name] = check_field(value[name], prefix + name)
            elif required:
                raise SchemaError(f"{prefix}{name}: missing")
        return cls(**taken)

    return check


def _check_for(info: FieldInfo) -> Check:
    return check_type(info.type, info.size, info.range)


def check_type(hint: Any, size: Size | None, span: Range | None) -> Check:
    """Return a checker of what a field of that type takes."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        present = check_type(inner, size, span)
        return lambda value, path: None if value is None else present(value, path)
    if origin is tuple:
        item, item_notes = unwrap(get_args(hint)[0])
        item_size = next((note for note in item_notes if isinstance(note, Size)), None)
        return _tuple_check(check_type(item, item_size, None), size)
    if origin is dict:
        return _dict_check(check_type(get_args(hint)[1], Size(0, 4096), None), size)
    if isinstance(hint, type):
        if has_fields(hint):
            return _checker(hint)
        if issubclass(hint, StrEnum):
            return _enum_check(hint)
        if hint is bool:
            return _bool_check
        if hint is int:
            return _int_check(span)
        if hint is float:
            return _float_check(span)
        if hint in (str, bytes):
            return _sized_check(hint, size or Size(0, TEXT_MAX))
    raise TypeError(f"no check for {hint!r}")


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    kind: type = type(value)
    return _KINDS.get(kind, kind.__name__)


_KINDS: Final[dict[type, str]] = {dict: "a map", list: "a list", str: "text", bytes: "bytes"}


def _bool_check(value: Any, path: str) -> bool:
    if value is True or value is False:
        return bool(value)
    raise SchemaError(f"{path}: expected true or false, got {_kind(value)}")


def _int_check(span: Range | None) -> Check:
    least, most = (span.least, span.most) if span else (INT_MIN, INT_MAX)

    def check(value: Any, path: str) -> int:
        if type(value) is not int:
            raise SchemaError(f"{path}: expected a whole number, got {_kind(value)}")
        if not least <= value <= most:
            raise SchemaError(f"{path}: {value} is not within {least:g} to {most:g}")
        return value

    return check


def _float_check(span: Range | None) -> Check:
    def check(value: Any, path: str) -> float:
        if type(value) not in (int, float):
            raise SchemaError(f"{path}: expected a number, got {_kind(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise SchemaError(f"{path}: expected a finite number")
        if span and not span.least <= number <= span.most:
            raise SchemaError(f"{path}: {number:g} is not within {span.least:g} to {span.most:g}")
        return number

    return check


def _sized_check(kind: type[str] | type[bytes], size: Size) -> Check:
    unit = "characters" if kind is str else "bytes"
    name = "text" if kind is str else "bytes"

    def check(value: Any, path: str) -> Any:
        if type(value) is not kind:
            raise SchemaError(f"{path}: expected {name}, got {_kind(value)}")
        if not size.least <= len(value) <= size.most:
            raise SchemaError(f"{path}: {len(value)} {unit}, takes {size.least} to {size.most}")
        if kind is str and "\0" in value:
            raise SchemaError(f"{path}: holds a NUL character")
        return value

    return check


def _enum_check(kind: type[StrEnum]) -> Check:
    members = {member.value: member for member in kind}

    def check(value: Any, path: str) -> StrEnum:
        member = members.get(value) if isinstance(value, str) else None
        if member is None:
            raise SchemaError(f"{path}: {_unknown_word(value, list(members))}")
        return member

    return check


def _unknown_word(value: Any, known: list[str]) -> str:
    if not isinstance(value, str):
        return f"expected one of {', '.join(known)}, got {_kind(value)}"
    import difflib

    near = difflib.get_close_matches(value[:64], known, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{value[:64]!r} is not one of {', '.join(known)}{meant}"


def _tuple_check(item: Check, size: Size | None) -> Check:
    def check(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise SchemaError(f"{path}: expected a list, got {_kind(value)}")
        if size and not size.least <= len(value) <= size.most:
            raise SchemaError(f"{path}: {len(value)} items, takes {size.least} to {size.most}")
        return tuple(item(entry, f"{path}[{index}]") for index, entry in enumerate(value))

    return check


def _dict_check(item: Check, size: Size | None) -> Check:
    def check(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise SchemaError(f"{path}: expected a map, got {_kind(value)}")
        if size and not size.least <= len(value) <= size.most:
            raise SchemaError(f"{path}: {len(value)} entries, takes {size.least} to {size.most}")
        taken = {}
        for key, entry in value.items():
            if not isinstance(key, str) or not 1 <= len(key) <= KEY_MAX:
                raise SchemaError(f"{path}: a name is text of 1 to {KEY_MAX} characters")
            taken[key] = item(entry, f"{path}.{key}")
        return taken

    return check


def from_plain(cls: type[M], value: Any) -> M:
    """Build a message from maps, lists and scalars.

    Unknown fields are ignored.

    Raises:
        SchemaError: a field is missing, of the wrong kind or out of bounds.
    """
    kind: type = cls
    built: M = (_own_checkers.get(kind) or _checker(kind))(value, "")
    return built


@cache
def _packer(cls: type) -> Pack:
    met = 0

    def pack(message: Any) -> Any:
        nonlocal met
        met += 1
        return (_walking_packer(cls) if met < OFTEN else own_packer(cls))(message)

    return pack


def own_packer(cls: type) -> Pack:
    """Return the packer written for ``cls``; write it where there is none."""
    known = _own_packers.get(cls)
    if known is None:
        from ffrtmpd.wire import unrolled

        known = _own_packers[cls] = unrolled.packer(cls)
    return known


@cache
def _walking_packer(cls: type) -> Pack:
    plan = [(info.name, _pack_for(info.type), info.default) for info in fields_of(cls)]

    def pack(message: Any) -> dict[str, Any]:
        body = {}
        for name, pack_field, default in plan:
            value = getattr(message, name)
            if value is None or value == default:
                continue
            body[name] = value if pack_field is None else pack_field(value)
        return body

    return pack


def _pack_for(hint: Any) -> Pack | None:
    """Return how to pack a field, None where the value is plain already."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        return _pack_for(inner)
    if origin is tuple:
        item = _pack_for(unwrap(get_args(hint)[0])[0])
        return list if item is None else lambda value: [item(entry) for entry in value]
    if isinstance(hint, type):
        if has_fields(hint):
            return _packer(hint)
        if issubclass(hint, StrEnum):
            return str
    return None


def to_plain(message: Any) -> dict[str, Any]:
    """Return the message as maps, lists and scalars; fields that hold their default are left out."""
    kind: type = type(message)
    packed: dict[str, Any] = (_own_packers.get(kind) or _packer(kind))(message)
    return packed


def to_full(message: Any) -> Mapping[str, Any]:
    """Return the message with every field present, for people and scripts: None where nothing is known."""
    kind: type = type(message)
    if has_fields(kind):
        return {info.name: to_full(getattr(message, info.name)) for info in fields_of(kind)}
    if isinstance(message, tuple | list):
        return [to_full(entry) for entry in message]  # type: ignore[return-value]
    if isinstance(message, StrEnum):
        return str(message)  # type: ignore[return-value]
    return message  # type: ignore[no-any-return]

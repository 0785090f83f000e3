"""Checkers and packers written out for one class.

What ``schema`` does by walking a plan of closures, field by field, is here one function a class, as `dataclasses`
writes an ``__init__``: its source is made of the fields and compiled. That takes up to a millisecond, so it is done
only for a class that is met often; whoever sends one message and ends imports none of this.

A written checker knows only what is right. Whatever is not plainly so it leaves to the checker of ``schema``, which
takes it after all or says what is wrong and where: there alone errors are worded.
"""

import sys
import types
from _thread import _local as local
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, Union, get_args, get_origin

import msgpack

from ffrtmpd.wire import record, schema
from ffrtmpd.wire.schema import Check, FieldInfo, Pack, Range, Size

Lines = list[str]

FLOAT_MAX: Final = sys.float_info.max
# What a value that is not plainly right may raise: a word that is none, no list, a number no float can hold.
DOUBTS: Final = (LookupError, TypeError, ValueError, ArithmeticError)
# A longer value has hardly its like.
SHARED_BYTES: Final = 1_024
SHARED_MOST: Final = 2_048


def checker(cls: type, worded: Check) -> Check:
    """Return a checker of ``cls`` that asks ``worded`` about whatever is not plainly right.

    With None for a path it asks nobody and raises one of ``DOUBTS``: so it is called for a part of a message.
    """
    if not record.is_record(cls):
        # Nothing but its own ``__init__`` may make it.
        return worded
    known: dict[str, Any] = {"cls": cls, "new": object.__new__, "number": _number, "worded": worded, "DOUBTS": DOUBTS}
    lines: Lines = []
    for field, info in zip(record.fields_of(cls), schema.fields_of(cls), strict=True):
        taken = _taken("x", info.type, info.size, info.range, known)
        if info.shared:
            taken = [f"x = {_known(known, _sharing(schema.own_checker(info.type)))}(x, None)"]
        given = [f"x = value[{info.name!r}]", *taken, f"this.{info.name} = x"]
        if info.required:
            lines += given
        else:
            default = _default(field, known)
            lines += [f"if {info.name!r} in value:", *_inside(given), "else:", f"    this.{info.name} = {default}"]
    return _compiled(
        [
            "def check(value, path):",
            "    try:",
            "        if type(value) is not dict: raise LookupError",
            "        this = new(cls)",
            *_inside(_inside(lines)),
            "        return this",
            "    except DOUBTS:",
            "        if path is None: raise",
            "    return worded(value, path)",
        ],
        known,
        cls,
    )


class _Packing(local):
    """A packer for each thread, strict: what is no plain value, but of a kind that inherits from one, is refused."""

    def __init__(self) -> None:
        self.pack = msgpack.Packer(strict_types=True).pack


def _sharing(check: Check) -> Check:
    """Return ``check`` with one object for all values that pack to the same bytes.

    To compare values would not do: 1, 1.0 and True are equal.
    """
    packing = _Packing()
    known: dict[bytes, Any] = {}

    def share(value: Any, path: str) -> Any:
        packed = packing.pack(value)
        found = known.get(packed)
        if found is None:
            found = check(value, path)
            if len(packed) <= SHARED_BYTES:
                if len(known) >= SHARED_MOST:
                    known.clear()
                known[packed] = found
        return found

    return share


def _default(field: record.Field, known: dict[str, Any]) -> str:
    if field.factory is not None:
        return f"{_known(known, field.factory)}()"
    return "None" if field.default is None else _known(known, field.default)


def _taken(x: str, hint: Any, size: Size | None, span: Range | None, known: dict[str, Any]) -> Lines:
    """Return lines that make of ``x`` what the field holds, or raise one of ``DOUBTS``."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        return [f"if {x} is not None:", *_inside(_taken(x, inner, size, span, known))]
    if origin is tuple:
        return _taken_all(x, get_args(hint)[0], size, known)
    if isinstance(hint, type):
        if record.is_record(hint):
            return [f"{x} = {_known(known, schema.own_checker(hint))}({x}, None)"]
        if issubclass(hint, StrEnum):
            return [f"{x} = {_known(known, {member.value: member for member in hint})}[{x}]"]
        if hint is bool:
            return [_refuse(f"{x} is not True and {x} is not False")]
        if hint is int:
            least, most = (span.least, span.most) if span else (schema.INT_MIN, schema.INT_MAX)
            return [_refuse(f"type({x}) is not int or not {_bound(least, int)} <= {x} <= {_bound(most, int)}")]
        if hint is float:
            least, most = (span.least, span.most) if span else (-FLOAT_MAX, FLOAT_MAX)
            return [
                f"if type({x}) is not float: {x} = number({x})",
                _refuse(f"not {_bound(least, float)} <= {x} <= {_bound(most, float)}"),
            ]
        if hint in (str, bytes):
            size = size or Size(0, schema.TEXT_MAX)
            nul = rf" or '\0' in {x}" if hint is str else ""
            return [_refuse(f"type({x}) is not {hint.__name__} or not {size.least} <= len({x}) <= {size.most}{nul}")]
    return [f"{x} = {_known(known, schema.check_type(hint, size, span))}({x}, '')"]


def _taken_all(x: str, hint: Any, size: Size | None, known: dict[str, Any]) -> Lines:
    item, notes = schema.unwrap(hint)
    item_size = next((note for note in notes if isinstance(note, Size)), None)
    return [
        _refuse(f"type({x}) is not list"),
        *([_refuse(f"not {size.least} <= len({x}) <= {size.most}")] if size else ()),
        "taken = []",
        f"for each in {x}:",
        *_inside(_taken("each", item, item_size, None, known)),
        "    taken.append(each)",
        f"{x} = tuple(taken)",
    ]


def _refuse(condition: str) -> str:
    return f"if {condition}: raise LookupError"


def _number(value: Any) -> float:
    if type(value) is not int:
        raise TypeError
    return float(value)


def _bound(bound: float, kind: type[int] | type[float]) -> str:
    """Return a bound as source, of the kind that it is compared with where it can be: that is quicker."""
    return repr(kind(bound) if kind(bound) == bound else bound)


def packer(cls: type) -> Pack:
    """Return a packer of ``cls``."""
    known: dict[str, Any] = {}
    lines: Lines = []
    for info in schema.fields_of(cls):
        condition, packed = _kept(info, known), _packed("x", info.type, known)
        lines += [f"x = this.{info.name}", f"if {condition}: body[{info.name!r}] = {packed}"]
    return _compiled(["def pack(this):", "    body = {}", *_inside(lines), "    return body"], known, cls)


def _kept(info: FieldInfo, known: dict[str, Any]) -> str:
    if info.required or info.default is None:
        return "x is not None"
    default = _known(known, info.default)
    # Most hold the very default.
    return f"x is not {default} and x is not None and x != {default}"


def _packed(x: str, hint: Any, known: dict[str, Any]) -> str:
    """Return what is packed of ``x``: itself, where it is plain already."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        return _packed(x, inner, known)
    if origin is tuple:
        packed = _packed("each", schema.unwrap(get_args(hint)[0])[0], known)
        return f"list({x})" if packed == "each" else f"[{packed} for each in {x}]"
    if isinstance(hint, type):
        if schema.has_fields(hint):
            return f"{_known(known, schema.own_packer(hint))}({x})"
        if issubclass(hint, StrEnum):
            return f"str({x})"
    return x


def _known(known: dict[str, Any], value: Any) -> str:
    """Let the source know ``value``; return its name there."""
    name = f"known_{len(known)}"
    known[name] = value
    return name


def _inside(lines: Iterable[str]) -> Lines:
    return [f"    {line}" for line in lines]


def _compiled(lines: Lines, known: Mapping[str, Any], cls: type) -> Callable[..., Any]:
    made: dict[str, Any] = dict(known)
    # Nothing of a message is in the source: names and bounds stand in this program's own annotations.
    exec(compile("\n".join(lines), f"<{cls.__name__}>", "exec"), made)  # noqa: S102
    found: Callable[..., Any] = made[lines[0].removeprefix("def ").partition("(")[0]]
    return found

"""A message of any class, made from its annotations with numbers from a seed."""

import random
import types
from dataclasses import is_dataclass
from enum import StrEnum
from typing import Any, TypeVar, Union, get_args, get_origin

from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.schema import FieldInfo, Range, Size, fields_of

M = TypeVar("M", bound=Message)
LETTERS = "abcdefghijklmnopqrstuvwxyz-0123456789/é"


def sample(cls: type[M], chance: random.Random) -> M:
    """Return a valid message of a class; each optional field is there as often as not."""
    made: M = _record(cls, chance)
    return made


def _record(cls: type, chance: random.Random) -> Any:
    chosen = [info for info in fields_of(cls) if info.required or chance.random() < 0.5]
    return cls(**{info.name: _field(info, chance) for info in chosen})


def _field(info: FieldInfo, chance: random.Random) -> Any:
    return _value(info.type, info.size, info.range, chance)


def _value(hint: Any, size: Size | None, span: Range | None, chance: random.Random) -> Any:
    origin = get_origin(hint)
    length = chance.randint(int(size.least), int(min(size.most, size.least + 12))) if size else chance.randrange(12)
    if origin in (Union, types.UnionType):
        inner = next(arg for arg in get_args(hint) if arg is not type(None))
        return _value(inner, size, span, chance)
    if origin is tuple:
        return tuple(
            _value(get_args(hint)[0], None, None, chance)
            for _ in range(max(length // 4, int(size.least) if size else 0))
        )
    if origin is dict:
        return {_text(1 + number, chance): _text(3, chance) for number in range(length // 4)}
    if is_dataclass(hint):
        return _record(hint, chance)  # type: ignore[arg-type]
    if issubclass(hint, StrEnum):
        return chance.choice(list(hint))
    if hint is bool:
        return chance.random() < 0.5
    if hint in (int, float):
        least, most = (span.least, min(span.most, span.least + 1_000)) if span else (0, 1_000)
        return chance.randint(int(least), int(most)) if hint is int else chance.uniform(least, most)
    return chance.randbytes(length) if hint is bytes else _text(length, chance)


def _text(length: int, chance: random.Random) -> str:
    return "".join(chance.choice(LETTERS) for _ in range(length))

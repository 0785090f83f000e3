"""Hypothesis strategies for any message, made from its annotations."""

import types
from collections.abc import Iterable
from dataclasses import is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin

from hypothesis import find
from hypothesis import strategies as st

from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.schema import INT_MAX, INT_MIN, FieldInfo, Range, Size, fields_of

TEXT = st.characters(codec="utf-8", exclude_characters="\0")


def messages(classes: Iterable[type[Message]]) -> st.SearchStrategy[Any]:
    return st.one_of([of_class(cls) for cls in classes])


def simplest(cls: type) -> Any:
    """Return the plainest valid message of a class."""
    return _simplest(cls)


@cache
def _simplest(cls: type) -> Any:
    return find(of_class(cls), lambda _: True)


def of_class(cls: type) -> st.SearchStrategy[Any]:
    required = {info.name: of_field(info) for info in fields_of(cls) if info.required}
    optional = {info.name: of_field(info) for info in fields_of(cls) if not info.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: cls(**values))


def of_field(info: FieldInfo) -> st.SearchStrategy[Any]:
    return of_type(info.type, info.size, info.range)


def of_type(hint: Any, size: Size | None, span: Range | None) -> st.SearchStrategy[Any]:
    origin = get_origin(hint)
    least, most = (size.least, min(size.most, size.least + 6)) if size else (0, 6)
    if origin in (Union, types.UnionType):
        inner = next(arg for arg in get_args(hint) if arg is not type(None))
        return st.none() | of_type(inner, size, span)
    if origin is tuple:
        item = of_type(get_args(hint)[0], None, None)
        return st.lists(item, min_size=least, max_size=min(most, least + 2)).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(TEXT, min_size=1, max_size=6), st.text(TEXT, max_size=6), max_size=3)
    if is_dataclass(hint):
        return of_class(hint)  # type: ignore[arg-type]
    if issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(int(span.least), int(span.most)) if span else st.integers(INT_MIN, INT_MAX)
    if hint is float:
        low, high = (span.least, span.most) if span else (None, None)
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if hint is bytes:
        return st.binary(min_size=least, max_size=most)
    return st.text(TEXT, min_size=least, max_size=most)

"""What every message and every part of one is: named fields, set once.

A frozen dataclass compiles six methods for each class, half a millisecond, and a one-shot command defines some fifty
of them and makes few. A record compiles only its ``__init__``, at its first use; the rest it shares. That its fields
are set once is checked where the program is checked, by mypy, and costs nothing where it runs.
"""

from dataclasses import dataclass, field, fields, make_dataclass
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make ``cls`` a slotted dataclass with keyword-only fields."""
    for name, method in (("__init__", _first_init), ("__eq__", _eq), ("__repr__", _repr), ("__hash__", _hash)):
        setattr(cls, name, method)
    return dataclass(slots=True, kw_only=True, init=False, eq=False, repr=False)(cls)


def _first_init(this: Any, **given: Any) -> None:
    """Give the class the ``__init__`` that `dataclass` writes for its fields, and call it."""
    kind = type(this)
    known = [
        (each.name, each.type, field(default=each.default, default_factory=each.default_factory))
        for each in fields(kind)
    ]
    same = make_dataclass(kind.__name__, known, namespace={"__doc__": kind.__doc__}, kw_only=True, eq=False, repr=False)
    written = vars(same)["__init__"]
    kind.__init__ = written
    written(this, **given)


def _values(this: Any) -> tuple[Any, ...]:
    names = tuple(this.__dataclass_fields__)
    if not names:
        return ()
    found = attrgetter(*names)(this)
    return found if len(names) > 1 else (found,)


def _eq(this: Any, other: object) -> bool:
    return _values(this) == _values(other) if type(this) is type(other) else NotImplemented


def _hash(this: Any) -> int:
    return hash((type(this), _values(this)))


def _repr(this: Any) -> str:
    shown = zip(this.__dataclass_fields__, _values(this), strict=True)
    return f"{type(this).__name__}({', '.join(f'{name}={value!r}' for name, value in shown)})"

"""What every message and every part of one is: named fields, set once.

A frozen dataclass compiles six methods for each class, half a millisecond, and a one-shot command defines some fifty
of them and makes few. A record compiles only its ``__init__``, when it has been made often; the rest it shares. That
its fields are set once, and given by name, is checked where the program is checked, by mypy, and costs nothing where
it runs.
"""

from dataclasses import MISSING, Field, dataclass, field, fields, make_dataclass
from operator import attrgetter
from typing import Any, Final, TypeVar, dataclass_transform

T = TypeVar("T")

# To write an ``__init__`` takes as long as some two hundred records take longer without.
OFTEN: Final = 200
# How many of a class were made before it had one.
_made: Final[dict[type, int]] = {}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make ``cls`` a slotted dataclass with keyword-only fields."""
    for name, method in (("__init__", _first_init), ("__eq__", _eq), ("__repr__", _repr), ("__hash__", _hash)):
        setattr(cls, name, method)
    return dataclass(slots=True, kw_only=True, init=False, eq=False, repr=False)(cls)


def is_record(kind: Any) -> bool:
    """Tell whether `record` made that class: then nothing but its fields is set when one is made."""
    return getattr(kind, "__eq__", None) is _eq


def _first_init(this: Any, **given: Any) -> None:
    """Set the fields one by one; a class that is made often gets the ``__init__`` that `dataclass` writes for it."""
    kind = type(this)
    _made[kind] = _made.get(kind, 0) + 1
    known = fields(kind)
    values = {each.name: _default(each) for each in known if not _required(each)} | given
    if values.keys() != {each.name for each in known} or _made[kind] >= OFTEN:
        # That one says what is missing or unknown.
        kind.__init__ = _written_init(kind)
        kind.__init__(this, **given)
        return
    for name, value in values.items():
        setattr(this, name, value)


def _default(each: Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _written_init(kind: type[Any]) -> Any:
    # In an order in which they need not be by name only: one that is left out then costs next to nothing.
    ordered = sorted(fields(kind), key=lambda each: not _required(each))
    known = [
        (each.name, each.type, field(default=each.default, default_factory=each.default_factory)) for each in ordered
    ]
    same = make_dataclass(kind.__name__, known, namespace={"__doc__": kind.__doc__}, eq=False, repr=False)
    return vars(same)["__init__"]


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

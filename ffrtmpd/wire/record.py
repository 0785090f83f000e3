"""What every message and every part of one is: named fields, set once.

A frozen dataclass compiles six methods for each class, half a millisecond, and a one-shot command defines some fifty
of them and makes few; to import what does it takes five more. A record compiles only its ``__init__``, when it has been
made often; the rest it shares. It is a dataclass for whoever asks, from when it is asked. That its fields are set
once, and given by name, is checked where the program is checked, by mypy, and costs nothing where it runs.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, Final, NamedTuple, TypeVar, dataclass_transform, get_origin

T = TypeVar("T")

# To write an ``__init__`` takes as long as some two hundred records take longer without.
OFTEN: Final = 200
# How many of a class were made before it had one.
_made: Final[dict[type, int]] = {}
# No default.
REQUIRED: Final = object()


class Field(NamedTuple):
    """A field of a record. ``factory`` makes a default for each; it has none where ``default`` is ``REQUIRED``."""

    name: str
    type: Any
    default: Any = REQUIRED
    factory: Callable[[], Any] | None = None

    @property
    def is_required(self) -> bool:
        """Whether it has to be given."""
        return self.default is REQUIRED and self.factory is None

    def new_default(self) -> Any:
        """Return the default for one record, ``REQUIRED`` if there is none."""
        return self.default if self.factory is None else self.factory()


def field(*, default_factory: Callable[[], T]) -> T:
    """Declare a field whose default is made anew for each record."""
    # `record` gives it its name.
    unnamed: Any = Field("", None, factory=default_factory)
    return unnamed  # type: ignore[no-any-return]


class _AsDataclass:
    """What `dataclasses` asks a class for, found out when it does."""

    def __get__(self, _: object, kind: type[Any]) -> dict[str, Any]:
        found = vars(_twin(kind))["__dataclass_fields__"]
        kind.__dataclass_fields__ = {each.name: found[each.name] for each in fields_of(kind)}
        return kind.__dataclass_fields__  # type: ignore[no-any-return]


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Return ``cls`` with slots for its fields, which are given by keyword only."""
    known: dict[str, Field] = {}
    for base in reversed(cls.__bases__):
        known |= getattr(base, "__record_fields__", {})
    own = {name: hint for name, hint in vars(cls).get("__annotations__", {}).items() if not _is_of_class(hint)}
    for name, hint in own.items():
        given = vars(cls).get(name, REQUIRED)
        known[name] = given._replace(name=name, type=hint) if isinstance(given, Field) else Field(name, hint, given)
    body: dict[str, Any] = {"__init__": _first_init, "__eq__": _eq, "__repr__": _repr, "__hash__": _hash}
    body |= {name: value for name, value in vars(cls).items() if name not in (*own, "__dict__", "__weakref__")}
    body |= {"__slots__": tuple(own), "__record_fields__": known, "__dataclass_fields__": _AsDataclass()}
    body["__qualname__"] = cls.__qualname__
    kind: type[Any] = type(cls)
    made: type[T] = kind(cls.__name__, cls.__bases__, body)
    return made


def _is_of_class(hint: Any) -> bool:
    return hint is ClassVar or get_origin(hint) is ClassVar


def is_record(kind: Any) -> bool:
    """Tell whether `record` made that class: then nothing but its fields is set when one is made."""
    return getattr(kind, "__eq__", None) is _eq


def fields_of(kind: type) -> tuple[Field, ...]:
    """Return the fields of a record in the order of their definition."""
    known: dict[str, Field] = kind.__record_fields__  # type: ignore[attr-defined]
    return tuple(known.values())


def _first_init(this: Any, **given: Any) -> None:
    """Set the fields one by one; a class that is made often gets the ``__init__`` that `dataclasses` writes for it."""
    kind = type(this)
    _made[kind] = _made.get(kind, 0) + 1
    values = {each.name: each.new_default() for each in fields_of(kind)} | given
    is_whole = len(values) == len(kind.__record_fields__) and all(value is not REQUIRED for value in values.values())
    if not is_whole or _made[kind] >= OFTEN:
        # That one says what is missing or unknown.
        kind.__init__ = vars(_twin(kind))["__init__"]
        kind.__init__(this, **given)
        return
    for name, value in values.items():
        setattr(this, name, value)


def _twin(kind: type[Any]) -> type:
    """Return a dataclass with the fields of a record."""
    from dataclasses import MISSING, field, make_dataclass

    # In an order in which they need not be by name only: one that is left out then costs next to nothing.
    ordered = sorted(fields_of(kind), key=lambda each: not each.is_required)
    known = [
        (
            each.name,
            each.type,
            field(
                default=MISSING if each.default is REQUIRED else each.default,
                default_factory=MISSING if each.factory is None else each.factory,
            ),
        )
        for each in ordered
    ]
    return make_dataclass(kind.__name__, known, namespace={"__doc__": kind.__doc__}, eq=False, repr=False)


def _values(this: Any) -> tuple[Any, ...]:
    names = tuple(this.__record_fields__)
    if not names:
        return ()
    found = attrgetter(*names)(this)
    return found if len(names) > 1 else (found,)


def _eq(this: Any, other: object) -> bool:
    return _values(this) == _values(other) if type(this) is type(other) else NotImplemented


def _hash(this: Any) -> int:
    return hash((type(this), _values(this)))


def _repr(this: Any) -> str:
    shown = zip(this.__record_fields__, _values(this), strict=True)
    return f"{type(this).__name__}({', '.join(f'{name}={value!r}' for name, value in shown)})"

"""What is written for a class takes, gives and refuses exactly what the plans of closures do."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from enum import StrEnum
from typing import Annotated, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmpd.wire import schema
from ffrtmpd.wire.catalogue import CLIENT_REPLIES, CLIENT_REQUESTS, MASTER_TO_WORKER, WORKER_TO_MASTER
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import INT_MAX, INT_MIN, FieldInfo, Range, SchemaError, Size, fields_of, from_plain, to_plain
from tests.fuzz.samples import sample
from tests.wire.messages import of_class

NEVER = sys.maxsize


class Word(StrEnum):
    """A word of the wire, from elsewhere."""

    LIVE = "live"


class Text(str):
    """Text, and not only."""

    __slots__ = ()


class Map(dict[Any, Any]):
    """A map, and not only."""


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**53, 2**53 + 1, INT_MAX, INT_MAX + 1, INT_MIN, INT_MIN - 1, 10**400),
    *(0.0, -0.0, 1.5, 2.0**53, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", "x", "live", "lvie", "a\0b", "x" * 65_537, Text("live"), Word.LIVE, b"", b"live", b"x" * 16),
    *([], ["live"], [None], [{}], [[]], ["x", "a\0b"], ("live",), (), set()),
    *({}, {"": ""}, {1: "x"}, {"name": "x"}, {"name": "a\0b"}, {"x" * 129: "x"}, Map()),
)


def parts_of(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
        for info in fields_of(hint):
            yield from parts_of(info.type)
    for part in get_args(hint):
        yield from parts_of(part)


EVERY = (CLIENT_REQUESTS, CLIENT_REPLIES, WORKER_TO_MASTER, MASTER_TO_WORKER)
CLASSES = sorted(
    {part for catalogue in EVERY for cls in catalogue.values() for part in parts_of(cls)}, key=lambda cls: cls.__name__
)


@pytest.fixture(autouse=True, scope="module")
def _walk_plans_unless_told() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "OFTEN", NEVER)
        yield


def outcome(check: Callable[[Any, str], Any], value: Any) -> tuple[str, str]:
    try:
        return "taken", repr(check(value, ""))
    except SchemaError as error:
        return "refused", str(error)


def assert_same(cls: type, value: Any) -> None:
    assert outcome(schema.own_checker(cls), value) == outcome(schema._checker(cls), value)


def kind(message: Any) -> Any:
    return type(message)


def around(info: FieldInfo) -> Iterator[Any]:
    """Yield values around the bounds of a field."""
    if info.range:
        for end in (info.range.least, info.range.most):
            yield from (end, end - 1, end + 1, int(end), int(end) + 1, float(end), end + 1e-9)
    if info.size:
        for count in (info.size.least - 1, info.size.least, info.size.most, info.size.most + 1):
            yield from ("x" * count, b"x" * count, ["x"] * count, {str(number): "" for number in range(count)})


@pytest.mark.parametrize("cls", CLASSES)
def test_each_field_takes_and_refuses_the_same(cls: Any) -> None:
    whole = to_plain(sample(cls, random.Random(1)))
    assert_same(cls, whole)
    for info in fields_of(cls):
        assert_same(cls, {name: value for name, value in whole.items() if name != info.name})
        for value in (*ODD, *around(info)):
            assert_same(cls, whole | {info.name: value})
            assert_same(cls, whole | {info.name: [value]})


@pytest.mark.parametrize("value", ODD)
def test_what_is_no_map_is_refused_the_same(value: Any) -> None:
    assert_same(JobSpec, value)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(CLASSES).flatmap(of_class))
def test_sound_message_is_taken_without_a_second_look(message: Any) -> None:
    check: Any = schema.own_checker(kind(message))
    assert repr(check(to_plain(message), None)) == repr(message)


def damage(plain: Any, chance: random.Random) -> Any:
    """Put something odd into a map or list, anywhere below."""
    below = list(plain.items() if isinstance(plain, dict) else enumerate(plain))
    deep = [(key, value) for key, value in below if isinstance(value, dict | list) and value]
    if deep and chance.random() < 0.7:
        key, value = chance.choice(deep)
        damage(value, chance)
    elif below:
        key, _ = chance.choice(below)
        if isinstance(plain, dict) and chance.random() < 0.2:
            del plain[key]
        else:
            plain[key] = deepcopy(chance.choice(ODD))


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(CLASSES).flatmap(of_class), st.randoms(use_true_random=False))
def test_damage_anywhere_is_taken_or_refused_the_same(message: Any, chance: random.Random) -> None:
    cls, plain = kind(message), deepcopy(to_plain(message))
    assert_same(cls, plain)
    for _ in range(chance.randint(1, 3)):
        damage(plain, chance)
        assert_same(cls, plain)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(CLASSES).flatmap(of_class), st.randoms(use_true_random=False))
def test_any_message_is_packed_the_same(message: Any, chance: random.Random) -> None:
    cls = kind(message)
    assert repr(schema.own_packer(cls)(message)) == repr(schema._packer(cls)(message))
    for info in fields_of(cls):
        held = getattr(message, info.name)
        setattr(message, info.name, chance.choice((None, held, held if info.required else info.default)))
    assert repr(schema.own_packer(cls)(message)) == repr(schema._packer(cls)(message))


def test_default_is_told_by_its_value() -> None:
    spec = JobSpec(scenario="x", labels={}, max_attempts=int("3"), priority="medium")  # type: ignore[arg-type]
    assert schema.own_packer(JobSpec)(spec) == {"scenario": "x"}


def test_what_is_made_of_nothing_is_made_anew() -> None:
    first, second = (schema.own_checker(JobSpec)({"scenario": "x"}, "") for _ in range(2))
    assert first == second
    assert first.labels is not second.labels


@record
class Inner:
    """A part."""

    name: Annotated[str, "name", Size(1, 8)]


@record
class Outer:
    """A whole."""

    parts: Annotated[tuple[Inner, ...], "parts", Size(0, 9)] = ()
    count: Annotated[int, "count", Range(0, 9)] = 0


def test_code_is_written_for_what_is_met_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "OFTEN", 3)
    for count in range(1, 3):
        from_plain(Outer, {"count": count})
        to_plain(Outer(count=count))
    assert Outer not in schema._own_checkers
    assert Outer not in schema._own_packers
    for count in range(3, 5):
        assert from_plain(Outer, {"count": count}) == Outer(count=count)
        assert to_plain(Outer(count=count)) == {"count": count}
    assert Outer in schema._own_checkers
    assert Outer in schema._own_packers
    with pytest.raises(SchemaError, match=r"^parts\[1\]\.name: missing$"):
        from_plain(Outer, {"parts": [{"name": "x"}, {}]})


@dataclass(frozen=True)
class Careful:
    """What looks at itself when it is made."""

    name: Annotated[str, "name", Size(1, 8)]

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name.upper())


def test_what_is_no_record_is_made_by_its_own_init() -> None:
    assert schema.own_checker(Careful)({"name": "x"}, "") == Careful("x")
    assert schema.own_packer(Careful)(Careful("x")) == {"name": "X"}


def test_one_message_compiles_nothing() -> None:
    seen = "import sys; from ffrtmpd.wire.codec import encode, decode, catalogue; "
    seen += "from ffrtmpd.wire.messages.common import Ping; decode(encode(Ping(request_id='r')), catalogue(Ping)); "
    seen += "sys.exit('ffrtmpd.wire.unrolled' in sys.modules)"
    subprocess.run([sys.executable, "-c", seen], check=True)

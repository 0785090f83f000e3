"""How much fits into one answer."""

from collections.abc import Iterable
from typing import Final, TypeVar

import msgpack

from ffrtmpd.wire.codec import MESSAGE_MAX
from ffrtmpd.wire.schema import to_plain

T = TypeVar("T")

# Leaves room for the rest of the answer.
BUDGET_BYTES: Final = MESSAGE_MAX - 65_536


def that_fit(records: Iterable[T]) -> list[T]:
    """Return the first of ``records`` that fit into one message together, at least one of any."""
    taken: list[T] = []
    left = BUDGET_BYTES
    for record in records:
        left -= len(msgpack.packb(to_plain(record)))
        if left < 0 and taken:
            break
        taken.append(record)
    return taken

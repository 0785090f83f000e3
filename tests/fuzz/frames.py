"""Damaged frames: messages of the catalogue, changed at the byte, the field or the frame, from a seed."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack

from ffrtmpd.wire.codec import Catalogue, Message, ProtocolError, decode_all, decode_one, encode, encode_all

Frames = list[bytes]

# What decoders stumble over: limits, their neighbours, and bytes that promise more than follows.
HOSTILE: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, -0.0, 1e308, float("inf"), float("nan"),
    "", "\0", "x" * 65, "x" * 65_536, "x" * 70_000, "\u202e", "job-000001", "../../etc/passwd", b"", b"\xff" * 16,
    [], [[]], [0] * 5_000, {}, {"": ""}, {"a": {"b": {"c": {}}}},
)  # fmt: skip
RAW: Final = (
    b"", b"\x80", b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc9\xff",
    b"\x91" * 2_000, b"\x81\xa1a" * 2_000, b"\x82\xa1a\x01\xa1a\x02", b"\xc7\x00\x00", b"\x81\xa1\xff\x01",
)  # fmt: skip
LARGEST: Final = 60_000


class Mutator:
    """Makes damaged frames out of sound messages; the same seed makes the same ones.

    Args:
        templates: sound messages.
        seed: of all chance.
        batches: make damaged batches too, of some templates each.
    """

    def __init__(self, templates: Sequence[Message], seed: int, *, batches: int = 0) -> None:
        self._chance = random.Random(seed)
        self._templates = [encode(template) for template in templates]
        for _ in range(batches):
            some = [self._chance.choice(templates) for _ in range(self._chance.choice((2, 2, 3, 5)))]
            self._templates += [frames for _, frames in encode_all(some)]
        self._ways: tuple[Callable[[Frames], Frames], ...] = (
            self._flip_bytes, self._flip_bytes, self._cut, self._grow, self._replace_body, self._change_field,
            self._change_field, self._drop_field, self._add_field, self._change_version, self._change_type,
            self._drop_frame, self._repeat_frame, self._shuffle, self._change_batch,
        )  # fmt: skip

    def next(self) -> Frames:
        """Return the next damaged frames."""
        frames = list(self._chance.choice(self._templates))
        for _ in range(self._chance.choice((1, 1, 1, 2, 3))):
            frames = self._chance.choice(self._ways)(frames)
        return [frame[:LARGEST] for frame in frames[:8]]

    def _place(self, frames: Frames) -> int:
        # Mostly the body: it has the most to get wrong.
        return len(frames) - 1 if self._chance.random() < 0.8 else self._chance.randrange(len(frames))

    def _flip_bytes(self, frames: Frames) -> Frames:
        place = self._place(frames) if frames else None
        if place is None or not frames[place]:
            return frames
        damaged = bytearray(frames[place])
        for _ in range(self._chance.choice((1, 1, 2, 8))):
            damaged[self._chance.randrange(len(damaged))] = self._chance.randrange(256)
        return [*frames[:place], bytes(damaged), *frames[place + 1 :]]

    def _cut(self, frames: Frames) -> Frames:
        if not frames:
            return frames
        place = self._place(frames)
        return [*frames[:place], frames[place][: self._chance.randrange(len(frames[place]) + 1)], *frames[place + 1 :]]

    def _grow(self, frames: Frames) -> Frames:
        if not frames:
            return frames
        place = self._place(frames)
        return [
            *frames[:place],
            frames[place] + self._chance.randbytes(self._chance.choice((1, 9, 999))),
            *frames[place + 1 :],
        ]

    def _replace_body(self, frames: Frames) -> Frames:
        body = self._chance.choice((*RAW, self._chance.randbytes(self._chance.randrange(64))))
        return [*frames[:-1], body]

    def _changed_body(self, frames: Frames, change: Callable[[Any], None]) -> Frames:
        if not frames:
            return frames
        try:
            plain = msgpack.unpackb(frames[-1])
            change(plain)
            return [*frames[:-1], msgpack.packb(plain)]
        except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException):
            return frames

    def _changed_map(self, frames: Frames, change: Callable[[dict[Any, Any]], None]) -> Frames:
        def change_one(plain: Any) -> None:
            if isinstance(plain, list) and plain:
                # One of the messages of a batch.
                entry = self._chance.choice(plain)
                plain = entry[-1] if isinstance(entry, list) and entry else None
            if isinstance(plain, dict) and plain:
                change(plain)

        return self._changed_body(frames, change_one)

    def _change_batch(self, frames: Frames) -> Frames:
        def change(plain: Any) -> None:
            if not isinstance(plain, list) or not plain:
                return
            place = self._chance.randrange(len(plain))
            entry, odd = plain[place], self._chance.choice((*HOSTILE, "BATCH", "HELLO", "x" * 33))
            if isinstance(entry, list) and entry and self._chance.random() < 0.5:
                entry[self._chance.randrange(len(entry))] = odd
            else:
                plain[place : place + 1] = self._chance.choice(([], [entry] * 300, [entry] * 2, [odd], [[entry]]))

        return self._changed_body(frames, change)

    def _change_field(self, frames: Frames) -> Frames:
        def change(plain: dict[Any, Any]) -> None:
            where: Any = plain
            # Down into nested maps and arrays for as long as the coin says so.
            while True:
                key = self._chance.choice(list(where) if isinstance(where, dict) else range(len(where)))
                deeper = where[key]
                if not isinstance(deeper, dict | list) or not deeper or self._chance.random() < 0.4:
                    where[key] = self._chance.choice(HOSTILE)
                    return
                where = deeper

        return self._changed_map(frames, change)

    def _drop_field(self, frames: Frames) -> Frames:
        return self._changed_map(frames, lambda plain: plain.pop(self._chance.choice(list(plain))) and None)

    def _add_field(self, frames: Frames) -> Frames:
        def change(plain: dict[Any, Any]) -> None:
            plain[self._chance.choice(("request_id", "token", "unknown", "x" * 300, 7, ""))] = self._chance.choice(
                HOSTILE
            )

        return self._changed_map(frames, change)

    def _change_version(self, frames: Frames) -> Frames:
        return [self._chance.choice((b"", b"0", b"2", b"01", b"999999", b"\xff")), *frames[1:]]

    def _change_type(self, frames: Frames) -> Frames:
        other = self._chance.choice(
            (b"", b"\xff", b"x" * 33, b"PING", b"RESULT", b"CANCEL", b"HELLO", b"BATCH", b"submit")
        )
        return [*frames[:1], other, *frames[2:]]

    def _drop_frame(self, frames: Frames) -> Frames:
        return frames[: self._chance.randrange(len(frames))] if frames else frames

    def _repeat_frame(self, frames: Frames) -> Frames:
        return [*frames, *frames[: self._chance.randrange(6)]]

    def _shuffle(self, frames: Frames) -> Frames:
        shuffled = list(frames)
        self._chance.shuffle(shuffled)
        return shuffled


def meaning(frames: Frames, accepted: Catalogue) -> Message | None:
    """Return what the frames still say after all, None if nothing."""
    said = decode_one(frames, accepted)
    return None if isinstance(said, ProtocolError) else said


def meanings(frames: Frames, accepted: Catalogue) -> list[Message | None]:
    """Return what the frames of a message or a batch still say, None in the place of each that says nothing."""
    return [None if isinstance(said, ProtocolError) else said for said in decode_all(frames, accepted)]

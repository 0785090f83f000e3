"""Messages to frames and back: ``[version, type, msgpack map]``.

Everything remote is decoded here, within limits, before any other code sees it.
"""

# `threading.local`, without the half millisecond that importing all of it takes a command that asks nobody.
from _thread import _local as local
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar

import msgpack

from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import SchemaError, from_plain, to_plain
from ffrtmpd.wire.vocabulary import SUPPORTED_VERSIONS, ErrorCode

# One message; a page of 1,000 jobs packs to about a third of it.
MESSAGE_MAX: Final = 1 << 20
ARRAY_MAX: Final = 4_096
MAP_MAX: Final = 256
TEXT_MAX: Final = 65_536
TYPE_MAX: Final = 32
FRAMES: Final = 3

M = TypeVar("M", bound="Message")


class ProtocolError(Exception):
    """Frames that are no message of this protocol.

    ``code`` is the stable reason; ``request_id`` is set when the body could be read that far.
    """

    def __init__(self, code: ErrorCode, message: str, *, type_name: str = "", request_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.type_name = type_name
        self.request_id = request_id


@record
class Message:
    """What every message has: a type name on the wire."""

    TYPE: ClassVar[str]


Catalogue = Mapping[str, type[Message]]


def catalogue(*classes: type[Message]) -> Catalogue:
    """Return the types a socket accepts, by the name they have on the wire."""
    return {cls.TYPE: cls for cls in classes}


def encode(message: Message, *, version: int = SUPPORTED_VERSIONS[-1]) -> list[bytes]:
    """Return the frames of ``message``."""
    return [_FRAME_OF[version], message.TYPE.encode(), _packing.pack(to_plain(message))]


class _Packing(local):
    """A packer for each thread: to make one costs as much as to pack a short message."""

    def __init__(self) -> None:
        self.pack = msgpack.Packer().pack


_packing: Final = _Packing()


def decode(frames: Sequence[bytes], accepted: Catalogue) -> Message:
    """Return the message in ``frames``.

    Raises:
        ProtocolError: wrong frames, version, type or body.
    """
    if len(frames) != FRAMES:
        raise ProtocolError(ErrorCode.MALFORMED, f"a message has {FRAMES} frames, got {len(frames)}")
    version, type_frame, body = frames
    type_name = _type_name(type_frame)
    plain = _unpack(body, type_name)
    if version not in _VERSION_FRAMES:
        known = ", ".join(str(number) for number in SUPPORTED_VERSIONS)
        raise ProtocolError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"this side speaks version {known}",
            type_name=type_name,
            request_id=_request_id(plain),
        )
    cls = accepted.get(type_name)
    if cls is None:
        raise ProtocolError(
            ErrorCode.UNKNOWN_TYPE, "no such message type here", type_name=type_name, request_id=_request_id(plain)
        )
    try:
        return from_plain(cls, plain)
    except SchemaError as error:
        raise ProtocolError(
            ErrorCode.INVALID_ARGUMENT, str(error), type_name=type_name, request_id=_request_id(plain)
        ) from None


_FRAME_OF: Final = {number: b"%d" % number for number in SUPPORTED_VERSIONS}
_VERSION_FRAMES: Final = frozenset(_FRAME_OF.values())


def _type_name(frame: bytes) -> str:
    if not 1 <= len(frame) <= TYPE_MAX or not frame.isascii():
        raise ProtocolError(ErrorCode.MALFORMED, "the second frame names the message type")
    return frame.decode("ascii")


def _unpack(body: bytes, type_name: str) -> dict[Any, Any]:
    try:
        plain = msgpack.unpackb(
            body,
            max_str_len=TEXT_MAX,
            max_bin_len=TEXT_MAX,
            max_array_len=ARRAY_MAX,
            max_map_len=MAP_MAX,
            max_ext_len=0,
            strict_map_key=True,
            object_pairs_hook=_unique,
        )
    # msgpack raises ValueError and its subclasses for bad bytes and limits, and lets a few others through:
    # StackError on deep nesting, UnicodeDecodeError on text that is not UTF-8, OverflowError and TypeError on odd ext.
    except (ValueError, OverflowError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise ProtocolError(
            ErrorCode.MALFORMED, f"the body is not a msgpack map within limits: {error}"[:200], type_name=type_name
        ) from None
    if not isinstance(plain, dict):
        raise ProtocolError(ErrorCode.MALFORMED, "the body is not a map", type_name=type_name)
    return plain


def _unique(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    # A list from msgpack's extension, a generator from its pure Python form.
    listed = pairs if isinstance(pairs, list) else list(pairs)
    made = dict(listed)
    if len(made) != len(listed):
        raise ValueError("a map names a key twice")
    return made


def _request_id(plain: Mapping[Any, Any]) -> str | None:
    value = plain.get("request_id")
    # Only what a reply may repeat.
    fits = isinstance(value, str) and len(value) <= REQUEST_ID_MAX and "\0" not in value
    return value if fits else None


REQUEST_ID_MAX: Final = 64

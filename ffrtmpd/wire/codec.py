"""Messages to frames and back: ``[version, type, msgpack map]``, or several as ``[version, BATCH, msgpack array]``.

Everything remote is decoded here, within limits, before any other code sees it.
"""

# `threading.local`, without the half millisecond that importing all of it takes a command that asks nobody.
from _thread import _local as local
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
# Several messages of one turn, as `[type, map]` each. No message has this for its type, so no batch holds another.
BATCH: Final = b"BATCH"
# Enough that the way costs a message next to nothing, few enough that a turn that takes one stays short.
BATCH_MAX: Final = 256

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


def encode_all(
    messages: Sequence[Message], *, version: int = SUPPORTED_VERSIONS[-1]
) -> Iterator[tuple[Sequence[Message], list[bytes]]]:
    """Yield ``messages`` in order and in as few parts as limits allow, each part with its frames.

    A part of one message has the form that it has alone, and only such a part may be larger than ``MESSAGE_MAX``.
    """
    for begin in range(0, len(messages), BATCH_MAX):
        yield from _parts(messages[begin : begin + BATCH_MAX], version)


def _parts(messages: Sequence[Message], version: int) -> Iterator[tuple[Sequence[Message], list[bytes]]]:
    if len(messages) == 1:
        yield messages, encode(messages[0], version=version)
        return
    body = _packing.pack([(message.TYPE, to_plain(message)) for message in messages])
    if len(body) <= MESSAGE_MAX:
        yield messages, [_FRAME_OF[version], BATCH, body]
        return
    middle = len(messages) // 2
    yield from _parts(messages[:middle], version)
    yield from _parts(messages[middle:], version)


def decode(frames: Sequence[bytes], accepted: Catalogue) -> Message:
    """Return the message in ``frames``.

    Raises:
        ProtocolError: wrong frames, version, type or body.
    """
    if len(frames) != FRAMES:
        raise ProtocolError(ErrorCode.MALFORMED, f"a message has {FRAMES} frames, got {len(frames)}")
    version, type_frame, body = frames
    _check_type_name(type_frame)
    type_name = type_frame.decode("ascii")
    plain = _unpack(body, type_name)
    if not isinstance(plain, dict):
        raise ProtocolError(ErrorCode.MALFORMED, "the body is not a map", type_name=type_name)
    if version not in _VERSION_FRAMES:
        raise _unknown_version(type_name, _request_id(plain))
    return _from_plain(type_name, plain, accepted)


def decode_one(frames: Sequence[bytes], accepted: Catalogue) -> Message | ProtocolError:
    """Return the message in ``frames``, or why it is none, as a value that holds nothing else."""
    try:
        return decode(frames, accepted)
    except ProtocolError as problem:
        return _kept(problem)


def decode_all(frames: Sequence[bytes], accepted: Catalogue) -> list[Message | ProtocolError]:
    """Return the messages in ``frames``, one alone or a batch, in order.

    What is no message stands in its place as its problem. A batch that cannot be read as one is one problem.
    """
    if len(frames) != FRAMES or frames[1] != BATCH:
        return [decode_one(frames, accepted)]
    try:
        return _decode_batch(frames, accepted)
    except ProtocolError as problem:
        return [_kept(problem)]


def _decode_batch(frames: Sequence[bytes], accepted: Catalogue) -> list[Message | ProtocolError]:
    version, _, body = frames
    pairs = _unpack(body, _BATCH_NAME)
    if version not in _VERSION_FRAMES:
        raise _unknown_version(_BATCH_NAME, None)
    if not isinstance(pairs, list) or not 2 <= len(pairs) <= BATCH_MAX or not all(map(_is_pair, pairs)):
        problem = f"a batch is an array of 2 to {BATCH_MAX} pairs, each a type and a map"
        raise ProtocolError(ErrorCode.MALFORMED, problem, type_name=_BATCH_NAME)
    return [_understood(type_name, plain, accepted) for type_name, plain in pairs]


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], dict)


def _understood(type_name: str, plain: dict[Any, Any], accepted: Catalogue) -> Message | ProtocolError:
    try:
        _check_type_name(type_name)
        return _from_plain(type_name, plain, accepted)
    except ProtocolError as problem:
        return _kept(problem)


def _kept(problem: ProtocolError) -> ProtocolError:
    # As a value. By the frames of its traceback it would hold the whole turn, and the turn holds it.
    problem.__traceback__ = problem.__context__ = problem.__cause__ = None
    return problem


def _from_plain(type_name: str, plain: dict[Any, Any], accepted: Catalogue) -> Message:
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
_BATCH_NAME: Final = BATCH.decode()


def _unknown_version(type_name: str, request_id: str | None) -> ProtocolError:
    known = ", ".join(str(number) for number in SUPPORTED_VERSIONS)
    problem = f"this side speaks version {known}"
    return ProtocolError(ErrorCode.UNSUPPORTED_VERSION, problem, type_name=type_name, request_id=request_id)


def _check_type_name(name: bytes | str) -> None:
    if not 1 <= len(name) <= TYPE_MAX or not name.isascii():
        raise ProtocolError(ErrorCode.MALFORMED, f"a type is named by 1 to {TYPE_MAX} ASCII characters")


def _unpack(body: bytes, type_name: str) -> Any:
    try:
        return msgpack.unpackb(
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
            ErrorCode.MALFORMED, f"the body is not msgpack within limits: {error}"[:200], type_name=type_name
        ) from None


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

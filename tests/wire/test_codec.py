"""Whatever is encoded decodes to the same; whatever else arrives is a ProtocolError."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmpd.wire.catalogue import CLIENT_REPLIES, CLIENT_REQUESTS, MASTER_TO_WORKER, WORKER_TO_MASTER
from ffrtmpd.wire.codec import Message, ProtocolError, catalogue, decode, encode
from ffrtmpd.wire.messages.common import Ping
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from ffrtmpd.wire.messages.session import Heartbeat
from ffrtmpd.wire.vocabulary import ErrorCode, Queue
from tests.wire.messages import messages

EVERY = {**CLIENT_REQUESTS, **CLIENT_REPLIES, **WORKER_TO_MASTER, **MASTER_TO_WORKER}


def frames(kind: str, body: Any, version: bytes = b"1") -> list[bytes]:
    return [version, kind.encode(), msgpack.packb(body)]


def refused(parts: list[bytes]) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode(parts, EVERY)
    return caught.value


def test_no_two_messages_share_a_name() -> None:
    counted = len(CLIENT_REQUESTS) + len(CLIENT_REPLIES) + len(WORKER_TO_MASTER) + len(MASTER_TO_WORKER)
    assert len(EVERY) == counted


@settings(max_examples=400, deadline=None)
@given(messages(EVERY.values()))
def test_any_message_encoded_and_decoded_is_the_same(message: Message) -> None:
    assert decode(encode(message), EVERY) == message


def test_threads_encode_at_once_and_each_gets_its_own_frames() -> None:
    pings = [Ping(request_id=f"{number}" * 8) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            assert [decode(parts, EVERY) for parts in pool.map(encode, pings)] == pings


def test_message_that_cannot_be_packed_leaves_nothing_for_the_next() -> None:
    with pytest.raises(TypeError):
        encode(Ping(request_id=object()))  # type: ignore[arg-type]
    assert encode(Ping(request_id="r")) == frames("PING", {"request_id": "r"})


@settings(max_examples=400, deadline=None)
@given(messages(EVERY.values()), st.data())
def test_any_mutated_message_decodes_or_is_refused(message: Message, data: st.DataObject) -> None:
    parts = encode(message)
    index = data.draw(st.integers(0, len(parts) - 1))
    body = bytearray(parts[index])
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(body)))
        body[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    parts[index] = bytes(body)
    with contextlib.suppress(ProtocolError):
        decode(parts, EVERY)


@given(st.lists(st.binary(max_size=64), max_size=5))
def test_noise_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        decode(parts, EVERY)


def test_defaults_are_left_out_and_come_back() -> None:
    message = Submit(request_id="r", jobs=(Submission(key="k" * 8, spec=JobSpec(scenario="4K60-h264")),))
    _, _, body = encode(message)
    assert msgpack.unpackb(body) == {"request_id": "r", "jobs": [{"key": "k" * 8, "spec": {"scenario": "4K60-h264"}}]}
    assert decode(encode(message), EVERY) == message


def test_unknown_fields_are_ignored() -> None:
    assert decode(frames("PING", {"request_id": "r", "colour": [1, {}]}), EVERY) == Ping(request_id="r")


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([b"1", b"PING"], ErrorCode.MALFORMED),
        (frames("PING", {"request_id": "r"}, version=b"2"), ErrorCode.UNSUPPORTED_VERSION),
        (frames("PING", {"request_id": "r"}, version=b""), ErrorCode.UNSUPPORTED_VERSION),
        (frames("PONG_PONG", {"request_id": "r"}), ErrorCode.UNKNOWN_TYPE),
        (frames("P" * 33, {"request_id": "r"}), ErrorCode.MALFORMED),
        ([b"1", "É".encode(), msgpack.packb({})], ErrorCode.MALFORMED),
        (frames("PING", ["request_id"]), ErrorCode.MALFORMED),
        ([b"1", b"PING", b""], ErrorCode.MALFORMED),
        ([b"1", b"PING", msgpack.packb({"request_id": "r"}) + b"\0"], ErrorCode.MALFORMED),
        ([b"1", b"PING", b"\x82\xa1a\x01\xa1a\x02"], ErrorCode.MALFORMED),
        ([b"1", b"PING", b"\x81\xa1a" + b"\x91" * 5_000 + b"\x00"], ErrorCode.MALFORMED),
        ([b"1", b"PING", b"\x81\xa1a\xa1\xff"], ErrorCode.MALFORMED),
        ([b"1", b"PING", b"\xdf\xff\xff\xff\xff"], ErrorCode.MALFORMED),
        (frames("PING", {"request_id": "r", "x": "y" * 65_537}), ErrorCode.MALFORMED),
        (frames("PING", {"request_id": "r", "x": [0] * 4_097}), ErrorCode.MALFORMED),
        (frames("PING", {"request_id": "r", "x": msgpack.ExtType(5, b"1")}), ErrorCode.MALFORMED),
        (frames("PING", {}), ErrorCode.INVALID_ARGUMENT),
        (frames("PING", {"request_id": 7}), ErrorCode.INVALID_ARGUMENT),
        (frames("PING", {"request_id": ""}), ErrorCode.INVALID_ARGUMENT),
        (frames("PING", {"request_id": "x" * 65}), ErrorCode.INVALID_ARGUMENT),
        (frames("PING", {"request_id": "a\0b"}), ErrorCode.INVALID_ARGUMENT),
        (frames("HEARTBEAT", {"sent_ms": -1}), ErrorCode.INVALID_ARGUMENT),
        (frames("HEARTBEAT", {"sent_ms": True}), ErrorCode.INVALID_ARGUMENT),
        (frames("HEARTBEAT", {"sent_ms": 1, "load": {"cpu_load_percent": float("nan")}}), ErrorCode.INVALID_ARGUMENT),
        (frames("HEARTBEAT", {"sent_ms": 1, "load": {"cpu_load_percent": 101}}), ErrorCode.INVALID_ARGUMENT),
    ],
)
def test_bad_frames_have_a_stable_code(parts: list[bytes], code: ErrorCode) -> None:
    assert refused(parts).code is code


def test_refusal_carries_the_request_id_when_it_could_be_read() -> None:
    assert refused(frames("NOPE", {"request_id": "r7"})).request_id == "r7"
    assert refused(frames("SUBMIT", {"request_id": "r7", "jobs": []})).request_id == "r7"
    assert refused(frames("PING", {"request_id": ["r7"]})).request_id is None
    # A reply could not repeat it.
    assert refused(frames("PING", {"request_id": "a\0b"})).request_id is None


def test_unknown_word_names_the_known_ones_and_the_nearest() -> None:
    spec = {"scenario": "x", "queue": "btach"}
    error = refused(frames("SUBMIT", {"request_id": "r", "jobs": [{"key": "k" * 8, "spec": spec}]}))
    assert error.message == "jobs[0].spec.queue: 'btach' is not one of live, default, batch (did you mean 'batch'?)"


def test_integers_become_floats_and_never_the_other_way() -> None:
    beat = decode(frames("HEARTBEAT", {"sent_ms": 1, "load": {"cpu_load_percent": 7}}), EVERY)
    assert isinstance(beat, Heartbeat)
    assert beat.load is not None
    assert isinstance(beat.load.cpu_load_percent, float)
    assert refused(frames("HEARTBEAT", {"sent_ms": 1.0})).code is ErrorCode.INVALID_ARGUMENT


def test_words_arrive_as_words() -> None:
    spec = {"scenario": "x", "queue": "live"}
    message = decode(frames("SUBMIT", {"request_id": "r", "jobs": [{"key": "k" * 8, "spec": spec}]}), EVERY)
    assert isinstance(message, Submit)
    assert message.jobs[0].spec.queue is Queue.LIVE


def test_ten_kilobytes_of_labels_are_taken() -> None:
    labels = {f"name{index}": "v" * 1_000 for index in range(10)}
    spec = {"scenario": "720p30-h264", "labels": labels}
    message = decode(frames("SUBMIT", {"request_id": "r", "jobs": [{"key": "k" * 8, "spec": spec}]}), EVERY)
    assert isinstance(message, Submit)
    assert message.jobs[0].spec.labels == labels


def test_a_socket_takes_only_its_own_types() -> None:
    with pytest.raises(ProtocolError, match="no such message type"):
        decode(encode(Ping(request_id="r")), catalogue(Heartbeat))

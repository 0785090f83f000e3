"""Whatever is encoded decodes to the same; whatever else arrives is a ProtocolError."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmpd.wire.catalogue import CLIENT_REPLIES, CLIENT_REQUESTS, MASTER_TO_WORKER, WORKER_TO_MASTER
from ffrtmpd.wire.codec import (
    BATCH,
    BATCH_MAX,
    MESSAGE_MAX,
    TYPE_MAX,
    Message,
    ProtocolError,
    catalogue,
    decode,
    decode_all,
    decode_one,
    encode,
    encode_all,
)
from ffrtmpd.wire.messages.common import Ping
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from ffrtmpd.wire.messages.session import Heartbeat, HeartbeatAck, LogChunk, Reset
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


def test_a_message_that_is_none_is_a_problem_without_the_turn_it_was_found_in() -> None:
    assert decode_one(encode(Reset()), EVERY) == Reset()
    for parts in ([b"1", b"PING"], frames("PING", {}), frames("BATCH", [["PING", {}], ["RESET", {}]])):
        (problem, *_) = decode_all(parts, EVERY)
        assert isinstance(problem, ProtocolError)
        assert (problem.__traceback__, problem.__context__, problem.__cause__) == (None, None, None)


# ── batches ───────────────────────────────────────────────────────────────────────────────────────────────────────

WORKERS = {**WORKER_TO_MASTER, **MASTER_TO_WORKER}


def beats(count: int) -> list[Message]:
    return [HeartbeatAck(sent_ms=number) for number in range(count)]


def parted(batched: list[Message]) -> list[Message | ProtocolError]:
    """Return what arrives of messages that are sent together."""
    return [message for _, parts in encode_all(batched) for message in decode_all(parts, EVERY)]


def code_of(said: Message | ProtocolError) -> ErrorCode | None:
    return said.code if isinstance(said, ProtocolError) else None


def test_no_message_has_the_name_of_a_batch() -> None:
    assert BATCH.decode() not in EVERY


@settings(max_examples=200, deadline=None)
@given(st.lists(messages(WORKERS.values()), max_size=6))
def test_any_messages_sent_together_arrive_the_same_and_in_order(batched: list[Message]) -> None:
    assert parted(batched) == batched


def test_one_message_keeps_its_own_form_and_several_are_one_batch() -> None:
    assert list(encode_all([])) == []
    assert list(encode_all([Reset()])) == [([Reset()], encode(Reset()))]
    ((part, parts),) = encode_all([Reset(), HeartbeatAck(sent_ms=7)])
    assert part == [Reset(), HeartbeatAck(sent_ms=7)]
    assert parts[:2] == [b"1", b"BATCH"]
    assert msgpack.unpackb(parts[2]) == [["RESET", {}], ["HEARTBEAT_ACK", {"sent_ms": 7}]]


@pytest.mark.parametrize("count", [2, BATCH_MAX, BATCH_MAX + 1, 4 * BATCH_MAX + 2])
def test_more_messages_than_a_batch_holds_are_several(count: int) -> None:
    made = list(encode_all(beats(count)))
    assert len(made) == -(-count // BATCH_MAX)
    assert parted(beats(count)) == beats(count)


def test_batch_larger_than_a_message_is_several_and_only_one_message_alone_may_be_larger() -> None:
    chunks: list[Message] = [LogChunk(fetch_id=number, text="x" * 65_000) for number in range(40)]
    made = list(encode_all(chunks))
    assert 3 <= len(made) < len(chunks)
    assert all(len(parts[2]) <= MESSAGE_MAX for _, parts in made)
    assert parted(chunks) == chunks
    huge = Submit(request_id="r", jobs=(Submission(key="k" * 8, spec=JobSpec(scenario="x" * MESSAGE_MAX)),))
    made = list(encode_all([Reset(), huge, Reset()]))
    assert [[message.TYPE for message in part] for part, _ in made] == [["RESET"], ["SUBMIT"], ["RESET"]]
    assert [len(parts[2]) > MESSAGE_MAX for _, parts in made] == [False, True, False]


def test_wrong_messages_in_a_batch_harm_no_other() -> None:
    batch = [
        ["RESET", {}],
        ["HEARTBEAT_ACK", {"sent_ms": -1}],
        ["NOPE", {}],
        ["BATCH", {}],
        ["", {}],
        ["x" * (TYPE_MAX + 1), {}],
        ["É", {}],
        ["KILL", {"job_id": "a\0b", "attempt": 1, "token": b"t" * 16}],
        ["HEARTBEAT", {"sent_ms": 1}],
        ["HEARTBEAT_ACK", {"sent_ms": 7}],
    ]
    said = decode_all(frames("BATCH", batch), MASTER_TO_WORKER)
    assert [said[0], said[-1]] == [Reset(), HeartbeatAck(sent_ms=7)]
    assert [code_of(entry) for entry in said[1:-1]] == [
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.MALFORMED,
        ErrorCode.MALFORMED,
        ErrorCode.MALFORMED,
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.UNKNOWN_TYPE,
    ]


SOUND = ["RESET", {}]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (frames("BATCH", []), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND] * (BATCH_MAX + 1)), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND] * 5_000), ErrorCode.MALFORMED),
        (frames("BATCH", {"RESET": {}}), ErrorCode.MALFORMED),
        (frames("BATCH", "RESET"), ErrorCode.MALFORMED),
        (frames("BATCH", None), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, ["RESET"]]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, ["RESET", {}, {}]]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, [b"RESET", {}]]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, ["RESET", []]]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, ["BATCH", [SOUND, SOUND]]]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, {"RESET": {}}]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, ["RESET", {"x": "y" * 65_537}]]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, ["RESET", {"x": [0] * 4_097}]]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, ["RESET", {str(number): 0 for number in range(257)}]]), ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, ["RESET", {"x": msgpack.ExtType(5, b"1")}]]), ErrorCode.MALFORMED),
        ([b"1", b"BATCH", b"\x92\x92\xa5RESET\x80\x92\xa5RESET\x82\xa1a\x01\xa1a\x02"], ErrorCode.MALFORMED),
        ([b"1", b"BATCH", b"\x92\x92\xa5RESET\x80\x92\xa5RESET\x81\xa1a" + b"\x91" * 5_000], ErrorCode.MALFORMED),
        ([b"1", b"BATCH", b"\x92\x92\xa5RESET\x80"], ErrorCode.MALFORMED),
        ([b"1", b"BATCH", msgpack.packb([SOUND, SOUND]) + b"\0"], ErrorCode.MALFORMED),
        ([b"1", b"BATCH"], ErrorCode.MALFORMED),
        ([b"1", b"BATCH", msgpack.packb([SOUND, SOUND]), b""], ErrorCode.MALFORMED),
        (frames("BATCH", [SOUND, SOUND], version=b"2"), ErrorCode.UNSUPPORTED_VERSION),
    ],
)
def test_batch_of_a_wrong_form_is_one_problem(parts: list[bytes], code: ErrorCode) -> None:
    assert [code_of(said) for said in decode_all(parts, EVERY)] == [code]


def test_batch_is_no_message_where_only_one_is_taken() -> None:
    ((_, parts),) = encode_all(beats(2))
    assert refused(parts).code is ErrorCode.MALFORMED


@settings(max_examples=400, deadline=None)
@given(st.lists(messages(WORKERS.values()), min_size=2, max_size=4), st.data())
def test_any_mutated_batch_is_read_or_refused(batched: list[Message], data: st.DataObject) -> None:
    for _, parts in encode_all(batched):
        body = bytearray(parts[2])
        for _ in range(data.draw(st.integers(1, 4))):
            where = data.draw(st.integers(0, len(body)))
            body[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        said = decode_all([*parts[:2], bytes(body)], WORKERS)
        assert said
        assert all(isinstance(entry, (*WORKERS.values(), ProtocolError)) for entry in said)


@given(st.lists(st.tuples(st.text(max_size=40), st.dictionaries(st.text(max_size=4), st.booleans())), max_size=5))
def test_batch_of_noise_is_refused(batch: list[tuple[str, dict[str, bool]]]) -> None:
    said = decode_all(frames("BATCH", batch), WORKERS)
    assert len(said) == max(1, len(batch))
    assert all(isinstance(entry, ProtocolError) or entry.TYPE in WORKERS for entry in said)

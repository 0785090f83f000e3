from itertools import pairwise

import pytest

from ffrtmp_worker.events import LinkUp, Reconnect, Send, TimeCame
from ffrtmpd.wire.messages.common import Problem
from ffrtmpd.wire.messages.session import Denied, Heartbeat, HeartbeatAck, Hello, Ready, Reset
from ffrtmpd.wire.vocabulary import ErrorCode
from tests.worker.bench import Bench, assign, messages, only, sent, some, welcome


def test_start_connects_and_greets_once_the_socket_can_send() -> None:
    bench = Bench()
    assert bench.opening == [Reconnect()]
    hello = only(bench.do(LinkUp()), Send).message
    assert isinstance(hello, Hello)
    assert (hello.versions, hello.boot_id, hello.slots) == ((1,), "boot", 1)
    assert sent(bench.do(LinkUp())) == []


def test_welcome_is_answered_with_its_nonce_and_a_first_beat() -> None:
    bench = Bench()
    bench.do(LinkUp())
    ready, beat = sent(bench.say(welcome(nonce=b"x" * 16)))
    assert isinstance(ready, Ready)
    assert ready.nonce == b"x" * 16
    assert isinstance(beat, Heartbeat)
    assert beat.load is not None


def test_ready_beats_at_the_masters_pace() -> None:
    bench = Bench().online()
    beats = [message.sent_ms for message in messages(bench.beat(10), Heartbeat)]
    assert beats == [2_000, 4_000, 6_000, 8_000, 10_000]


def test_silence_of_three_beats_takes_a_fresh_socket() -> None:
    bench = Bench().online()
    assert some(bench.at(5.9), Reconnect) == []
    assert len(some(bench.at(6.0), Reconnect)) == 1


def test_worker_that_was_held_up_beats_before_it_judges_its_master_silent() -> None:
    bench = Bench().online()
    bench.at(2)
    bench.say(HeartbeatAck(sent_ms=2_000))
    bench.now = 30
    actions = bench.do(TimeCame())
    assert [message.sent_ms for message in messages(actions, Heartbeat)] == [30_000]
    assert some(actions, Reconnect) == []
    # From then on it counts: the beats of 30, 32 and 34 s.
    assert some(bench.at(33.9), Reconnect) == []
    assert len(some(bench.at(34), Reconnect)) == 1


def test_any_message_is_life() -> None:
    bench = Bench().online()
    for now in (5, 10, 15):
        assert some(bench.at(now), Reconnect) == []
        bench.say(HeartbeatAck(sent_ms=1))


def test_idle_worker_backs_off_to_half_a_minute() -> None:
    bench = Bench()
    times = [quarter / 4 for quarter in range(800) if some(bench.at(quarter / 4), Reconnect)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert times[0] == 0.5
    assert gaps[:9] == [1, 2, 4, 8, 16, 32, 32, 32, 32]


def test_busy_worker_tries_every_five_seconds() -> None:
    bench = Bench().online()
    bench.say(assign())
    times = [now for now in range(60) if some(bench.at(now), Reconnect)]
    assert times[-1] - times[-2] == 5


def test_greeting_without_answer_is_given_up_and_tried_anew() -> None:
    bench = Bench()
    bench.do(LinkUp())
    assert len(some(bench.at(6), Reconnect)) == 1
    assert messages(bench.do(LinkUp()), Hello) != []


def test_back_off_starts_anew_after_a_session() -> None:
    bench = Bench()
    bench.at(100)
    bench.online()
    silent_at = bench.now + 6
    bench.at(silent_at)
    assert some(bench.at(silent_at + 0.5), Reconnect) != []


def test_reset_greets_again_but_only_once_a_beat() -> None:
    bench = Bench().online()
    bench.now = 5
    assert len(messages(bench.say(Reset()), Hello)) == 1
    assert messages(bench.say(Reset()), Hello) == []
    bench.say(welcome())
    assert messages(bench.say(Reset()), Hello) == []
    assert messages(bench.at(6.9), Hello) == []
    assert len(messages(bench.at(7), Hello)) == 1


def test_before_ready_nothing_but_the_greeting_is_sent() -> None:
    bench = Bench(slots=2).online()
    bench.now = 5
    bench.say(Reset())
    child = bench.child(bench.say(assign()))
    assert sent(bench.write(child, b"7")) == []
    ready = messages(bench.say(welcome()), Ready)[0]
    assert [(held.job_id, held.started) for held in ready.running] == [("job-000001", True)]


def test_refused_greeting_is_repeated_later() -> None:
    bench = Bench()
    bench.do(LinkUp())
    refusal = Denied(problem=Problem(code=ErrorCode.UNSUPPORTED_VERSION, message="version 2 only"))
    assert messages(bench.say(refusal), Hello) == []
    assert messages(bench.at(0.9), Hello) == []
    assert len(messages(bench.at(1), Hello)) == 1


def test_welcome_of_another_version_opens_no_session() -> None:
    bench = Bench()
    bench.do(LinkUp())
    assert messages(bench.say(welcome(version=9)), Ready) == []


@pytest.mark.parametrize("sent_ms", [1, 2_001])
def test_acknowledgement_of_a_beat_never_sent_renews_nothing(sent_ms: int) -> None:
    bench = Bench().online()
    bench.at(2)
    before = bench.agent.session.vouched_at
    bench.say(HeartbeatAck(sent_ms=sent_ms))
    assert bench.agent.session.vouched_at == before


def test_acknowledgement_counts_from_when_the_beat_was_sent() -> None:
    bench = Bench().online()
    bench.at(2)
    bench.now = 5
    bench.say(HeartbeatAck(sent_ms=2_000))
    assert bench.agent.session.vouched_at == 2.0

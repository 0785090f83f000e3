"""The long poll: answered at once when there is news, otherwise when there is, otherwise when time is up."""

import pytest

from ffrtmpd.broker.journal import REMEMBERED, Journal
from ffrtmpd.events import MessageCame, Peer, Side
from ffrtmpd.wire.messages.acts import Cancel, Pause, Resume
from ffrtmpd.wire.messages.common import Reply
from ffrtmpd.wire.messages.jobs import Changes, ChangesReply, JobList, JobSpec, ListJobs
from ffrtmpd.wire.messages.keys import RevokeKey
from ffrtmpd.wire.messages.overview import Events
from ffrtmpd.wire.vocabulary import ErrorCode, JobState
from tests.master.house import House

SPEC = JobSpec(scenario="720p30-h264")


def revision(house: House) -> int:
    reply = house.ask(ListJobs(request_id="l"))
    assert isinstance(reply, JobList)
    return reply.revision


def news(house: House, by: str = "eyes") -> list[ChangesReply]:
    return house.take(Peer(Side.CLIENTS, by.encode()), ChangesReply)


def test_news_since_the_revision_is_told_at_once() -> None:
    house = House()
    since = revision(house)
    (job,) = house.submit(SPEC)
    reply = house.ask(Changes(request_id="c", since=since), by="eyes")
    assert isinstance(reply, ChangesReply)
    assert [(view.job_id, view.state) for view in reply.jobs] == [(job, JobState.QUEUED)]
    assert reply.revision == revision(house)


def test_waiting_client_is_told_in_the_turn_of_the_change() -> None:
    house = House()
    (job,) = house.submit(SPEC)
    assert house.ask(Changes(request_id="c", since=revision(house)), by="eyes") is None
    house.ask(Cancel(request_id="x", job=job))
    (reply,) = news(house)
    assert [(view.job_id, view.state) for view in reply.jobs] == [(job, JobState.CANCELED)]


def test_end_of_a_job_is_awaited_by_clients_and_by_jobs_without_a_slot() -> None:
    house = House()
    worker = house.worker("w1")
    (first,) = house.submit(SPEC)
    assert worker.assigned() == [first]
    for request in (
        Changes(request_id="c", since=revision(house), wait_s=1.0),
        Events(request_id="e", since=house.store.last_event(), wait_s=1.0),
    ):
        assert not house.broker.is_awaited()
        assert house.ask(request, by="eyes") is None
        assert house.broker.is_awaited()
        house.wait(1.1)
        house.take(Peer(Side.CLIENTS, b"eyes"), Reply)
    assert not house.broker.is_awaited()
    house.submit(SPEC)
    assert house.broker.is_awaited()
    worker.run(first)
    assert not house.broker.is_awaited()


def test_end_of_a_job_is_awaited_by_one_that_shall_go_on_in_its_slot() -> None:
    house = House()
    worker = house.worker("w1")
    first, second = house.submit(SPEC, SPEC)
    assert worker.assigned() == [first]
    worker.start(first)
    house.ask(Pause(request_id="p", job=first))
    worker.beat(worker.held(first, paused=True))
    assert second in worker.assigned()
    assert not house.broker.is_awaited()
    house.ask(Resume(request_id="r", job=first))
    assert house.broker.is_awaited()


def test_only_the_jobs_asked_about_are_told() -> None:
    house = House()
    one, two = house.submit(SPEC, SPEC)
    assert house.ask(Changes(request_id="c", since=revision(house), jobs=(two,)), by="eyes") is None
    house.ask(Cancel(request_id="x", job=one))
    assert news(house) == []
    house.ask(Cancel(request_id="x", job=two))
    (reply,) = news(house)
    assert [view.job_id for view in reply.jobs] == [two]


def test_nothing_new_is_told_when_time_is_up() -> None:
    house = House()
    assert house.ask(Changes(request_id="c", since=revision(house), wait_s=5.0), by="eyes") is None
    house.wait(4.9)
    assert news(house) == []
    house.wait(0.2)
    (reply,) = news(house)
    assert (reply.jobs, reply.reset) == ((), False)


def test_client_that_does_not_want_to_wait_is_answered_at_once() -> None:
    house = House()
    reply = house.ask(Changes(request_id="c", since=revision(house), wait_s=0.0), by="eyes")
    assert isinstance(reply, ChangesReply)
    assert reply.jobs == ()


@pytest.mark.parametrize("since", [0, 1, 1 << 60])
def test_revision_of_another_epoch_is_a_reset(since: int) -> None:
    reply = House().ask(Changes(request_id="c", since=since), by="eyes")
    assert isinstance(reply, ChangesReply)
    assert reply.reset


def test_revision_from_before_a_restart_is_a_reset() -> None:
    house = House()
    house.submit(SPEC)
    since = revision(house)
    house.start()
    reply = house.ask(Changes(request_id="c", since=since), by="eyes")
    assert isinstance(reply, ChangesReply)
    assert reply.reset


def test_key_revoked_while_it_waits_hears_nothing_more() -> None:
    house = House()
    (job,) = house.submit(SPEC)
    assert house.ask(Changes(request_id="c", since=revision(house)), by="eyes") is None
    house.ask(RevokeKey(request_id="r", name="eyes"), by="root")
    house.ask(Cancel(request_id="x", job=job))
    assert news(house) == []


def test_new_request_of_the_same_peer_takes_the_place_of_the_one_before() -> None:
    house = House()
    house.submit(SPEC)
    peer, user = Peer(Side.CLIENTS, b"eyes"), house.who("eyes").user_id
    since = revision(house)
    house.turn(MessageCame(peer, user, Changes(request_id="c1", since=since)))
    house.turn(MessageCame(peer, user, Changes(request_id="c2", since=since)))
    house.ask(Cancel(request_id="x", job="1"))
    assert [reply.request_id for reply in news(house)] == ["c2"]


def test_odd_job_names_are_refused() -> None:
    problem = House().refused(Changes(request_id="c", since=0, jobs=("x",)))
    assert problem.code is ErrorCode.INVALID_ARGUMENT


def test_journal_forgets_the_oldest_and_says_so() -> None:
    journal = Journal(1)
    start = journal.revision
    for seq in range(REMEMBERED + 5):
        journal.touch(seq)
    assert not journal.knows(start)
    assert journal.knows(journal.revision)
    assert journal.after(journal.revision - 3, frozenset(), 10) == [REMEMBERED + 2, REMEMBERED + 3, REMEMBERED + 4]


def test_journal_tells_a_job_once_at_its_last_change() -> None:
    journal = Journal(1)
    since = journal.revision
    for seq in (1, 2, 1):
        journal.touch(seq)
    assert journal.after(since, frozenset(), 10) == [2, 1]
    assert journal.after(since, frozenset({1, 3}), 10) == [1]

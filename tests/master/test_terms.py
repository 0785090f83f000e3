"""Each queue has its own lease for live pushes, and a restart with other settings endangers none."""

from dataclasses import replace

import pytest

from ffrtmpd.broker.settings import BrokerSettings, Terms
from ffrtmpd.wire.messages.acts import Cancel, Retry
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.messages.session import Hello, Welcome
from ffrtmpd.wire.vocabulary import JobState, OutputMode, Queue
from tests.master.house import House, Worker

SHORT = Terms(fence_s=6.0, give_away_s=10.0)
LONG = Terms(fence_s=40.0, give_away_s=50.0)
BOTH = BrokerSettings(server_public="k", queue_terms={Queue.LIVE: SHORT, Queue.BATCH: LONG})


def spec(queue: Queue) -> JobSpec:
    return JobSpec(scenario="720p30-h264", output="rtmp://h/a", output_mode=OutputMode.RTMP, queue=queue)


def pushing(house: House, queue: Queue) -> tuple[Worker, str]:
    worker = house.worker("w1")
    (job,) = house.submit(spec(queue))
    worker.hear()
    worker.start(job)
    worker.beat(worker.held(job))
    return worker, job


def restart(house: House, settings: BrokerSettings) -> None:
    house.settings = settings
    house.start()


@pytest.mark.parametrize(("queue", "terms"), [(Queue.LIVE, SHORT), (Queue.BATCH, LONG)])
def test_push_is_given_away_after_the_lease_of_its_queue(queue: Queue, terms: Terms) -> None:
    house = House(BOTH)
    worker, job = pushing(house, queue)
    assert worker.jobs[job].fence_s == terms.fence_s
    house.wait(terms.give_away_s - 0.1)
    assert house.job(job).state is JobState.PROCESSING
    house.wait(0.2)
    assert house.job(job).state is JobState.QUEUED


def test_queue_without_terms_of_its_own_has_the_common_ones() -> None:
    house = House(BOTH)
    worker, job = pushing(house, Queue.DEFAULT)
    assert worker.jobs[job].fence_s == 10.0
    house.wait(14.9)
    assert house.job(job).state is JobState.PROCESSING
    house.wait(0.2)
    assert house.job(job).state is JobState.QUEUED


def test_file_is_told_no_fence() -> None:
    house = House(BOTH)
    worker = house.worker("w1")
    (job,) = house.submit(JobSpec(scenario="720p30-h264"))
    assert worker.assigned() == [job]
    assert worker.jobs[job].fence_s is None


def test_session_is_told_the_longest_fence() -> None:
    house = House(BOTH)
    worker = house.worker("w1")
    worker.say(Hello(versions=(1,), boot_id="boot-1", slots=1, hardware=Hardware(hostname="w1")))
    assert [welcome.fence_s for welcome in worker.got(Welcome)] == [LONG.fence_s]


# ── a restart with other settings ─────────────────────────────────────────────────────────────────────────────────


def test_silent_push_keeps_the_lease_it_was_given_under_longer_settings() -> None:
    house = House(BOTH)
    _, job = pushing(house, Queue.BATCH)
    restart(house, BrokerSettings(server_public="k"))
    house.wait(LONG.give_away_s - 0.1)
    assert house.job(job).state is JobState.PROCESSING
    house.wait(0.2)
    assert house.job(job).state is JobState.QUEUED


def test_two_restarts_shorten_no_lease_either() -> None:
    house = House(BOTH)
    _, job = pushing(house, Queue.BATCH)
    restart(house, BrokerSettings(server_public="k"))
    house.wait(20)
    restart(house, BrokerSettings(server_public="k"))
    house.wait(LONG.give_away_s - 0.1)
    assert house.job(job).state is JobState.PROCESSING


def test_adopted_push_has_a_lease_that_covers_every_fence_of_the_new_settings() -> None:
    house = House(BOTH)
    worker, job = pushing(house, Queue.BATCH)
    # The batch queue has the common terms now; another has longer ones, and so may the run.
    middle = Terms(fence_s=20.0, give_away_s=25.0)
    restart(house, BrokerSettings(server_public="k", queue_terms={Queue.LIVE: middle}))
    worker.connect(running=(worker.held(job),), boot=False)
    house.wait(middle.give_away_s - 0.1)
    assert house.job(job).state is JobState.PROCESSING
    house.wait(0.2)
    assert house.job(job).state is JobState.QUEUED


def test_longer_terms_of_an_earlier_life_are_forgotten_once_they_are_over() -> None:
    house = House(BOTH)
    restart(house, BrokerSettings(server_public="k"))
    house.wait(LONG.give_away_s + 1)
    _, job = pushing(house, Queue.BATCH)
    restart(house, BrokerSettings(server_public="k"))
    house.wait(15.1)
    assert house.job(job).state is JobState.QUEUED


def test_run_that_was_stopped_before_the_restart_is_waited_for_as_long_as_it_may_push() -> None:
    house = House(BOTH)
    _, job = pushing(house, Queue.BATCH)
    house.ask(Cancel(request_id="r", job=job))
    house.ask(Retry(request_id="r", job=job))
    restart(house, replace(BOTH, queue_terms={}))
    other = house.worker("w2")
    other.beat_for(LONG.give_away_s - 1)
    assert other.assigned() == []
    other.beat_for(2)
    assert other.assigned() == [job]

"""The wall clock jumps; leases, silences and sessions are measured by another."""

import pytest

from ffrtmpd.events import Now
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import Commit, HeartbeatAck
from ffrtmpd.wire.vocabulary import JobState, NodeStatus
from tests.master.house import START_WALL_S, House
from tests.master.test_sessions import node

DAY_S = 86_400.0
SPEC = JobSpec(scenario="720p30-h264")


class JumpyHouse(House):
    """A master whose wall clock can be set."""

    jump_s = 0.0

    @property
    def now(self) -> Now:
        return Now(self.now_s, START_WALL_S + self.now_s + self.jump_s)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["forward", "back"])
def test_jump_of_the_wall_clock_moves_no_lease(jump_s: float) -> None:
    house = JumpyHouse()
    worker = house.worker("w1")
    (job,) = house.submit(SPEC)
    worker.hear()
    worker.start(job)
    worker.beat_for(4, worker.held(job))
    worker.got(HeartbeatAck)
    house.jump_s = jump_s
    # The next beat comes in its time: nobody was silent.
    worker.beat_for(10, worker.held(job))
    assert len(worker.got(HeartbeatAck)) == 5
    assert node(house, "w1").status is NodeStatus.BUSY
    assert (house.job(job).state, house.job(job).attempt) == (JobState.PROCESSING, 1)
    # And a silence is as long as it is: offline after three beats, lost after a minute.
    house.wait(house.settings.silent_s + 0.1)
    assert node(house, "w1").status is NodeStatus.OFFLINE
    house.wait(house.settings.lost_after_s - house.settings.silent_s - 1)
    assert house.job(job).state is JobState.PROCESSING
    house.wait(2)
    assert house.job(job).state is JobState.QUEUED


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["forward", "back"])
def test_jump_while_an_output_is_published_changes_nothing(jump_s: float) -> None:
    house = JumpyHouse()
    worker = house.worker("w1")
    (job,) = house.submit(SPEC)
    worker.hear()
    worker.start(job)
    worker.result(job)
    assert worker.got(Commit)
    house.jump_s = jump_s
    worker.committed(job)
    assert house.job(job).state is JobState.COMPLETED

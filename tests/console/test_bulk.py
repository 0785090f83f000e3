"""Acts on many jobs, and marking many: seen while under way, and stopped."""

import pytest

from ffrtmpd.wire.messages.acts import ACT_MAX, ActOnJobs
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.vocabulary import JobState, Queue
from tests.console.desk import Desk
from tests.master.house import House


@pytest.fixture
def crowd(house: House) -> Desk:
    """A console before a thousand jobs of which every second is a live one."""
    for _ in range(5):
        house.submit(
            *[JobSpec(scenario="720p30-h264", queue=(Queue.LIVE, Queue.BATCH)[number % 2]) for number in range(200)]
        )
    desk = Desk(house)
    desk.wait(1.0)
    return desk


def canceled(desk: Desk) -> int:
    return desk.house.store.count(states=(JobState.CANCELED,))


def test_many_are_acted_on_by_the_batch(crowd: Desk) -> None:
    crowd.press("*", "c")
    crowd.type("1000")
    crowd.press("enter")
    assert canceled(crowd) == 1_000
    assert sum(isinstance(request, ActOnJobs) for request in crowd.asked) == 1_000 // ACT_MAX
    assert "cancel 1000 jobs: 1000 done" in crowd.text()
    assert not crowd.state.jobs.marks


def test_bulk_is_seen_while_it_is_under_way_and_esc_stops_it(crowd: Desk) -> None:
    crowd.press("*", "c")
    crowd.type("1000")
    crowd.console.key("enter", crowd.now)
    crowd.step()
    crowd.step()
    assert f"cancel 1000 jobs: {2 * ACT_MAX} of 1000   Esc stops" in crowd.text()
    crowd.console.key("q", crowd.now)
    assert not crowd.state.leaving
    crowd.console.key("c", crowd.now)
    assert crowd.state.plan is None
    crowd.console.key("esc", crowd.now)
    assert "stopping" in crowd.text()
    crowd.pump()
    assert canceled(crowd) == 3 * ACT_MAX
    assert f"{3 * ACT_MAX} done, {1_000 - 3 * ACT_MAX} not sent: stopped" in crowd.text(160, 45)
    assert len(crowd.state.jobs.marks) == 1_000 - 3 * ACT_MAX
    crowd.press("q")
    assert crowd.state.leaving


def test_what_is_refused_is_counted_and_keeps_its_mark(crowd: Desk) -> None:
    crowd.press(" ", " ", "c")
    crowd.type("2")
    crowd.press("enter")
    crowd.press("home", "V", "down", "down", "V", "p")
    crowd.type("3")
    crowd.press("enter")
    assert "pause 3 jobs: 1 done, 2 refused: cannot pause job-000999: it is canceled" in crowd.text(160, 45)
    assert crowd.state.jobs.marks == {"job-000999", "job-001000"}


def test_master_lost_halfway_is_told_and_nothing_more_is_sent(crowd: Desk) -> None:
    crowd.press("*", "c")
    crowd.type("1000")
    crowd.console.key("enter", crowd.now)
    crowd.step()
    crowd.away = True
    crowd.pump()
    assert f"{ACT_MAX} done, no answer for {ACT_MAX}, the first job-000201, 600 not sent" in crowd.text(160, 45)
    assert canceled(crowd) == ACT_MAX


def test_all_that_match_are_marked_by_the_thousand_and_esc_stops_that_too(house: House) -> None:
    for _ in range(9):
        house.submit(*[JobSpec(scenario="720p30-h264")] * 1_000)
    desk = Desk(house)
    desk.wait(1.0)
    desk.console.key("*", desk.now)
    desk.step()
    assert "marking: 4000 of 9000   Esc stops" in desk.text()
    desk.press("esc")
    assert "4000 marked, not all that match" in desk.text()
    desk.press("esc")
    assert not desk.state.jobs.marks
    desk.press("*")
    assert "9000 marked" in desk.text()


def test_one_job_needs_one_key_and_other_keys_do_nothing(crowd: Desk) -> None:
    crowd.press("c")
    assert "cancel job-001000 on prod; y confirms, Esc aborts" in crowd.text()
    crowd.press("x")
    assert canceled(crowd) == 0
    crowd.press("n")
    assert crowd.state.plan is None
    crowd.press("c", "Y")
    assert canceled(crowd) == 1


def test_action_that_is_confirmed_before_the_one_before_is_answered_comes_after_it(crowd: Desk) -> None:
    for keys in (("p", "y"), ("r", "y"), ("c", "enter")):
        for key in keys:
            crowd.console.key(key, crowd.now)
    assert [plan.verb for plan in crowd.state.plans] == ["resume", "cancel"]
    crowd.pump()
    events = [entry.event for entry in crowd.house.status("job-001000").history]
    assert events == ["submit", "hold", "release", "cancel"]
    assert crowd.state.bulk is None
    assert "cancel job-001000: 1 done" in crowd.text()


def test_esc_stops_what_waits_too(crowd: Desk) -> None:
    for key in ("p", "y", "r", "y", "q", "esc"):
        crowd.console.key(key, crowd.now)
    crowd.pump()
    assert crowd.house.job("job-001000").state is JobState.PAUSED
    assert not crowd.state.leaving


def test_actions_that_wait_are_dropped_when_the_master_is_lost(crowd: Desk) -> None:
    for key in ("p", "y", "r", "y"):
        crowd.console.key(key, crowd.now)
    crowd.away = True
    crowd.pump()
    assert "pause job-001000: 0 done, no answer for job-001000, 1 not sent" in crowd.text()
    assert not crowd.state.plans


def test_ids_are_copied_and_the_line_says_which(crowd: Desk) -> None:
    crowd.press("y")
    assert crowd.state.yanked == "job-001000"
    assert "copied job-001000 to the terminal's clipboard" in crowd.text()
    crowd.press(" ", " ", "y")
    assert crowd.state.yanked == "job-000999 job-001000"
    assert "copied 2 ids" in crowd.text()


def test_history_acts_on_its_own_marks(crowd: Desk) -> None:
    crowd.press("*", "c")
    crowd.type("1000")
    crowd.press("enter", "5")
    crowd.wait(1.0)
    crowd.press("*", "t")
    crowd.type("1000")
    crowd.press("enter")
    assert canceled(crowd) == 0


def test_action_in_the_midst_of_a_range_is_about_what_is_shown_as_marked(crowd: Desk) -> None:
    crowd.press("g", "V", "j", "j")
    assert crowd.text().count("\n*job-") == 2
    crowd.press("c")
    assert "cancel 3 jobs on prod; type 3 to confirm" in crowd.text()
    assert crowd.state.range_from is None
    crowd.type("3")
    crowd.press("enter")
    assert canceled(crowd) == 3
    crowd.press("g", "V", "j", "y")
    assert crowd.state.yanked == "job-000999 job-001000"

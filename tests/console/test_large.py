"""Lists that are longer than what is read of them, and filters that fit few."""

import pytest

from ffrtmpd.store import LOOK_MAX
from ffrtmpd.wire.messages.jobs import JobSpec, ListJobs
from ffrtmpd.wire.messages.nodes import ListNodes
from tests.console.desk import Desk
from tests.master.house import House


def test_selection_far_down_stays_while_jobs_come_in(house: House) -> None:
    for _ in range(4):
        house.submit(*[JobSpec(scenario="720p30-h264")] * 1_000)
    desk = Desk(house)
    desk.wait(1.0)
    for _ in range(300):
        desk.press("page down")
        desk.text()
    assert desk.state.jobs.selected == "job-001000"
    house.submit(*[JobSpec(scenario="1080p30-h264")] * 30)
    desk.wait(6.0)
    assert desk.state.jobs.selected == "job-001000"
    asked = [request for request in desk.asked if isinstance(request, ListJobs)]
    assert asked[-1].limit <= 400
    desk.press("home")
    desk.wait(4.0)
    desk.press("home")
    desk.wait(1.0)
    assert desk.state.jobs.selected == "job-004030"


def test_job_that_is_gone_to_stays_selected_and_up_leads_to_the_one_before(house: House) -> None:
    for _ in range(3):
        house.submit(*[JobSpec(scenario="720p30-h264")] * 1_000)
    desk = Desk(house)
    desk.wait(1.0)
    desk.press(":")
    desk.type("job 1234")
    desk.press("enter")
    desk.wait(5.0)
    assert desk.state.jobs.selected == "job-001234"
    assert "from a job on" in desk.text(160, 45)
    assert " -/3000" in desk.text()
    desk.press("up")
    assert desk.state.jobs.selected == "job-001235"
    assert "\n>job-001235" in desk.text()
    assert "\n job-001234" in desk.text()
    desk.press("down", "down")
    assert desk.state.jobs.selected == "job-001233"
    for number in range(1234, 3001):
        desk.press("up")
        if number % 100 == 0:
            desk.text()
            desk.wait(1.0)
        assert desk.state.jobs.selected == f"job-{number:06d}"
    desk.wait(3.0)
    assert " 1/3000" in desk.text()
    assert "from a job on" not in desk.text(160, 45)


def test_first_line_is_that_of_the_whole_list_also_from_a_job_that_was_gone_to(house: House) -> None:
    for _ in range(3):
        house.submit(*[JobSpec(scenario="720p30-h264")] * 1_000)
    desk = Desk(house)
    desk.wait(1.0)
    desk.press(":", *"job 1234", "enter")
    desk.wait(3.0)
    desk.press("g")
    desk.wait(3.0)
    assert desk.state.jobs.rows[0].job_id == "job-003000"
    desk.press(":", *"job 3000", "enter", "up")
    assert desk.state.jobs.selected == "job-003000"
    assert " 1/3000" in desk.text()


@pytest.fixture(scope="module")
def haystack() -> House:
    """More jobs than the master looks at for one answer; the first two alone are of another scenario."""
    house = House()
    house.submit(*[JobSpec(scenario="4K60-h264")] * 2)
    for _ in range(2 * LOOK_MAX // 1_000 + 1):
        house.submit(*[JobSpec(scenario="720p30-h264")] * 1_000)
    return house


def test_filter_that_fits_few_finds_them_at_the_far_end(haystack: House) -> None:
    desk = Desk(haystack)
    desk.wait(1.0)
    desk.press("/")
    desk.type("4K60")
    desk.press("enter")
    desk.wait(1.0)
    assert [job.job_id for job in desk.state.jobs.rows] == ["job-000002", "job-000001"]
    haystack.submit(JobSpec(scenario="4K60-h264"))
    desk.wait(12.0)
    assert len(desk.state.jobs.rows) == 3
    assert desk.state.jobs.selected == "job-000002"


def test_more_nodes_than_a_window_are_scrolled() -> None:
    house = House()
    for number in range(500):
        house.worker(f"w-{number:04d}")
    desk = Desk(house)
    desk.press("2")
    desk.wait(1.0)
    assert (len(desk.state.nodes), desk.state.nodes.total) == (200, 500)
    for _ in range(45):
        desk.press("page down")
        desk.text()
    assert desk.state.nodes.selected == "w-0450"
    desk.house.now_s += 3.0
    desk.pump()
    assert desk.state.nodes.selected == "w-0450"
    assert "nodes 500up" in desk.text()
    limits = [request.limit or 0 for request in desk.asked if isinstance(request, ListNodes)]
    assert max(limits) <= 400

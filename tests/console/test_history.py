"""The page of jobs that ended."""

from ffrtmpd.wire.messages.acts import Cancel
from ffrtmpd.wire.messages.jobs import JobSpec, ListJobs
from ffrtmpd.wire.vocabulary import JobState, SortKey
from tests.console.desk import Desk
from tests.master.house import House


def ids(desk: Desk) -> list[str]:
    return [job.job_id for job in desk.state.history.rows]


def test_history_shows_what_ended_last_on_top_with_its_measures(desk: Desk) -> None:
    desk.press("5")
    desk.wait(0.5)
    assert ids(desk) == ["job-000002", "job-000001"]
    assert "exit 1 no such codec" in desk.text(160, 45)
    desk.press("down")
    text = desk.text(160, 45)
    for part in ("31.0s", "94.0", "4.4", "9.9kJ", "2.0kJ", "compliant"):
        assert part in text, part
    request = next(request for request in reversed(desk.asked) if isinstance(request, ListJobs))
    assert (request.sort, request.descending) == (SortKey.FINISHED, True)


def test_what_ends_while_it_is_looked_at_comes_on_top_and_what_is_queued_again_goes(desk: Desk) -> None:
    desk.press("5")
    desk.wait(0.5)
    desk.house.ask(Cancel(request_id="c", job="6"))
    desk.wait(3.0)
    assert ids(desk)[0] == "job-000006"
    assert desk.state.history.selected == "job-000002"
    desk.press("t", "y")
    assert desk.house.job("job-000002").state is JobState.QUEUED
    desk.wait(3.0)
    assert ids(desk) == ["job-000006", "job-000001"]


def test_history_is_filtered_as_the_jobs_are_but_for_states_that_are_no_end(desk: Desk) -> None:
    desk.press("5", "/")
    desk.type("state:failed")
    desk.press("enter")
    assert ids(desk) == ["job-000002"]
    desk.press("/", "ctrl u")
    desk.type("state:queued")
    desk.press("enter")
    assert "queued is not in the history" in desk.text(160, 45)
    desk.press("esc", "esc")
    desk.wait(0.5)
    assert len(ids(desk)) == 2
    assert desk.state.job_query.text == ""


def test_history_is_sorted_by_its_own_columns(desk: Desk) -> None:
    desk.press("5", ":")
    desk.type("sort energy")
    desk.press("enter")
    desk.wait(0.5)
    assert ids(desk)[0] == "job-000001"
    desk.press(":")
    desk.type("sort eta")
    desk.press("enter")
    assert "cannot sort by 'eta'" in desk.text(160, 45)


def test_thousands_that_ended_are_scrolled_and_the_selection_stays(house: House) -> None:
    for _ in range(5):
        house.submit(*[JobSpec(scenario="720p30-h264") for _ in range(500)])
    for number in range(1, 2_001):
        house.ask(Cancel(request_id="c", job=str(number)))
        house.now_s += 1.0
    desk = Desk(house)
    desk.press("5")
    desk.wait(0.5)
    assert desk.state.history.selected == "job-002000"
    while desk.state.history.selected != "job-000700":
        desk.press("down")
    house.ask(Cancel(request_id="c", job="2400"))
    desk.wait(5.0)
    assert desk.state.history.selected == "job-000700"
    desk.press("home")
    desk.wait(3.0)
    assert desk.state.history.selected in ("job-002400", "job-002000")
    assert ids(desk)[0] == "job-002400"

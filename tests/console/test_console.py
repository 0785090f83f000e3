"""What keys do, in front of the real broker: marks, confirmations, filters, absence of the master."""

import pytest

from ffrtmp_tui.console.state import State
from ffrtmpd.wire.messages.acts import Cancel
from ffrtmpd.wire.messages.inquiries import Logs
from ffrtmpd.wire.messages.jobs import JobSpec, ListJobs, Submit
from ffrtmpd.wire.vocabulary import JobState
from tests.console.desk import Desk
from tests.master.house import House


def ids(state: State) -> list[str]:
    return [job.job_id for job in state.jobs.rows]


def test_the_newest_job_is_on_top_and_selected(desk: Desk) -> None:
    assert ids(desk.state) == [f"job-{number:06d}" for number in (6, 5, 4, 3, 2, 1)]
    assert desk.state.jobs.selected == "job-000006"


def test_a_new_job_appears_and_the_selection_stays_where_it_was(desk: Desk) -> None:
    desk.press("down")
    desk.house.submit(JobSpec(scenario="720p30-h264"))
    desk.wait(3.0)
    assert ids(desk.state)[0] == "job-000007"
    assert desk.state.jobs.selected == "job-000005"


def test_a_bulk_action_happens_only_after_its_count_was_typed(desk: Desk) -> None:
    desk.press(" ", " ", "c")
    assert "cancel 2 jobs on prod; type 2 to confirm" in desk.text()
    assert "= ffrtmp jobs cancel 5-6 --yes" in desk.text()
    desk.type("3")
    desk.press("enter")
    assert desk.house.job("job-000006").state is JobState.QUEUED
    assert "type 2, or Esc" in desk.text()
    desk.press("backspace", "2", "enter")
    assert desk.house.job("job-000006").state is JobState.CANCELED
    assert desk.house.job("job-000005").state is JobState.CANCELED
    assert desk.house.job("job-000004").state is JobState.QUEUED
    assert "cancel 2 jobs: 2 done" in desk.text()
    assert not desk.state.jobs.marks


def test_esc_aborts_an_action(desk: Desk) -> None:
    desk.press("c", "x", "esc", "enter")
    assert not any(isinstance(request, Cancel) for request in desk.asked)
    assert desk.state.plan is None


def test_the_selected_job_is_held_resumed_and_retried(desk: Desk) -> None:
    desk.press("p", "y")
    assert desk.house.job("job-000006").state is JobState.PAUSED
    desk.press("r", "y")
    assert desk.house.job("job-000006").state is JobState.QUEUED
    desk.press("c", "y", "t", "y")
    assert desk.house.job("job-000006").state is JobState.QUEUED


def test_what_the_master_refuses_is_told_with_its_reason(desk: Desk) -> None:
    desk.press("end", "c", "y")
    assert "cannot cancel job-000001: it is completed" in desk.text()
    assert desk.house.job("job-000001").state is JobState.COMPLETED


def test_a_range_marks_what_lies_between(desk: Desk) -> None:
    desk.press("V", "down", "down", "V")
    assert desk.state.jobs.marks == {"job-000006", "job-000005", "job-000004"}
    desk.press("esc")
    assert not desk.state.jobs.marks


def test_all_that_match_the_filter_are_marked_also_those_out_of_sight(house: House) -> None:
    for _ in range(3):
        house.submit(*[JobSpec(scenario="720p30-h264")] * 1)
    for _ in range(12):
        house.submit(*[JobSpec(scenario="1080p30-h264") for _ in range(100)])
    desk = Desk(house)
    desk.wait(1.0)
    assert len(desk.state.jobs) < 1_203 == desk.state.jobs.total
    desk.press("*")
    assert len(desk.state.jobs.marks) == 1_203
    desk.press("esc", "/")
    desk.type("720p")
    desk.press("enter")
    desk.press("*")
    assert len(desk.state.jobs.marks) == 3


def test_rows_are_fetched_as_the_selection_goes_down(house: House) -> None:
    for _ in range(5):
        house.submit(*[JobSpec(scenario="720p30-h264") for _ in range(100)])
    desk = Desk(house)
    desk.wait(1.0)
    assert len(desk.state.jobs) == 200
    desk.press("end", "end", "end")
    assert desk.state.jobs.selected == "job-000001"
    assert len(desk.state.jobs) == 500


def test_a_filter_is_asked_once_the_fingers_rest(desk: Desk) -> None:
    before = sum(isinstance(request, ListJobs) for request in desk.asked)
    desk.press("/")
    desk.type("state:failed")
    assert sum(isinstance(request, ListJobs) for request in desk.asked) == before
    desk.wait(0.5)
    assert sum(isinstance(request, ListJobs) for request in desk.asked) == before + 1
    assert ids(desk.state) == ["job-000002"]
    desk.press("esc")
    assert len(desk.state.jobs) == 6


def test_tab_completes_a_filter_wherever_it_is_typed(desk: Desk) -> None:
    desk.press("/")
    desk.type("sta")
    desk.press("tab", "f", "tab", "enter")
    assert desk.state.job_query.text == "state:failed"
    desk.press("2", ":")
    desk.type("filter enc")
    desk.press("tab", "h", "tab", "enter")
    assert desk.state.node_query.text == "encoder:h264_nvenc"


def test_a_wrong_filter_is_told_and_changes_nothing(desk: Desk) -> None:
    desk.press("/")
    desk.type("state:faild")
    desk.press("enter")
    assert "did you mean 'failed'?" in desk.text(160, 45)
    assert len(desk.state.jobs) == 6


def test_commands_do_what_keys_do_and_wrong_ones_are_told(desk: Desk) -> None:
    desk.press(":")
    desk.type("nod")
    desk.press("tab", "enter")
    assert desk.text().count("<2>Nodes") == 1
    desk.press(":")
    desk.type("job 2")
    desk.press("enter")
    assert "<1>Jobs" in desk.text()
    assert desk.state.jobs.selected == "job-000002"
    desk.press(":")
    desk.type("cancle")
    desk.press("enter")
    assert "did you mean 'cancel'?" in desk.text()


def test_sorting_is_the_master_s(desk: Desk) -> None:
    desk.press(":")
    desk.type("sort scenario")
    desk.press("enter")
    assert ids(desk.state)[0] == "job-000002"
    desk.press("S")
    assert ids(desk.state)[0] == "job-000006"


def test_explain_tells_place_and_each_node_s_answer(desk: Desk) -> None:
    desk.press("e")
    text = desk.text()
    assert "Place in the order of work: 3" in text
    assert "has no free slot" in text
    desk.press("esc")
    assert desk.state.overlay is None


def test_without_the_master_rows_stay_with_their_age_and_actions_are_off(desk: Desk) -> None:
    before = ids(desk.state)
    desk.away = True
    desk.wait(12.0)
    text = desk.text()
    assert "OFFLINE 12s old" in text
    assert ids(desk.state) == before
    desk.press("c")
    assert desk.state.plan is None
    assert "actions are off" in desk.text()
    desk.away = False
    desk.wait(6.0)
    assert "ONLINE" in desk.text()
    desk.press("c", "y")
    assert desk.house.job("job-000006").state is JobState.CANCELED


def test_an_action_that_loses_the_master_says_what_was_done(desk: Desk) -> None:
    desk.press(" ", " ", "c")
    desk.type("2")
    desk.away = True
    desk.press("enter")
    assert "0 done, no answer for 2, the first job-000005" in desk.text()
    assert desk.state.bulk is None
    assert desk.house.job("job-000005").state is JobState.QUEUED


def test_a_restarted_master_is_read_anew(desk: Desk) -> None:
    desk.away = True
    desk.wait(1.0)
    desk.house.start()
    desk.house.submit(JobSpec(scenario="720p30-h264"))
    desk.away = False
    desk.wait(6.0)
    assert ids(desk.state)[0] == "job-000007"


def test_who_may_only_look_changes_nothing(busy: House) -> None:
    viewer = Desk(busy, by="eyes")
    viewer.wait(1.0)
    viewer.press("c")
    assert "a viewer may not change anything" in viewer.text()
    assert " RO " in viewer.text()
    careful = Desk(busy, read_only=True)
    careful.wait(1.0)
    careful.press("c")
    assert "read-only" in careful.text()
    careful.press("R", "c")
    assert "cancel job-000006 on prod" in careful.text()


def test_freeze_holds_the_rows_still(desk: Desk) -> None:
    desk.press("z")
    desk.house.submit(JobSpec(scenario="720p30-h264"))
    desk.wait(5.0)
    assert len(desk.state.jobs) == 6
    assert "FROZEN" in desk.text()
    desk.press("z")
    desk.wait(3.0)
    assert len(desk.state.jobs) == 7


def test_a_node_is_drained_and_its_jobs_are_shown(desk: Desk) -> None:
    desk.press("2", "D", "y")
    desk.wait(2.5)
    assert "draining" in desk.text()
    desk.press("U", "y", "enter")
    desk.wait(0.5)
    assert desk.state.job_query.text == "node:w-07"
    assert ids(desk.state) == ["job-000003", "job-000002", "job-000001"]


def test_the_form_completes_validates_and_submits_once(desk: Desk) -> None:
    desk.press("n", "enter")
    assert "scenario: missing" in desk.text()
    desk.type("720p30-h")
    desk.press("tab")
    assert desk.state.form is not None
    assert desk.state.form.values["scenario"].startswith("720p30-h")
    desk.press("down", "down", "down", "right", "down", "down")
    desk.type("soon")
    desk.press("enter")
    assert "'soon' is no duration" in desk.text()
    desk.press("ctrl u")
    desk.type("10")
    assert "--duration 10" in desk.text()
    desk.away = True
    desk.press("enter")
    assert "makes it once only" in desk.text()
    desk.away = False
    desk.wait(3.0)
    desk.press("enter")
    assert "submitted job-000007" in desk.text()
    assert "submit a job" not in desk.text()
    keys = {request.jobs[0].key for request in desk.asked if isinstance(request, Submit)}
    assert len(keys) == 1


def test_keys_that_mean_nothing_change_nothing(desk: Desk) -> None:
    before = desk.text()
    desk.press("F12", "ctrl x", "meta x", "é", "<0>")
    assert desk.text() == before


def test_esc_and_a_key_right_after_it_are_both_taken(desk: Desk) -> None:
    desk.press("?", "meta 2")
    assert desk.state.overlay is None
    assert desk.state.page == "nodes"


def test_key_under_an_open_text_closes_it_and_help_closes_itself(desk: Desk) -> None:
    desk.press("?", "/")
    assert "-- help" not in desk.text()
    assert "enter keep" in desk.text()
    desk.press("esc", "?", "down")
    assert "-- help" in desk.text()
    desk.press("?")
    assert "-- help" not in desk.text()


def test_quit_leaves(desk: Desk) -> None:
    desk.press("q")
    assert desk.state.leaving


def test_a_log_that_cannot_be_had_is_not_asked_for_at_every_beat(desk: Desk) -> None:
    desk.press("end")
    desk.wait(20.0)
    asked = sum(isinstance(request, Logs) and request.job == "job-000001" for request in desk.asked)
    assert 1 <= asked <= 5


def test_time_stands_still_in_rows_that_are_old(desk: Desk) -> None:
    desk.press("end", "up", "up")
    desk.wait(1.0)
    before = desk.text().split("\n")[5:16]
    assert any("processing" in line for line in before)
    desk.away = True
    desk.wait(30.0)
    assert desk.text().split("\n")[5:16] == before
    desk.away = False
    desk.wait(6.0)
    desk.press("z")
    before = desk.text().split("\n")[5:16]
    desk.wait(30.0)
    assert desk.text().split("\n")[5:16] == before


def test_filter_and_order_that_cannot_be_asked_for_are_said_to_wait(desk: Desk) -> None:
    desk.press("z", "/")
    desk.type("state:failed")
    desk.press("enter")
    desk.wait(2.0)
    assert len(desk.state.jobs) == 6
    assert "not yet:  /state:failed" in desk.text(120, 24)
    assert " -/6" in desk.text()
    assert "they change when z lets the screen go on" in desk.text()
    desk.press("z")
    desk.wait(1.0)
    assert ids(desk.state) == ["job-000002"]
    assert "not yet" not in desk.text(120, 24)
    desk.away = True
    desk.wait(3.0)
    desk.press("s")
    assert "not yet:" in desk.text()
    assert "they change when the master answers" in desk.text()
    assert "not yet:" in desk.text(70, 10).replace("\n", " ") or "those from before" in desk.text(70, 10)
    desk.away = False
    desk.wait(6.0)
    assert "not yet" not in desk.text()


@pytest.mark.parametrize(("page", "command"), [("5", "cancel"), ("2", "retry"), ("1", "drain"), ("4", "pause")])
def test_command_is_never_about_rows_of_another_page(desk: Desk, page: str, command: str) -> None:
    desk.press(page)
    desk.wait(1.0)
    shown = desk.state.page
    desk.press(":", *command, "enter")
    assert f"{command} is about what is selected on" in desk.text()
    assert (desk.state.page, desk.state.plan) == (shown, None)


def test_orders_that_there_are_are_told(desk: Desk) -> None:
    desk.press("2", ":", *"sort foo", "enter")
    assert "there are node, " in " ".join(desk.text().split())

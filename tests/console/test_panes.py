"""The panes beside the lists: the states of a job, the queues, the cluster."""

import pytest

from ffrtmp_tui.console import panes
from ffrtmp_tui.console.state import State
from ffrtmp_tui.console.text import plain
from ffrtmp_tui.fit import width
from ffrtmpd.wire.messages.jobs import AuditEntry, JobSpec, JobView, StatusReply
from ffrtmpd.wire.messages.overview import NodesTogether, QueueList, QueueView, WaitCount
from ffrtmpd.wire.vocabulary import JobState, Priority, Queue, Why


def status(*moves: tuple[JobState, float], finished_at: float | None = None) -> StatusReply:
    job = JobView(
        job_id="job-000001",
        scenario="720p30-h264",
        state=moves[-1][0],
        queue=Queue.LIVE,
        priority=Priority.HIGH,
        created_at=moves[0][1],
        finished_at=finished_at,
    )
    history = tuple(AuditEntry(at=at, to_state=state, event="e", who="ana") for state, at in moves)
    return StatusReply(request_id="s", job=job, spec=JobSpec(scenario="720p30-h264"), history=history)


def drawn(reply: StatusReply, room: int, now_s: float) -> list[str]:
    return [plain(line) for line in panes.timeline_lines(reply, room, now_s)]


def test_states_are_drawn_to_the_scale_of_time() -> None:
    reply = status((JobState.QUEUED, 0.0), (JobState.ASSIGNED, 50.0), (JobState.PROCESSING, 60.0))
    lines = drawn(reply, 48, 100.0)
    assert lines == [
        "queued     00:00:00 ========== 50s",
        "assigned   00:00:50           == 10s",
        "processing 00:01:00             =======> 40s",
    ]


def test_end_of_a_job_is_a_stroke_and_time_does_not_go_on_behind_it() -> None:
    reply = status((JobState.QUEUED, 0.0), (JobState.CANCELED, 10.0), finished_at=10.0)
    assert drawn(reply, 48, 10.0) == drawn(reply, 48, 9_999.0)
    assert drawn(reply, 48, 10.0)[-1].rstrip().endswith("|")


@pytest.mark.parametrize("room", [20, 40, 64, 200])
@pytest.mark.parametrize("now_s", [0.0, 5.0, 1e6])
def test_states_fit_into_their_room_whatever_the_clock_says(room: int, now_s: float) -> None:
    moves = [(JobState.QUEUED, 5.0), (JobState.ASSIGNED, 5.0), (JobState.PROCESSING, 4.0), (JobState.PAUSED, 6.0)] * 5
    lines = drawn(status(*moves), room, now_s)
    assert len(lines) == 8
    assert all(width(line) <= max(room, 36) for line in lines)


def queues(window_s: float, *, energy_j: float | None = None, failed: int = 0, power: float | None = None) -> QueueList:
    return QueueList(
        request_id="q",
        queues=(QueueView(queue=Queue.LIVE, completed=412, failed=failed, wait_p95_s=61.0),),
        window_s=window_s,
        now=0.0,
        energy_j=energy_j,
        vmaf_p5=91.2,
        blocked=(WaitCount(why=Why.NO_WORKER, jobs=9), WaitCount(why=Why.GPU_REQUIRED, jobs=2)),
        nodes=NodesTogether(power_watts=power),
    )


def test_rates_are_told_of_a_whole_hour_and_sums_of_less() -> None:
    hour = panes.rates(queues(3_600.0, energy_j=1.9e6, failed=12))
    assert hour == {"energy": "1.9MJ/h", "done": "done 1h 412", "fail": "fail 0.2/min", "vmaf": "VMAF p5 91.2"}
    young = panes.rates(queues(40.0, failed=1))
    assert (young["energy"], young["done"], young["fail"]) == ("energy -", "done 40s 412", "fail 1 in 40s")
    assert panes.rates(None)["done"] == "done -"


def test_cluster_tells_its_power_and_what_blocks() -> None:
    state = State(cluster="c", endpoint="e")
    state.queues = queues(3_600.0, energy_j=1.9e6, power=3_100.0)
    state.trends.power.extend([1_000.0, 3_100.0])
    text = [plain(line) for line in panes.cluster_lines(state, 80)]
    assert text[0] == "power 3.1kW  .|  1.9MJ/h"
    assert text[2] == "blocked 9 no_worker, 2 gpu_required"
    assert "1m" in plain(panes.queue_lines(state, 80)[1])

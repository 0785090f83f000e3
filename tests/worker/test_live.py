import pytest

from ffrtmp_worker.live import BACK_OFF_MAX_S, LiveFigures, LiveMeter, Loss, Supervisor
from ffrtmp_worker.measures import Spent, conclude
from ffrtmp_worker.recipe import AttemptFailed, Cause
from ffrtmpd.wire.messages.jobs import Progress, Report
from ffrtmpd.wire.vocabulary import FailureClass

TRANSIENT, PERMANENT = FailureClass.TRANSIENT, FailureClass.PERMANENT
LOST = AttemptFailed(TRANSIENT, "Broken pipe", Cause.CONNECTION)
UNCLEAR = AttemptFailed(TRANSIENT, "Input/output error", Cause.UNCLEAR)


def sent(media_s: float, *, dropped: int | None = None) -> Progress:
    return Progress(frame=round(media_s * 30), out_time_s=media_s, dropped_frames=dropped)


def flow(meter: LiveMeter, ran_s: float, media_s: float, seconds: float, *, speed: float = 1.0) -> None:
    """Report twice a second for so long, from those values on."""
    for half in range(1, round(seconds * 2) + 1):
        meter.took(sent(media_s + speed * half / 2), ran_s + half / 2)


def figures(meter: LiveMeter, ran_s: float) -> LiveFigures:
    found = meter.figures(ran_s)
    assert found is not None
    return found


def begun(ran_s: float = 0) -> LiveMeter:
    meter = LiveMeter()
    meter.connecting(ran_s)
    return meter


# ── the meter ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_before_the_first_media_nothing_was_measured() -> None:
    meter = begun()
    meter.took(Progress(frame=0, out_time_s=0.0), 3)
    assert meter.figures(5) is None


def test_push_in_time_has_no_stall_and_a_start_is_none() -> None:
    meter = begun()
    flow(meter, 4, 0, 20)
    assert figures(meter, 24) == LiveFigures(stall_s=0, reconnects=0, dropped_frames=None, media_s=20, elapsed_s=20)


def test_slow_encoder_stalls_for_what_it_falls_behind() -> None:
    meter = begun()
    flow(meter, 0, 0, 20, speed=0.5)
    found = figures(meter, 20)
    # The first report is 0.25 s of media after 0.5 s, and counts from there.
    assert found.stall_s == pytest.approx(9.75)
    experience = conclude(Report(), Spent(), live=found).experience
    assert experience is not None
    assert experience.real_time_ratio == pytest.approx(10 / 19.75)
    assert experience.stall_ratio == pytest.approx(0.975)


def test_lag_that_is_caught_up_was_waited_for_once() -> None:
    meter = begun()
    flow(meter, 0, 0, 5)
    # Frozen for 4 s, then a burst up to real time; and the same again.
    meter.took(sent(5.2), 9)
    flow(meter, 9, 9, 5)
    assert figures(meter, 14).stall_s == pytest.approx(3.8)
    meter.took(sent(14.2), 18)
    assert figures(meter, 18).stall_s == pytest.approx(3.8)


def test_jitter_of_the_reports_and_a_burst_at_the_start_are_no_stall() -> None:
    meter = begun()
    meter.took(sent(2.0), 0.5)
    for second in range(1, 30):
        meter.took(sent(second + 2.0 - 0.9 * (second % 2)), second + 0.5)
    assert figures(meter, 30).stall_s == 0


def test_gap_counts_from_the_last_media_to_the_first_after_it() -> None:
    meter = begun()
    flow(meter, 0, 0, 10)
    meter.lost()
    meter.connecting(12)
    meter.lost()
    meter.connecting(14)
    assert figures(meter, 15).stall_s == 5
    # 0.5 s of media in the report of second 17: it has come since 16.5.
    assert meter.took(sent(10.5), 17) == 6.5
    flow(meter, 17, 10.5, 4.5)
    found = figures(meter, 21.5)
    assert (found.stall_s, found.reconnects, found.media_s, found.elapsed_s) == (6.5, 1, 15, 21.5)


def test_pause_is_no_stall_and_no_elapsed_time() -> None:
    meter = begun()
    flow(meter, 0, 0, 10)
    meter.rested(10)
    meter.connecting(10)
    flow(meter, 13, 10, 5)
    found = figures(meter, 18)
    assert (found.stall_s, found.reconnects, found.elapsed_s) == (0, 0, 15)


def test_pause_while_it_is_away_ends_the_gap() -> None:
    meter = begun()
    flow(meter, 0, 0, 10)
    meter.lost()
    meter.rested(13)
    meter.connecting(13)
    flow(meter, 20, 10, 5)
    found = figures(meter, 25)
    assert (found.stall_s, found.reconnects, found.elapsed_s) == (3, 1, 18)


def test_dropped_frames_are_those_of_the_last_report_that_told() -> None:
    meter = begun()
    meter.took(sent(1, dropped=4), 1)
    meter.took(sent(2), 2)
    assert figures(meter, 2).dropped_frames == 4


def test_engine_that_tells_no_media_time_has_gaps_and_no_lag() -> None:
    meter = begun()
    for second in range(1, 11):
        meter.took(Progress(frame=second), second)
    meter.lost()
    meter.connecting(12)
    assert meter.took(Progress(frame=11), 13) == 3
    experience = conclude(Report(), Spent(), live=figures(meter, 13)).experience
    assert experience is not None
    assert (experience.stall_s, experience.stall_ratio) == (3, None)


# ── the supervisor ────────────────────────────────────────────────────────────────────────────────────────────────


def supervisor(*, give_up_s: float = 60, random: float = 1.0) -> Supervisor:
    made = Supervisor(give_up_s=give_up_s, random=lambda: random)
    made.connecting(0)
    return made


def waits(push: Supervisor, failure: AttemptFailed, ran_s: float, count: int) -> list[float]:
    """Fail so often at once; return the waits."""
    found = []
    for _ in range(count):
        loss = push.lost(failure, ran_s)
        assert loss.again_s is not None
        found.append(loss.again_s - ran_s)
        ran_s = loss.again_s
        push.connecting(ran_s)
    return found


def test_back_off_doubles_to_its_most_and_the_last_try_is_at_the_end() -> None:
    push = supervisor()
    assert waits(push, LOST, 0, 9) == [0.5, 1, 2, 4, 8, BACK_OFF_MAX_S, BACK_OFF_MAX_S, BACK_OFF_MAX_S, BACK_OFF_MAX_S]
    assert waits(push, LOST, 55.5, 1) == [4.5]
    loss = push.lost(LOST, 60)
    assert loss.failure is not None
    assert (loss.failure.failure_class, loss.failure.reason) == (TRANSIENT, "no media for 60 s: Broken pipe")


def test_back_off_is_jittered() -> None:
    assert waits(supervisor(random=0.0), LOST, 0, 2) == [0.25, 0.5]


def test_patience_counts_from_the_last_media() -> None:
    push = supervisor(give_up_s=20)
    push.took(sent(1), 30)
    assert push.lost(LOST, 49).again_s is not None
    push.connecting(49.5)
    assert push.lost(LOST, 50).failure is not None


def test_back_off_begins_anew_after_a_steady_connection_only() -> None:
    push = supervisor()
    waits(push, LOST, 0, 4)
    flow(push.meter, 7.5, 0, 3)
    assert waits(push, LOST, 11, 1) == [8]
    flow(push.meter, 19, 3, 11)
    assert waits(push, LOST, 30, 1) == [0.5]


def test_server_that_turns_it_down_is_asked_three_times() -> None:
    push = supervisor()
    waits(push, UNCLEAR, 0, 2)
    loss = push.lost(UNCLEAR, 3)
    assert loss.failure is not None
    assert loss.failure.failure_class is PERMANENT
    assert "Input/output error" in loss.failure.reason


def test_server_that_took_it_once_may_be_unclear_for_longer() -> None:
    push = supervisor()
    push.took(sent(1), 1)
    waits(push, UNCLEAR, 2, 6)


@pytest.mark.parametrize("kind", list(FailureClass))
def test_failure_that_is_no_connections_ends_it(kind: FailureClass) -> None:
    push = supervisor()
    push.took(sent(1), 1)
    failure = AttemptFailed(kind, "the encoder is broken")
    assert push.lost(failure, 2) == Loss(failure=failure)


def test_source_that_ended_well_and_does_not_come_again_ends_it_well() -> None:
    push = supervisor(give_up_s=20)
    push.took(sent(1), 1)
    assert push.lost(AttemptFailed(TRANSIENT, "the source ended", Cause.ENDED), 5).again_s is not None
    # What is said of the tries that follow does not matter.
    assert push.lost(UNCLEAR, 30) == Loss()


def test_users_see_what_they_missed() -> None:
    push = supervisor()
    assert push.shown(Progress(frame=0), 1) == Progress(frame=0)
    push.took(sent(1), 1)
    push.lost(LOST, 2)
    shown = push.shown(Progress(frame=30), 4)
    assert (shown.frame, shown.reconnects, shown.stall_s) == (30, 1, 3)

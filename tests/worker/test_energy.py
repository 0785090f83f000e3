import math
import random

import pytest

from ffrtmp_worker.energy import Domain, IdlePower, Ledger, Use
from ffrtmp_worker.events import Joules

CPU = Domain(key="rapl:package", scope="package", method="rapl")
GPU = Domain(key="nvml:GPU-1", scope="gpu", method="nvml")


def ledger(*children: int, idle_w: float | None = 10.0) -> Ledger:
    made = Ledger((CPU,), IdlePower({} if idle_w is None else {CPU.key: idle_w}))
    for child in children:
        made.begin(child)
    return made


def spend(book: Ledger, seconds: float, joules: float | None, jobs: dict[int, float], total: float) -> None:
    book.spend(seconds, {CPU.key: joules}, {CPU.key: Use(jobs, total)})


def end(book: Ledger, child: int) -> Joules:
    found = book.end(child)
    assert found is not None
    return found


def test_job_pays_for_its_part_beyond_idling() -> None:
    book = ledger(1)
    spend(book, 2, 100.0, {1: 3.0}, 4.0)
    # 100 J less 2 s of 10 W are 80 J, of which three quarters are the job's.
    assert book.end(1) == Joules(marginal_j=60.0, idle_share_j=20.0, scope="package", method="rapl")
    total = book.totals[CPU.key]
    assert (total.jobs_j, total.other_j, total.idle_j, total.meter_j) == (60.0, 20.0, 20.0, 100.0)


def test_overlapping_jobs_pay_for_what_each_used_and_share_idling_equally() -> None:
    book = ledger(1)
    spend(book, 1, 30.0, {1: 1.0}, 1.0)
    book.begin(2)
    spend(book, 1, 50.0, {1: 1.0, 2: 3.0}, 4.0)
    first = end(book, 1)
    spend(book, 1, 40.0, {2: 3.0}, 3.0)
    second = end(book, 2)
    assert (first.marginal_j, first.idle_share_j) == (20.0 + 10.0, 10.0 + 5.0)
    assert (second.marginal_j, second.idle_share_j) == (30.0 + 30.0, 5.0 + 10.0)


def test_noisy_neighbour_pays_for_itself() -> None:
    alone, crowded = ledger(1), ledger(1)
    spend(alone, 1, 30.0, {1: 1.0}, 1.0)
    spend(crowded, 1, 70.0, {1: 1.0}, 3.0)
    assert end(alone, 1).marginal_j == end(crowded, 1).marginal_j == 20.0
    assert crowded.totals[CPU.key].other_j == 40.0


def test_job_that_sleeps_gets_nothing_but_its_share_of_idling() -> None:
    book = ledger(1, 2)
    spend(book, 1, 50.0, {1: 0.0, 2: 2.0}, 2.0)
    assert (end(book, 1).marginal_j, end(book, 2).marginal_j) == (0.0, 40.0)


def test_paused_job_has_no_share_of_idling_and_pays_what_it_uses_all_the_same() -> None:
    book = ledger(1, 2)
    spend(book, 1, 30.0, {1: 1.0, 2: 1.0}, 2.0)
    book.pause(1, paused=True)
    spend(book, 1, 30.0, {1: 0.0, 2: 1.0}, 1.0)
    spend(book, 1, 30.0, {1: 0.5, 2: 0.5}, 1.0)
    book.pause(1, paused=False)
    spend(book, 1, 30.0, {1: 1.0, 2: 0.0}, 1.0)
    paused, other = end(book, 1), end(book, 2)
    assert (paused.marginal_j, paused.idle_share_j) == (10.0 + 10.0 + 20.0, 5.0 + 5.0)
    assert (other.marginal_j, other.idle_share_j) == (10.0 + 20.0 + 10.0, 5.0 + 10.0 + 10.0 + 5.0)


def test_less_than_idling_is_idling() -> None:
    book = ledger(1)
    spend(book, 1, 4.0, {1: 1.0}, 1.0)
    assert end(book, 1) == Joules(marginal_j=0.0, idle_share_j=4.0, scope="package", method="rapl")


def test_energy_that_nobody_used_is_idling() -> None:
    book = ledger()
    spend(book, 1, 40.0, {}, 0.0)
    assert book.totals[CPU.key].idle_j == 40.0


def test_unknown_idling_is_said() -> None:
    book = ledger(1, idle_w=None)
    spend(book, 1, 40.0, {1: 1.0}, 2.0)
    assert end(book, 1) == Joules(marginal_j=20.0, idle_share_j=None, scope="package", method="rapl, idle unknown")


def test_jobs_that_used_more_than_all_pay_no_more_than_there_is() -> None:
    book = ledger(1, 2)
    spend(book, 1, 40.0, {1: 1.0, 2: 2.0}, 1.5)
    assert (end(book, 1).marginal_j, end(book, 2).marginal_j) == (10.0, 20.0)
    assert book.totals[CPU.key].other_j == 0


@pytest.mark.parametrize(("gap_s", "told"), [(1, True), (10, False)])
def test_account_with_too_long_a_gap_has_no_figure(gap_s: int, *, told: bool) -> None:
    book = ledger(1)
    spend(book, 30, 600.0, {1: 30.0}, 30.0)
    spend(book, gap_s, None, {1: float(gap_s)}, gap_s)
    found = book.end(1)
    assert (found is not None) is told
    if found is not None:
        assert found.marginal_j == 300.0


def test_child_that_was_never_metered_has_no_figure() -> None:
    book = ledger(1)
    assert book.end(1) is None
    assert book.end(1) is None


def test_child_that_was_paused_all_its_life_took_nothing() -> None:
    book = ledger(1)
    book.pause(1, paused=True)
    spend(book, 1, 30.0, {1: 0.0}, 1.0)
    assert end(book, 1) == Joules(marginal_j=0.0, idle_share_j=0.0, scope="package", method="rapl")


def test_gpu_is_a_meter_of_its_own() -> None:
    book = Ledger((CPU, GPU), IdlePower({CPU.key: 10.0}, {GPU.key: 30.0}))
    book.begin(1)
    book.begin(2)
    book.spend(
        1,
        {CPU.key: 20.0, GPU.key: 130.0},
        {CPU.key: Use({1: 1.0, 2: 1.0}, 2.0), GPU.key: Use({1: 60.0, 2: 20.0}, 100.0)},
    )
    first, second = end(book, 1), end(book, 2)
    assert first == Joules(marginal_j=5.0 + 60.0, idle_share_j=5.0 + 15.0, scope="package+gpu", method="rapl+nvml")
    assert second.marginal_j == 5.0 + 20.0
    assert book.totals[GPU.key].other_j == 20.0
    assert book.joules_total() == {"package": 20.0, "gpu": 130.0}


def test_how_often_the_meter_is_read_changes_nothing() -> None:
    # A counter renewed each 100 ms: read ten times as often it stands still nine times out of ten.
    seldom, often = ledger(1), ledger(1)
    for _ in range(50):
        spend(seldom, 0.1, 5.0, {1: 0.1}, 0.1)
        for part in range(10):
            spend(often, 0.01, 5.0 if part == 9 else 0.0, {1: 0.01}, 0.01)
    one, other = end(seldom, 1), end(often, 1)
    assert math.isclose(one.marginal_j, 50 * 4.0)
    assert math.isclose(one.marginal_j, other.marginal_j, rel_tol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_jobs_others_and_idling_add_up_to_the_meter(seed: int) -> None:
    dice = random.Random(seed)
    book = Ledger((CPU, GPU), IdlePower({CPU.key: dice.choice([0.0, 5.0, 40.0])}, {GPU.key: 20.0}))
    running: list[int] = []
    meter = dict.fromkeys((CPU.key, GPU.key), 0.0)
    jobs_j = 0.0
    for turn in range(500):
        if dice.random() < 0.1 and len(running) < 5:
            running.append(turn)
            book.begin(turn)
        if running and dice.random() < 0.1:
            book.pause(dice.choice(running), paused=dice.random() < 0.5)
        if running and dice.random() < 0.05:
            ended = book.end(running.pop(dice.randrange(len(running))))
            # None: it ended in the turn in which it began.
            jobs_j += 0.0 if ended is None else ended.marginal_j
        joules = {key: dice.choice([0.0, dice.random() * 100]) for key in meter}
        use: dict[str, Use | None] = {}
        for key in meter:
            each = {child: dice.choice([0.0, dice.random()]) for child in running}
            use[key] = Use(each, dice.choice([0.0, sum(each.values()), sum(each.values()) + dice.random()]))
        book.spend(dice.random() + 0.001, dict(joules), use)
        for key, value in joules.items():
            meter[key] += value
    jobs_j += sum(end(book, child).marginal_j for child in running)
    for key, counted in meter.items():
        assert abs(book.totals[key].meter_j - counted) < 1e-6
    assert abs(sum(total.jobs_j for total in book.totals.values()) - jobs_j) < 1e-6
    assert min(min(total.jobs_j, total.other_j, total.idle_j) for total in book.totals.values()) >= 0


def test_idle_power_is_the_lowest_mean_of_a_quiet_window() -> None:
    idle = IdlePower()
    assert idle.of("a") is None
    assert not idle.look("a", 20, 400.0, quiet=True)
    assert idle.look("a", 10, 200.0, quiet=True)
    assert idle.of("a") == 20.0
    # A louder window teaches nothing, a quieter one does.
    assert not idle.look("a", 30, 900.0, quiet=True)
    assert idle.look("a", 30, 450.0, quiet=True)
    assert idle.of("a") == 15.0


@pytest.mark.parametrize(("joules", "quiet"), [(None, True), (10.0, False)])
def test_window_that_is_disturbed_begins_anew(joules: float | None, *, quiet: bool) -> None:
    idle = IdlePower()
    idle.look("a", 29, 29.0, quiet=True)
    assert not idle.look("a", 1, joules, quiet=quiet)
    assert not idle.look("a", 29, 29.0, quiet=True)
    assert idle.of("a") is None
    assert idle.look("a", 1, 1.0, quiet=True)


def test_counter_that_stands_still_teaches_nothing() -> None:
    idle = IdlePower()
    assert not idle.look("a", 60, 0.0, quiet=True)
    assert idle.of("a") is None


def test_power_that_is_set_is_not_learnt() -> None:
    idle = IdlePower({"a": 0.0}, {"a": 7.0})
    assert not idle.look("a", 60, 60.0, quiet=True)
    assert idle.of("a") == 0.0

"""Every rule is kept, whatever goes wrong."""

import pytest

from tests.simulator.plan import Fault, plan_of
from tests.simulator.replay import describe, failure_of, first_failure, known_seeds, plans, run

WORLDS = 1_000
CHUNK = 50


@pytest.mark.parametrize("start", range(0, WORLDS, CHUNK))
def test_worlds_in_which_much_goes_wrong_keep_every_rule(start: int) -> None:
    failure = first_failure(plans(start, CHUNK))
    if failure is not None:
        pytest.fail(describe(failure), pytrace=False)


@pytest.mark.parametrize(("seed", "profile"), known_seeds())
def test_world_that_once_broke_a_rule_keeps_it(seed: int, profile: str) -> None:
    failure = failure_of(plan_of(seed, profile))
    if failure is not None:
        pytest.fail(describe(failure), pytrace=False)


@pytest.mark.parametrize("profile", ["wire", "harsh", "push"])
def test_same_seed_is_the_same_world(profile: str) -> None:
    first: list[str] = []
    second: list[str] = []
    run(plan_of(7, profile), first)
    run(plan_of(7, profile), second)
    assert first == second
    assert len(first) > 100


def test_worlds_are_as_rough_as_they_say() -> None:
    traces: list[str] = []
    jobs = attempts = 0
    for plan in plans(0, 60):
        summary = run(plan, traces)
        jobs += summary.jobs
        attempts += summary.attempts
    said = "\n".join(traces)
    assert attempts > jobs
    for fault in Fault:
        assert f"FAULT    {fault}" in said, fault
    for happened in (
        "dies before the commit",
        "dies between commit and send",
        "dies amid the sends",
        "cannot commit",
        "push_fenced",
        "session_reset",
        "thaws",
        "quits",
        "renames",
        "event=retry",
        "event=cancel",
        "event=requeue",
        "event=back_off",
        "verdict=stale",
    ):
        assert happened in said, happened


def test_quiet_world_runs_every_job_once() -> None:
    trace: list[str] = []
    run(plan_of(8, "calm"), trace)
    begun = [line.split("job=")[1] for line in trace if "attempt_begun" in line]
    assert begun
    assert len(begun) == len(set(begun))
    assert not any("master_silent" in line or ("FAULT" in line and "everything" not in line) for line in trace)

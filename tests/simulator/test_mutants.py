"""The simulator notices every rule that is switched off."""

import pytest

from tests.simulator.mutants import MUTANTS, Mutant
from tests.simulator.plan import plan_of
from tests.simulator.replay import failure_of, first_failure

# Some rules matter only when several things go wrong together.
WORLDS = 600


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_rule_that_is_switched_off_is_noticed(mutant: Mutant) -> None:
    worlds = [plan_of(seed, mutant.profiles[seed % len(mutant.profiles)]) for seed in range(WORLDS)]
    with mutant.alive():
        failure = first_failure(worlds)
    assert failure is not None, f"no world of {WORLDS} noticed that {mutant.name}"
    assert failure.violation.rule in mutant.caught_by, failure.violation
    assert failure_of(failure.plan) is None, "the same world breaks the rule by itself"

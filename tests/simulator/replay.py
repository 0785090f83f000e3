"""Running seeds, and showing what went wrong in one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.simulator.plan import Plan, plan_of
from tests.simulator.referee import Violation
from tests.simulator.world import Summary, World

TAIL_LINES: Final = 80
SEEDS = Path(__file__).with_name("seeds.txt")


@dataclass(frozen=True, slots=True)
class Failure:
    """A world in which a rule was broken."""

    plan: Plan
    violation: Violation

    @property
    def command(self) -> str:
        """What shows it again."""
        return f"python -m tests.simulator --replay {self.plan.seed} --profile {self.plan.profile}"


def run(plan: Plan, trace: list[str] | None = None) -> Summary:
    """Run a world.

    Raises:
        Violation: a rule was broken.
    """
    return World(plan, trace).run()


def first_failure(plans: list[Plan]) -> Failure | None:
    """Return the first world in which a rule is broken, None if all keep them."""
    for plan in plans:
        failure = failure_of(plan)
        if failure is not None:
            return failure
    return None


def failure_of(plan: Plan) -> Failure | None:
    """Return how a world goes wrong, None if it does not."""
    try:
        run(plan)
    except Violation as violation:
        return Failure(plan, violation)
    return None


def shrink(failure: Failure, tell: Callable[[str], None] = lambda _: None) -> Failure:
    """Return the same rule broken with fewer faults: each that is not needed is left out."""
    smallest = failure
    index = 0
    while index < len(smallest.plan.mishaps):
        mishaps = smallest.plan.mishaps
        smaller = failure_of(replace(smallest.plan, mishaps=(*mishaps[:index], *mishaps[index + 1 :])))
        if smaller is not None and smaller.violation.rule is failure.violation.rule:
            smallest = smaller
            tell(f"not needed: {mishaps[index]}")
        else:
            index += 1
    return smallest


def describe(failure: Failure, *, lines: int | None = TAIL_LINES) -> str:
    """Return what happened, for people: the faults, the end of the trace, the rule, and how to see it again."""
    trace: list[str] = []
    again = None
    try:
        run(failure.plan, trace)
    except Violation as violation:
        again = violation
    plan = failure.plan
    shown = trace if lines is None else trace[-lines:]
    parts = [
        f"seed {plan.seed}, {plan.profile}: {len(plan.slots)} workers with {plan.slots} slots, {plan.jobs} jobs",
        *(f"  {mishap}" for mishap in plan.mishaps),
        *([f"... {len(trace) - len(shown)} lines before"] if len(shown) < len(trace) else []),
        *shown,
        f"broken: {failure.violation}",
        f"again:  {failure.command}",
    ]
    if again is None or str(again) != str(failure.violation):
        parts.append(f"the second run went another way: {again}")
    return "\n".join(parts)


def known_seeds(path: Path | None = None) -> list[tuple[int, str]]:
    """Return seed and profile of the worlds that once broke a rule."""
    path = path or SEEDS
    lines = path.read_text().splitlines() if path.exists() else []
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return [(int(seed), profile) for seed, profile, *_ in words]


def record(failure: Failure, path: Path | None = None) -> None:
    """Add a world to those that once broke a rule, unless it is there."""
    path = path or SEEDS
    plan = failure.plan
    if (plan.seed, plan.profile) not in known_seeds(path):
        with path.open("a") as file:
            file.write(f"{plan.seed} {plan.profile}  {failure.violation}\n")


def plans(start: int, count: int, profile: str | None = None) -> list[Plan]:
    """Return the worlds of ``count`` seeds from ``start``."""
    return [plan_of(seed, profile) for seed in range(start, start + count)]

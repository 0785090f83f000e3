"""``python -m tests.simulator``: run many worlds, or show one of them."""

import argparse
import sys
import time

from tests.simulator.plan import PROFILES, plan_of
from tests.simulator.referee import Violation
from tests.simulator.replay import Failure, describe, failure_of, plans, record, run, shrink


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 1 when a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, metavar="N", help="how many worlds")
    parser.add_argument("--start", type=int, default=0, metavar="S", help="the first seed")
    parser.add_argument("--profile", choices=sorted(set(PROFILES)), help="all of this kind")
    parser.add_argument("--replay", type=int, metavar="SEED", help="show this one, line by line")
    parser.add_argument("--shrink", action="store_true", help="leave out the faults that are not needed")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first rule broken")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return _replay(options)
    broken = 0
    began_s = time.perf_counter()
    for plan in plans(options.start, options.seeds, options.profile):
        failure = failure_of(plan)
        if failure is not None:
            record(failure)
            broken += 1
            if options.keep_going:
                print(f"{plan.seed:>7} {plan.profile:<8} {failure.violation}")
            else:
                print(describe(shrink(failure) if options.shrink else failure))
                return 1
    print(f"{options.seeds} worlds in {time.perf_counter() - began_s:.1f} s, {broken} with a rule broken")
    return 1 if broken else 0


def _replay(options: argparse.Namespace) -> int:
    plan = plan_of(options.replay, options.profile)
    trace: list[str] = []
    try:
        summary = run(plan, trace)
    except Violation as violation:
        failure = Failure(plan, violation)
        if options.shrink:
            failure = shrink(failure, print)
        print(describe(failure, lines=None))
        return 1
    print("\n".join(trace))
    print(f"every rule was kept: {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.bench [NAME...]``: measure and print one table."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench import (
    claim,
    console,
    crowd,
    growth,
    memory,
    overhead,
    pipeline,
    retention,
    sampling,
    scrape,
    startup,
    submit,
    worker_cost,
)
from tests.bench.machine import machine
from tests.bench.measure import Row, table
from tests.bench.others import choose
from tests.bench.plan import Plan

BENCHMARKS: dict[str, Callable[[Path, Plan], Iterator[Row]]] = {
    "pipeline": pipeline.run,
    "submit": submit.run,
    "startup": startup.run,
    "claim": claim.run,
    "growth": growth.run,
    "memory": memory.run,
    "retention": retention.run,
    "crowd": crowd.run,
    "worker": worker_cost.run,
    "overhead": overhead.run,
    "sampling": sampling.run,
    "console": console.run,
    "scrape": scrape.run,
}

BEGIN = "<!-- measured -->"
END = "<!-- end -->"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}; all unless named")
    parser.add_argument("--quick", action="store_true", help="few rounds and small sizes: that it works, not how fast")
    parser.add_argument("--long", action="store_true", help="memory over a million jobs rather than 100,000")
    parser.add_argument("--peers", default="huey", help="huey, dramatiq, celery, with commas; all, none")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into a page, where its last one is")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    try:
        choose(options.peers)
    except ValueError as error:
        parser.error(str(error))
    plan = Plan(quick=options.quick, long=options.long, peers=options.peers)
    # Programs run as they are installed: with their bytecode on disk.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    rows: list[Row] = []
    for name in options.names or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="ffrtmp-bench-") as folder:
            rows += BENCHMARKS[name](Path(folder) / name, plan)
    held = [row.is_held for row in rows if row.is_held is not None]
    told = f"{machine()}\n\n{table(rows)}\n\n{sum(held)} of {len(held)} aims are held."
    print(told)
    if options.write is not None:
        written(options.write, told)
    return os.EX_OK


def written(page: Path, told: str) -> None:
    """Put what was measured into a page, between its two marks.

    Raises:
        ValueError: the page has no such place.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{page} has no {BEGIN} with {END} behind it")
    page.write_text(f"{before}{begin}\n{told}\n{end}{after}")


if __name__ == "__main__":
    sys.exit(main())

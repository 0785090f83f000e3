"""``python -m tests.bench [NAME...]``: measure and print one table."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench import claim, console, crowd, overhead, retention, sampling, scrape, startup, submit
from tests.bench.measure import Row, table

BENCHMARKS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "overhead": overhead.run,
    "sampling": sampling.run,
    "startup": startup.run,
    "submit": submit.run,
    "claim": claim.run,
    "retention": retention.run,
    "crowd": crowd.run,
    "console": console.run,
    "scrape": scrape.run,
}


def main(names: Sequence[str]) -> int:
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return os.EX_USAGE
    # Programs run as they are installed: with their bytecode on disk.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    rows: list[Row] = []
    for name in names or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="ffrtmp-bench-") as folder:
            rows += BENCHMARKS[name](Path(folder) / name)
    print(table(rows))
    print(
        "\nratio and beyond: medians over pairs taken in turns. Times say nothing on a busy machine; ratios say more."
    )
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

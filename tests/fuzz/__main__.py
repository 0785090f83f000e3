"""``python -m tests.fuzz --frames 1000000``: the long run."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.cluster import cluster
from tests.fuzz.campaign import run


def main() -> int:
    """Run one campaign and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000, help="damaged messages to send")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all chance; printed, to run it again")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ffrtmp-fuzz-") as folder, cluster(Path(folder)) as house:
        tally = run(house, frames=options.frames, seed=options.seed)
    took_s = time.monotonic() - began
    print(f"{tally.frames:,} frames in {took_s:.0f} s, {tally.meaningless:,} without any meaning, no job changed")
    print(f"{tally.answers:,} answers, {tally.owed:,} owed")
    print(f"master: {tally.rss_before >> 20} MiB after the warm-up, {tally.rss_after >> 20} MiB at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())

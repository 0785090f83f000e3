"""What the figures were taken on."""

import datetime
import os
import platform
import sqlite3
import tempfile
from pathlib import Path

import msgpack
import zmq

from ffrtmpd import __version__
from tests.bench.crowd import syncs


def machine() -> str:
    """Return date, machine and versions in two lines, and what one sync of the disk takes now."""
    today = datetime.datetime.now(datetime.UTC).date()
    with tempfile.TemporaryDirectory(prefix="ffrtmp-bench-") as folder:
        took_ms = syncs(Path(folder))
    p50, p99 = took_ms[len(took_ms) // 2], took_ms[int(0.99 * (len(took_ms) - 1))]
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    # What a builder has put behind the number says nothing.
    kernel = platform.release().partition("-")[0]
    return (
        f"{today}, {len(os.sched_getaffinity(0))} processors ({_processor()}), Linux {kernel}, "
        f"load {load}; a sync of the disk takes {p50:.2f} ms (p99 {p99:.2f}).\n"
        f"ffrtmp {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"libzmq {zmq.zmq_version()}, pyzmq {zmq.__version__}, msgpack {'.'.join(map(str, msgpack.version))}."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()

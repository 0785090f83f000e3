"""What a scrape of a master costs: a thousand nodes, counts of years."""

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ffrtmpd.base.exporter import Exporter
from ffrtmpd.base.figures import LONG, SHORT, SUM, Exemplar
from ffrtmpd.base.metrics_settings import MetricsSection
from ffrtmpd.metrics import MasterMetrics, Snapshot
from ffrtmpd.recorder import KNOWN
from ffrtmpd.wire.vocabulary import ErrorCode, JobState, NodeStatus, Priority, Queue
from tests.bench.measure import Row

ROUNDS: Final = 21
NODES: Final = 1_000
MANY: Final = 123_456_789.0
FORMS: Final = {"text": "text/plain", "OpenMetrics": "application/openmetrics-text; version=1.0.0"}


def run(folder: Path) -> Iterator[Row]:
    """Scrape over HTTP, in both forms."""
    folder.mkdir()
    metrics = MasterMetrics(version="1", sqlite="3")
    metrics.snapshot = full()
    exporter = Exporter(MetricsSection(port=0), usual_port=0, collector=metrics, unready=list)
    try:
        for form, accept in FORMS.items():
            found = [_scrape(exporter.port, accept) for _ in range(ROUNDS + 1)][1:]
            yield Row(what=f"scrape, {form}, {found[0][1]:,} bytes", unit="ms", values=[took for took, _ in found])
    finally:
        exporter.close()


def full() -> Snapshot:
    """Return a snapshot in which every figure has counted, and far."""
    kept = {f"jobs|{state}": MANY for state in JobState}
    kept |= {
        f"{metric}|{queue}|{bucket}": MANY
        for metric in ("wait", "duration")
        for queue in Queue
        for bucket in (*range(len(LONG) + 1), SUM)
    }
    own = {f"{metric}|{bucket}": MANY for metric in ("turn", "commit") for bucket in (*range(len(SHORT) + 1), SUM)}
    own |= {f"messages|{side}|{name}": MANY for side in ("clients", "workers") for name in KNOWN}
    own |= {f"denied|{code}": MANY for code in ErrorCode}
    return Snapshot(
        kept=kept,
        own=own,
        exemplars={name: Exemplar("job-123456", 1.0, 1.7e9) for name in kept if "|" in name},
        jobs={(state, queue, priority): 10**6 for state in JobState for queue in Queue for priority in Priority},
        nodes={status: NODES // len(NodeStatus) for status in NodeStatus},
    )


def _scrape(port: int, accept: str) -> tuple[float, int]:
    """Return milliseconds and bytes of one scrape."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    begun_s = time.perf_counter()
    with urllib.request.urlopen(request, timeout=20) as reply:
        size = len(reply.read())
    return (time.perf_counter() - begun_s) * 1e3, size

"""What a scrape of a master costs: a thousand nodes, counts of years."""

import statistics
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ffrtmpd.base.exporter import Exporter
from ffrtmpd.base.figures import LONG, SHORT, SUM, Exemplar
from ffrtmpd.base.metrics_settings import MetricsSection
from ffrtmpd.events import TimeCame
from ffrtmpd.metrics import MasterMetrics, Snapshot
from ffrtmpd.recorder import KNOWN, PUBLISH_EVERY_S, Recorder
from ffrtmpd.wire.vocabulary import ErrorCode, JobState, NodeStatus, Priority, Queue
from tests.bench.measure import Aim, Of, Row
from tests.bench.plan import Plan
from tests.master.house import House

ROUNDS: Final = 21
NODES: Final = 1_000
MANY: Final = 123_456_789.0
FORMS: Final = {"text": "text/plain", "OpenMetrics": "application/openmetrics-text; version=1.0.0"}


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Scrape over HTTP, in both forms, and publish what is scraped, which a turn does twice a second at most."""
    folder.mkdir()
    metrics = MasterMetrics(version="1", sqlite="3")
    yield Row(what=f"publish, {NODES:,} nodes", unit="ms", values=[_publish_ms(metrics) for _ in range(3)])
    metrics.snapshot = full()
    exporter = Exporter(MetricsSection(port=0), usual_port=0, collector=metrics, unready=list)
    try:
        for form, accept in FORMS.items():
            found = [scrape(exporter.port, accept) for _ in range(plan.rounds(ROUNDS) + 1)][1:]
            what, aim = f"scrape, {form}, {found[0][1]:,} bytes", Aim(of=Of.MEDIAN, most=50.0)
            yield Row(what=what, unit="ms", values=[took for took, _ in found], aim=aim)
    finally:
        exporter.close()


def _publish_ms(metrics: MasterMetrics) -> float:
    """Return the milliseconds of a turn's end in a house of many nodes, the median of several."""
    house = House()
    for number in range(NODES):
        house.worker(f"node-{number}")
    recorder = Recorder(house.broker, metrics)
    found = []
    for _ in range(ROUNDS):
        house.now_s += PUBLISH_EVERY_S
        before = metrics.snapshot
        begun_s = time.perf_counter()
        recorder.turned((TimeCame(),), 0.0, house.now)
        found.append((time.perf_counter() - begun_s) * 1e3)
        if metrics.snapshot is before:
            raise RuntimeError("nothing was published")
    return statistics.median(found)


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


def scrape(port: int, accept: str = FORMS["text"]) -> tuple[float, int]:
    """Return milliseconds and bytes of one scrape."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    begun_s = time.perf_counter()
    with urllib.request.urlopen(request, timeout=20) as reply:
        size = len(reply.read())
    return (time.perf_counter() - begun_s) * 1e3, size

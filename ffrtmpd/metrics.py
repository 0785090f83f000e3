"""What Prometheus reads of the master: a snapshot that the turn publishes, put into families at each scrape."""

import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import zmq
from prometheus_client.core import (
    GaugeMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

from ffrtmpd.base.exporter import NothingYetError
from ffrtmpd.base.families import Labels, Reader
from ffrtmpd.base.figures import SHORT, Exemplar
from ffrtmpd.broker.holding import Loss
from ffrtmpd.wire.vocabulary import (
    ENGINES,
    Engine,
    FailureClass,
    JobState,
    NodeStatus,
    Priority,
    Queue,
    Sla,
    Why,
)

PORT: Final = 9090
STARTING: Final = "the master is starting"
Cell = tuple[JobState, Queue, Priority]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The cluster at the end of a turn.

    ``kept`` are the figures that outlive the master, ``own`` those of this process.
    """

    kept: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, float] = field(default_factory=dict)
    exemplars: Mapping[str, Exemplar] = field(default_factory=dict)
    jobs: Mapping[Cell, int] = field(default_factory=dict)
    nodes: Mapping[NodeStatus, int] = field(default_factory=dict)
    read_only: bool = False


class MasterMetrics(Collector):
    """Turns the last snapshot into metrics.

    ``snapshot`` is None until the master has started, then set by its turns, and read by scrapes.
    """

    def __init__(self, *, version: str, sqlite: str) -> None:
        self.snapshot: Snapshot | None = None
        self._version, self._sqlite = version, sqlite
        self._started_s = time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """Yield the families, seed's names first."""
        now = self.snapshot
        if now is None:
            raise NothingYetError(STARTING)
        kept = Reader(now.kept, now.exemplars)
        own = Reader(now.own, {})
        # Their names end like a counter's while `ffrtmp_jobs` is a gauge: OpenMetrics takes both only if this one is of
        # unknown type. rate() does not mind.
        yield kept.unknown("ffrtmp_jobs_total", "Entries into a state.", "jobs", ("state",), [(s,) for s in JobState])
        yield _cells(now.jobs)
        queued = {cell: number for cell, number in now.jobs.items() if cell[0] is JobState.QUEUED}
        active = sum(n for (state, _, _), n in now.jobs.items() if state in (JobState.ASSIGNED, JobState.PROCESSING))
        yield GaugeMetricFamily("ffrtmp_active_jobs", "Jobs that a node works on.", value=active)
        yield GaugeMetricFamily("ffrtmp_queue_length", "Jobs that wait for a node.", value=sum(queued.values()))
        yield kept.histogram(
            "ffrtmp_job_duration_seconds",
            "Time that a finished job was worked on.",
            "duration",
            ("queue",),
            known=_QUEUES,
        )
        yield kept.histogram(
            "ffrtmp_job_wait_time_seconds",
            "Time that a finished job waited for nodes.",
            "wait",
            ("queue",),
            known=_QUEUES,
        )
        yield kept.counter(
            "ffrtmp_schedule_attempts",
            "Times a job was given to a node, or none of the connected could take it.",
            "schedule",
            ("result",),
            [("success",), *((why,) for why in (Why.NO_WORKER, Why.GPU_REQUIRED, Why.NO_SCORER, Why.ENCODER_BUSY))],
        )
        total = UnknownMetricFamily("ffrtmp_nodes_total", "Enrolled nodes.", value=sum(now.nodes.values()))
        yield total
        by_status = GaugeMetricFamily("ffrtmp_nodes_by_status", "Enrolled nodes by status.", labels=("status",))
        for status in NodeStatus:
            by_status.add_metric((status,), now.nodes.get(status, 0))
        yield by_status
        yield GaugeMetricFamily(
            "ffrtmp_master_uptime_seconds", "Since the start of the master.", value=time.monotonic() - self._started_s
        )
        yield _sums("ffrtmp_queue_by_priority", "Queued jobs by priority.", "priority", Priority, _sum(queued, 2))
        yield _sums("ffrtmp_queue_by_type", "Queued jobs by queue.", "type", Queue, _sum(queued, 1))
        engines = [(engine,) for engine in ENGINES if engine is not Engine.AUTO]
        yield kept.unknown("ffrtmp_jobs_by_engine", "Attempts begun by engine.", "engine", ("engine",), engines)
        yield kept.unknown(
            "ffrtmp_jobs_completed_by_engine", "Jobs completed by engine.", "engine_done", ("engine",), engines
        )
        classes = [("success",), *((failure,) for failure in FailureClass)]
        yield kept.counter("ffrtmp_job_attempts", "Attempts that ended, by how.", "attempts", ("class",), classes)
        yield kept.counter(
            "ffrtmp_job_losses", "Attempts lost with their node.", "losses", ("reason",), [(loss,) for loss in Loss]
        )
        yield kept.counter(
            "ffrtmp_jobs_poisoned", "Jobs failed because they were lost with too many nodes.", "poisoned", (), [()]
        )
        yield _compliance(kept)
        yield own.histogram("ffrtmp_turn_seconds", "Time that a turn took.", "turn", (), known=[()], bounds=SHORT)
        yield own.histogram("ffrtmp_commit_seconds", "Time that a commit took.", "commit", (), known=[()], bounds=SHORT)
        yield own.histogram(
            "ffrtmp_dispatch_latency_seconds",
            "From a job being queued to its assignment leaving the master.",
            "dispatch",
            (),
            known=[()],
        )
        yield own.counter("ffrtmp_messages", "Messages that came, by socket and type.", "messages", ("socket", "type"))
        yield own.counter("ffrtmp_denied", "Requests and messages refused, by code.", "denied", ("reason",))
        yield GaugeMetricFamily(
            "ffrtmp_database_read_only",
            "1 while the disk takes no writes.",
            value=int(now.read_only),
        )
        built = GaugeMetricFamily(
            "ffrtmp_build_info", "Versions of the master.", labels=("version", "python", "zmq", "sqlite")
        )
        built.add_metric((self._version, platform.python_version(), zmq.zmq_version(), self._sqlite), 1)
        yield built


_QUEUES: Final[list[Labels]] = [(queue,) for queue in Queue]


def _cells(jobs: Mapping[Cell, int]) -> Metric:
    family = GaugeMetricFamily("ffrtmp_jobs", "Jobs now in a state.", labels=("state", "queue", "priority"))
    for state in JobState:
        for queue in Queue:
            for priority in Priority:
                family.add_metric((state, queue, priority), jobs.get((state, queue, priority), 0))
    return family


def _sum(queued: Mapping[Cell, int], part: int) -> Counter[str]:
    numbers: Counter[str] = Counter()
    for cell, number in queued.items():
        numbers[cell[part]] += number
    return numbers


def _sums(name: str, text: str, label: str, known: Iterable[str], numbers: Counter[str]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value in known:
        family.add_metric((value,), numbers[value])
    return family


def _compliance(kept: Reader) -> Metric:
    family = GaugeMetricFamily(
        "ffrtmp_sla_compliance_ratio", "Share of finished jobs that were served as promised.", labels=("queue",)
    )
    for queue in Queue:
        good = kept.value("sla", queue, Sla.COMPLIANT)
        judged = good + kept.value("sla", queue, Sla.VIOLATION)
        if judged:
            family.add_metric((queue,), good / judged)
    return family

"""What Prometheus reads of a worker: a snapshot that the daemon publishes with each beat. No reading, no metric."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ffrtmp_worker.tally import QOE_BOUNDS, VMAF_BOUNDS
from ffrtmpd.base.families import Labels, Reader
from ffrtmpd.base.figures import SEPARATOR
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.nodes import GpuLoad, Hardware, Load
from ffrtmpd.wire.vocabulary import Sla

PORT: Final = 9091
_P: Final = "ffrtmp_worker_"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    """A worker at a beat.

    ``connected``: it has a session with its master. ``figures`` are what was counted since its start. ``encode_fps`` is
    by codec, over all that runs; ``joules`` by what the meter covers; ``link_percent`` the busier direction of the
    network link.
    """

    node_id: str
    connected: bool = True
    slots: int
    active_jobs: int = 0
    load: Load = field(default_factory=Load)
    hardware: Hardware
    figures: Mapping[str, float] = field(default_factory=dict)
    encode_fps: Mapping[str, float] = field(default_factory=dict)
    joules: Mapping[str, float] = field(default_factory=dict)
    link_percent: float | None = None


class WorkerMetrics(Collector):
    """Turns the last snapshot into metrics; before the first session there is none to tell of."""

    def __init__(self) -> None:
        self.snapshot: WorkerSnapshot | None = None
        self._started_s = time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """Yield the families, the seed's names first."""
        now = self.snapshot
        if now is None:
            return
        load, figures = now.load, Reader(now.figures, {})
        node = (now.node_id,)
        yield from self._gauges(now)
        yield from _gpus(node, load.gpus)
        yield _counter("heartbeats", "Heartbeats sent.", node, figures.value("heartbeats"))
        for outcome in ("completed", "failed", "canceled", "canceled_graceful", "canceled_forceful"):
            text = f"Attempts that ended here: {outcome.replace('_', ', ')}."
            yield _counter(f"jobs_{outcome}", text, node, figures.value("jobs", outcome))
        kept, broken = figures.value("sla", Sla.COMPLIANT), figures.value("sla", Sla.VIOLATION)
        yield _counter("jobs_sla_compliant", "Jobs finished here that were served as promised.", node, kept)
        yield _counter("jobs_sla_violation", "Jobs finished here that were not.", node, broken)
        yield _gauge(
            "sla_compliance_rate",
            "Share of jobs finished here that were served as promised, 0 to 1.",
            node,
            kept / (kept + broken) if kept + broken else None,
        )
        yield _labelled("energy_joules", "Joules metered, idle and other programs too.", node, "scope", now.joules)
        fps = GaugeMetricFamily(f"{_P}encode_fps", "Frames per second of all encodes.", labels=("node_id", "codec"))
        for codec, value in now.encode_fps.items():
            fps.add_metric((*node, codec), value)
        yield fps
        for name, text in (
            ("input_bytes", "Bytes of inputs read by finished jobs."),
            ("output_bytes", "Bytes of outputs of finished jobs."),
            ("energy_joules", "Marginal joules of finished jobs, scoring too."),
        ):
            yield _counter(name, text, node, figures.value(name), prefix="ffrtmp_job_")
        for name, text, bounds in (
            ("vmaf", "Mean VMAF of finished jobs, 0 to 100.", VMAF_BOUNDS),
            ("qoe", "Quality of experience of finished jobs, 1 to 5.", QOE_BOUNDS),
        ):
            yield figures.histogram(
                f"ffrtmp_job_{name}_score",
                text,
                name,
                ("class",),
                known=_classes(now.figures, name),
                bounds=bounds,
                also={"node_id": now.node_id},
            )

    def _gauges(self, now: WorkerSnapshot) -> Iterator[Metric]:
        node, load, hardware = (now.node_id,), now.load, now.hardware
        total, free = hardware.ram_total_bytes, load.ram_free_bytes
        proven = {ENCODERS[name].hardware for name in hardware.encoders if name in ENCODERS}
        yield _gauge("cpu_usage", "Busy share of all processors, percent.", node, load.cpu_load_percent)
        used = None if total is None or free is None else max(0, total - free)
        yield _gauge("memory_bytes", "Memory in use.", node, used)
        yield _gauge("disk_free_bytes", "Free where outputs are written.", node, load.disk_free_bytes)
        yield _gauge("power_watts", "Mean power of all that is metered.", node, load.power_watts)
        yield _gauge("temperature_celsius", "Of the hottest processor or GPU.", node, _hottest(load))
        yield _gauge("active_jobs", "Attempts that run or are paused.", node, now.active_jobs)
        yield _gauge("slots", "Attempts run at once.", node, now.slots)
        yield _gauge("uptime_seconds", "Since the start of the worker.", node, time.monotonic() - self._started_s)
        yield _gauge("has_gpu", "1 where a driver tells of a GPU.", node, int(bool(hardware.gpus)))
        for kind in ("nvenc", "qsv", "vaapi"):
            yield _gauge(f"{kind}_available", f"1 where an encoder of {kind} was proved.", node, int(kind in proven))
        yield _gauge("bandwidth_utilization", "Of the network link, percent.", node, now.link_percent)


def _classes(figures: Mapping[str, float], metric: str) -> list[Labels]:
    return sorted({(name.split(SEPARATOR)[1],) for name in figures if name.startswith(f"{metric}{SEPARATOR}")})


def _hottest(load: Load) -> float | None:
    told = [load.temperature_celsius, *(gpu.temperature_celsius for gpu in load.gpus)]
    return max((celsius for celsius in told if celsius is not None), default=None)


# Name, help and field of each reading of a GPU.
_GPU: Final = (
    ("gpu_usage", "Busy share of the GPU, percent.", "usage_percent"),
    ("gpu_encoder_usage", "Busy share of the GPU's encoder, percent.", "encoder_percent"),
    ("gpu_decoder_usage", "Busy share of the GPU's decoder, percent.", "decoder_percent"),
    ("gpu_memory_bytes", "Memory of the GPU in use.", "memory_used_bytes"),
    ("gpu_temperature_celsius", "Of the GPU.", "temperature_celsius"),
    ("gpu_power_watts", "Of the GPU.", "power_watts"),
)


def _gpus(node: Labels, gpus: tuple[GpuLoad, ...]) -> Iterator[Metric]:
    for name, text, reading in _GPU:
        family = GaugeMetricFamily(f"{_P}{name}", text, labels=("node_id", "gpu", "gpu_model"))
        for index, gpu in enumerate(gpus):
            value = getattr(gpu, reading)
            if value is not None:
                family.add_metric((*node, str(index), gpu.name), value)
        yield family


def _gauge(name: str, text: str, node: Labels, value: float | None) -> Metric:
    family = GaugeMetricFamily(f"{_P}{name}", text, labels=("node_id",))
    if value is not None:
        family.add_metric(node, value)
    return family


def _counter(name: str, text: str, node: Labels, value: float, *, prefix: str = _P) -> Metric:
    family = CounterMetricFamily(f"{prefix}{name}", text, labels=("node_id",))
    family.add_metric(node, value)
    return family


def _labelled(name: str, text: str, node: Labels, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"{_P}{name}", text, labels=("node_id", label))
    for kind, value in values.items():
        family.add_metric((*node, kind), value)
    return family

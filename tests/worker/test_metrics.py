"""What a scrape of a worker shows, and above all what it does not show."""

from dataclasses import replace

import pytest

from ffrtmp_worker.metrics import WorkerMetrics, WorkerSnapshot
from ffrtmp_worker.tally import Tally, scenario_class
from ffrtmpd.wire.messages.jobs import MediaInfo, Report, VideoStream
from ffrtmpd.wire.messages.measures import Energy, Experience, Provenance, Quality
from ffrtmpd.wire.messages.nodes import Gpu, GpuLoad, Hardware, Load
from ffrtmpd.wire.messages.session import Result
from ffrtmpd.wire.vocabulary import Outcome, Sla

BARE = WorkerSnapshot(node_id="w1", slots=2, hardware=Hardware(hostname="w1"))
READINGS = {
    "ffrtmp_worker_cpu_usage",
    "ffrtmp_worker_memory_bytes",
    "ffrtmp_worker_disk_free_bytes",
    "ffrtmp_worker_power_watts",
    "ffrtmp_worker_temperature_celsius",
    "ffrtmp_worker_bandwidth_utilization",
    "ffrtmp_worker_sla_compliance_rate",
    "ffrtmp_worker_energy_joules_total",
    "ffrtmp_worker_encode_fps",
    "ffrtmp_worker_gpu_usage",
    "ffrtmp_worker_gpu_encoder_usage",
    "ffrtmp_worker_gpu_decoder_usage",
    "ffrtmp_worker_gpu_memory_bytes",
    "ffrtmp_worker_gpu_temperature_celsius",
    "ffrtmp_worker_gpu_power_watts",
}


def scrape(snapshot: WorkerSnapshot | None) -> dict[str, dict[tuple[str, ...], float]]:
    """Return values by metric and label values, that of the node left out; it must be on all."""
    metrics = WorkerMetrics()
    metrics.snapshot = snapshot
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in metrics.collect():
        for sample in family.samples:
            assert sample.labels["node_id"] == "w1"
            values = tuple(value for label, value in sample.labels.items() if label != "node_id")
            found.setdefault(sample.name, {})[values] = sample.value
    return found


def result(outcome: Outcome = Outcome.ENCODED, report: Report | None = None) -> Result:
    return Result(job_id="job-000001", attempt=1, token=b"t" * 16, outcome=outcome, report=report or Report())


def test_before_the_first_session_there_is_nothing() -> None:
    assert scrape(None) == {}


def test_reading_that_does_not_exist_is_absent_and_a_count_is_zero() -> None:
    found = scrape(BARE)
    assert READINGS & set(found) == set()
    assert found["ffrtmp_worker_has_gpu"] == {(): 0}
    assert found["ffrtmp_worker_slots"] == {(): 2}
    assert found["ffrtmp_worker_jobs_completed_total"] == {(): 0}
    assert found["ffrtmp_worker_heartbeats_total"] == {(): 0}


def test_every_reading_is_shown_once_it_is_there() -> None:
    gpu = GpuLoad(
        name="L4",
        usage_percent=50,
        encoder_percent=60,
        decoder_percent=0,
        memory_used_bytes=1,
        temperature_celsius=71,
        power_watts=40,
    )
    full = replace(
        BARE,
        hardware=Hardware(hostname="w1", ram_total_bytes=100, gpus=(Gpu(name="L4"),), encoders=("h264_nvenc",)),
        load=Load(
            cpu_load_percent=0.0,
            ram_free_bytes=40,
            disk_free_bytes=7,
            temperature_celsius=50,
            power_watts=90,
            gpus=(gpu, replace(gpu, usage_percent=None)),
        ),
        figures={f"sla|{Sla.COMPLIANT}": 3.0, f"sla|{Sla.VIOLATION}": 1.0},
        encode_fps={"h264": 120.0},
        joules={"package": 5.0},
        link_percent=1.0,
    )
    found = scrape(full)
    assert READINGS - set(found) == set()
    # Nothing to do is a reading.
    assert found["ffrtmp_worker_cpu_usage"] == {(): 0.0}
    assert found["ffrtmp_worker_memory_bytes"] == {(): 60}
    assert found["ffrtmp_worker_temperature_celsius"] == {(): 71}
    assert found["ffrtmp_worker_gpu_usage"] == {("0", "L4"): 50}
    assert found["ffrtmp_worker_gpu_decoder_usage"] == {("0", "L4"): 0, ("1", "L4"): 0}
    assert found["ffrtmp_worker_nvenc_available"] == {(): 1}
    assert found["ffrtmp_worker_qsv_available"] == {(): 0}
    assert found["ffrtmp_worker_sla_compliance_rate"] == {(): 0.75}


def test_attempts_are_counted_by_their_end() -> None:
    tally = Tally()
    tally.recorded(result(), Sla.COMPLIANT)
    tally.recorded(result(Outcome.FAILED), Sla.VIOLATION)
    tally.recorded(result(Outcome.FAILED), None)
    tally.recorded(result(Outcome.CANCELED), None)
    tally.canceled(forceful=False)
    tally.canceled(forceful=True)
    tally.take()
    found = scrape(replace(BARE, figures=tally.values))
    ends = ("completed", "failed", "canceled", "canceled_graceful", "canceled_forceful", "sla_compliant")
    assert [found[f"ffrtmp_worker_jobs_{end}_total"][()] for end in ends] == [1, 2, 2, 1, 1, 1]
    assert found["ffrtmp_worker_sla_compliance_rate"] == {(): 0.5}


def test_measures_of_a_job_are_added_up_by_class() -> None:
    report = Report(
        media=MediaInfo(container="mp4", video=VideoStream(codec="h264", width=1920, height=1080)),
        provenance=Provenance(input_bytes=10, output_bytes=4),
        energy=Energy(joules=3.0, scoring_joules=0.5),
        quality=Quality(vmaf=93.5),
        experience=Experience(score=4.6),
    )
    tally = Tally()
    tally.recorded(result(report=report), None)
    tally.recorded(result(report=replace(report, quality=None, experience=None)), None)
    tally.take()
    found = scrape(replace(BARE, figures=tally.values))
    assert found["ffrtmp_job_input_bytes_total"] == {(): 20}
    assert found["ffrtmp_job_output_bytes_total"] == {(): 8}
    assert found["ffrtmp_job_energy_joules_total"] == {(): 7}
    assert found["ffrtmp_job_vmaf_score_count"] == {("1080p-h264",): 1}
    buckets = found["ffrtmp_job_vmaf_score_bucket"]
    assert (buckets["1080p-h264", "93"], buckets["1080p-h264", "94"], buckets["1080p-h264", "+Inf"]) == (0, 1, 1)
    assert found["ffrtmp_job_qoe_score_sum"] == {("1080p-h264",): pytest.approx(4.6)}


@pytest.mark.parametrize(
    ("height", "told"), [(4320, "2160p"), (1080, "1080p"), (1079, "720p"), (480, "480p"), (2, "small")]
)
def test_class_of_a_picture_is_one_of_a_few(height: int, told: str) -> None:
    video = VideoStream(codec="av1", width=2, height=height)
    assert scenario_class(Report(media=MediaInfo(container="mp4", video=video))) == f"{told}-av1"
    assert scenario_class(Report()) is None

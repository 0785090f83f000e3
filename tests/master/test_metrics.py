"""What a scrape of the master shows after turns of the real broker."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from ffrtmpd.base.exporter import Exporter
from ffrtmpd.base.metrics_settings import MetricsSection
from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.events import Event, GarbageCame, MessageCame, Now, Peer, Side, TimeCame
from ffrtmpd.metrics import MasterMetrics
from ffrtmpd.recorder import PUBLISH_EVERY_S, Recorder
from ffrtmpd.wire.codec import ProtocolError
from ffrtmpd.wire.curve import new_key_pair
from ffrtmpd.wire.messages.common import Error, Problem
from ffrtmpd.wire.messages.jobs import JobSpec, ListJobs, MediaInfo, Report
from ffrtmpd.wire.messages.session import Result
from ffrtmpd.wire.vocabulary import Engine, ErrorCode, FailureClass, JobState, Outcome, Priority, Queue
from tests.e2e.observatory import page
from tests.master.house import House, as_asked

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
SPEC = JobSpec(scenario="720p30-h264", duration_s=1)


SOMETHING = (TimeCame(),)


class Scraped:
    """A house whose turns are recorded, and what is scraped of it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.metrics = MasterMetrics(version="1.2.3", sqlite="3.40.1")
        self.recorder = Recorder(house.broker, self.metrics)
        self.recorder.opened(house.now)

    def publish(self, *events: Event, took_s: float = 0.0) -> None:
        """End a turn so late that it publishes."""
        self.house.now_s += PUBLISH_EVERY_S
        now = self.house.now
        self.recorder.turned(events or SOMETHING, took_s, Now(now.mono_s + took_s, now.wall_s + took_s))

    def samples(self) -> Samples:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.metrics.collect()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def scraped() -> Scraped:
    return Scraped(House())


def test_one_job_in_each_cell_and_nobody_to_take_it(scraped: Scraped) -> None:
    scraped.house.submit(*(JobSpec(scenario="720p30-h264", queue=q, priority=p) for q in Queue for p in Priority))
    scraped.publish()
    assert scraped.value("ffrtmp_queue_length") == 9
    assert scraped.value("ffrtmp_active_jobs") == 0
    assert [scraped.value("ffrtmp_queue_by_type", type=queue) for queue in Queue] == [3, 3, 3]
    assert [scraped.value("ffrtmp_queue_by_priority", priority=priority) for priority in Priority] == [3, 3, 3]
    cells = [scraped.value("ffrtmp_jobs", state="queued", queue=q, priority=p) for q in Queue for p in Priority]
    assert cells == [1] * 9
    assert scraped.value("ffrtmp_schedule_attempts_total", result="no_worker") == 9
    assert scraped.value("ffrtmp_jobs_total", state="queued") == 9


def test_a_job_is_counted_at_each_station(scraped: Scraped) -> None:
    house = scraped.house
    worker = house.worker("w1")
    house.worker("w2").lose_connection()
    done, broken = house.submit(SPEC, SPEC)
    worker.hear()
    worker.run(done)
    worker.fail(broken, FailureClass.PERMANENT)
    scraped.publish()
    entered = {state: scraped.value("ffrtmp_jobs_total", state=state) for state in JobState}
    assert entered == {
        "pending": 0,
        "queued": 2,
        "assigned": 2,
        "processing": 2,
        "paused": 0,
        "completed": 1,
        "failed": 1,
        "canceled": 0,
    }
    assert scraped.value("ffrtmp_job_attempts_total", **{"class": "success"}) == 1
    assert scraped.value("ffrtmp_job_attempts_total", **{"class": "permanent"}) == 1
    assert scraped.value("ffrtmp_job_duration_seconds_count", queue="default") == 2
    assert scraped.value("ffrtmp_job_duration_seconds_count", queue="live") == 0
    assert scraped.value("ffrtmp_jobs_by_engine", engine="ffmpeg") == 2
    assert scraped.value("ffrtmp_sla_compliance_ratio", queue="default") == 1
    assert scraped.value("ffrtmp_sla_compliance_ratio", queue="live") is None
    assert scraped.value("ffrtmp_nodes_total") == 2


def test_counts_go_on_after_a_restart_and_those_of_the_process_begin_anew(scraped: Scraped) -> None:
    worker = scraped.house.worker("w1")
    (job,) = scraped.house.submit(SPEC)
    worker.hear()
    worker.run(job)
    scraped.publish(took_s=0.003)
    before = scraped.samples()
    assert scraped.value("ffrtmp_turn_seconds_count") == 1
    scraped.house.start()
    again = Scraped(scraped.house)
    again.recorder.turned((), 0.0, scraped.house.now)
    again.recorder.committed(0.001)
    again.publish()
    after = again.samples()
    kept = ("ffrtmp_jobs_total", "ffrtmp_job_duration_seconds", "ffrtmp_job_attempts", "ffrtmp_schedule")
    assert {key: after[key] for key in before if key[0].startswith(kept)} == {
        key: value for key, value in before.items() if key[0].startswith(kept)
    }
    assert again.value("ffrtmp_turn_seconds_count") == 1
    assert again.value("ffrtmp_commit_seconds_bucket", le="0.001") == 1


def test_engine_is_counted_when_the_start_was_not_heard(scraped: Scraped) -> None:
    worker = scraped.house.worker("w1")
    (job,) = scraped.house.submit(SPEC)
    worker.hear()
    video = as_asked(worker.jobs[job].encode)
    report = Report(encoder="libx264", engine=Engine.FFMPEG, media=MediaInfo(container="mp4", video=video), output="/o")
    assign = worker.jobs[job]
    worker.say(Result(job_id=job, attempt=1, token=assign.token, outcome=Outcome.ENCODED, report=report))
    worker.committed(job)
    scraped.publish()
    assert scraped.value("ffrtmp_jobs_by_engine", engine="ffmpeg") == 1
    assert scraped.value("ffrtmp_jobs_completed_by_engine", engine="ffmpeg") == 1


def test_poison_is_counted_apart_from_other_failures() -> None:
    scraped = Scraped(House(BrokerSettings(server_public=new_key_pair().public, loss_limit=2)))
    worker = scraped.house.worker("w1")
    (job,) = scraped.house.submit(SPEC)
    for _ in range(2):
        worker.hear()
        worker.start(job)
        worker.connect()
    assert scraped.house.job(job).state == "failed"
    scraped.publish()
    assert scraped.value("ffrtmp_jobs_poisoned_total") == 1
    assert scraped.value("ffrtmp_job_losses_total", reason="gone") == 2


def test_no_label_grows_with_jobs_or_with_what_strangers_send(scraped: Scraped) -> None:
    house = scraped.house
    peer = Peer(Side.CLIENTS, b"x")
    worker = house.worker("w1")

    def work(number: int) -> None:
        specs = [
            JobSpec(
                scenario="720p30-h264", input=f"/in/{number}-{n}.mp4", output=f"{number}-{n}.mp4", labels={"n": "1"}
            )
            for n in range(5)
        ]
        jobs = house.submit(*specs)
        worker.hear()
        for job in jobs:
            worker.run(job)
        events: list[Event] = [
            GarbageCame(peer, "u", ProtocolError(ErrorCode.UNKNOWN_TYPE, "no", type_name=f"WORD{number}")),
            MessageCame(peer, "u", ListJobs(request_id=f"r{number}")),
        ]
        refused = Problem(code=ErrorCode.NOT_FOUND, message=f"no job {number}", retryable=False)
        scraped.recorder.said([Error(request_id=f"r{number}", problem=refused)])
        scraped.publish(*events)

    work(1)
    series = set(scraped.samples())
    for number in range(2, 6):
        work(number)
    assert set(scraped.samples()) == series
    assert scraped.value("ffrtmp_messages_total", socket="clients", type="other") == 5
    assert scraped.value("ffrtmp_denied_total", reason="not_found") == 5
    assert not any("job-" in value or "/" in value for _, labels in series for _, value in labels)


def test_a_scrape_before_the_start_is_done_fails_and_reads_no_zeros() -> None:
    house = House()
    house.submit(SPEC)
    metrics = MasterMetrics(version="1", sqlite="3")
    recorder = Recorder(house.broker, metrics)
    exporter = Exporter(MetricsSection(port=0), usual_port=0, collector=metrics, unready=recorder.unready)
    try:
        for path in ("metrics", "readyz"):
            assert page(f"http://127.0.0.1:{exporter.port}/{path}") == (503, "the master is starting\n")
        recorder.opened(house.now)
        assert page(f"http://127.0.0.1:{exporter.port}/readyz") == (200, "ok\n")
        status, text = page(f"http://127.0.0.1:{exporter.port}/metrics")
        assert status == 200
        assert 'ffrtmp_jobs_total{state="queued"} 1.0' in text
    finally:
        exporter.close()


def test_nothing_is_published_for_idle_turns_or_too_often(scraped: Scraped) -> None:
    scraped.publish()
    first = scraped.metrics.snapshot
    scraped.house.now_s += PUBLISH_EVERY_S
    scraped.recorder.turned((), 0.0, scraped.house.now)
    assert scraped.metrics.snapshot is first
    scraped.recorder.turned(SOMETHING, 0.0, scraped.house.now)
    assert scraped.metrics.snapshot is not first


def test_read_only_shows_and_is_not_ready(scraped: Scraped) -> None:
    assert scraped.recorder.unready() == []
    scraped.recorder.read_only = True
    scraped.publish()
    assert scraped.recorder.unready() == ["the database takes no writes"]
    assert scraped.value("ffrtmp_database_read_only") == 1


def test_families_are_described_and_named_once(scraped: Scraped) -> None:
    CollectorRegistry(auto_describe=True).register(scraped.metrics)
    families: list[Metric] = list(scraped.metrics.collect())
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation.endswith(".") and family.name.startswith("ffrtmp_") for family in families)

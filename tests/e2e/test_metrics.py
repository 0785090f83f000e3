"""What Prometheus makes of a real cluster at work: every rule, every panel, and the numbers against the job list."""

import json
import signal
import subprocess
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser

from ffrtmpd.wire.vocabulary import Engine, JobState, Priority, Queue
from tests.e2e.cluster import QUICK, Cluster, cluster, wait_until
from tests.e2e.observatory import CONF, Observatory, observatory, page
from tests.needs import libvmaf, program
from tests.ports import free_port
from tests.worker import gst
from tests.worker.powercap import Powercap

pytestmark = pytest.mark.e2e

CELLS = [(queue, priority) for queue in Queue for priority in Priority]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# Rules of hardware that this host may lack; panels say so themselves, in `needs`.
NEEDS_GPU = {"FfrtmpGpuHot"}
WATTS = 50.0
openmetrics: Callable[[str], Iterator[Metric]] = parser.text_string_to_metric_families


@contextmanager
def powered(root: Path) -> Iterator[Path]:
    """Give a powercap tree whose package takes power all the time."""
    tree = Powercap(root)
    tree.zone("intel-rapl:0", "package-0")
    done = threading.Event()

    def run() -> None:
        begun_s = time.monotonic()
        while not done.wait(0.02):
            tree.set_j("intel-rapl:0", WATTS * (time.monotonic() - begun_s))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield root
    finally:
        done.set()
        thread.join()


class Watched:
    """A cluster at work, its Prometheus, and the port of its master's metrics."""

    def __init__(self, house: Cluster, prometheus: Observatory, port: int) -> None:
        self.house, self.prometheus, self.port = house, prometheus, port

    @property
    def urls(self) -> list[str]:
        house = self.house
        assert house.master is not None
        return [house.metrics_url(program) for program in (house.master, house.workers["w1"], house.workers["w2"])]

    def metric(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the last value of a metric by its labels' values, with the scrape's own labels left out."""
        return {
            tuple(value for label, value in sorted(labels.items()) if label not in ("__name__", "instance", "job")): n
            for labels, n in self.prometheus.query(name)
        }


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Iterator[Watched]:
    """Give a cluster that has completed, failed and canceled jobs, and has one in every other state that lasts."""
    gst.engine()
    libvmaf()
    folder = tmp_path_factory.mktemp("metrics")
    with powered(folder / "powercap") as tree, cluster(folder / "cluster", gstreamer=True) as house:
        house.configure_master(QUICK)
        port = free_port()
        house.start_master("--metrics-port", str(port))
        energy = f'[energy]\npowercap = "{tree}"\nidle_watts = 20\nsample_s = 0.2\n'
        for name in ("w1", "w2"):
            house.enrol(name, settings=energy)
        workers = [house.launch_worker(name) for name in ("w1", "w2")]
        jobs = {
            "ffrtmp-master": [f"http://127.0.0.1:{port}"],
            "ffrtmp-worker": [house.metrics_url(worker) for worker in workers],
        }
        with observatory(folder / "prometheus", jobs) as prometheus:
            # A rise is seen only by who looked before.
            wait_until(lambda: len(prometheus.query("up == 1")) == 3, dump=house.dump)
            _work(house)
            yield Watched(house, prometheus, port)


def _work(house: Cluster) -> None:
    quick = {"scenario": "480p30-h264", "duration_s": 1, "preset": "ultrafast"}
    engines = [engine for engine in Engine if engine is not Engine.AUTO]
    cells = [
        {**quick, "queue": queue, "priority": priority, "engine": engines[number % 2]}
        for number, (queue, priority) in enumerate(CELLS)
    ]
    source = str(house.media / "film.mp4")
    made = house.submit("480p30-h264", "--duration", "1", "--output", source)
    done = _submit(house, cells)
    house.wait_for(made, "completed")
    scored = house.submit("480p30-h264", "--input", source, "--vmaf", "full")
    failed = house.submit("480p30-h264", "--input", str(house.media / "none.mp4"))
    wait_until(lambda: _states(house) == {"completed": len(done) + 2, "failed": 1}, dump=house.dump)
    assert house.job(scored)["state"] == "completed"
    assert house.job(failed)["state"] == "failed"
    assert house.ffrtmp("jobs", "status", "999999").returncode == 3
    canceled = _long(house)
    house.ok("jobs", "cancel", canceled)
    house.wait_for(canceled, "canceled")
    paused = _long(house)
    house.ok("jobs", "pause", paused)
    house.wait_for(paused, "paused")
    # Both slots, so that the rest waits.
    for _ in range(2):
        _long(house)
    house.submit("480p30-h264", "--not-before", "+1h")
    _submit(house, cells)


def _submit(house: Cluster, jobs: list[dict[str, Any]]) -> list[str]:
    return house.ffrtmp("jobs", "submit", "-f", "-", "-q", stdin=json.dumps(jobs)).stdout.split()


def _long(house: Cluster) -> str:
    """Submit a job that outlasts these tests, and return its id once it encodes."""
    job = house.submit("480p30-h264", "--duration", "600", "--preset", "veryslow")
    house.wait_for(job, "processing")
    return job


def _states(house: Cluster) -> dict[str, int]:
    return Counter(job["state"] for job in house.json("jobs", "list")["jobs"])


def promtool(*arguments: str, stdin: str = "") -> str:
    """Run promtool, which must be content, and return what it says."""
    argv = [program("promtool"), *arguments]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_configuration_and_rules_are_valid_and_alerts_fire_when_they_should() -> None:
    folder = CONF / "prometheus"
    promtool("check", "config", str(folder / "prometheus.yml"))
    assert "SUCCESS" in promtool("test", "rules", str(folder / "tests.yml"))


def test_pages_are_clean_in_both_forms(watched: Watched) -> None:
    for url in watched.urls:
        status, text = page(f"{url}/metrics")
        assert status == 200
        assert promtool("check", "metrics", stdin=text) == ""
        families = _families(url)
        assert len(families) > 20
        assert all(family.documentation for family in families.values())
        assert page(f"{url}/healthz") == (200, "ok\n")
        assert page(f"{url}/readyz") == (200, "ok\n")
    families = _families(watched.urls[0])
    exemplars = [sample.exemplar for sample in families["ffrtmp_job_duration_seconds"].samples if sample.exemplar]
    assert exemplars
    job_id = exemplars[0].labels["job_id"]
    assert watched.house.job(job_id)["state"] in ("completed", "failed")


def _families(url: str) -> dict[str, Metric]:
    text = page(f"{url}/metrics", accept=OPENMETRICS)[1]
    return {family.name: family for family in openmetrics(text)}


def test_every_rule_and_every_panel_has_data(watched: Watched) -> None:
    queries = {name: expression for name, expression in watched.prometheus.rules().items() if name not in NEEDS_GPU}
    assert len(queries) >= 14
    for path in (CONF / "grafana" / "dashboards").glob("*.json"):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            if panel["title"] not in _needy():
                for target in panel["targets"]:
                    name = f"{path.name}: {panel['title']} {target['refId']}"
                    queries[name] = target["expr"].replace("$__rate_interval", "30s")
    assert len(queries) >= 60

    def all_told() -> bool:
        return all(watched.prometheus.query(expression) for expression in queries.values())

    def empty() -> str:
        return "\n".join(f"{name}: {text}" for name, text in queries.items() if not watched.prometheus.query(text))

    wait_until(all_told, dump=empty)


def _needy() -> set[str]:
    boards = tomllib.loads((CONF / "grafana" / "dashboards.toml").read_text())["dashboard"]
    return {panel["title"] for board in boards for panel in board["panel"] if "needs" in panel}


def test_expressions_of_hardware_that_may_be_absent_are_valid(watched: Watched) -> None:
    queries = [watched.prometheus.rules()[name] for name in NEEDS_GPU]
    boards = tomllib.loads((CONF / "grafana" / "dashboards.toml").read_text())["dashboard"]
    queries += [q["expr"] for board in boards for panel in board["panel"] if "needs" in panel for q in panel["queries"]]
    exported = {line.split()[2] for line in page(f"{watched.urls[1]}/metrics")[1].splitlines() if line[:6] == "# HELP"}
    for query in queries:
        watched.prometheus.query(query)
        assert query in exported


def test_numbers_are_those_of_the_job_list(watched: Watched) -> None:
    def cells() -> dict[tuple[str, ...], float]:
        jobs = watched.house.json("jobs", "list")["jobs"]
        return dict(Counter((job["priority"], job["queue"], job["state"]) for job in jobs))

    listed = cells()
    states = {state for _, _, state in listed}
    assert states == set(JobState) - {"assigned"}
    wait_until(lambda: _not_zero(watched.metric("ffrtmp_jobs")) == cells(), dump=lambda: f"{cells()}")
    assert cells() == listed
    assert watched.metric("ffrtmp_queue_length") == {(): 9}
    assert watched.metric("ffrtmp_queue_by_type") == {(queue,): 3 for queue in Queue}
    assert watched.metric("ffrtmp_queue_by_priority") == {(priority,): 3 for priority in Priority}
    assert watched.metric("ffrtmp_active_jobs") == {(): 2}
    assert watched.metric("ffrtmp_nodes_total") == {(): 2}
    total = watched.metric("ffrtmp_jobs_total")
    assert total[("completed",)] == watched.metric("sum(ffrtmp_jobs_completed_by_engine)")[()] == 11
    assert total[("failed",)] == total[("canceled",)] == total[("paused",)] == 1
    assert watched.metric("sum(ffrtmp_job_duration_seconds_count)") == {(): 12}
    assert watched.metric("sum(ffrtmp_job_vmaf_score_count)") == {(): 1}
    assert watched.metric("sum(ffrtmp_worker_jobs_completed_total)") == {(): 11}
    assert watched.metric("sum(ffrtmp_worker_jobs_canceled_total)") == {(): 1}


def _not_zero(values: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return {labels: value for labels, value in values.items() if value}


def test_counters_go_on_after_the_master_was_killed_and_readiness_follows_the_session(watched: Watched) -> None:
    house = watched.house
    before = watched.metric("ffrtmp_jobs_total")
    house.gstreamer = False
    house.enrol("w3")
    assert house.master is not None
    house.master.stop(signal.SIGKILL)
    late = house.metrics_url(house.launch_worker("w3"))
    assert page(f"{late}/healthz") == (200, "ok\n")
    assert page(f"{late}/readyz") == (503, "no session with the master\n")
    assert page(f"{late}/metrics") == (200, "")
    down = 'ALERTS{alertname="FfrtmpMasterDown"}'
    wait_until(lambda: watched.prometheus.query(down), dump=house.dump)
    house.start_master("--metrics-port", str(watched.port))
    wait_until(lambda: page(f"{late}/readyz")[0] == 200, dump=house.dump)
    wait_until(lambda: not watched.prometheus.query(down), dump=house.dump)
    after = watched.metric("ffrtmp_jobs_total")
    assert set(after) == set(before)
    assert {state: (count, after[state]) for state, count in before.items() if after[state] < count} == {}
    assert set(watched.metric("resets(ffrtmp_jobs_total[10m])").values()) == {0}
    assert set(watched.metric("resets(ffrtmp_job_duration_seconds_count[10m])").values()) == {0}
    # What is of the process itself begins anew.
    assert watched.metric("resets(ffrtmp_turn_seconds_count[10m])") == {(): 1}

"""A real Prometheus that watches a cluster, with the rules of conf/."""

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Program, wait_until
from tests.needs import program
from tests.ports import free_port

CONF = Path(__file__).parents[2] / "conf"
RULES = (CONF / "prometheus" / "rules.yml", CONF / "prometheus" / "alerts.yml")
COMPARED = re.compile(r"\s(?:>|<|==)\s[\d.e+]+$")
Sample = tuple[dict[str, str], float]


def page(url: str, *, accept: str = "*/*") -> tuple[int, str]:
    """Return status and text of a page."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Observatory:
    """A Prometheus that runs."""

    def __init__(self, url: str, process: Program) -> None:
        self.url = url
        self.process = process

    def get(self, path: str, **parameters: str) -> Any:
        """Ask its API; an error of it fails the test."""
        status, text = page(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        document = json.loads(text)
        assert (status, document["status"]) == (200, "success"), (parameters, document)
        return document["data"]

    def query(self, expression: str) -> list[Sample]:
        """Return the samples of an instant query that are numbers."""
        found = self.get("query", query=expression)["result"]
        samples = [(sample["metric"], float(sample["value"][1])) for sample in found]
        return [(labels, value) for labels, value in samples if not math.isnan(value)]

    def rules(self) -> dict[str, str]:
        """Return the expressions of the loaded rules by name, those of alerts without their threshold."""
        found = {}
        for group in self.get("rules")["groups"]:
            for rule in group["rules"]:
                alert = rule["type"] == "alerting"
                assert not alert or COMPARED.search(rule["query"]), rule
                found[rule["name"]] = COMPARED.sub("", rule["query"]) if alert else rule["query"]
        return found


@contextmanager
def observatory(folder: Path, jobs: Mapping[str, list[str]]) -> Iterator[Observatory]:
    """Run a Prometheus that scrapes the URLs of each job every second."""
    binary = program("prometheus")
    folder.mkdir()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in RULES],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [urllib.parse.urlsplit(url).netloc for url in urls]}]}
            for job, urls in jobs.items()
        ],
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    argv = [binary, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    process = Program([*argv, f"--web.listen-address=127.0.0.1:{port}"], folder / "prometheus.log", {})
    seen = Observatory(f"http://127.0.0.1:{port}", process)
    try:
        wait_until(lambda: _is_ready(seen), dump=process.text)
        yield seen
    finally:
        process.stop()


def _is_ready(seen: Observatory) -> bool:
    assert seen.process.process.poll() is None, seen.process.text()
    try:
        return page(f"{seen.url}/-/ready")[0] == 200
    except urllib.error.URLError:
        return False

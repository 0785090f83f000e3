"""The metrics page as a scrape sees it: real HTTP on a port of this machine."""

import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ffrtmpd.base.exporter import Exporter, ExporterError
from ffrtmpd.base.metrics_settings import MetricsSection
from tests.needs import program

HERE = MetricsSection(port=0)


class One(Collector):
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("ffrtmp_one", "One.", value=1)


class Page:
    """A served page. ``reasons`` are why it is not ready."""

    def __init__(self, settings: MetricsSection = HERE) -> None:
        self.reasons: list[str] = []
        self.exporter = Exporter(settings, usual_port=9, collector=One(), unready=lambda: self.reasons)
        self.scheme = "http" if settings.certificate is None else "https"

    def get(self, path: str, *, accept: str = "*/*", trust: Path | None = None) -> tuple[int, str, str]:
        url = f"{self.scheme}://127.0.0.1:{self.exporter.port}{path}"
        context = None if trust is None else ssl.create_default_context(cafile=str(trust))
        request = urllib.request.Request(url, headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as reply:
                return reply.status, reply.headers["Content-Type"], reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page()
    yield page
    page.exporter.close()


def test_metrics_come_in_the_form_that_is_asked_for(page: Page) -> None:
    status, content_type, body = page.get("/metrics")
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    assert "# TYPE ffrtmp_one gauge\nffrtmp_one 1.0\n" in body
    status, content_type, body = page.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_ready_until_there_is_a_reason_not_to_be(page: Page) -> None:
    assert page.get("/healthz")[::2] == (200, "ok\n")
    assert page.get("/readyz")[::2] == (200, "ok\n")
    page.reasons = ["the database takes no writes"]
    assert page.get("/readyz")[::2] == (503, "the database takes no writes\n")
    assert page.get("/healthz")[::2] == (200, "ok\n")


def test_other_pages_do_not_exist(page: Page) -> None:
    assert page.get("/metric")[0] == 404
    assert page.get("/../etc/passwd")[0] == 404


def test_port_that_is_taken_is_said_with_the_way_out(page: Page) -> None:
    taken = page.exporter.port
    with pytest.raises(ExporterError, match=rf"port {taken} of 127.0.0.1: .*set metrics.port") as refused:
        Page(MetricsSection(port=taken))
    assert not refused.value.taken
    with pytest.raises(ExporterError) as usual:
        Exporter(MetricsSection(), usual_port=taken, collector=One(), unready=list)
    assert usual.value.taken


def test_page_is_served_with_a_certificate(tmp_path: Path) -> None:
    openssl = program("openssl")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key),
        ],
        check=True,
        capture_output=True,
    )
    page = Page(MetricsSection(port=0, certificate=str(certificate), key=str(key)))
    try:
        assert page.get("/healthz", trust=certificate)[0] == 200
    finally:
        page.exporter.close()


def test_certificate_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExporterError, match=r"cannot use metrics\.certificate"):
        Page(MetricsSection(port=0, certificate=str(tmp_path / "none.pem")))

"""The page that Prometheus reads, and two that say whether a daemon lives and is ready, on a thread of their own."""

import ssl
import threading
from collections.abc import Callable
from errno import EADDRINUSE
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, SO_REUSEADDR, SOL_SOCKET
from typing import Any, Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ffrtmpd.base.logs import Logger
from ffrtmpd.base.metrics_settings import MetricsSection

PLAIN: Final = "text/plain; charset=utf-8"
# A reader that says nothing for so long is gone.
READ_TIMEOUT_S: Final = 10.0


class ExporterError(Exception):
    """The page cannot be served; the message says the way out. ``taken``: by another program, on the usual port."""

    def __init__(self, message: str, *, taken: bool = False) -> None:
        super().__init__(message)
        self.taken = taken


class NothingYetError(Exception):
    """A collector has nothing to tell: the scrape fails, for zeros would read as counters that began anew."""


Readiness = Callable[[], list[str]]


class Exporter:
    """Serves until closed.

    Args:
        settings: where.
        usual_port: the port where none is set.
        collector: gives the metrics at each scrape, from the thread of the scrape, or raises ``NothingYetError``.
        unready: returns why the daemon is not ready, nothing when it is.
    """

    def __init__(self, settings: MetricsSection, *, usual_port: int, collector: Collector, unready: Readiness) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        port = usual_port if settings.port is None else settings.port
        try:
            self._server = _Server(settings.address, port, registry, unready)
        except OSError as error:
            raise ExporterError(
                f"cannot serve metrics on port {port} of {settings.address}: {error.strerror}; "
                "set metrics.port, metrics.address or metrics.enabled",
                taken=settings.port is None and error.errno == EADDRINUSE,
            ) from None
        if settings.certificate is not None:
            self._server.socket = _with_tls(self._server, settings)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(
    settings: MetricsSection, *, usual_port: int, collector: Collector, unready: Readiness, log: Logger
) -> Exporter | None:
    """Return an exporter, None if none is wanted or another program has the usual port.

    Raises:
        ExporterError: what was asked for cannot be had.
    """
    if not settings.enabled:
        return None
    try:
        exporter = Exporter(settings, usual_port=usual_port, collector=collector, unready=unready)
    except ExporterError as error:
        if not error.taken:
            raise
        log.warning("metrics_not_served", reason=str(error))
        return None
    log.info("metrics_served", address=settings.address, port=exporter.port)
    return exporter


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # What is asked here changes nothing, and nobody waits for its end.
    block_on_close = False

    def __init__(self, address: str, port: int, registry: CollectorRegistry, unready: Readiness) -> None:
        if ":" in address:
            self.address_family = AF_INET6
        self.registry = registry
        self.unready = unready
        super().__init__(("" if address == "*" else address, port), _Page)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the name service who this machine is.
        self.socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a reader that went away is no fault of ours."""


class _Page(BaseHTTPRequestHandler):
    timeout = READ_TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        match urlsplit(self.path).path:
            case "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                try:
                    self._answer(200, content_type, encode(self.server.registry))
                except NothingYetError as error:
                    self._answer(503, PLAIN, f"{error}\n".encode())
            case "/healthz":
                self._answer(200, PLAIN, b"ok\n")
            case "/readyz":
                reasons = self.server.unready()
                self._answer(503 if reasons else 200, PLAIN, ("\n".join(reasons or ["ok"]) + "\n").encode())
            case _:
                self._answer(404, PLAIN, b"there is /metrics, /healthz and /readyz\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - as the standard library calls it

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the standard library calls it
        """Say nothing: a scrape every few seconds would fill the log."""


def _with_tls(server: _Server, settings: MetricsSection) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certificate or "", settings.key)
    except (OSError, ssl.SSLError) as error:
        server.server_close()
        raise ExporterError(f"cannot use metrics.certificate {settings.certificate}: {error}") from None
    # The handshake belongs to the thread of the reader, not to the one that accepts.
    return context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)

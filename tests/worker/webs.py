"""Real HTTP servers on the loopback, and a note of who was asked for what."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Web:
    """A server: bodies and redirects by path. ``asked`` lists what it was asked, ``heads`` the headers of each."""

    def __init__(self, host: str) -> None:
        self.bodies: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.endless: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.heads: list[dict[str, str]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.asked.append(self.path)
                web.heads.append({name.lower(): value for name, value in self.headers.items()})
                web.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Clients that hang up are no news."""

        self.server = Server((host, 0), Handler)
        self.port = self.server.server_port
        self.place = f"{host}:{self.port}"
        self.url = f"http://{self.place}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path
        if path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif path in self.endless:
            request.send_response(200)
            request.send_header("Connection", "close")
            request.end_headers()
            request.close_connection = True
            while True:
                request.wfile.write(self.endless[path])
        else:
            body = self.bodies.get(path)
            request.send_response(404 if body is None else 200)
            request.send_header("Content-Length", str(len(body or b"")))
            request.end_headers()
            request.wfile.write(body or b"")


@contextmanager
def web(host: str = "127.0.0.1") -> Iterator[Web]:
    """Give a server that runs."""
    served = Web(host)
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.server.shutdown()
        thread.join()
        served.server.server_close()

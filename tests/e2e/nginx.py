"""Debian's nginx with its rtmp module as the ingest of a test, in a folder and on ports of its own."""

import subprocess
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.cluster import wait_until
from tests.e2e.witness import listens
from tests.needs import need, program
from tests.ports import free_port

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
BAD_KEY = "wrong"
# One process, so that killing it kills all of it. Whoever publishes as BAD_KEY is turned away.
SETTINGS = """
load_module {module};
daemon off; master_process off; pid nginx.pid;
events {{ worker_connections 64; }}
rtmp {{
  server {{
    listen 127.0.0.1:{rtmp}; chunk_size 4096;
    application live {{
      live on; record off; notify_method get; publish_notify on;
      on_publish http://127.0.0.1:{http}/publish;
    }}
  }}
}}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{http};
    location /stat {{ rtmp_stat all; }}
    location /publish {{ if ($arg_name = {bad_key}) {{ return 403; }} return 204; }}
  }}
}}
"""


class Nginx:
    """An ingest that can be killed and started again on the same ports."""

    def __init__(self, folder: Path) -> None:
        self._program = program("nginx")
        if not MODULE.exists():
            need("nginx has no rtmp module: apt-get install libnginx-mod-rtmp")
        folder.mkdir()
        self._folder = folder
        self.rtmp, self.http = free_port(), free_port()
        settings = SETTINGS.format(module=MODULE, rtmp=self.rtmp, http=self.http, bad_key=BAD_KEY)
        (folder / "nginx.conf").write_text(settings)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str, application: str = "live") -> str:
        return f"rtmp://127.0.0.1:{self.rtmp}/{application}/{name}"

    def start(self) -> None:
        argv = [self._program, "-p", str(self._folder), "-c", "nginx.conf", "-e", "error.log"]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pid = self._process.pid
        wait_until(lambda: listens(self.rtmp, pid) and listens(self.http, pid), dump=self.log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        path = self._folder / "error.log"
        return path.read_text(errors="replace") if path.exists() else "no log"

    def publisher(self, name: str) -> str | None:
        """Return the id of the connection that publishes a stream now, None if nobody does."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/stat", timeout=5) as answer:
                document = ET.fromstring(answer.read())  # noqa: S314 - of our own nginx
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None
        for stream in document.iter("stream"):
            if stream.findtext("name") == name and stream.find("publishing") is not None:
                for client in stream.iter("client"):
                    if client.find("publishing") is not None:
                        return client.findtext("id")
        return None


@contextmanager
def ingest(folder: Path) -> Iterator[Nginx]:
    """Give a running nginx."""
    nginx = Nginx(folder)
    nginx.start()
    try:
        yield nginx
    finally:
        nginx.kill()

"""Commands that reach over the network, against real servers on the loopback."""

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ffrtmp_worker.failures import classify
from ffrtmp_worker.ffmpeg import encode_command
from ffrtmp_worker.verify import verify
from ffrtmpd.wire.vocabulary import OutputMode
from tests.ports import free_port
from tests.worker.media import assign, encode, make_source, probe, proven, run, succeed, task, tools

BIND_TRIES = 1_000


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class _Taken(BaseHTTPRequestHandler):
    """Keeps what is put to it; ffmpeg sends it in chunks."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        self.server.taken = body  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def _serve(handler: Any) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        # ffmpeg does not wait for an answer: the end of this block does, for all that was sent.
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _wait_until_bound(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait for a server that takes one client only, so that a try to connect would use it up."""
    local = re.compile(rf"^ *\d+: [0-9A-F]+:{port:04X} ", re.MULTILINE)
    for _ in range(BIND_TRIES):
        if any(local.search(Path(f"/proc/net/{kind}").read_text()) for kind in ("tcp", "udp")):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the ingest ended with {server.wait(timeout=0.01)}")
    pytest.fail("the ingest never listened")


def test_input_over_http_is_probed_and_encoded(tmp_path: Path) -> None:
    source = make_source(tmp_path, seconds=0.5)
    with _serve(lambda *args: _Files(*args, directory=str(tmp_path))) as server:
        url = f"http://127.0.0.1:{server.server_port}/{source.name}"
        media = probe(url, count=False)
        made = task(
            assign(preset="ultrafast"), source=url, media=media, destination=tmp_path / "o.mp4", encoders=proven()
        )
        encode(made)
    output = probe(made.target)
    assert verify(made, output) == []
    assert output.video is not None
    assert output.video.frames in (12, 13)


def test_missing_input_over_http_is_permanent(tmp_path: Path) -> None:
    with _serve(lambda *args: _Files(*args, directory=str(tmp_path))) as server:
        url = f"http://127.0.0.1:{server.server_port}/gone.mkv"
        ran = run(encode_command(tools(), task(assign(), source=url, destination=tmp_path / "o.mp4")))
    told = classify(ran.exit_code, ran.stderr.decode(), live=False)
    assert (str(told.failure_class), "404" in told.reason) == ("permanent", True)


def test_stream_is_put_to_an_http_server(tmp_path: Path) -> None:
    source = f"file:{make_source(tmp_path, seconds=0.4)}"
    with _serve(_Taken) as server:
        made = task(
            assign(mode=OutputMode.STREAM, preset="ultrafast", fps=None),
            source=source,
            media=probe(source),
            destination=f"http://127.0.0.1:{server.server_port}/live",
            encoders=proven(),
        )
        encode(made)
    (tmp_path / "taken.ts").write_bytes(server.taken)  # type: ignore[attr-defined]
    assert (tmp_path / "taken.ts").read_bytes()[:1] == b"\x47"
    assert (tmp_path / "taken.ts").stat().st_size % 188 == 0


@pytest.mark.e2e
@pytest.mark.parametrize("mode", [OutputMode.RTMP, OutputMode.SRT])
def test_push_reaches_a_real_ingest(tmp_path: Path, mode: OutputMode) -> None:
    source = f"file:{make_source(tmp_path, seconds=1.0)}"
    port = free_port()
    url = f"{mode}://127.0.0.1:{port}" + ("/live/x" if mode is OutputMode.RTMP else "")
    if mode is OutputMode.RTMP:
        ingest: tuple[str, ...] = ("-listen", "1", "-f", "flv", "-i", url)
    else:
        # It would wait five idle seconds for more: the last frames but two are enough.
        ingest = ("-analyzeduration", "200000", "-i", f"{url}?mode=listener", "-frames:v", "28")
    made = task(
        assign(mode=mode, preset="ultrafast", fps=None),
        source=source,
        media=probe(source),
        destination=url,
        encoders=proven(),
    )
    command = encode_command(tools(), made)
    listen = (tools().ffmpeg, "-nostdin", "-v", "error", "-y", *ingest, "-c", "copy", f"file:{tmp_path}/taken.mkv")
    with subprocess.Popen(listen, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_until_bound(port, server)
            succeed(command)
            server.wait(timeout=20)
        finally:
            server.kill()
    taken = probe(f"file:{tmp_path}/taken.mkv")
    assert taken.video is not None
    assert taken.audio is not None
    assert taken.video.frames is not None
    assert (taken.video.codec, taken.video.width) == ("h264", 256)
    assert 28 <= taken.video.frames <= 30

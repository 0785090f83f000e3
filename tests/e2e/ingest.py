"""A server that takes pushes, so that a test sees what an audience would have seen."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.cluster import wait_until
from tests.e2e.witness import listens


@contextmanager
def ingest(ffmpeg: str, url: str, recorded: Path, *, inside: Sequence[str] = ()) -> Iterator["subprocess.Popen[bytes]"]:
    """Give a server that takes one push and records it. ``inside`` begins its command line: what it shall run in."""
    port = urlsplit(url).port or 0
    argv = [*inside, ffmpeg, "-nostdin", "-y", "-v", "error", "-listen", "1", "-f", "flv", "-i", url, "-c", "copy"]
    process = subprocess.Popen([*argv, str(recorded)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port, process.pid), dump=lambda: f"no ingest at {url}")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()

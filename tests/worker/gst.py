"""GStreamer for the tests of the worker, found once."""

import atexit
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.gstreamer_engine import GstreamerEngine, find_gstreamer
from ffrtmp_worker.process import Child
from tests.needs import need

PYTHON = "/usr/bin/python3"


@cache
def _found() -> GstreamerEngine | None:
    folder = tempfile.TemporaryDirectory(prefix="ffrtmp-test-")
    atexit.register(folder.cleanup)
    return find_gstreamer(PYTHON, environment=environment(os.environ), registry=Path(folder.name) / "registry.bin")


def engine() -> GstreamerEngine:
    return _found() or need("GStreamer with PyGObject is not installed")


def encoder(name: str) -> str:
    """Return the name of an encoder that works here."""
    return name if name in engine().encoders else need(f"{name} does not work here")


class Running:
    """The runner as the worker starts it, with what it wrote so far."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.stdout = b""
        self.stderr = b""

    def drain(self) -> None:
        while data := self.child.read(self.child.stdout):
            self.stdout += data
        while data := self.child.read(self.child.stderr):
            self.stderr += data

    def ended(self) -> int | None:
        """Return the exit code once it has ended; keeps its pipes empty meanwhile."""
        self.drain()
        ended = self.child.reap()
        if ended is None:
            return None
        self.drain()
        return ended.exit_code

    @property
    def frame(self) -> int:
        """The last frame that it told of."""
        self.drain()
        told = [line for line in self.stdout.splitlines() if line.startswith(b"frame=")]
        return int(told[-1].removeprefix(b"frame=")) if told else 0


@contextmanager
def running(argv: tuple[str, ...], folder: Path) -> Iterator[Running]:
    child = Child(argv, env=engine().environment, cwd=str(folder), mark=f"gst-{os.getpid()}")
    try:
        yield Running(child)
    finally:
        child.close()

"""`ffrtmp console` in a terminal of its own, whose screen can be read."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import pyte

PATIENCE_S = 60.0
ROOT = Path(__file__).parents[2]


class Terminal:
    """A program in a pseudo terminal, and what it shows."""

    def __init__(
        self, *words: str, environ: Mapping[str, str], size: tuple[int, int] = (80, 24), program: str = "-mffrtmp_tui"
    ) -> None:
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, slave = os.openpty()
        self._resize(size)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        # What this run imports from elsewhere, such as another urwid, the program imports too.
        path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
        env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": path, "TZ": "UTC", **environ}
        for name in ("NO_COLOR", "COLORTERM", "COLUMNS", "LINES"):
            if name not in environ:
                env.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, program, *words], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self.slave)
        os.close(self.master)

    def _resize(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal another size, as its window does."""
        self.screen.resize(rows, columns)
        self._resize((columns, rows))
        self.process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        """Type keys, as bytes of the terminal."""
        os.write(self.master, text.encode())

    def text(self) -> str:
        """Return what is on the screen."""
        return "\n".join(self.screen.display)

    def read(self, limit_s: float) -> bool:
        """Take in a piece of what the program writes within ``limit_s``; return whether there was any."""
        if not select.select([self.master], [], [], limit_s)[0]:
            return False
        with contextlib.suppress(OSError):
            data = os.read(self.master, 65_536)
            self.raw += data
            self._stream.feed(data)
            return bool(data)
        return False

    def until(self, holds: Callable[[], bool]) -> None:
        """Read until something holds.

        Raises:
            AssertionError: it did not in time; the screen is in the message.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain\n{self.text()}"
            self.read(0.1)

    def shows(self, text: str) -> None:
        """Wait until the screen shows a text."""
        self.until(lambda: text in self.text())

    def ends(self) -> int:
        """Wait until the program has ended; return its exit code."""
        self.until(lambda: self.process.poll() is not None)
        # A terminal hands out some 4 KiB at a time, and a screen is more.
        while self.read(0.2):
            pass
        return self.process.wait()

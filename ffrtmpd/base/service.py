"""What a daemon hears from and tells the system that runs it: signals, wake-ups, systemd, and its own faults."""

import math
import os
import signal
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

from ffrtmpd.base.logs import Logger

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_WAKE: Final = b"\0"
_READ_MAX: Final = 4_096


class Bell:
    """Rung from any thread; a signal rings with its own number."""

    def __init__(self) -> None:
        self._ear, self._rope = socket.socketpair()
        self._ear.setblocking(False)
        self._rope.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._ear.fileno()

    def wake(self) -> None:
        """Wake the poller."""
        self._ring(_WAKE)

    def stop(self) -> None:
        """Ask for a stop, as SIGTERM does. May be called from any thread, and more than once."""
        self._ring(bytes([signal.SIGTERM]))

    def stops_heard(self) -> int:
        """Return how often a stop was asked for since the last call, and be silent again."""
        heard = 0
        while True:
            try:
                rung = self._ear.recv(_READ_MAX)
            except BlockingIOError:
                return heard
            heard += sum(number in STOP_SIGNALS for number in rung)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let stop signals ring inside the block. Only the main thread may enter it."""
        before = {number: signal.signal(number, _heard) for number in STOP_SIGNALS}
        descriptor = signal.set_wakeup_fd(self._rope.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """Close both ends."""
        self._ear.close()
        self._rope.close()

    def _ring(self, what: bytes) -> None:
        try:
            self._rope.send(what)
        except BlockingIOError:
            # A full buffer means that it rings already.
            return


def _heard(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: a handler must exist for the signal's number to be written to the descriptor."""


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Tell systemd ``READY=1`` or the like; nothing happens where nobody asked to be told."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        try:
            door.connect("\0" + address[1:] if address.startswith("@") else address)
            door.send(state.encode())
        except OSError:
            # The daemon works without being watched.
            return


class Watchdog:
    """Tells systemd that a daemon is ready, that its turns come to their end (``WatchdogSec=``), and that it stops.

    Args:
        environment: what systemd started this process with.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        limit_us = environment.get("WATCHDOG_USEC", "")
        is_for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        is_watched = is_for_us and limit_us.isdecimal() and int(limit_us) > 0
        # Half of the time that is left, as sd_watchdog_enabled(3) advises.
        self._every_s = int(limit_us) / 2_000_000 if is_watched else math.inf
        self._due_s = 0.0 if is_watched else math.inf

    def ready(self) -> None:
        """Say that the first turn is over; from now on the others are waited for."""
        notify("READY=1", self._environment)

    def stopping(self) -> None:
        """Say that no more turns are to be waited for."""
        notify("STOPPING=1", self._environment)

    def due_s(self) -> float:
        """Return the monotonic second at which a turn shall come, infinity if nobody watches."""
        return self._due_s

    def turned(self, now_s: float) -> None:
        """Say that a turn has ended, if it is time; ``now_s`` is of the clock that ``due_s`` is of."""
        if now_s >= self._due_s:
            notify("WATCHDOG=1", self._environment)
            self._due_s = now_s + self._every_s


def credential(name: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of a credential that systemd handed over (``LoadCredential=``), None if it did not."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path if path is not None and path.is_file() else None


class CrashReport:
    """Turns a fault of ours into one log line with its traceback, and the exit code for it.

    Args:
        log: where the line goes.
        foreseen: exceptions with an explanation of their own, which pass.
    """

    def __init__(self, log: Logger, *foreseen: type[BaseException]) -> None:
        self._log = log
        self._foreseen: tuple[type[BaseException], ...] = (SystemExit, *foreseen)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, self._foreseen):
            return
        self._log.error("crashed", error=repr(error), traceback="".join(traceback.format_exception(error)))
        raise SystemExit(os.EX_SOFTWARE) from error

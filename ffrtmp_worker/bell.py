"""One descriptor that wakes the poller for signals and for work done in another thread."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

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
        """Ask for a stop, as SIGTERM does; the second time in a hurry."""
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

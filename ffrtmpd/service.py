"""What the daemon hears from and tells the system that runs it: signals, and systemd."""

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopBell:
    """A descriptor that becomes readable when the daemon shall stop; signals and other threads may ring it."""

    def __init__(self) -> None:
        self._ear, self._rope = socket.socketpair()
        self._ear.setblocking(False)
        self._rope.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._ear.fileno()

    def ring(self) -> None:
        """Ask the daemon to stop. May be called from any thread, and more than once."""
        try:
            self._rope.send(b"\0")
        except BlockingIOError:
            # A full buffer means that it rings already.
            return

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let signals ring inside the block. Only the main thread may enter it."""
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

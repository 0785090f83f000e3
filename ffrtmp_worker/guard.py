"""A second pair of eyes on the fence: ends a push whose lease has run out even if the worker itself stands still.

The worker fences its pushes by itself, but a worker that was stopped (SIGSTOP, a debugger, a disk that does not answer)
does nothing at all while its encoders go on. So a small process of its own holds a list of encoders and deadlines, and
kills what the worker has not renewed in time. It ends when the worker does. Run as a program, this file needs nothing
but the standard library.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Final

# The worker, which can say why, comes first.
LATE_S: Final = 0.5
READ_MAX: Final = 65_536


def clock_s() -> float:
    """Return the worker's clock: seconds that run on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Guard:
    """The worker's end. The process is started with the first push, and again should it have died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._told: dict[int, float] = {}

    def keep(self, deadlines: Mapping[int, float]) -> None:
        """Let the leaders of these process groups run until their deadlines, in seconds of ``clock_s``, and no longer.

        Those named before and not any more have ended.
        """
        if deadlines == self._told:
            return
        lines = [f"{pid} {until_s}\n" for pid, until_s in deadlines.items() if self._told.get(pid) != until_s]
        lines += [f"{pid} -\n" for pid in self._told.keys() - deadlines.keys()]
        if not self._write("".join(lines)):
            self.close()
            self._write("".join(f"{pid} {until_s}\n" for pid, until_s in deadlines.items()))
        self._told = dict(deadlines)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        process.kill()
        process.wait()

    def _write(self, text: str) -> bool:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, bufsize=0, start_new_session=True
            )
        try:
            # Lines of one push fit into the pipe many hundred times over, and the reader does nothing else.
            os.write(self._process.stdin.fileno(), text.encode())  # type: ignore[union-attr]
        except OSError:
            return False
        return True


def watch(source: int) -> None:
    """Kill what passes its deadline until ``source``, a descriptor that tells them, ends."""
    until_s: dict[int, float] = {}
    pidfds: dict[int, int] = {}
    rest = b""
    while True:
        wait_s = max(0.0, min(until_s.values()) + LATE_S - clock_s()) if until_s else None
        if select.select([source], [], [], wait_s)[0]:
            data = os.read(source, READ_MAX)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                pid_text, _, deadline = line.partition(b" ")
                pid = int(pid_text)
                if deadline == b"-":
                    _forget(pid, until_s, pidfds)
                elif pid in pidfds or _hold(pid, pidfds):
                    until_s[pid] = float(deadline)
            # What has just been renewed is not overdue.
            continue
        for pid in [pid for pid, deadline_s in until_s.items() if clock_s() >= deadline_s + LATE_S]:
            _end(pid, pidfds[pid])
            _forget(pid, until_s, pidfds)


def _hold(pid: int, pidfds: dict[int, int]) -> bool:
    """Take hold of a process, so that a stranger who gets its number later is not taken for it."""
    try:
        pidfds[pid] = os.pidfd_open(pid)
    except OSError:
        return False
    return True


def _forget(pid: int, until_s: dict[int, float], pidfds: dict[int, int]) -> None:
    until_s.pop(pid, None)
    pidfd = pidfds.pop(pid, None)
    if pidfd is not None:
        os.close(pidfd)


def _end(pid: int, pidfd: int) -> None:
    has_ended = bool(select.select([pidfd], [], [], 0)[0])
    if not has_ended:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    watch(sys.stdin.fileno())

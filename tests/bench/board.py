"""What a worker process shows the benchmark: when each job came to it, and how many are recorded. A file in memory.

Times are seconds of the machine's monotonic clock, which all processes share.
"""

import mmap
import struct
import time
from pathlib import Path
from threading import Lock
from typing import Final

# Jobs whose begin is kept; a later job takes the place of one so far before it.
CAPACITY: Final = 1 << 20
_HEAD: Final = struct.Struct("=Qd")
_AT: Final = struct.Struct("=d")


class Board:
    """One worker writes, one benchmark reads."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_HEAD.size + CAPACITY * _AT.size)
            self._map = mmap.mmap(file.fileno(), 0)
        self._count = _HEAD.unpack_from(self._map)[0]
        self._lock = Lock()

    def begun(self, job_id: str) -> None:
        """The worker has the job in its hands."""
        _AT.pack_into(self._map, _place(job_id), time.monotonic())

    def recorded(self) -> None:
        """One more result is on the broker's disk."""
        # Some workers are many threads.
        with self._lock:
            self._count += 1
            _HEAD.pack_into(self._map, 0, self._count, time.monotonic())

    def begun_at(self, job_id: str) -> float:
        """Return when the worker had the job, 0 if it had not."""
        return float(_AT.unpack_from(self._map, _place(job_id))[0])

    def seen(self) -> tuple[int, float]:
        """Return how many results are recorded, and when the last was."""
        count, at_s = _HEAD.unpack_from(self._map)
        return int(count), float(at_s)


def _place(job_id: str) -> int:
    return _HEAD.size + int(job_id.rpartition("-")[2]) % CAPACITY * _AT.size

"""Room on the disk: looked at before an output is begun and while outputs are written."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ffrtmp_worker.events import AttemptId, ChildId, FreeRoom, RoomRead
from ffrtmp_worker.limits import size_text
from ffrtmp_worker.task import NotHere, Task

LOOK_EVERY_S: Final = 1.0
# Where so much is free, a look a second would find the same: a fast disk takes that in so many seconds.
PLENTY_BYTES: Final = 40 << 30
PLENTY_EVERY_S: Final = 5.0
# Encoders miss their bitrate by some percent, and a container adds its own.
MARGIN: Final = 1.1
AUDIO_BPS: Final = 128_000


class NoRoom(NotHere):
    """The output would not fit on this node's disk; another node's may have room, and this one's later."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system and what is free there for users that are not root."""

    device: int
    free_bytes: int


def disk_of(path: Path) -> Disk | None:
    """Return the file system of a path, or of its nearest parent that exists; None where nobody can tell."""
    for folder in (path, *path.parents):
        try:
            state = os.statvfs(folder)
            return Disk(folder.stat().st_dev, state.f_bavail * state.f_frsize)
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def expected_bytes(task: Task) -> int | None:
    """Return how large an output may get, None when its length is not known."""
    if task.expected_duration_s is None:
        return None
    rate_bps = task.bitrate_bps + (0 if task.audio is None else AUDIO_BPS)
    return int(rate_bps * task.expected_duration_s / 8 * MARGIN)


class Room:
    """What the outputs that are being written will still take.

    Args:
        keep_bytes: what must stay free.
        look: reads a file system.
    """

    def __init__(self, keep_bytes: int = 0, look: Callable[[Path], Disk | None] = disk_of) -> None:
        self._keep_bytes = keep_bytes
        self._look = look
        self._claims: dict[Path, tuple[int, int]] = {}

    def claim(self, partial: Path, expected: int | None) -> None:
        """Keep room for an output until ``release``; of one whose size is not known only ``keep_bytes`` are asked.

        Raises:
            NoRoom: there is not enough beside what other outputs will take.
        """
        disk = self._look(partial.parent)
        if disk is None:
            return
        promised = sum(
            max(0, size - _written(path)) for path, (device, size) in self._claims.items() if device == disk.device
        )
        if disk.free_bytes - promised < (expected or 0) + self._keep_bytes:
            parts = [f"{size_text(disk.free_bytes)} free"]
            if promised:
                parts.append(f"{size_text(promised)} promised to other outputs")
            if expected is not None:
                parts.append(f"{size_text(expected)} expected")
            parts.append(f"{size_text(self._keep_bytes)} to be kept free (limits.min_free_disk_bytes)")
            raise NoRoom(f"not enough room on the disk: {', '.join(parts)}")
        self._claims[partial] = disk.device, expected or 0

    def release(self, partial: Path) -> None:
        """Say that an output takes no more, claimed or not."""
        self._claims.pop(partial, None)


def _written(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


class RoomWatch:
    """Says when and where to look while outputs are written; ``look`` may block on a slow disk."""

    def __init__(self) -> None:
        self._writing: dict[ChildId, tuple[AttemptId, Path]] = {}
        self._looked_s = -math.inf
        self._every_s = LOOK_EVERY_S
        self._looking = False

    def begin(self, child: ChildId, attempt: AttemptId, partial: str) -> None:
        """Watch the disk that a child writes to."""
        self._writing[child] = attempt, Path(partial).parent
        # It may be another disk.
        self._every_s = LOOK_EVERY_S

    def end(self, child: ChildId) -> None:
        """The child writes no more, if it did."""
        self._writing.pop(child, None)

    def due(self, now_s: float) -> Callable[[], RoomRead] | None:
        """Return what looks, if it is time to."""
        if not self._writing or self._looking or now_s < self._looked_s + self._every_s:
            return None
        self._looked_s, self._every_s, self._looking = now_s, LOOK_EVERY_S, True
        writing = tuple(self._writing.values())
        return lambda: _look(writing)

    def looked(self, read: RoomRead) -> None:
        """The reading has come."""
        self._looking = False
        seen = {attempt for room in read.rooms if room.free_bytes >= PLENTY_BYTES for attempt in room.attempts}
        if all(attempt in seen for attempt, _ in self._writing.values()):
            self._every_s = PLENTY_EVERY_S


def _look(writing: tuple[tuple[AttemptId, Path], ...]) -> RoomRead:
    free: dict[int, int] = {}
    attempts: dict[int, list[AttemptId]] = {}
    for attempt, folder in writing:
        disk = disk_of(folder)
        if disk is not None:
            free[disk.device] = disk.free_bytes
            attempts.setdefault(disk.device, []).append(attempt)
    return RoomRead(tuple(FreeRoom(free[device], tuple(found)) for device, found in attempts.items()))


def short_of_room(
    read: RoomRead, stopping: Mapping[AttemptId, bool], keep_bytes: int
) -> Iterator[tuple[AttemptId, str]]:
    """Yield the attempts to stop, and why: on each full disk the one that began last, which has lost the least.

    Never a second one before the first has ended and the disk was looked at again: its output gives room back.

    Args:
        read: what is free.
        stopping: the attempts that run in the order in which they began, and whether they are being stopped.
        keep_bytes: what must stay free.
    """
    for room in read.rooms:
        if room.free_bytes >= keep_bytes or any(stopping.get(attempt, True) for attempt in room.attempts):
            continue
        newest = [attempt for attempt in stopping if attempt in room.attempts][-1]
        kept = f"{size_text(keep_bytes)} are to be kept free (limits.min_free_disk_bytes)"
        yield newest, f"disk full: {size_text(room.free_bytes)} free where the output is written, and {kept}"

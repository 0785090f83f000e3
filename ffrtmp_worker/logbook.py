"""The logs of attempts on disk: ``<folder>/<job>/<attempt>.log``.

A log keeps its first part and its last lines; what lies between is left out, and the log says so. Offsets are those
of the file, so that a reader can follow one that still grows.
"""

import contextlib
import shlex
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from ffrtmpd.wire.messages.session import FetchLog, LogChunk
from ffrtmpd.wire.vocabulary import NAME

HEAD_MAX: Final = 1 << 20
TAIL_MAX: Final = 65_536
# How much of a log tells why the encoder failed.
TOLD_MAX: Final = 8_192
KEPT_BYTES: Final = 256 << 20
CHUNK_MAX: Final = 65_536


class Log:
    """The log of one attempt while it is written. The first ``head_max`` bytes go to the file at once.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, *, head_max: int = HEAD_MAX) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._left = max(0, head_max - self._file.tell())
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dropped = 0
        self._recent = b""

    def begin_step(self, argv: Sequence[str]) -> None:
        """Write the command that follows, and forget what the one before said."""
        self._recent = b""
        self.write(f"$ {shlex.join(argv)}\n".encode("utf-8", "replace"))
        self._recent = b""

    def write(self, data: bytes) -> None:
        """Take what a child said. A disk that is full loses the log, not the job."""
        self._recent = (self._recent + data)[-TOLD_MAX:]
        head, rest = data[: self._left], data[self._left :]
        self._left -= len(head)
        if head:
            self._put(head)
        if rest:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
        while self._tail and self._tail_bytes - len(self._tail[0]) >= TAIL_MAX:
            gone = self._tail.popleft()
            self._tail_bytes -= len(gone)
            self._dropped += len(gone)

    def recent(self) -> str:
        """Return the last of what the running step said."""
        return readable(self._recent)

    def close(self) -> None:
        """Write the last lines and close the file; twice is once."""
        if self._file.closed:
            return
        if self._dropped:
            self._put(f"\n[... {self._dropped} bytes left out ...]\n".encode())
        self._put(b"".join(self._tail))
        self._tail.clear()
        self._file.close()

    def _put(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._file.write(data)


class Logbook:
    """All logs of this node.

    Args:
        folder: where they lie.
        kept_bytes: the oldest are deleted when all together are more.
    """

    def __init__(self, folder: Path, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._folder = folder
        self._kept_bytes = kept_bytes
        self._open: dict[tuple[str, int], Log] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def log(self, attempt: tuple[str, int]) -> Log:
        """Return the log of an attempt, opened if it is not.

        Raises:
            OSError: its file cannot be made, or the job has no name that a file can have.
        """
        log = self._open.get(attempt)
        if log is None:
            path = self._path(*attempt)
            if path is None:
                raise OSError(22, "the job's name cannot be part of a file name")
            log = self._open[attempt] = Log(path)
        return log

    def close(self, attempt: tuple[str, int]) -> bool:
        """Close the log of an attempt; return whether it had one."""
        log = self._open.pop(attempt, None)
        if log is None:
            return False
        log.close()
        return True

    def close_all(self) -> None:
        """Close every log."""
        for attempt in list(self._open):
            self.close(attempt)

    def fetch(self, request: FetchLog, *, running: bool) -> LogChunk:
        """Return the piece of a log that the master asked for, within what one message holds."""
        path = self._path(request.job_id, request.attempt)
        try:
            if path is None:
                raise FileNotFoundError
            with path.open("rb") as file:
                size = file.seek(0, 2)
                offset = max(0, size + request.offset) if request.offset < 0 else min(request.offset, size)
                file.seek(offset)
                data = file.read(min(request.limit, CHUNK_MAX))
        except OSError:
            return LogChunk(fetch_id=request.fetch_id, missing=True, end=not running)
        if offset + len(data) < size or running:
            data = _whole_characters(data)
        text = readable(data)
        while len(text.encode()) > CHUNK_MAX:
            # Each byte that is no text became a sign of three.
            data = data[: len(data) // 2]
            text = readable(data)
        next_offset = offset + len(data)
        end = not running and next_offset >= size
        return LogChunk(fetch_id=request.fetch_id, text=text, offset=offset, next_offset=next_offset, end=end)

    def trim(self) -> int:
        """Delete the oldest logs beyond what is kept; return how many. Reads the whole folder."""
        found = []
        for path in self._folder.glob("*/*.log"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        left = sum(size for _, size, _ in found)
        deleted = 0
        for _, size, path in sorted(found):
            if left <= self._kept_bytes:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                deleted += 1
                left -= size
                path.parent.rmdir()
        return deleted

    def _path(self, job_id: str, attempt: int) -> Path | None:
        # A job's name comes over the wire and must not lead elsewhere.
        return self._folder / job_id / f"{attempt}.log" if NAME.fullmatch(job_id) else None


def readable(data: bytes) -> str:
    """Return ``data`` as text that a message can carry."""
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def _whole_characters(data: bytes) -> bytes:
    """Return ``data`` without a character that was cut at its end, unless that is all there is."""
    for back in range(1, min(4, len(data)) + 1):
        lead = data[-back]
        if lead & 0xC0 != 0x80:
            needs = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
            return data[:-back] if needs > back and len(data) > back else data
    return data

"""Results that the master has not answered yet, on disk, so that they outlive the worker.

One file an attempt: the frames' body of its RESULT and where the output lies. A file is written beside its name,
brought to the disk and renamed, so that it is whole or absent.
"""

import contextlib
import hashlib
import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgpack

from ffrtmpd.wire.messages.session import Result
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import SchemaError, from_plain, to_plain

SUFFIX: Final = ".result"
UNFINISHED: Final = ".new"
BAD: Final = ".bad"


class Fate(StrEnum):
    """What became of an output while the worker was away. One that was never staged is whole."""

    WHOLE = "whole"
    PUBLISHED = "published"
    GONE = "gone"


@record
class Entry:
    """A finished attempt. ``final`` is the path or URL of the output, ``partial`` None when nothing is staged.

    ``inode`` is the staged output's, set when it was sealed: a final file with that number is the output, renamed.
    """

    result: Annotated[Result, "what the master shall hear"]
    partial: Annotated[str | None, "where the output lies"] = None
    final: Annotated[str | None, "where it shall stand, or a URL"] = None
    inode: Annotated[int | None, "of the output"] = None

    @property
    def attempt(self) -> tuple[str, int]:
        """Which attempt."""
        return self.result.job_id, self.result.attempt

    def fate(self) -> Fate:
        """Look what became of the output."""
        if self.partial is None or _inode(self.partial) == self.inode:
            return Fate.WHOLE
        return Fate.PUBLISHED if _inode(self.final) == self.inode else Fate.GONE


class Spool:
    """The entries in a folder.

    Raises:
        OSError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def seal(self, entry: Entry) -> None:
        """Bring the output of ``entry``, then ``entry`` itself, to the disk.

        Raises:
            OSError: it did not get there.
        """
        if entry.partial is not None:
            entry = replace(entry, inode=sync_file(Path(entry.partial)))
        target = self._path(entry.attempt)
        fresh = target.with_suffix(UNFINISHED)
        with fresh.open("wb") as file:
            file.write(msgpack.packb(to_plain(entry)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
        sync_folder(self._folder)

    def drop(self, attempt: tuple[str, int]) -> None:
        """Forget an attempt, known or not."""
        self._path(attempt).unlink(missing_ok=True)

    def load(self) -> list[Entry]:
        """Return every entry. One that is no entry is put aside as ``.bad``, for somebody to look at.

        Raises:
            OSError: the disk cannot be read; nothing was changed.
        """
        found = []
        for path in sorted(self._folder.iterdir()):
            if path.suffix == UNFINISHED:
                path.unlink(missing_ok=True)
            elif path.suffix == SUFFIX:
                entry = _read(path)
                if entry is None:
                    path.replace(path.with_suffix(BAD))
                else:
                    found.append(entry)
        return found

    def _path(self, attempt: tuple[str, int]) -> Path:
        job, number = attempt
        # A job's name comes over the wire and must not become a path.
        return self._folder / f"{hashlib.sha256(job.encode()).hexdigest()[:32]}.{number}{SUFFIX}"


def sync_file(path: Path) -> int:
    """Bring a file to the disk; return its inode number."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_ino


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> Entry | None:
    packed = path.read_bytes()
    with contextlib.suppress(ValueError, msgpack.exceptions.UnpackException, SchemaError):
        return from_plain(Entry, msgpack.unpackb(packed))
    return None


def _inode(path: str | None) -> int | None:
    if path is None:
        return None
    try:
        return os.stat(path, follow_symlinks=False).st_ino  # noqa: PTH116 - a text from the spool
    except OSError:
        return None

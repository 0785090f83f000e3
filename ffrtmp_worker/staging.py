"""Outputs that are not finished yet: their names, their publication, and what a previous life left behind."""

import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from ffrtmpd.wire.places import PARTIAL_SUFFIX

NOTE_SUFFIX: Final = ".partial-path"


# Of the token's random bytes.
TOKEN_PART: Final = 4


def partial_path(final: Path, job_id: str, attempt: int, token: bytes) -> Path:
    """Return where an attempt writes before it is published: beside its target, so that a rename can publish it.

    A master restored from a backup gives the numbers of attempts again, to other nodes perhaps, that share the folder:
    a part of the token tells the two apart.
    """
    return final.with_name(f"{final.name}.{job_id}.{attempt}.{token[:TOKEN_PART].hex()}{PARTIAL_SUFFIX}")


def publish(partial: Path, final: Path, *, size_bytes: int | None = None) -> None:
    """Give a finished output its name, so that it survives a power cut. Blocks until it is on the disk.

    May be called again after a crash: when the partial is gone and ``final`` has ``size_bytes``, it was published.

    Raises:
        FileNotFoundError: there is no such partial, and it was not published before.
        OSError: the disk is full or failing, or the folder may not be written.
    """
    if partial.exists():
        _sync(partial)
        partial.replace(final)
    elif size_bytes is None or not final.is_file() or final.stat().st_size != size_bytes:
        raise FileNotFoundError(f"{partial} is gone and was not published")
    _sync(final.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class PartialNotes:
    """Which partials this worker began, noted on its own disk before each is begun.

    Output folders are often shared between nodes: looking there for leftovers would find the running work of others.

    Args:
        folder: in the worker's state; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def note(self, partial: Path) -> None:
        """Remember ``partial`` across a crash of the worker."""
        path = self._path(partial)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(os.fsencode(partial))
        temporary.replace(path)

    def forget(self, partial: Path) -> None:
        """Forget ``partial``: it was published or removed."""
        self._path(partial).unlink(missing_ok=True)

    def remove_leftovers(self, keep: Collection[Path] = ()) -> list[Path]:
        """Remove every noted partial but those in ``keep``; return what was removed.

        One that cannot be removed now, on a disk that is away, stays noted for the next time.
        """
        removed = []
        for note in sorted(self._folder.glob(f"*{NOTE_SUFFIX}")):
            partial = Path(os.fsdecode(note.read_bytes()))
            if partial in keep:
                continue
            # A note cut short by a crash must not name another file.
            if partial.name.endswith(PARTIAL_SUFFIX):
                try:
                    partial.unlink()
                    removed.append(partial)
                except FileNotFoundError:
                    if not partial.parent.is_dir():
                        continue
                except OSError:
                    continue
            note.unlink()
        return removed

    def _path(self, partial: Path) -> Path:
        return self._folder / (hashlib.sha256(os.fsencode(partial)).hexdigest()[:32] + NOTE_SUFFIX)

"""Before the schema changes, a copy of the database is kept beside it: the way back to the program before."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ffrtmpd.store.backup import backup, sync
from ffrtmpd.store.errors import BackupTargetError, StoreError

# Copies kept, one for each schema that was left; the oldest goes first.
KEPT: Final = 2
# Besides the copy, a step may write every row anew, through the write-ahead log.
ROOM_FACTOR: Final = 3
ROOM_BYTES: Final = 16 << 20
_MARK: Final = ".schema-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """A change of the schema from version ``was`` to ``now``; ``copy`` is the database as it was before."""

    was: int
    now: int
    copy: Path


def copy_path(database: Path, version: int) -> Path:
    """Return where the copy that has schema ``version`` is kept."""
    return database.with_name(f"{database.name}{_MARK}{version}")


def copy_first(database: Path, found: int, newest: int) -> Upgrade | None:
    """Copy ``database`` if its schema ``found`` is to change, and let go of copies that are too old.

    Returns:
        What is about to happen; None if nothing is: the database is new, newest, or newer.

    Raises:
        StoreError: there is no room for copy and change, or the copy cannot be made. No copy is lost.
    """
    if not 0 < found < newest:
        return None
    _check_room(database, found, newest)
    target = copy_path(database, found)
    fresh = target.with_name(f"{target.name}.new")
    try:
        # Left by a start that was killed; the lock says that no other start is here now.
        for left in (fresh, fresh.with_name(f"{fresh.name}.partial")):
            left.unlink(missing_ok=True)
        backup(database, fresh)
        # An earlier copy of that schema is older than this one: the database has been in use since.
        fresh.replace(target)
        sync(target.parent)
        for _, old in list(_copies(database))[KEPT:]:
            old.unlink()
    except BackupTargetError as error:
        raise StoreError(f"no copy can be made before its schema changes: {error}") from None
    except OSError as error:
        raise StoreError(f"no copy can be made before its schema changes: {error}") from None
    return Upgrade(was=found, now=newest, copy=target)


def way_back(database: Path, known: int) -> str:
    """Return how to go on with a database that is newer than schema ``known``."""
    usable = next((copy for version, copy in _copies(database) if version <= known), None)
    if usable is None:
        return "start the newer ffrtmpd again, or restore a backup that was made before it ran"
    return (
        f"start the newer ffrtmpd again, or go back to how it was before, without what happened since: restore {usable}"
    )


def _copies(database: Path) -> Iterator[tuple[int, Path]]:
    """Yield the copies with their schema versions, newest schema first."""
    found = []
    for path in database.parent.glob(f"*{_MARK}*"):
        version = path.name.removeprefix(f"{database.name}{_MARK}")
        if version.isdecimal() and path == copy_path(database, int(version)):
            found.append((int(version), path))
    yield from sorted(found, reverse=True)


def _check_room(database: Path, found: int, newest: int) -> None:
    log = database.with_name(f"{database.name}-wal")
    size = database.stat().st_size + (log.stat().st_size if log.exists() else 0)
    needed = ROOM_FACTOR * size + ROOM_BYTES
    disk = os.statvfs(database.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise StoreError(
            f"there is no room to change its schema from {found} to {newest}: {needed >> 20} MiB are needed for the "
            f"copy and the change, {free >> 20} MiB are free in {database.parent}; make room and start again"
        )

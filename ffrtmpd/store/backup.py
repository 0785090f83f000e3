"""A whole copy of a database that may be in use."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from ffrtmpd.store.errors import BackupTargetError, StoreError
from ffrtmpd.store.migrations import version_of

# Another program (a shell, a backup) may hold the write lock. The master's only thread waits for it, so the wait must
# stay below the silence after which nodes count as offline.
BUSY_S: Final = 2.0


def backup(source: Path, target: Path) -> None:
    """Copy the database ``source`` to the new file ``target``, checked and on disk when this returns.

    The master goes on meanwhile; the copy is the database as it was at one moment.

    Raises:
        BackupTargetError: the copy cannot be written; ``target`` is not made.
        StoreError: there is no such database, or it is damaged; ``target`` is not made.
    """
    if not source.is_file():
        raise StoreError(f"there is no database {source}")
    if target.is_dir():
        raise BackupTargetError(f"{target} is a folder: name a new file in it")
    if target.exists():
        raise BackupTargetError(f"{target} exists: name a new file")
    part = target.with_name(f"{target.name}.partial")
    try:
        # Made first, and by us, so that nobody else can read it: SQLite fills an empty file.
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        raise BackupTargetError(
            f"{part} exists: another backup writes it, or was killed; remove it if none runs"
        ) from None
    except OSError as error:
        raise BackupTargetError(f"cannot write {part}: {error.strerror}") from None
    try:
        _copy(source, part)
        sync(part)
        part.rename(target)
        sync(target.parent)
    except OSError as error:
        raise BackupTargetError(f"cannot write {target}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise _translated(error, source, target) from None
    finally:
        part.unlink(missing_ok=True)


def _translated(error: sqlite3.Error, source: Path, target: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return BackupTargetError(f"cannot write {target}: {os.strerror(errno.ENOSPC)}")
    if code == sqlite3.SQLITE_IOERR:
        return BackupTargetError(f"cannot write {target}: {error}")
    return StoreError(f"cannot copy {source}: {error}")


def _copy(source: Path, part: Path) -> None:
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S)) as connection:
        version_of(connection)
        connection.execute("VACUUM INTO ?", (str(part),))
    with closing(sqlite3.connect(f"{part.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        problems = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if problems != ["ok"]:
        raise StoreError(
            f"the copy of {source} is damaged ({' '.join(problems[0].split())}): the disk or the database is faulty"
        )


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

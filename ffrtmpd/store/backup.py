"""A whole copy of a database that may be in use."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ffrtmpd.store.errors import StoreError
from ffrtmpd.store.files import BUSY_S
from ffrtmpd.store.migrations import version_of


def backup(source: Path, target: Path) -> None:
    """Copy the database ``source`` to the new file ``target``, checked and on disk when this returns.

    The master goes on meanwhile; the copy is the database as it was at one moment.

    Raises:
        StoreError: there is no such database, it is damaged, or the copy cannot be written; ``target`` is not made.
    """
    if not source.is_file():
        raise StoreError(f"there is no database {source}")
    if target.exists():
        raise StoreError(f"{target} exists: name a new file")
    part = target.with_name(f"{target.name}.partial")
    try:
        # Made first, and by us, so that nobody else can read it: SQLite fills an empty file.
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise StoreError(f"cannot write {part}: {error.strerror}") from None
    try:
        _copy(source, part)
        _sync(part)
        part.rename(target)
        _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot copy {source} to {target}: {error}") from None
    finally:
        part.unlink(missing_ok=True)


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


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

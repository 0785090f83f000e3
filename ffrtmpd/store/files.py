"""The database file: one master at a time, readable by its owner alone, checked before use."""

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import peewee

from ffrtmpd.store.backup import BUSY_S
from ffrtmpd.store.errors import StoreError
from ffrtmpd.store.migrations import MIGRATIONS, Migration, NewerSchema, migrate, version_of
from ffrtmpd.store.upgrade import Upgrade, copy_first, way_back
from ffrtmpd.wire.curve import make_private_folder

# The engine's version.
SQLITE: Final = sqlite3.sqlite_version
# Debian 11 has a newer one; older ones were never tried.
SQLITE_LEAST: Final = (3, 33, 0)
PRAGMAS: Final = {
    # Survives a power cut, not only a crash of the program.
    "synchronous": "FULL",
    "foreign_keys": 0,
    # KiB when negative: the hot ends of the indexes of a million jobs.
    "cache_size": -32_768,
    # A long reader lets the log grow; give the space back afterwards.
    "journal_size_limit": 64 << 20,
}
# The check reads every page, some 200 MB a second: below this a start stays quick. Above it a fault shows when the page
# is read, and `ffrtmpd backup` checks all of its copy.
CHECK_MAX_BYTES: Final = 256 << 20

# Kept prepared: those of the hot path for each number of rows, and what is asked beside them.
STATEMENTS: Final = 512

DRIVER_ERRORS: Final = (sqlite3.Error, peewee.PeeweeException)


@dataclass(slots=True)
class Database:
    """An open database.

    ``lock`` is the descriptor that keeps a second master out, None in memory. ``upgrade`` tells of the schema that it
    had before, None if that was the newest already.
    """

    peewee: Any
    connection: sqlite3.Connection
    lock: int | None
    upgrade: Upgrade | None = None

    def close(self) -> None:
        """Close the database, then let the next one in."""
        self.peewee.close()
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def open_database(path: Path | None, steps: Sequence[Migration] = MIGRATIONS) -> Database:
    """Open the database at ``path``, made anew if there is none, and bring it to the newest schema.

    A database of an older schema is copied first; the copy stays beside it.

    Args:
        path: the file; None for one in memory.
        steps: the schema.

    Raises:
        StoreError: the file cannot be made or used; nothing in it was changed.
    """
    if sqlite3.sqlite_version_info < SQLITE_LEAST:
        raise StoreError(
            f"this Python brings SQLite {SQLITE}, and {'.'.join(map(str, SQLITE_LEAST))} or later is needed: "
            "take a newer Python or system"
        )
    if path is None:
        database = _connect(":memory:", None)
        migrate(database.connection, steps)
        return database
    lock = _prepare(path)
    try:
        database = _connect(str(path), lock)
    except DRIVER_ERRORS as error:
        os.close(lock)
        raise _unusable(path, error) from None
    try:
        _check(database.connection, path)
        database.upgrade = copy_first(path, version_of(database.connection), steps[-1].number)
        migrate(database.connection, steps)
    except NewerSchema as error:
        database.close()
        raise StoreError(f"cannot use the database {path}: {error}; {way_back(path, error.known)}") from None
    except StoreError as error:
        database.close()
        raise StoreError(f"cannot use the database {path}: {error}") from None
    except sqlite3.Error as error:
        database.close()
        raise _unusable(path, error) from None
    return database


def _connect(name: str, lock: int | None) -> Database:
    database: Any = peewee.SqliteDatabase(name, pragmas=PRAGMAS, timeout=BUSY_S, cached_statements=STATEMENTS)
    database.connect()
    return Database(database, database.connection(), lock)


def _prepare(path: Path) -> int:
    """Take the lock beside ``path`` and make sure that there is a file only its owner can read."""
    if path.is_dir():
        raise StoreError(f"the database {path} is a folder: name a file in it, such as {path / 'master.db'}")
    try:
        make_private_folder(path.parent)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(
            f"cannot write in {path.parent}: {error.strerror}; make it a folder of the user that runs ffrtmpd, "
            "or name another file"
        ) from None
    try:
        _take(lock, path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        os.close(lock)
        raise StoreError(f"cannot write the database {path}: {error.strerror}") from None
    except StoreError:
        os.close(lock)
        raise
    return lock


def _take(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        raise StoreError(
            f"another ffrtmpd (process {holder or 'unknown'}) uses the database {path}: stop it, or name another file"
        ) from None
    # For the message above; the lock itself is the kernel's and ends with the process.
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what must not be touched, before the first write to it."""
    version_of(connection)
    if path.stat().st_size <= CHECK_MAX_BYTES:
        problems = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        if problems != ["ok"]:
            raise StoreError(f"it is damaged ({' '.join(problems[0].split())}): restore a backup")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"its file system allows no write-ahead log (journal mode {mode}): use a local disk")


def _unusable(path: Path, error: Exception) -> StoreError:
    what = str(error)
    if "not a database" in what:
        return StoreError(f"{path} is not a database: name another file, or restore a backup")
    if "malformed" in what:
        return StoreError(f"the database {path} is damaged: restore a backup")
    if "locked" in what:
        return StoreError(f"another program has locked the database {path}: stop it")
    return StoreError(f"cannot use the database {path}: {what}")

"""The one connection, and the transaction that makes a turn one write to the disk."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, NoReturn

from ffrtmpd.store.errors import StoreError, StoreReadOnly
from ffrtmpd.store.hot import ROWS_FEW, ROWS_MANY

Row = tuple[Any, ...]

# Primary result codes that say "not now": the same write may succeed when the disk has room again or the lock is gone.
_NOT_NOW: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk takes no writes",
    sqlite3.SQLITE_READONLY: "the database is read-only",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened for writing",
    sqlite3.SQLITE_PERM: "the database is read-only",
    sqlite3.SQLITE_BUSY: "another program has locked the database",
    sqlite3.SQLITE_LOCKED: "another program has locked the database",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# The higher bytes of a code only tell which call failed.
_PRIMARY: Final = 0xFF


class Turn:
    """Begins a transaction at the first write and ends it at ``commit``.

    After a failed write the turn is broken: what it wrote is undone, and every further write and the commit fail until
    ``rollback``. So nothing of it can be acknowledged by mistake, and a locked database is waited for but once.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._problem: str | None = None
        self._flush: Callable[[], None] = _nothing

    def begin(self) -> None:
        """Start a turn; costs nothing until something is written."""
        self._problem = None

    def before_read(self, flush: Callable[[], None]) -> None:
        """Call ``flush`` before each read and commit: it writes what was held back."""
        self._flush = flush

    def commit(self) -> None:
        """Put what the turn wrote on the disk; nothing written, nothing done.

        Raises:
            StoreReadOnly: the turn is undone.
        """
        self._flush()
        self.refuse_broken()
        if self._connection.in_transaction:
            self._run(self._connection.execute, "COMMIT", ())

    def rollback(self) -> None:
        """Undo what the turn wrote."""
        self._problem = None
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a statement, what the turn wrote included.

        Raises:
            StoreError: the disk cannot be read, or holds something else.
        """
        self._flush()
        return self.peek(sql, parameters)

    def peek(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a statement, without what is held back."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            self._translate(error)

    def write(self, sql: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
        """Run a statement within the turn.

        Raises:
            StoreReadOnly: the turn is undone and broken.
        """
        self._begin_writing()
        return self._run(self._connection.execute, sql, parameters)

    def add_rows(self, statement: Callable[[int], str], rows: Sequence[Sequence[Any]]) -> None:
        """Add ``rows`` within the turn by a few statements.

        Args:
            statement: returns the statement that takes so many rows.
            rows: the values of each.

        Raises:
            StoreReadOnly: the turn is undone and broken.
        """
        begin = 0
        while begin < len(rows):
            left = len(rows) - begin
            size = left if left <= ROWS_FEW else next(size for size in ROWS_MANY if size <= left)
            self.write(statement(size), list(chain.from_iterable(rows[begin : begin + size])))
            begin += size

    def change_rows(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement for the values of each row within the turn, and return how many rows were changed.

        Raises:
            StoreReadOnly: the turn is undone and broken.
        """
        self._begin_writing()
        return self._run(self._connection.executemany, sql, rows).rowcount

    def refuse_broken(self) -> None:
        """Refuse to go on with a turn that is broken.

        Raises:
            StoreReadOnly: it is.
        """
        if self._problem is not None:
            raise StoreReadOnly(self._problem)

    def _begin_writing(self) -> None:
        self.refuse_broken()
        if not self._connection.in_transaction:
            self._run(self._connection.execute, "BEGIN IMMEDIATE", ())

    def _run(self, call: Callable[..., sqlite3.Cursor], sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        try:
            return call(sql, parameters)
        except sqlite3.Error as error:
            self.rollback()
            self._problem = str(error)
            self._translate(error)

    def _translate(self, error: sqlite3.Error) -> NoReturn:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        if code in _NOT_NOW:
            self._problem = f"{_NOT_NOW[code]} ({error})"
            raise StoreReadOnly(self._problem) from error
        if code in _DAMAGED:
            raise StoreError(f"the database is damaged ({error}): stop ffrtmpd and restore a backup") from error
        # A wrong statement is a fault of this program.
        raise error


def _nothing() -> None:
    """Hold nothing back."""

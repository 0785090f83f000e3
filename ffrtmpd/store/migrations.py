"""The schema, as the numbered steps that made it.

A step is never edited once its fixture is in ``tests/master/fixtures``: add another. docs/operations.md says how.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ffrtmpd.store import hot
from ffrtmpd.store.errors import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step. ``number`` is the schema version it leads to, from 1 without gaps."""

    number: int
    title: str
    statements: tuple[str, ...]


MIGRATIONS: Final = (
    Migration(
        number=1,
        title="jobs, audit, nodes, principals, figures",
        statements=(
            # AUTOINCREMENT: a number once given is never given again, so that an id never leads to another job.
            """
            CREATE TABLE jobs (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                key TEXT NOT NULL UNIQUE,
                digest BLOB NOT NULL,
                spec_json TEXT NOT NULL,
                encode_json TEXT NOT NULL,
                requires TEXT NOT NULL,
                rank INTEGER NOT NULL,
                queue TEXT NOT NULL,
                priority TEXT NOT NULL,
                scenario TEXT NOT NULL,
                state TEXT NOT NULL,
                phase TEXT,
                attempt INTEGER NOT NULL,
                token BLOB,
                node_id TEXT,
                max_attempts INTEGER NOT NULL,
                losses INTEGER NOT NULL,
                failures INTEGER NOT NULL,
                created_at REAL NOT NULL,
                started_at REAL,
                finished_at REAL,
                due_at REAL,
                failure_class TEXT,
                exit_code INTEGER,
                reason TEXT,
                output TEXT,
                resuming INTEGER NOT NULL DEFAULT 0,
                lost_node TEXT,
                lost_token BLOB,
                progress_json TEXT,
                report_json TEXT,
                state_at REAL NOT NULL,
                waited_s REAL NOT NULL DEFAULT 0,
                processed_s REAL NOT NULL DEFAULT 0,
                vmaf REAL,
                qoe REAL,
                energy_j REAL,
                joules_per_minute REAL
            )
            """,
            # The order of work: the head of a class is the first entry of its part of this index.
            "CREATE INDEX jobs_ready ON jobs (requires, rank, seq) WHERE state = 'queued'",
            # A window of any states and queues is a merge of runs of this index. Priority rides along for the figures.
            "CREATE INDEX jobs_state ON jobs (state, queue, seq, priority)",
            "CREATE INDEX jobs_node ON jobs (node_id, state, queue, seq) WHERE node_id IS NOT NULL",
            # Which finished jobs have been kept long enough.
            "CREATE INDEX jobs_finished ON jobs (state, finished_at) WHERE finished_at IS NOT NULL",
            """
            CREATE TABLE audit (
                id INTEGER PRIMARY KEY,
                job_seq INTEGER NOT NULL,
                at REAL NOT NULL,
                from_state TEXT,
                to_state TEXT NOT NULL,
                event TEXT NOT NULL,
                who TEXT NOT NULL,
                why TEXT,
                attempt INTEGER NOT NULL,
                node_id TEXT
            )
            """,
            "CREATE INDEX audit_job ON audit (job_seq, id)",
            """
            CREATE TABLE nodes (
                node_id TEXT PRIMARY KEY,
                address TEXT,
                hardware_json TEXT,
                slots INTEGER NOT NULL,
                draining INTEGER NOT NULL,
                drain_until REAL,
                first_seen_at REAL,
                last_seen_at REAL
            )
            """,
            # The id is what ZAP attaches to messages: never given again either.
            """
            CREATE TABLE principals (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                name TEXT NOT NULL,
                role TEXT NOT NULL,
                public TEXT NOT NULL UNIQUE,
                created_at REAL NOT NULL,
                grants TEXT,
                expires_at REAL,
                revoked_at REAL,
                enrolled TEXT
            )
            """,
            "CREATE UNIQUE INDEX principals_name ON principals (name) WHERE grants IS NULL AND revoked_at IS NULL",
            # What happened so far, counted: jobs may be purged, and these stay.
            "CREATE TABLE figures (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID",
        ),
    ),
)

SCHEMA_VERSION: Final = MIGRATIONS[-1].number

_HAS_META: Final = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'meta'"


class NewerSchema(StoreError):
    """The database was made by a newer program. ``found`` is its schema version, ``known`` the newest known here."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(f"it has schema version {found}, this program knows {known}")
        self.found = found
        self.known = known


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of a database, 0 for an empty one.

    Raises:
        StoreError: its tables are not ours.
    """
    if connection.execute(_HAS_META).fetchone()[0]:
        row = connection.execute(hot.GET_FACT, ("schema_version",)).fetchone()
        if row is not None and row[0].isdecimal():
            return int(row[0])
    elif not connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        return 0
    raise StoreError("it is the database of another program: name another file")


def migrate(connection: sqlite3.Connection, steps: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring a database to the newest schema and return the version it had.

    Each step and its number are one transaction: a step that fails leaves the database as it was before it.

    Raises:
        NewerSchema: a newer program made it what it is.
        StoreError: it is the database of another program.
    """
    found = version_of(connection)
    newest = steps[-1].number
    if found > newest:
        raise NewerSchema(found, newest)
    for step in steps[found:]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            for statement in step.statements:
                connection.execute(statement)
            connection.execute(hot.PUT_FACT, ("schema_version", str(step.number)))
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return found

"""Reads the database of ffmpeg-rtmp, the Go project that came before this one.

Its tables grew over its releases, so every column but a job's id may be missing or NULL, and none is trusted.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ffrtmpd.store.backup import BUSY_S
from ffrtmpd.store.errors import StoreError

# Of the logs a job kept, which may be any size, the end is read.
LOGS_MAX: Final = 8_000
_JOB_COLUMNS: Final = (
    "id",
    "sequence_number",
    "scenario",
    "confidence",
    "engine",
    "parameters",
    "status",
    "queue",
    "priority",
    "node_id",
    "created_at",
    "started_at",
    "last_activity_at",
    "completed_at",
    "retry_count",
    "max_retries",
    "error",
    "failure_reason",
    "logs",
    "state_transitions",
)
_NODE_COLUMNS: Final = (
    "id",
    "name",
    "address",
    "type",
    "cpu_threads",
    "cpu_model",
    "has_gpu",
    "gpu_type",
    "gpu_capabilities",
    "ram_total_bytes",
    "ram_bytes",
    "status",
    "last_heartbeat",
)

OldRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OldDatabase:
    """The rows as they stand: jobs, the oldest first, and nodes. A column that its release lacked is not there."""

    jobs: Iterator[OldRow]
    nodes: list[OldRow]


class NotOurs(StoreError):
    """The file is no database of the Go project."""


@contextmanager
def open_old(path: Path) -> Iterator[OldDatabase]:
    """Open the Go project's database, as it is at this moment; nothing in it is changed.

    Raises:
        NotOurs: it is something else, or damaged.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        # Such as the master's user, who may not look into the folder where the file was left.
        raise NotOurs(f"cannot read {path}: {error.strerror}") from None
    try:
        # Not ``immutable``: what the Go project's master has written last may stand in the log beside the file.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as connection:
            # Any byte may stand in a text.
            connection.text_factory = _text
            connection.execute("BEGIN")
            jobs = _columns(connection, "jobs", _JOB_COLUMNS)
            if not {"id", "scenario", "status", "created_at"} <= set(jobs):
                raise NotOurs(f"{path} is not a database of the Go project: it has no table jobs as that made it")
            nodes = _columns(connection, "nodes", _NODE_COLUMNS)
            yield OldDatabase(_jobs(connection, jobs), list(_rows(connection, "nodes", nodes)) if nodes else [])
    except sqlite3.Error as error:
        raise NotOurs(f"cannot read {path} as a database of the Go project: {error}") from None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _columns(connection: sqlite3.Connection, table: str, wanted: tuple[str, ...]) -> list[str]:
    there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    return [name for name in wanted if name in there]


def _jobs(connection: sqlite3.Connection, columns: list[str]) -> Iterator[OldRow]:
    return _rows(connection, "jobs", columns, "created_at, rowid")


def _rows(connection: sqlite3.Connection, table: str, columns: list[str], order: str = "rowid") -> Iterator[OldRow]:
    read = ", ".join(f"substr(logs, -{LOGS_MAX}) AS logs" if name == "logs" else name for name in columns)
    # Every name put into this text is a constant above.
    cursor = connection.execute(f"SELECT {read} FROM {table} ORDER BY {order}")  # noqa: S608
    for values in cursor:
        yield dict(zip(columns, values, strict=True))

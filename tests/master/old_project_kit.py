"""Databases as releases of ffmpeg-rtmp, the Go project, have left them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

JOBS = {
    "first": (
        "id TEXT PRIMARY KEY, scenario TEXT NOT NULL, confidence TEXT, parameters TEXT, status TEXT NOT NULL, "
        "node_id TEXT, created_at DATETIME NOT NULL, started_at DATETIME, completed_at DATETIME, "
        "retry_count INTEGER NOT NULL, error TEXT"
    ),
    "queues": (
        "id TEXT PRIMARY KEY, scenario TEXT NOT NULL, confidence TEXT, engine TEXT DEFAULT 'auto', parameters TEXT, "
        "status TEXT NOT NULL, queue TEXT DEFAULT 'default', priority TEXT DEFAULT 'medium', "
        "progress INTEGER DEFAULT 0, node_id TEXT, created_at DATETIME NOT NULL, started_at DATETIME, "
        "completed_at DATETIME, retry_count INTEGER NOT NULL, error TEXT, state_transitions TEXT"
    ),
    "last": (
        "id TEXT PRIMARY KEY, sequence_number INTEGER NOT NULL, scenario TEXT NOT NULL, confidence TEXT, "
        "engine TEXT NOT NULL DEFAULT 'auto', parameters TEXT, status TEXT NOT NULL, queue TEXT DEFAULT 'default', "
        "priority TEXT DEFAULT 'medium', progress INTEGER DEFAULT 0, node_id TEXT, created_at DATETIME NOT NULL, "
        "started_at DATETIME, last_activity_at DATETIME, completed_at DATETIME, "
        "retry_count INTEGER NOT NULL DEFAULT 0, max_retries INTEGER DEFAULT 3, retry_reason TEXT, error TEXT, "
        "failure_reason TEXT, logs TEXT, state_transitions TEXT"
    ),
}
# Columns that a later release added to a table of an earlier one, filled or NULL.
JOBS["grown"] = (
    f"{JOBS['queues']}, last_activity_at DATETIME, sequence_number INTEGER DEFAULT 0, logs TEXT DEFAULT '', "
    "max_retries INTEGER DEFAULT 3, retry_reason TEXT DEFAULT '', failure_reason TEXT DEFAULT ''"
)
_NODE_LOAD = (
    "cpu_load_percent REAL DEFAULT 0, has_gpu BOOLEAN NOT NULL, gpu_type TEXT, gpu_capabilities TEXT, "
    "ram_total_bytes INTEGER NOT NULL, ram_free_bytes INTEGER DEFAULT 0, labels TEXT, status TEXT NOT NULL, "
    "last_heartbeat DATETIME NOT NULL, registered_at DATETIME NOT NULL, current_job_id TEXT"
)
NODES = {
    "first": (
        "id TEXT PRIMARY KEY, address TEXT NOT NULL, type TEXT NOT NULL, cpu_threads INTEGER NOT NULL, "
        "cpu_model TEXT NOT NULL, has_gpu BOOLEAN NOT NULL, gpu_type TEXT, ram_bytes INTEGER NOT NULL, labels TEXT, "
        "status TEXT NOT NULL, last_heartbeat DATETIME NOT NULL, registered_at DATETIME NOT NULL, current_job_id TEXT"
    ),
    "queues": (
        "id TEXT PRIMARY KEY, address TEXT NOT NULL, type TEXT NOT NULL, cpu_threads INTEGER NOT NULL, "
        f"cpu_model TEXT NOT NULL, {_NODE_LOAD}"
    ),
    "last": (
        "id TEXT PRIMARY KEY, name TEXT NOT NULL, address TEXT NOT NULL UNIQUE, type TEXT NOT NULL, "
        f"cpu_threads INTEGER NOT NULL, cpu_model TEXT NOT NULL, {_NODE_LOAD}"
    ),
}
NODES["grown"] = f"{NODES['queues']}, name TEXT DEFAULT ''"
RELEASES = tuple(JOBS)

Row = dict[str, Any]


def job(number: int, status: str = "queued", **columns: Any) -> Row:
    """Return the columns that every release has; a dict of parameters becomes JSON."""
    row: Row = {
        "id": f"0b7c5a3e-0000-4000-8000-{number:012}",
        "scenario": "720p30-h264",
        "confidence": "auto",
        "parameters": "null",
        "status": status,
        "created_at": f"2026-01-0{1 + number // 60} 10:{number % 60:02}:00.123456789+00:00",
        "retry_count": 0,
        **columns,
    }
    if isinstance(row["parameters"], dict):
        row["parameters"] = json.dumps(row["parameters"])
    return row


def node(name: str, release: str, **columns: Any) -> Row:
    row: Row = {
        "id": f"node-{name}",
        "address": f"https://{name}:8081",
        "type": "server",
        "cpu_threads": 16,
        "cpu_model": "EPYC",
        "has_gpu": 0,
        "labels": "null",
        "status": "offline",
        "last_heartbeat": "2026-01-02 15:04:05+00:00",
        "registered_at": "2026-01-01 15:04:05+00:00",
        ("ram_bytes" if release == "first" else "ram_total_bytes"): 32 << 30,
    }
    if release in ("last", "grown"):
        row["name"] = name
    return {**row, **columns}


def old_database(path: Path, release: str = "last", jobs: tuple[Row, ...] = (), nodes: tuple[Row, ...] = ()) -> Path:
    """Write a database of that release; ``sequence_number`` is filled where it is asked for."""
    with closing(sqlite3.connect(path)) as connection, connection:
        # As that project's driver opens it; the file stays in this mode.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"CREATE TABLE jobs ({JOBS[release]})")
        connection.execute(f"CREATE TABLE nodes ({NODES[release]})")
        for number, row in enumerate(jobs, start=1):
            add(connection, "jobs", {"sequence_number": number, **row} if release == "last" else row)
        for row in nodes:
            add(connection, "nodes", row)
    return path


def add(connection: sqlite3.Connection, table: str, row: Row) -> None:
    names, places = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(row.values()))  # noqa: S608

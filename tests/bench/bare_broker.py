"""The least that does the durable steps of a master: two CURVE ROUTERs and ``sqlite3``, one transaction a turn.

It stores each submit, each assignment and each result, with the same rows of history as the master, before anybody
hears of it: WAL, ``synchronous=FULL``. It speaks the same messages, each on its own. It knows no roles, no leases, no
retries, no metrics and no log, and lets any key in. Arguments: the database; its secret key comes on standard input. It
says on standard output where it listens.
"""

import json
import os
import sqlite3
import sys
import time
from typing import Any, Final

import msgpack
import zmq

MESSAGES_MAX: Final = 512
VERSION: Final = b"1"
ENCODE: Final = {"codec": "h264", "width": 1_280, "height": 720, "fps": 30.0, "bitrate_bps": 3_000_000}
TABLES: Final = """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, spec BLOB NOT NULL, rank INTEGER NOT NULL,
    state TEXT NOT NULL, attempt INTEGER NOT NULL, token BLOB, node TEXT, created_at REAL NOT NULL, finished_at REAL,
    report BLOB
);
CREATE INDEX jobs_ready ON jobs (rank, seq) WHERE state = 'queued';
CREATE TABLE audit (
    id INTEGER PRIMARY KEY, job_seq INTEGER NOT NULL, at REAL NOT NULL, from_state TEXT, to_state TEXT NOT NULL,
    event TEXT NOT NULL, who TEXT NOT NULL, attempt INTEGER NOT NULL
);
CREATE INDEX audit_job ON audit (job_seq, id);
"""
ADD: Final = "INSERT INTO jobs (key, spec, rank, state, attempt, created_at) VALUES (?, ?, 4, 'queued', 0, ?)"
HEADS: Final = "SELECT seq FROM jobs WHERE state = 'queued' ORDER BY rank, seq LIMIT ?"
ASSIGN: Final = (
    "UPDATE jobs SET state = 'assigned', attempt = 1, token = ?, node = 'worker' WHERE seq = ? AND state = 'queued'"
)
FINISH: Final = (
    "UPDATE jobs SET state = 'completed', finished_at = ?, report = ? WHERE seq = ? AND attempt = ? AND token = ?"
)
AUDIT: Final = "INSERT INTO audit (job_seq, at, from_state, to_state, event, who, attempt) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Broker:
    """Takes turns: drain, decide, commit once, send."""

    def __init__(self, database: str, secret: str) -> None:
        self._file = sqlite3.connect(database, isolation_level=None)
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = FULL")
        self._file.executescript(TABLES)
        context: zmq.Context[Any] = zmq.Context()
        self.workers, self.clients = _router(context, secret), _router(context, secret)
        self._audit: list[tuple[Any, ...]] = []
        self._out: list[tuple[zmq.Socket[bytes], list[bytes]]] = []
        self._queued = 0
        self._worker, self._free = b"", 0

    def run(self) -> None:
        poller = zmq.Poller()
        for socket in (self.workers, self.clients):
            poller.register(socket, zmq.POLLIN)
        drained = False
        while True:
            poller.poll(None if drained else 0)
            self._file.execute("BEGIN IMMEDIATE")
            # Workers first: their results free slots.
            now = time.time()
            drained = self._drain(self.workers, self._worker_said, now)
            drained = self._drain(self.clients, self._client_said, now) and drained
            self._assign(now)
            self._file.executemany(AUDIT, self._audit)
            self._audit.clear()
            self._file.execute("COMMIT")
            for socket, frames in self._out:
                socket.send_multipart(frames)
            self._out.clear()

    def _drain(self, socket: "zmq.Socket[bytes]", said: Any, now: float) -> bool:
        for _ in range(MESSAGES_MAX):
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return True
            said(frames[0], frames[-2], msgpack.unpackb(frames[-1]), now)
        return False

    def _worker_said(self, route: bytes, kind: bytes, said: dict[str, Any], now: float) -> None:
        if kind == b"READY":
            self._worker, self._free = route, said["slots"]
            return
        seq = int(said["job_id"][4:])
        done = self._file.execute(FINISH, (now, msgpack.packb(said["report"]), seq, said["attempt"], said["token"]))
        if done.rowcount == 1:
            self._audit.append((seq, now, "assigned", "processing", "start", "worker", 1))
            self._audit.append((seq, now, "processing", "completed", "complete", "worker", 1))
            self._free += 1
        about = {"job_id": said["job_id"], "attempt": said["attempt"], "token": said["token"], "verdict": "recorded"}
        self._out.append((self.workers, [route, VERSION, b"VERDICT", msgpack.packb(about)]))

    def _client_said(self, route: bytes, _: bytes, asked: dict[str, Any], now: float) -> None:
        results = []
        for job in asked["jobs"]:
            seq = self._file.execute(ADD, (job["key"], msgpack.packb(job["spec"]), now)).lastrowid
            self._audit.append((seq, now, None, "queued", "submit", "client", 0))
            results.append({"key": job["key"], "job_id": f"job-{seq:06d}", "state": "queued"})
        self._queued += len(results)
        reply = msgpack.packb({"request_id": asked["request_id"], "results": results})
        self._out.append((self.clients, [route, b"", VERSION, b"SUBMITTED", reply]))

    def _assign(self, now: float) -> None:
        count = min(self._free, self._queued)
        if not count:
            return
        for (seq,) in self._file.execute(HEADS, (count,)).fetchall():
            token = os.urandom(16)
            self._file.execute(ASSIGN, (token, seq))
            self._audit.append((seq, now, "queued", "assigned", "assign", "broker", 1))
            told = {"job_id": f"job-{seq:06d}", "attempt": 1, "token": token, "encode": ENCODE, "engine": "null"}
            self._out.append((self.workers, [self._worker, VERSION, b"ASSIGN", msgpack.packb(told)]))
        self._free -= count
        self._queued -= count


def _router(context: "zmq.Context[Any]", secret: str) -> "zmq.Socket[bytes]":
    socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    socket.curve_server = True
    socket.curve_secretkey = secret.encode()
    socket.set(zmq.SNDHWM, 0)
    socket.bind("tcp://127.0.0.1:0")
    return socket


def main() -> int:
    broker = Broker(sys.argv[1], sys.stdin.readline().strip())
    said = {
        side: bytes(socket.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        for side, socket in (("workers", broker.workers), ("clients", broker.clients))
    }
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    broker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

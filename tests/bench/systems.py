"""The two clusters that are compared: the bare one, and ffrtmpd with ffrtmp-worker. One worker process each."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ffrtmp_tui import contexts
from ffrtmpd.wire.curve import KeyPair, new_key_pair
from tests.bench.board import Board
from tests.e2e.cluster import ANY_METRICS, Program, cluster, wait_until

ROOT: Final = Path(__file__).parents[2]
# The credit of the one worker: enough to hide the round trip. The bare broker may send it twice as many messages in one
# turn, a verdict and an assignment for each slot, and a socket surely holds 500 for a peer.
SLOTS: Final = 250
ALLOWED: Final = "[benchmarks]\nnull_engine = true\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A broker and its worker, running. ``pids`` are named after what the processes are."""

    name: str
    endpoint: str
    server_public: str
    client_key: KeyPair
    board: Board
    pids: Mapping[str, int]
    database: Path


def slow_sync(folder: Path, sync_ms: float) -> dict[str, str]:
    """Return the environment in which each fsync takes so much longer; nothing for 0.

    Raises:
        RuntimeError: there is no C compiler.
    """
    if not sync_ms:
        return {}
    library = folder / "slow_sync.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        argv = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(ROOT / "tests/bench/slow_sync.c"), "-ldl"]
        try:
            subprocess.run(argv, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise RuntimeError(f"no C compiler to slow the disk with: {error}") from None
    return {"LD_PRELOAD": str(library), "BENCH_SYNC_US": str(round(sync_ms * 1_000))}


@contextmanager
def bare(folder: Path, *, sync_ms: float = 0.0, slots: int = SLOTS) -> Iterator[System]:
    """Give the baseline."""
    folder.mkdir(parents=True)
    master, client, worker = new_key_pair(), new_key_pair(), new_key_pair()
    database, board = folder / "bare.db", folder / "board"
    argv = [sys.executable, "-m", "tests.bench.bare_broker", str(database)]
    broker = _start(argv, master.secret, slow_sync(folder, sync_ms))
    try:
        assert broker.stdout is not None
        said = json.loads(broker.stdout.readline())
        argv = [sys.executable, "-m", "tests.bench.bare_worker", str(board), said["workers"], str(slots)]
        hand = _start(argv, f"{master.public} {worker.public} {worker.secret}", {})
        try:
            yield System(
                name="bare",
                endpoint=said["clients"],
                server_public=master.public,
                client_key=client,
                board=Board(board),
                pids={"broker": broker.pid, "worker": hand.pid},
                database=database,
            )
        finally:
            _end(hand)
    finally:
        _end(broker)


@contextmanager
def real(folder: Path, *, sync_ms: float = 0.0, slots: int = SLOTS, settings: str = "") -> Iterator[System]:
    """Give ffrtmpd with one ffrtmp-worker that offers null."""
    with cluster(folder) as house:
        house.configure_master(ALLOWED + settings)
        slow = slow_sync(folder, sync_ms)
        house.env.update(slow)
        house.start_master()
        for name in slow:
            del house.env[name]
        house.enrol("bench", settings=ALLOWED)
        board = folder / "board"
        argv = [sys.executable, "-m", "tests.bench.timed_worker", str(board), "run", "--slots", str(slots)]
        argv += ["--state", str(house.state("bench")), "--config", str(folder / "bench.toml"), *ANY_METRICS]
        env = {**house.env, "PYTHONPATH": str(ROOT)}
        worker = house.workers["bench"] = Program(argv, folder / "bench.log", env)
        wait_until(lambda: house.node("bench")["status"] == "active", dump=house.dump)
        context = contexts.resolve(house.env)
        assert house.master is not None
        yield System(
            name="ffrtmp",
            endpoint=house.endpoint("clients"),
            server_public=context.server_key,
            client_key=context.key_pair(),
            board=Board(board),
            pids={"broker": house.master.pid, "worker": worker.pid},
            database=house.home / "master.db",
        )


def _start(argv: list[str], secret: str, env: Mapping[str, str]) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}
    )
    assert process.stdin is not None
    process.stdin.write(secret + "\n")
    process.stdin.flush()
    return process


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()

"""Jobs that encode nothing, end to end: submit → on disk → dispatch to a worker process → result → on disk.

``python -m tests.bench.pipeline --help``: the same client asks the bare cluster and the real one, in turns.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack
import zmq

from ffrtmpd.wire.codec import encode
from ffrtmpd.wire.curve import client_socket
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from ffrtmpd.wire.vocabulary import Engine
from tests.bench.crowd import cpu_s
from tests.bench.measure import PER_SECOND, Row, in_turns, table
from tests.bench.systems import System, bare, real
from tests.e2e.cluster import PATIENCE_S, wait_until

JOB: Final = JobSpec(scenario="720p30-h264", engine=Engine.NULL)
# Requests on their way at once.
WINDOW: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How jobs come. ``rate`` None: as fast as they are taken; ``window`` counts requests, ``batch`` jobs in each."""

    name: str
    jobs: int
    batch: int = 1
    window: int = WINDOW
    rate: float | None = None


PIPELINED: Final = Load(name="pipelined", jobs=10_000)
BATCHED: Final = Load(name="by 100", jobs=20_000, batch=100, window=20)
STRICT: Final = Load(name="one by one", jobs=1_500, window=1)
PACED: Final = Load(name="100 jobs/s", jobs=500, rate=100.0)
LOADS: Final = (PIPELINED, BATCHED, STRICT, PACED)


class Client:
    """Submits, and waits until all that it submitted is recorded."""

    def __init__(self, context: "zmq.Context[Any]", system: System) -> None:
        self._system = system
        self._socket = client_socket(context, zmq.DEALER, own=system.client_key, server_public=system.server_public)
        self._socket.set(zmq.SNDHWM, 0)
        self._socket.set(zmq.RCVHWM, 0)
        self._socket.connect(system.endpoint)
        self._keys = 0
        self._answered: dict[str, str] = {}

    def close(self) -> None:
        self._socket.close()

    def measure(self, load: Load) -> dict[str, float]:
        """Bring ``load`` through and return the figures by name."""
        system = self._system
        requests = [self._request(load.batch) for _ in range(load.jobs // load.batch)]
        before, _ = system.board.seen()
        used = {name: cpu_s(pid) for name, pid in system.pids.items()}
        own_s = time.process_time()
        begun_s = time.monotonic()
        sent_at = self._send(requests, load)
        submitted_s = time.monotonic() - begun_s
        meanwhile = system.board.seen()[0] - before
        own_s = time.process_time() - own_s
        wait_until(lambda: system.board.seen()[0] - before >= load.jobs, dump=lambda: self._missing(before, load))
        ended_s = system.board.seen()[1] - begun_s
        found = {
            "end to end": load.jobs / ended_s,
            "submits": load.jobs / submitted_s,
            "done while submits came": meanwhile / submitted_s,
            "client": own_s / load.jobs * 1e6,
        }
        for name, pid in system.pids.items():
            found[name] = (cpu_s(pid) - used[name]) / load.jobs * 1e6
        took_ms = sorted((system.board.begun_at(self._answered[key]) - at_s) * 1e3 for key, at_s in sent_at.items())
        found["p50"], found["p99"] = statistics.median(took_ms), took_ms[int(0.99 * (len(took_ms) - 1))]
        self._answered.clear()
        return found

    def _request(self, batch: int) -> tuple[list[bytes], list[str]]:
        keys = [f"bench-{self._keys + number:012d}" for number in range(batch)]
        self._keys += batch
        jobs = tuple(Submission(key=key, spec=JOB) for key in keys)
        return [b"", *encode(Submit(request_id=keys[0], jobs=jobs))], keys

    def _send(self, requests: Sequence[tuple[list[bytes], list[str]]], load: Load) -> dict[str, float]:
        """Send all, as fast or as slow as ``load`` says, and hear every answer; return when each job left."""
        sent_at: dict[str, float] = {}
        begun_s = time.monotonic()
        sent = heard = 0
        while heard < len(requests):
            while sent < len(requests) and sent - heard < load.window:
                due_s = begun_s if load.rate is None else begun_s + sent / load.rate
                now_s = time.monotonic()
                if due_s > now_s:
                    break
                frames, keys = requests[sent]
                sent_at.update(dict.fromkeys(keys, now_s))
                self._socket.send_multipart(frames)
                sent += 1
            patience_ms = PATIENCE_S * 1e3
            if load.rate is not None and sent < len(requests):
                patience_ms = max(0.0, (begun_s + sent / load.rate - time.monotonic()) * 1e3)
            if self._socket.poll(int(patience_ms)):
                heard += self._hear()
            elif load.rate is None or sent == len(requests):
                raise RuntimeError(f"{len(requests) - heard} requests were not answered")
        return sent_at

    def _hear(self) -> int:
        """Take the answers that are there; return how many."""
        count = 0
        while True:
            try:
                _, _, kind, body = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return count
            count += 1
            for result in msgpack.unpackb(body).get("results", [{}]):
                if result.get("job_id") is None:
                    raise RuntimeError(f"refused: {kind!r} {result}")
                self._answered[result["key"]] = result["job_id"]

    def _missing(self, before: int, load: Load) -> str:
        return f"{self._system.board.seen()[0] - before} of {load.jobs} jobs are recorded"


LINES: Final[Mapping[str, tuple[str, str]]] = {
    "end to end": ("end to end", PER_SECOND),
    "submits": ("submits answered", PER_SECOND),
    "done while submits came": ("  done meanwhile", PER_SECOND),
    "p50": ("submit to worker, p50", "ms"),
    "p99": ("submit to worker, p99", "ms"),
    "broker": ("  processor time a job: broker", "µs"),
    "worker": ("  processor time a job: worker", "µs"),
    "client": ("  processor time a job: client", "µs"),
}
# How deep the queue is says nothing of dispatch; how fast one client asks, nothing of the whole.
LATENCIES: Final = ("p50", "p99")


def measure(folder: Path, loads: Sequence[Load], rounds: int, *, sync_ms: float = 0.0) -> list[Row]:
    """Compare the bare cluster with the real one, in turns, load after load."""
    rows: list[Row] = []
    with ExitStack() as stack:
        context: zmq.Context[Any] = zmq.Context()
        stack.callback(context.term)
        clients: dict[str, Client] = {}
        for make in (bare, real):
            system = stack.enter_context(make(folder / make.__name__, sync_ms=sync_ms))
            clients[system.name] = Client(context, system)
            stack.callback(clients[system.name].close)
        slow = f", fsync +{sync_ms:g} ms" if sync_ms else ""
        for load in loads:

            def take(name: str, load: Load = load) -> Callable[[], Mapping[str, float]]:
                return lambda: {f"{name} {key}": value for key, value in clients[name].measure(load).items()}

            found = in_turns(rounds, take("bare"), take("ffrtmp"))
            for key, (text, unit) in LINES.items():
                if key in LATENCIES and load.rate is None and load.window > 1:
                    continue
                base, values = found[f"bare {key}"], found[f"ffrtmp {key}"]
                rows.append(Row(what=f"{load.name}{slow}: {text}, bare", unit=unit, values=base))
                rows.append(Row(what=f"{load.name}{slow}: {text}, ffrtmp", unit=unit, values=values, base=base))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pipeline", description=__doc__)
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"of: {', '.join(load.name for load in LOADS)}")
    parser.add_argument("--fsync-ms", type=float, default=0.0, help="make each fsync of either broker last longer")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    chosen = [load for load in LOADS if not options.loads or load.name in options.loads]
    if not chosen or len(chosen) < len(set(options.loads)):
        parser.error(f"loads are: {', '.join(load.name for load in LOADS)}")
    with tempfile.TemporaryDirectory(prefix="ffrtmp-bench-") as folder:
        rows = measure(Path(folder) / "pipeline", chosen, options.rounds, sync_ms=options.fsync_ms)
    sys.stdout.write(table(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

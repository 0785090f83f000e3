"""Jobs that encode nothing, end to end: submit → on disk → dispatch to a worker process → result → on disk.

``python -m tests.bench.pipeline --help``: the same client asks the bare cluster and the real one, in turns.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import msgpack
import zmq

from ffrtmpd.wire.codec import encode
from ffrtmpd.wire.curve import client_socket
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from ffrtmpd.wire.vocabulary import Engine
from tests.bench.crowd import cpu_s
from tests.bench.load import FIGURES, LATENCIES, LOADS, PIPELINED, PROCESSES, STRICT, Load, figures
from tests.bench.measure import Aim, Row, in_turns, table
from tests.bench.others import Environment, Other, choose
from tests.bench.plan import Plan
from tests.bench.systems import System, bare, real, slow_sync
from tests.e2e.cluster import PATIENCE_S, wait_until

JOB: Final = JobSpec(scenario="720p30-h264", engine=Engine.NULL)


class Client:
    """Submits, and waits until all that it submitted is recorded."""

    def __init__(self, context: "zmq.Context[Any]", system: System) -> None:
        self._system = system
        self.name = system.name
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
        found = figures(
            load,
            ended_s=system.board.seen()[1] - begun_s,
            submitted_s=submitted_s,
            meanwhile=meanwhile,
            cpu_s={"client": own_s, **{name: cpu_s(pid) - used[name] for name, pid in system.pids.items()}},
            took_s=[system.board.begun_at(self._answered[key]) - at_s for key, at_s in sent_at.items()],
        )
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


# What ffrtmp shall reach beside each, by load and figure.
AIMS: Final[Mapping[tuple[str, str], Mapping[str, Aim]]] = {
    ("pipelined", "end to end"): {"bare": Aim(least=0.5), "huey": Aim(least=8.0)},
    ("by 100", "end to end"): {"bare": Aim(least=0.5), "huey": Aim(least=8.0)},
    ("one by one", "submits"): {"bare": Aim(least=0.7)},
    ("100 jobs/s", "p50"): {"bare": Aim(most=1.5)},
    ("100 jobs/s", "p99"): {"bare": Aim(most=2.0)},
}
# Of the rate end to end. Where submits starve the rest, it is nearly nothing.
NOT_STARVED: Final = Aim(least=0.3)
ROUNDS: Final = 7
ROUNDS_SLOWED: Final = 3
SLOWED_MS: Final = (2.0, 8.0)
OURS: Final = "ffrtmp"
BARE: Final = "bare"


class Contestant(Protocol):
    """One of those that are compared."""

    @property
    def name(self) -> str:
        """What it is called."""

    def measure(self, load: Load) -> dict[str, float]:
        """Bring a load through and return the figures by name."""


def measure(
    folder: Path, loads: Sequence[Load], rounds: int, *, sync_ms: float = 0.0, others: Sequence[Other] = ()
) -> list[Row]:
    """Compare the bare cluster, the real one and other queues, in turns, load after load."""
    rows: list[Row] = []
    with ExitStack() as stack:
        context: zmq.Context[Any] = zmq.Context()
        stack.callback(context.term)
        contestants: list[Contestant] = []
        for make in (bare, real):
            client = Client(context, stack.enter_context(make(folder / make.__name__, sync_ms=sync_ms)))
            stack.callback(client.close)
            contestants.append(client)
        if others:
            environment, slow = Environment(folder / "environment", others), slow_sync(folder, sync_ms)
            contestants += [
                stack.enter_context(environment.running(other, folder / other.app, slow)) for other in others
            ]
        for load in loads:
            takes = [_take(contestant, load) for contestant in contestants]
            rows += compared(load, sync_ms, [one.name for one in contestants], in_turns(rounds, *takes))
    return rows


def _take(contestant: Contestant, load: Load) -> Callable[[], Mapping[str, float]]:
    return lambda: {f"{contestant.name} {key}": value for key, value in contestant.measure(load).items()}


def compared(load: Load, sync_ms: float, names: Sequence[str], found: Mapping[str, Sequence[float]]) -> Iterator[Row]:
    """Return the lines of one load: each contestant, and ours beside it."""
    slow = f", fsync +{sync_ms:g} ms" if sync_ms else ""
    for key in load.told:
        if sync_ms and key in PROCESSES:
            continue
        text, unit = FIGURES[key]
        ours = found[f"{OURS} {key}"]
        what, aims = f"{load.name}{slow}: {text}", AIMS.get((load.name, key), {})
        if key == "meanwhile":
            base = found[f"{OURS} end to end"]
            yield Row(what=f"{what}, vs end to end", unit=unit, values=ours, base=base, aim=NOT_STARVED)
            continue
        for name in names:
            if name == OURS or not _alike(name, key, load):
                continue
            base = found[f"{name} {key}"]
            yield Row(what=f"{what}, {name}", unit=unit, values=base)
            aim = aims.get(name.split()[0])
            yield Row(what=f"{what}, {OURS} vs {name}", unit=unit, values=ours, base=base, aim=aim)


def _alike(name: str, key: str, load: Load) -> bool:
    """Return whether a figure of another queue is one of the same thing as ours."""
    if name == BARE:
        return True
    if key in LATENCIES:
        # They take the next job without an answer, so that it waits for those before it where ours come one by one.
        return load.rate is not None
    # Their work is divided among processes in another way.
    return key not in PROCESSES


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Bring every load through all of them, then the two that wait most for the disk with slower ones."""
    part = 5 if plan.quick else 1
    loads = [replace(load, jobs=load.jobs // part) for load in LOADS]
    yield from measure(folder / "plain", loads, plan.rounds(ROUNDS), others=choose(plan.peers))
    slowed = [replace(PIPELINED, jobs=PIPELINED.jobs // part), replace(STRICT, jobs=STRICT.jobs // 5 // part)]
    for sync_ms in SLOWED_MS:
        yield from measure(folder / f"{sync_ms:g}", slowed, plan.rounds(ROUNDS_SLOWED), sync_ms=sync_ms)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pipeline", description=__doc__)
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"of: {', '.join(load.name for load in LOADS)}")
    parser.add_argument("--fsync-ms", type=float, default=0.0, help="make each fsync of all brokers last longer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="none", help="huey, dramatiq, celery, with commas; all, none")
    options = parser.parse_args(arguments)
    chosen = [load for load in LOADS if not options.loads or load.name in options.loads]
    if not chosen or len(chosen) < len(set(options.loads)):
        parser.error(f"loads are: {', '.join(load.name for load in LOADS)}")
    try:
        others = choose(options.peers)
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory(prefix="ffrtmp-bench-") as folder:
        rows = measure(Path(folder) / "pipeline", chosen, options.rounds, sync_ms=options.fsync_ms, others=others)
    sys.stdout.write(table(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A thousand workers and a hundred thousand queued jobs: what the master costs, how fast it dispatches and comes back.

Sizes come from the environment: CROWD_WORKERS=100 CROWD_BACKLOG=10000 and so on, one variable for each field of
``Size``. The workers are real agents behind real CURVE sockets, in a process of their own; jobs end as soon as they
begin. The same crowd first meets a bare master, which only answers.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import zmq

from ffrtmp_tui import contexts
from ffrtmp_tui.link import new_id
from ffrtmpd.store import Store
from ffrtmpd.wire.catalogue import CLIENT_REPLIES
from ffrtmpd.wire.codec import decode, encode
from ffrtmpd.wire.curve import KeyPair, client_socket, new_key_pair
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit, Submitted
from ffrtmpd.wire.vocabulary import Codec, Role
from tests.bench.measure import Aim, Of, Row
from tests.bench.plan import Plan
from tests.e2e.cluster import PATIENCE_S, Cluster, cluster, wait_until

ROOT: Final = Path(__file__).parents[2]
JOB: Final = JobSpec(scenario="720p30-h264")
# Nobody in the crowd has a GPU: these jobs wait for as long as the measurement lasts, in four classes.
WAITING: Final = tuple(JobSpec(scenario="720p30-h264", codec=codec, require_gpu=True) for codec in Codec)
A_REQUEST: Final = 500
# Requests on their way at once, so that the master never waits for the client.
IN_FLIGHT: Final = 4
SYNC_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything. ``rate`` is in jobs a second, ``burst`` in jobs."""

    workers: int = 1_000
    slots: int = 2
    backlog: int = 100_000
    rounds: int = 3
    idle_s: float = 4.0
    rate: float = 300.0
    paced_s: float = 4.0
    burst: int = 3_000
    restarts: int = 2

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        named = {field.name: f"CROWD_{field.name.upper()}" for field in fields(cls)}
        return cls(**{name: type(getattr(cls(), name))(env[key]) for name, key in named.items() if key in env})


QUICK: Final = Size(workers=100, backlog=2_000, rounds=2, idle_s=2.0, rate=100.0, paced_s=2.0, burst=500, restarts=1)


class Master(Protocol):
    """What the crowd meets."""

    server_public: str
    client_key: KeyPair
    epoch: int

    @property
    def pid(self) -> int: ...

    def endpoint(self, side: str) -> str: ...

    def kill_and_start(self) -> None:
        """End it with SIGKILL and start it again; return once it listens."""

    def text(self) -> str:
        """Return what it wrote, for whoever asks why nothing comes."""


class BareMaster:
    """The baseline, as a process."""

    def __init__(self) -> None:
        pair = new_key_pair()
        self.server_public, self._secret = pair.public, pair.secret
        self.client_key = new_key_pair()
        self.epoch = 0
        self._said = {"workers": ":0", "clients": ":0"}
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def endpoint(self, side: str) -> str:
        return self._said[side]

    def kill_and_start(self) -> None:
        self.stop()
        self._start()

    def text(self) -> str:
        return ""

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _start(self) -> None:
        self.epoch += 1
        ports = [self._said[side].rpartition(":")[2] for side in ("workers", "clients")]
        argv = [sys.executable, "-m", "tests.bench.bare_master", *ports, str(self.epoch)]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._secret + "\n")
        self._process.stdin.flush()
        self._said = json.loads(self._process.stdout.readline())


class RealMaster:
    """ffrtmpd on a database on disk, in which the crowd's keys are enrolled."""

    def __init__(self, house: Cluster, keys: list[KeyPair]) -> None:
        self._house = house
        # By invitation each key would cost a program's start.
        store = Store.open(house.home / "master.db")
        store.begin()
        for number, key in enumerate(keys, 1):
            store.add_principal(name=f"node-{number:04d}", role=Role.WORKER, public=key.public, at=time.time())
        store.commit()
        store.close()
        house.start_master()
        context = contexts.resolve(house.env)
        self.server_public, self.client_key = context.server_key, context.key_pair()
        self.epoch = 1

    @property
    def pid(self) -> int:
        assert self._house.master is not None
        return self._house.master.pid

    def endpoint(self, side: str) -> str:
        return self._house.endpoint(side)

    def kill_and_start(self) -> None:
        assert self._house.master is not None
        self._house.master.stop(signal.SIGKILL)
        self._house.start_master()
        self.epoch += 1

    def text(self) -> str:
        return self._house.dump()


class Workers:
    """The crowd, seen from here."""

    def __init__(self, master: Master, keys: list[KeyPair], slots: int) -> None:
        self._master = master
        self._count = len(keys)
        argv = [sys.executable, "-m", "tests.bench.peers"]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._write(
            json.dumps(
                {
                    "endpoint": master.endpoint("workers"),
                    "server_public": master.server_public,
                    "keys": [[key.public, key.secret] for key in keys],
                    "slots": slots,
                }
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()
        assert kind is not None or self._process.returncode == 0

    def tally(self) -> dict[str, Any]:
        self._write("")
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the crowd has ended")
        tally: dict[str, Any] = json.loads(line)
        return tally

    def wait_online(self) -> float:
        """Return the moment at which the last of them had a session with the master as it is now."""
        epoch = str(self._master.epoch)

        def there() -> float | None:
            tally = self.tally()
            return tally["online_at"][epoch] if tally["online"].get(epoch, 0) >= self._count else None

        return wait_until(there, dump=self._master.text)

    def wait_done(self, count: int, assigned: dict[str, float] | None = None) -> dict[str, Any]:
        """Return the tally in which ``count`` results are answered; ``assigned`` gathers when each job was."""

        def there() -> dict[str, Any] | None:
            tally = self.tally()
            if assigned is not None:
                assigned.update(tally["assigned"])
            return tally if tally["done"] >= count else None

        return wait_until(there, dump=self._master.text, patience_s=2 * PATIENCE_S)

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


class Client:
    """Submits without waiting for each answer."""

    def __init__(self, context: "zmq.Context[Any]", master: Master) -> None:
        # A REQ would ask only one thing at a time.
        self._socket = client_socket(context, zmq.DEALER, own=master.client_key, server_public=master.server_public)
        self._socket.connect(master.endpoint("clients"))
        self._socket.set(zmq.SNDTIMEO, round(PATIENCE_S * 1_000))
        self._sent: dict[str, float] = {}
        self.sent_at: dict[str, float] = {}

    def close(self) -> None:
        self._socket.close()

    def submit(self, *specs: JobSpec) -> None:
        jobs = tuple(Submission(key=new_id(), spec=spec) for spec in specs)
        frames = encode(Submit(request_id=new_id(), jobs=jobs))
        now_s = time.monotonic()
        self._sent.update((job.key, now_s) for job in jobs)
        self._socket.send_multipart([b"", *frames])

    def hear(self, within_s: float) -> bool:
        """Take one answer if it comes in time."""
        if not self._socket.poll(max(0, int(within_s * 1_000))):
            return False
        reply = decode(self._socket.recv_multipart()[1:], CLIENT_REPLIES)
        if not isinstance(reply, Submitted):
            raise RuntimeError(f"refused: {reply}")  # noqa: TRY004 - what came is wrong, not its type
        for result in reply.results:
            if result.job_id is None:
                raise RuntimeError(f"refused: {result.problem}")
            self.sent_at[result.job_id] = self._sent.pop(result.key)
        return True

    def hear_all(self) -> None:
        while self._sent:
            if not self.hear(PATIENCE_S):
                raise RuntimeError(f"{len(self._sent)} jobs are not answered")

    def paced(self, count: int, rate: float) -> None:
        """Submit ``count`` jobs one by one, so many a second whatever the answers."""
        begun_s = time.monotonic()
        for number in range(count):
            due_s = begun_s + number / rate
            while (left_s := due_s - time.monotonic()) > 0:
                if not self.hear(left_s) and left_s < 0.001:
                    time.sleep(left_s)
            self.submit(JOB)
        self.hear_all()

    def bulk(self, count: int, specs: tuple[JobSpec, ...]) -> None:
        """Submit many at once, the specs in turn."""
        for first in range(0, count, A_REQUEST):
            self.submit(*(specs[number % len(specs)] for number in range(first, min(first + A_REQUEST, count))))
            while len(self._sent) > IN_FLIGHT * A_REQUEST:
                if not self.hear(PATIENCE_S):
                    raise RuntimeError("no answer")
        self.hear_all()


# ── readings ──────────────────────────────────────────────────────────────────────────────────────────────────────


def cpu_s(pid: int) -> float:
    """Return the processor time that a process's threads have used. Its clock ticks would be too coarse."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def rss_mib(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1_024


def syncs(folder: Path) -> list[float]:
    """Return the milliseconds that each of a second's small writes took to reach the disk, sorted."""
    took_ms = []
    with (folder / "sync").open("wb", buffering=0) as file:
        until_s = time.monotonic() + SYNC_S
        while time.monotonic() < until_s:
            begun_s = time.perf_counter()
            file.write(b"x" * 4_096)
            os.fdatasync(file.fileno())
            took_ms.append((time.perf_counter() - begun_s) * 1_000)
            # The disk is asked about as often as jobs ask it.
            time.sleep(0.001)
    return sorted(took_ms)


def _spread(mark: str, took_ms: list[float]) -> dict[str, float]:
    return {f"{mark}p50": statistics.median(took_ms), f"{mark}p99": took_ms[int(0.99 * (len(took_ms) - 1))]}


class Meeting:
    """One master, its crowd and a client, and the figures that come of it."""

    def __init__(self, master: Master, workers: Workers, client: Client, size: Size, folder: Path) -> None:
        self.master, self._workers, self._client = master, workers, client
        self._size, self._folder = size, folder
        self._done = 0

    def idle(self) -> dict[str, float]:
        """Nothing but heartbeats."""
        share = self._share(lambda: time.sleep(self._size.idle_s))
        return {"idle": share, "memory": rss_mib(self.master.pid)}

    def paced(self) -> dict[str, float]:
        """Jobs come one by one; a job's dispatch lasts from its submit to its ASSIGN in the worker's hands."""
        size = self._size
        synced = syncs(self._folder)
        count = max(1, round(size.rate * size.paced_s))
        share = self._share(lambda: self._client.paced(count, size.rate))
        assigned: dict[str, float] = {}
        self._done += count
        self._workers.wait_done(self._done, assigned)
        took_ms = sorted((assigned[job] - sent_s) * 1_000 for job, sent_s in self._take_sent().items())
        assert len(took_ms) == count
        return {"paced": share, **_spread("", took_ms), **_spread("sync ", synced)}

    def burst(self) -> dict[str, float]:
        """Far more jobs than slots at once."""
        cpu_before, crowd_before = cpu_s(self.master.pid), self._workers.tally()["cpu_s"]
        begun_s = time.monotonic()
        self._client.bulk(self._size.burst, (JOB,))
        self._done += self._size.burst
        tally = self._workers.wait_done(self._done)
        self._take_sent()
        used_s = cpu_s(self.master.pid) - cpu_before
        took_s = tally["done_at"] - begun_s
        return {
            "throughput": self._size.burst / took_s,
            "cpu a job": used_s / self._size.burst * 1e6,
            "crowd": (tally["cpu_s"] - crowd_before) / took_s * 100,
        }

    def restart(self) -> dict[str, float]:
        begun_s = time.monotonic()
        self.master.kill_and_start()
        listens_s = time.monotonic() - begun_s
        return {"back": self._workers.wait_online() - begun_s, "listens": listens_s}

    def queue(self) -> dict[str, float]:
        """Fill the queue with what nobody here can run."""
        begun_s = time.monotonic()
        self._client.bulk(self._size.backlog, WAITING)
        self._take_sent()
        return {"queued": self._size.backlog / (time.monotonic() - begun_s)}

    def _share(self, wait: Callable[[], object]) -> float:
        """Return the percentage of one core that the master used meanwhile."""
        before, begun_s = cpu_s(self.master.pid), time.monotonic()
        wait()
        return (cpu_s(self.master.pid) - before) / (time.monotonic() - begun_s) * 100

    def _take_sent(self) -> dict[str, float]:
        sent, self._client.sent_at = self._client.sent_at, {}
        return sent


Found = dict[str, list[float]]


def _note(found: Found, values: Mapping[str, float], mark: str = "") -> None:
    for name, value in values.items():
        found.setdefault(mark + name, []).append(value)


def _measure(meeting: Meeting, size: Size, found: Found, mark: str = "") -> None:
    for take in (meeting.idle, meeting.paced):
        for _ in range(size.rounds):
            _note(found, take(), mark)


def _restarts(meeting: Meeting, size: Size, found: Found, mark: str = "") -> None:
    for _ in range(size.restarts):
        _note(found, meeting.restart(), mark)


def measure_bare(folder: Path, keys: list[KeyPair], size: Size) -> Found:
    found: Found = {}
    with ExitStack() as stack:
        master = BareMaster()
        stack.callback(master.stop)
        meeting = _meet(stack, master, keys, size, folder)
        _measure(meeting, size, found)
        for _ in range(size.rounds):
            _note(found, meeting.burst())
        _restarts(meeting, size, found)
    return found


def measure_real(folder: Path, keys: list[KeyPair], size: Size) -> Found:
    found: Found = {}
    with ExitStack() as stack:
        house = stack.enter_context(cluster(folder))
        meeting = _meet(stack, RealMaster(house, keys), keys, size, folder)
        _measure(meeting, size, found)
        for _ in range(size.rounds):
            _note(found, meeting.burst())
        _restarts(meeting, size, found)
        _note(found, meeting.queue())
        _measure(meeting, size, found, "full ")
        for _ in range(size.rounds):
            _note(found, meeting.burst(), "full ")
        _restarts(meeting, size, found, "full ")
    return found


def _meet(stack: ExitStack, master: Master, keys: list[KeyPair], size: Size, folder: Path) -> Meeting:
    context: zmq.Context[Any] = zmq.Context()
    stack.callback(context.term)
    client = Client(context, master)
    stack.callback(client.close)
    workers = stack.enter_context(Workers(master, keys, size.slots))
    workers.wait_online()
    return Meeting(master, workers, client, size, folder)


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Measure the bare master, then the real one with an empty queue and with a full one."""
    size = QUICK if plan.quick else Size.from_env(os.environ)
    keys = [new_key_pair() for _ in range(size.workers)]
    folder.mkdir()
    bare = measure_bare(folder, keys, size)
    real = measure_real(folder, keys, size)
    yield from rows(size, bare, real)


# The share and the memory are those of a master with a thousand workers.
AIMS: Final = {
    "idle": Aim(of=Of.MEDIAN, most=15.0),
    "memory": Aim(of=Of.MEDIAN, most=200.0),
    "p99": Aim(of=Of.MEDIAN, most=20.0),
    "back": Aim(of=Of.MEDIAN, most=5.0),
}
LINES: Final = (
    ("idle", "beats alone: share of a core", "%"),
    ("memory", "memory, resident", "MiB"),
    ("paced", "{rate:g} jobs/s: share of a core", "%"),
    ("p50", "{rate:g} jobs/s: submit to ASSIGN, p50", "ms"),
    ("p99", "{rate:g} jobs/s: submit to ASSIGN, p99", "ms"),
    ("sync p50", "the disk alone, a sync, before it: p50", "ms"),
    ("sync p99", "the disk alone, a sync, before it: p99", "ms"),
    ("throughput", "{burst:,} at once: jobs done", "/s"),
    ("cpu a job", "{burst:,} at once: processor time a job", "µs"),
    ("crowd", "{burst:,} at once: the crowd's own share of a core", "%"),
    ("back", "kill -9 to the last session back", "s"),
    ("listens", "  of it until it listens", "s"),
)


def rows(size: Size, bare: Found, real: Found) -> Iterator[Row]:
    for name, text, unit in LINES:
        what = text.format(rate=size.rate, burst=size.burst)
        yield Row(what=f"{what}: bare ROUTER", unit=unit, values=bare[name])
        aim, base, full = AIMS.get(name), bare[name], real[f"full {name}"]
        yield Row(what=f"{what}: ffrtmpd", unit=unit, values=real[name], base=base, aim=aim)
        yield Row(what=f"{what}: {size.backlog:,} queued", unit=unit, values=full, base=base, aim=aim)
        if name == "memory":
            yield Row(what=f"submits while the {size.backlog:,} came", unit="/s", values=real["queued"])

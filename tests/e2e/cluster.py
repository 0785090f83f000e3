"""A real cluster on loopback: the installed programs, CURVE, SQLite files, ffmpeg."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.ports import free_port

T = TypeVar("T")

BIN = Path(sys.executable).parent
PATIENCE_S = 60.0
# A short pause between two looks: the condition ends the wait, not the pause.
LOOK_EVERY_S = 0.02
# Several daemons run on this machine, tests beside tests.
ANY_METRICS = ("--metrics-port", "0")
# Settings of a master whose silences are over in seconds, in the order that it insists on: beats, fence, lease. A busy
# machine stands still for a second now and then, and that must end no push.
QUICK = """
[sessions]
heartbeat_s = 0.2
lost_after_s = 3.0
fence_s = 2.5
kill_grace_s = 0.5
give_away_s = 4.0

[retries]
back_off_s = 0.1
back_off_max_s = 1.0
"""


def wait_until(condition: Callable[[], T | None], *, dump: Callable[[], str], patience_s: float = PATIENCE_S) -> T:
    """Return the first true answer of ``condition``; fail with ``dump()`` if there is none in time."""
    until = time.monotonic() + patience_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            raise AssertionError(f"not within {patience_s:g} s\n{dump()}")
        time.sleep(LOOK_EVERY_S)


class Program:
    """A daemon that runs, with its log in a file."""

    def __init__(self, argv: list[str], log: Path, env: dict[str, str]) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=env)

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Signal it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop\n{self.text()}") from None


class Cluster:
    """Homes, keys and daemons under one folder."""

    def __init__(self, folder: Path, *, gstreamer: bool = False, name: str = "test") -> None:
        self.folder = folder
        # Its proofs take a second of each worker's first start.
        self.gstreamer = gstreamer
        self.home = folder / "master"
        self.client = folder / "client"
        self.media = folder / "media"
        self.media.mkdir(parents=True)
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("FFRTMP_", "FFMPEG_RTMP"))},
            "FFRTMP_CONFIG_DIR": str(self.client),
            "HOME": str(folder),
            "NO_COLOR": "1",
        }
        self.master: Program | None = None
        self.workers: dict[str, Program] = {}
        self._ports: dict[str, int] = {}
        made = self.run("ffrtmpd", "init", "--home", str(self.home), "--admin", "root", "--name", name)
        assert made.returncode == 0, made.stderr

    # ── programs ──────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, program: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / program), *arguments],
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 3,
            check=False,
        )

    def configure_master(self, settings: str) -> None:
        """Replace the master's settings; they hold from its next start."""
        (self.home / "ffrtmpd.toml").write_text(settings)

    def start_master(self, *arguments: str, fault: str = "") -> Program:
        """Start the master on ports of its own, the same again after a restart.

        ``fault`` names the point at which it dies, as ``ffrtmpd.base.faults`` tells.
        """
        ports = ["--workers-port", str(self.port("workers")), "--clients-port", str(self.port("clients"))]
        argv = [str(BIN / "ffrtmpd"), "run", "--home", str(self.home), *ports, *ANY_METRICS, *arguments]
        self._endpoints().unlink(missing_ok=True)
        master = self.master = Program(argv, self.folder / "master.log", self._env(fault))
        self._said = wait_until(self._read_endpoints, dump=master.text)
        self._point_client_there()
        return master

    def _endpoints(self) -> Path:
        return self.home / "run" / "endpoints.json"

    def _read_endpoints(self) -> dict[str, Any]:
        if self.master is not None and self.master.process.poll() is not None:
            raise AssertionError(f"the master ended\n{self.master.text()}")
        try:
            said: dict[str, Any] = json.loads(self._endpoints().read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return said

    _said: dict[str, Any] | None = None

    def port(self, side: str) -> int:
        return self._ports.setdefault(side, free_port())

    def endpoint(self, side: str) -> str:
        assert self._said is not None
        return str(self._said[side])

    def _point_client_there(self) -> None:
        self.env["FFRTMP_MASTER"] = self.endpoint("clients")

    def worker(self, name: str, *, slots: int = 1, settings: str = "") -> Program:
        """Enrol and start a worker whose roots are this cluster's media folder."""
        self.enrol(name, settings=settings)
        return self.start_worker(name, slots=slots)

    def enrol(self, name: str, *, settings: str = "") -> None:
        line = self.ok("keys", "invite", name, "--role", "worker", "-q").strip()
        joined = self.run("ffrtmp-worker", "join", line, "--state", str(self.state(name)))
        assert joined.returncode == 0, joined.stderr
        media = f'[media]\ninput_roots = ["{self.media}"]\noutput_root = "{self.media}"\n'
        media += "" if self.gstreamer else 'gstreamer_python = ""\n'
        (self.folder / f"{name}.toml").write_text(media + settings)

    def start_worker(self, name: str, *, slots: int = 1, fault: str = "", inside: Sequence[str] = ()) -> Program:
        """Start an enrolled worker and wait until it has a session; arguments as for `launch_worker`."""
        worker = self.launch_worker(name, slots=slots, fault=fault, inside=inside)
        wait_until(lambda: self.node(name)["status"] in ("active", "busy"), dump=self.dump)
        return worker

    def launch_worker(self, name: str, *, slots: int = 1, fault: str = "", inside: Sequence[str] = ()) -> Program:
        """Start an enrolled worker. ``inside`` begins its command line: what it shall run in."""
        argv = [*inside, str(BIN / "ffrtmp-worker"), "run", "--state", str(self.state(name)), "--slots", str(slots)]
        argv += ANY_METRICS
        argv += ["--config", str(self.folder / f"{name}.toml")]
        worker = self.workers[name] = Program(argv, self.folder / f"{name}.log", self._env(fault))
        return worker

    def _env(self, fault: str) -> dict[str, str]:
        return {**self.env, "FFRTMP_FAULT": fault} if fault else self.env

    def state(self, name: str) -> Path:
        return self.folder / name

    def stop(self) -> None:
        """Stop everything; fail if anything does not end well or leaves a child behind."""
        codes = {name: worker.stop() for name, worker in self.workers.items()}
        if self.master is not None:
            codes["master"] = self.master.stop()
        assert set(codes.values()) <= {0, -signal.SIGKILL}, f"{codes}\n{self.dump()}"
        assert self.children() == [], "left running"

    def children(self) -> list[str]:
        """Return the command lines of processes of this machine that work in this cluster's folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if str(self.folder) in line and str(os.getpid()) != entry.name and "pytest" not in line:
                    found.append(line)
        return found

    def dump(self) -> str:
        """Return every log."""
        parts = [] if self.master is None else [f"── master ──\n{self.master.text()[-6_000:]}"]
        parts += [f"── {name} ──\n{worker.text()[-6_000:]}" for name, worker in self.workers.items()]
        return "\n".join(parts)

    def metrics_url(self, program: Program) -> str:
        """Return where a daemon's pages are served."""
        found = wait_until(lambda: re.search(r"metrics_served .*port=(\d+)", program.text()), dump=program.text)
        return f"http://127.0.0.1:{found[1]}"

    # ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────

    def ffrtmp(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.run("ffrtmp", *arguments, stdin=stdin)

    def ok(self, *arguments: str) -> str:
        """Run a command that must succeed and return what it printed."""
        done = self.ffrtmp(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.dump()}"
        return done.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.ok(*arguments, "-o", "json"))
        return document

    def submit(self, *arguments: str) -> str:
        """Submit a job and return its id."""
        return self.ok("jobs", "submit", *arguments, "-q").strip()

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.json("jobs", "status", job_id)["job"]
        return job

    def node(self, name: str) -> dict[str, Any]:
        node: dict[str, Any] = self.json("nodes", "describe", name)["node"]
        return node

    def wait_for(self, job_id: str, *states: str, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Return the job once it is in one of the states."""

        def there() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] in states else None

        return wait_until(there, dump=lambda: f"{self.job(job_id)}\n{self.dump()}", patience_s=patience_s)


@contextmanager
def cluster(folder: Path, *, gstreamer: bool = False, name: str = "test") -> Iterator[Cluster]:
    """Give a cluster that is stopped and checked at the end, whatever happened."""
    running = Cluster(folder, gstreamer=gstreamer, name=name)
    try:
        yield running
    except BaseException:
        for program in [*running.workers.values(), *([running.master] if running.master else [])]:
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
        raise
    running.stop()

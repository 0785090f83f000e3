"""A cluster of one machine for the demo: its folder, its processes, and the certainty that they end."""

import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ffrtmp_tui.contexts import FILE_NAME, Context, resolve
from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmpd.wire.messages.jobs import MediaInfo
from ffrtmpd.wire.schema import from_plain

START_S: Final = 30.0
# What a worker may take to stop its encoders cleanly, and a little more.
STOP_S: Final = 15.0
LOOK_EVERY_S: Final = 0.05
STATE_FILE: Final = "demo.json"
TAIL_LINES: Final = 15
PACKAGE: Final = Path(__file__).parent.parent
MASTER: Final = ("-m", "ffrtmpd.main")
WORKER: Final = ("-m", "ffrtmp_worker.main")
CLIENT: Final = ("-m", "ffrtmp_tui")
# The usual ports are those of a cluster in earnest.
ANY_METRICS: Final = ("--metrics-port", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of the demo. ``started`` are its start's clock ticks since boot: a number used again has others."""

    name: str
    pid: int
    started: int


class DemoCluster:
    """Starts programs in a folder and stops them.

    Args:
        folder: where everything lies.
        environ: of the caller; what names another cluster is left out.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.client = folder / "client"
        self.master = ""
        self._environ = {
            name: value
            for name, value in environ.items()
            if not name.startswith(("FFRTMP_", "FFRTMPD_")) and name != "FFMPEG_RTMP_MASTER"
        } | {"FFRTMP_CONFIG_DIR": str(self.client)}
        # Packages keep the modules in a folder that Python does not know by itself.
        known = environ.get("PYTHONPATH")
        self._environ["PYTHONPATH"] = f"{PACKAGE}{os.pathsep}{known}" if known else str(PACKAGE)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    def start_master(self) -> None:
        """Make a home for a master, run it on ports that the system chooses, and wait until it listens."""
        home = str(self.folder / "master")
        ports = ("--workers-port", "0", "--clients-port", "0")
        self.command(*MASTER, "init", "--home", home, "--client-config", str(self.client), "--name", "demo", *ports)
        self.start("master", sys.executable, *MASTER, "run", "--home", home, *ANY_METRICS)
        endpoints = self.folder / "master" / "run" / "endpoints.json"
        self.wait_until(endpoints.exists, "the master listens", "master")
        self.master = json.loads(endpoints.read_text(encoding="utf-8"))["clients"]
        # The context was made before anybody knew which port it would be.
        file = self.client / FILE_NAME
        file.write_text(file.read_text(encoding="utf-8").replace(self.context().master, self.master), encoding="utf-8")

    def start_worker(self, name: str, *, settings: Path | None = None) -> None:
        """Invite a worker, let it join and run it."""
        state = str(self.folder / name)
        line = self.command(*CLIENT, "keys", "invite", name, "--role", "worker", "-o", "name").strip()
        self.command(*WORKER, "join", line, "--state", state)
        config = ("--config", str(settings)) if settings else ()
        words = ("--state", state, "--slots", "1", *ANY_METRICS)
        self.start(name, sys.executable, *WORKER, "run", *words, *config)

    def context(self) -> Context:
        """Return the context of the cluster's first administrator."""
        return resolve(self._environ)

    def command(self, *words: str) -> str:
        """Run one of our commands to its end and return what it wrote.

        Raises:
            Failure: it failed.
        """
        argv = [sys.executable, *words]
        done = subprocess.run(
            argv, env=self._environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
            raise Failure(
                Exit.FAILED,
                f"`{' '.join(words[1:3])}` failed with exit code {done.returncode}: {said[-1]}",
                code="demo",
            )
        return done.stdout

    @property
    def recording(self) -> Path:
        """Where the ingest records the live push."""
        return self.folder / "live.mkv"

    def received(self) -> MediaInfo:
        """Return what the ingest recorded, once it has closed its file."""
        self._running["ingest"].wait(START_S)
        text = self.command(*WORKER, "probe", str(self.recording), "--state", str(self.folder / "probe"))
        return from_plain(MediaInfo, json.loads(text))

    def start(self, name: str, *argv: str) -> None:
        """Start a process in a session of its own, with its output in ``logs/NAME.log``."""
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                argv, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._remember()

    def log(self, name: str) -> Path:
        """Return where a process writes."""
        return self.folder / "logs" / f"{name}.log"

    def is_running(self, name: str) -> bool:
        """Tell whether a process has not ended."""
        return self._running[name].poll() is None

    def wait_until(self, condition: Callable[[], bool], what: str, name: str, *, limit_s: float = START_S) -> None:
        """Wait for ``condition``, which process ``name`` is to bring about.

        Raises:
            Failure: the process ended, or ``limit_s`` seconds passed.
        """
        deadline = time.monotonic() + limit_s
        while not condition():
            if not self.is_running(name):
                raise Failure(
                    Exit.FAILED,
                    f"{name} ended with exit code {self._running[name].returncode}: {self._last_line(name)}",
                    code="demo",
                    hint=f"its log: {self.log(name)}",
                )
            if time.monotonic() > deadline:
                raise Failure(
                    Exit.FAILED, f"{limit_s:g} s passed before {what}", code="demo", hint=f"see {self.log(name)}"
                )
            time.sleep(LOOK_EVERY_S)

    def stop(self) -> None:
        """End every process: ask, wait, then force. Workers first, so that the master hears their farewell."""
        stop_processes(self._processes())
        for process in self._running.values():
            process.wait()

    def _processes(self) -> list[Process]:
        found = []
        for name, process in self._running.items():
            if process.poll() is None and (started := start_ticks(process.pid)) is not None:
                found.append(Process(name=name, pid=process.pid, started=started))
        return found

    def _remember(self) -> None:
        state = [
            {"name": process.name, "pid": process.pid, "started": process.started} for process in self._processes()
        ]
        (self.folder / STATE_FILE).write_text(json.dumps({"processes": state}) + "\n", encoding="utf-8")

    def _last_line(self, name: str) -> str:
        lines = self.log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "its log is empty"


def remembered(folder: Path) -> list[Process]:
    """Return the processes of a demo that was left running in ``folder``.

    Raises:
        Failure: there is no demo there.
    """
    try:
        document = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        return [Process(**entry) for entry in document["processes"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise usage(f"there is no demo in {folder}", "give the folder that `ffrtmp demo --keep` named") from None


def start_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name may hold spaces and brackets: count from its end.
    return int(text.rpartition(")")[2].split()[19])


def stop_processes(processes: Sequence[Process]) -> None:
    """End processes, each with its session: SIGTERM, patience, SIGKILL. Those that are gone are passed over."""
    last = [process for process in processes if process.name == "master"]
    first = [process for process in processes if process.name != "master"]
    for group in (first, last):
        _stop_group(group)


def _stop_group(processes: Sequence[Process]) -> None:
    handles = {}
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(process.pid)
            if start_ticks(process.pid) != process.started:
                os.close(handle)
                continue
            handles[handle] = process
    try:
        for handle in handles:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGTERM)
        waiting = _await_exit(set(handles), STOP_S)
        for handle in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(handles[handle].pid, signal.SIGKILL)
        _await_exit(waiting, STOP_S)
    finally:
        for handle in handles:
            os.close(handle)


def _await_exit(handles: set[int], limit_s: float) -> set[int]:
    """Wait until the processes have ended; return those that have not after ``limit_s`` seconds."""
    poller = select.poll()
    for handle in handles:
        poller.register(handle, select.POLLIN)
    waiting = set(handles)
    deadline = time.monotonic() + limit_s
    while waiting and (left_s := deadline - time.monotonic()) > 0:
        for handle, _ in poller.poll(left_s * 1000):
            poller.unregister(handle)
            waiting.discard(handle)
    return waiting


def free_port() -> int:
    """Return a TCP port of this machine on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_taken(port: int) -> bool:
    """Tell whether somebody listens on a TCP port, without connecting: an ingest takes one visitor only."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False

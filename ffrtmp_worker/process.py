"""Child processes: started in a session of their own, paused, resumed and stopped with all their descendants.

The only module that imports ``subprocess``. A child is made to die with the worker (``PR_SET_PDEATHSIG``) by starting
it through util-linux's ``setpriv``, which costs 1.5 ms: unlike a ``preexec_fn`` it is safe beside other threads and
keeps ``vfork``. Where there is no ``setpriv``, the ``preexec_fn`` does it. The kernel sends that signal when the
*thread* that started the child ends, so children are started from the main thread.
"""

import contextlib
import ctypes
import functools
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.usage import stat_fields

READ_MAX: Final = 65_536
# Every descendant inherits it, whatever session or group it moves to.
MARK: Final = "FFRTMP_CHILD"
PR_SET_PDEATHSIG: Final = 1
# As a shell says it: the program could not be run, or was not found.
EXIT_NOT_RUN: Final = 126
EXIT_NOT_FOUND: Final = 127
PROC: Final = Path("/proc")
# How long to wait for a process to have become another program, and how often to look: a loaded machine may leave it
# in between for some turns of its scheduler.
EXEC_S: Final = 0.5
EXEC_LOOK_S: Final = 0.001
# Becomes the program when it is told so; it costs a millisecond. Whose worker ends before it says so never begins.
GATE: Final = ("/bin/sh", "-c", 'read -r _ && exec "$@" </dev/null', "sh")
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """A program that was run to its end. ``exit_code`` is minus the signal when killed."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class ToolTimeout(Exception):
    """A program did not end in its time and was killed."""


def run_tool(argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None) -> ToolRun:
    """Run a program and wait for it. Blocks: for start-up only.

    Raises:
        OSError: it cannot be started.
        ToolTimeout: it was still running after ``timeout_s`` seconds and was killed with its group.
    """
    with subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=None if env is None else dict(env),
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            process.communicate()
            raise ToolTimeout(f"{argv[0]} was still running after {timeout_s:g} s") from None
    return ToolRun(exit_code=process.returncode, stdout=stdout, stderr=stderr)


def stream_tool(argv: Sequence[str], *, on_stdout: Callable[[bytes], None], on_stderr: Callable[[bytes], None]) -> int:
    """Run a program in the caller's own process group, hand on what it writes, and return its exit code. Blocks.

    It dies with the caller. The exit code is minus the signal when killed.

    Raises:
        OSError: it cannot be started.
    """
    wrapper, preexec = _die_with_parent()
    with (
        subprocess.Popen(
            [*wrapper, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=preexec,  # noqa: PLW1509 - only where there is no setpriv
        ) as process,
        selectors.DefaultSelector() as selector,
    ):
        for stream, take in ((process.stdout, on_stdout), (process.stderr, on_stderr)):
            selector.register(_reader(stream), selectors.EVENT_READ, take)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, READ_MAX)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fd)
        return process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended. ``cpu_s`` counts processor seconds of it and of the children it waited for.

    ``limits`` says which limits were in force, ``over_limit`` which of them the kernel killed it for, None for none.
    """

    exit_code: int
    cpu_s: float
    limits: str
    over_limit: str | None = None


class Running:
    """A child of this process that leads its own session and process group.

    Args:
        pid: its number; it must not have been waited for.
        stdout, stderr: where to read what it writes; closed by ``close``.
        mark: what all its descendants inherit in their environment, so that none can hide.
        limiter: puts it under limits.

    Raises:
        OSError: it cannot be watched or confined; it was killed and waited for.
    """

    def __init__(self, pid: int, stdout: int, stderr: int, *, mark: str, limiter: Limiter | None) -> None:
        self.pid: Final = pid
        self.mark: Final = mark
        self.stdout: Final = stdout
        self.stderr: Final = stderr
        with contextlib.ExitStack() as undo:
            undo.callback(_put_down, pid)
            self.pidfd: Final = os.pidfd_open(pid)
            undo.callback(os.close, self.pidfd)
            self.confined: Final = (limiter or Limiter()).confine(pid)
            for pipe in (stdout, stderr):
                os.set_blocking(pipe, False)
            undo.pop_all()
        self._terminated = False
        self._ended: Ended | None = None

    def read(self, pipe: int) -> bytes | None:
        """Return what ``stdout`` or ``stderr`` holds now, at most 64 KiB: None if nothing, empty at its end."""
        try:
            return os.read(pipe, READ_MAX)
        except BlockingIOError:
            return None

    def pause(self) -> None:
        """Stop every process of the child where it is."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let every process of the child go on."""
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask every process of the child to end, once: a second SIGTERM makes ffmpeg leave without a trailer."""
        if self._terminated:
            return
        self._terminated = True
        # A stopped process would keep the signal pending for ever.
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End every process of the child at once."""
        if self._ended is None:
            self.confined.kill()
        self._signal(signal.SIGKILL)

    def reap(self) -> Ended | None:
        """Return how the child ended, None while it runs. What it left behind is killed."""
        if self._ended is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid == 0:
                return None
            kill_marked(self.mark)
            self._ended = Ended(
                exit_code=os.waitstatus_to_exitcode(status),
                cpu_s=usage.ru_utime + usage.ru_stime,
                limits=self.confined.note,
                over_limit=self.confined.end(),
            )
        return self._ended

    def close(self) -> None:
        """Kill the child if it still runs, wait for it, and close its pipes."""
        if self._ended is None:
            self.kill()
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self.reap()
        for descriptor in (self.pidfd, self.stdout, self.stderr):
            os.close(descriptor)

    def _signal(self, number: signal.Signals) -> None:
        # Once the leader is reaped its number may belong to a stranger.
        if self._ended is not None:
            return
        _signal_group(self.pid, number)
        for pid in marked(self.mark):
            if _group_of(pid) != self.pid:
                _signal_one(pid, number)


class Child(Running):
    """A running program.

    Args:
        argv: the program and its arguments; the program is looked up in ``PATH``.
        env: its environment; the shell that it is first may add ``PWD`` and the like.
        cwd: its working folder.
        mark: how its mark begins.
        limiter: puts it under limits before the program begins; on a loaded machine it would else have begun, and have
            started others, which no limit would reach.
        stdin: a descriptor to be its standard input; without one it has none. Not for one with a limiter.

    Raises:
        OSError: it cannot be started; nothing of it is left.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        mark: str = "",
        limiter: Limiter | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        if limiter is not None and stdin != subprocess.DEVNULL:
            raise ValueError("what waits for its limits has no standard input")
        own_mark = new_mark(mark)
        wrapper, preexec = _die_with_parent()
        program = shutil.which(argv[0], path=env.get("PATH", os.defpath))
        if program is None:
            raise FileNotFoundError(2, "no such program", argv[0])
        gate = () if limiter is None else GATE
        with Pipes() as pipes, _pipe() as (told, tell):
            self._process = subprocess.Popen(
                [*wrapper, *gate, program, *argv[1:]],
                stdin=told if gate else stdin,
                stdout=pipes.stdout_end,
                stderr=pipes.stderr_end,
                env={**env, MARK: own_mark},
                cwd=cwd,
                start_new_session=True,
                preexec_fn=preexec,  # noqa: PLW1509 - only where there is no setpriv
            )
            try:
                super().__init__(self._process.pid, pipes.stdout, pipes.stderr, mark=own_mark, limiter=limiter)
            except BaseException:
                # Or it would be waited for once more.
                self._process.returncode = -signal.SIGKILL
                raise
            os.write(tell, b"\n")
            pipes.keep()

    def reap(self) -> Ended | None:
        """Return how the child ended, None while it runs. What it left behind is killed."""
        ended = super().reap()
        if ended is not None:
            # Or it would be waited for once more.
            self._process.returncode = ended.exit_code
        return ended


class Pipes:
    """Two pipes for what a child writes: the ends for it are closed after the ``with``, ours unless they are kept."""

    def __init__(self) -> None:
        self.stdout, self.stdout_end = os.pipe2(os.O_CLOEXEC)
        try:
            self.stderr, self.stderr_end = os.pipe2(os.O_CLOEXEC)
        except OSError:
            os.close(self.stdout)
            os.close(self.stdout_end)
            raise
        self._kept = False

    def keep(self) -> None:
        """Leave the ends to read from open: somebody else closes them."""
        self._kept = True

    def __enter__(self) -> "Pipes":
        return self

    def __exit__(self, *_: object) -> None:
        mine = () if self._kept else (self.stdout, self.stderr)
        for descriptor in (self.stdout_end, self.stderr_end, *mine):
            os.close(descriptor)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Lend the ends of a pipe."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


def new_mark(prefix: str) -> str:
    """Return a mark for one more child; those of one prefix are equally long."""
    return f"{prefix}:{secrets.token_hex(8)}"


def kill_marked(mark: str) -> int:
    """Kill every process whose mark begins with ``mark``; return how many there were.

    Repeats until none is left, since one may have forked meanwhile.
    """
    killed: set[int] = set()
    for _ in range(8):
        found = set(marked(mark)) - killed
        if not found:
            break
        for pid in found:
            _signal_one(pid, signal.SIGKILL)
        killed |= found
    return len(killed)


def marked(mark: str) -> Iterator[int]:
    """Yield the processes whose environment carries a mark that begins with ``mark``, this one left out."""
    entry = f"{MARK}={mark}".encode()
    own = os.getpid()
    for folder in PROC.iterdir():
        if not folder.name.isdigit() or int(folder.name) == own:
            continue
        # Gone meanwhile, or another user's.
        with contextlib.suppress(OSError):
            environment = _environment(folder)
            if environment.startswith(entry) or b"\0" + entry in environment:
                yield int(folder.name)


def _environment(folder: Path) -> bytes:
    """Return the environment of a process, empty if it has none.

    Its parent goes on as soon as the old program's memory is given up, and the kernel shows no environment until the
    new program's is in place: who looks in between looks again, for at most ``EXEC_S``.

    Raises:
        OSError: it is gone, or another user's.
    """
    deadline = time.monotonic() + EXEC_S
    while True:
        environment = (folder / "environ").read_bytes()
        if environment:
            return environment
        fields = stat_fields(folder)
        memory, start, end = int(fields[20]), int(fields[47]), int(fields[48])
        # A zombie and a thread of the kernel have no memory.
        if memory == 0 or start == end != 0 or time.monotonic() >= deadline:
            return b""
        time.sleep(EXEC_LOOK_S)


def _reader(stream: object) -> int:
    fd: int = stream.fileno()  # type: ignore[attr-defined]
    os.set_blocking(fd, False)
    return fd


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _put_down(pid: int) -> None:
    """Kill one child of this process and wait for it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _signal_one(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _die_with_parent() -> tuple[tuple[str, ...], Callable[[], None] | None]:
    wrapper = _setpriv()
    if wrapper is not None:
        return (wrapper, "--pdeathsig", "KILL", "--"), None
    return (), functools.partial(_ask_to_die, os.getpid())


@functools.cache
def _setpriv() -> str | None:
    """Return util-linux's setpriv; busybox's has no --pdeathsig."""
    path = shutil.which("setpriv")
    if path is None:
        return None
    try:
        return path if run_tool([path, "--pdeathsig", "KILL", "--", "true"], timeout_s=5).exit_code == 0 else None
    except (OSError, ToolTimeout):
        return None


def _ask_to_die(parent: int) -> None:
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the request.
    if os.getppid() != parent:
        os._exit(EXIT_NOT_RUN)

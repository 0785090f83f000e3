"""The worker's end of ``prefork``: small programs that are run often are copies of one that has done its imports.

A probe by PyAV takes 90 ms of a processor, 75 of them for Python and imports, and each job has two. A copy takes 10.
To put it into a control group takes 8 ms more, in which nothing is done but wait for the kernel, so some are made when
nobody waits for them. They do not know yet what they will be.

It is a shortcut and no more: where it cannot be had, because the original is starting, has died, or this kind of
machine is not known to it, ``start`` says so, and the caller runs the program itself.
"""

import contextlib
import json
import os
import platform
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.prefork import CLONE, READY
from ffrtmp_worker.process import Child, Ended, Pipes, Running, new_mark
from ffrtmpd.base.logs import Logger

PREFORK: Final = Path(__file__).with_name("prefork.py")
ANSWER_MAX: Final = 64
# It answers within milliseconds, in hundredths of a second on a busy machine; the worker stands still meanwhile.
ANSWER_S: Final = 2.0
# One that dies as soon as it starts is not started for every job.
AGAIN_S: Final = 10.0
# What a job needs after its encoder has ended: a probe and a hash.
SPARES: Final = 2
# A pipe takes so much at once.
COMMAND_MAX: Final = 65_536
# What a program that is led astray ends by, and nothing that the worker does to it.
CRASHES: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS}
)


class Forked(Running):
    """A child that is a copy.

    All copies of one original have their memory at the same addresses. So what crashed one, and may have been trying
    addresses, gets another original next time.
    """

    def __init__(
        self, pid: int, pipes: Pipes, stdin: int, *, mark: str, limiter: Limiter, crashed: Callable[[], None]
    ) -> None:
        super().__init__(pid, pipes.stdout, pipes.stderr, mark=mark, limiter=limiter)
        pipes.keep()
        self._stdin: int | None = stdin
        self._crashed = crashed

    def begin(self, command: bytes) -> None:
        """Tell it what it is. One that has ended already says how when it is waited for."""
        if self._stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._stdin, command)
            self._forget_stdin()

    def close(self) -> None:
        """Kill the child if it still runs, wait for it, and close its pipes."""
        self._forget_stdin()
        super().close()

    def _forget_stdin(self) -> None:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    def reap(self) -> Ended | None:
        """Return how the child ended, None while it runs. What it left behind is killed."""
        first = self._ended is None
        ended = super().reap()
        if first and ended is not None and -ended.exit_code in CRASHES:
            self._crashed()
        return ended


class Forker:
    """The original, started with this object and again when it has died, and the copies of it.

    For the thread whose end shall end them too.

    Args:
        programs: Python files that it shall become on request; without any nothing is started.
        python: the interpreter.
        env: the whole environment of the copies.
        cwd: their working folder.
        mark: how the marks of original and copies begin.
        limiter: puts copies under limits.
        log: is told when the original was lost.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        programs: Sequence[Path],
        *,
        python: str,
        env: Mapping[str, str],
        cwd: str,
        mark: str,
        limiter: Limiter | None = None,
        log: Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._programs = tuple(map(str, programs))
        self._python, self._env, self._cwd, self._mark = python, dict(env), cwd, mark
        self._limiter = limiter or Limiter()
        self._log, self._clock = log, clock
        self._spares: list[Forked] = []
        self._original: Child | None = None
        self._control: socket.socket | None = None
        self._is_ready = False
        self._again_s = 0.0
        self._begin()

    @property
    def pid(self) -> int | None:
        """The original's number, None while there is none."""
        return None if self._original is None else self._original.pid

    def start(self, argv: Sequence[str], *, env: Mapping[str, str]) -> Running | None:
        """Return a new child that does what ``argv`` would, confined before it knows what that is.

        None: it is no such program, or no copy can be made now.
        """
        python, isolated, program, *arguments = argv if len(argv) > 2 else ("", "", "")
        if (python, isolated) != (self._python, "-P") or program not in self._programs or env != self._env:
            return None
        # TLS might draw the same random numbers in two copies.
        if any("://" in word for word in arguments):
            return None
        command = json.dumps([program, *arguments]).encode()
        copy = self._take() if len(command) <= COMMAND_MAX else None
        if copy is not None:
            copy.begin(command)
        return copy

    def prepare(self) -> None:
        """Make copies that wait for their command. It takes hundredths of a second: for when nobody waits."""
        while len(self._spares) < SPARES:
            copy = self._copy()
            if copy is None:
                return
            self._spares.append(copy)

    def close(self) -> None:
        """End the original and what waits. Copies that are at work go on."""
        original, self._original = self._original, None
        control, self._control = self._control, None
        spares, self._spares = self._spares, []
        self._is_ready = False
        if control is not None:
            control.close()
        for child in (*spares, *(() if original is None else (original,))):
            child.close()

    def _begin(self) -> None:
        """Start the original; it is ready later."""
        now_s = self._clock()
        if not self._programs or now_s < self._again_s or platform.machine() not in CLONE:
            return
        self._again_s = now_s + AGAIN_S
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = (self._python, "-P", str(PREFORK), *self._programs)
        with other, contextlib.suppress(OSError):
            self._original = Child(argv, env=self._env, cwd=self._cwd, mark=self._mark, stdin=other.fileno())
        if self._original is None:
            self.close()

    def _can_serve(self) -> bool:
        if self._control is None:
            self._begin()
        if self._control is None or self._is_ready:
            return self._is_ready
        self._control.settimeout(0)
        try:
            self._is_ready = self._control.recv(ANSWER_MAX) == READY
        except BlockingIOError:
            return False
        except OSError:
            self._is_ready = False
        if not self._is_ready:
            self._lose("it did not start")
            return False
        self._control.settimeout(ANSWER_S)
        return True

    def _lose(self, why: str) -> None:
        """Give the original up; there is another one later."""
        if self._log is not None and self._original is not None:
            said = (self._original.read(self._original.stderr) or b"").decode("utf-8", "replace").split("\n")
            reason = next((line for line in reversed(said) if line), why)
            self._log.warning("forker_lost", reason=reason, pid=self._original.pid)
        self.close()

    def _take(self) -> Forked | None:
        while self._spares:
            spare = self._spares.pop(0)
            if spare.reap() is None:
                return spare
            spare.close()
        return self._copy()

    def _copy(self) -> Forked | None:
        """Return a new copy that waits for its command, None if the original cannot make one."""
        if not self._can_serve():
            return None
        try:
            return self._asked()
        except OSError as error:
            self._lose(str(error))
            return None

    def _asked(self) -> Forked:
        if self._control is None:
            raise ConnectionError("there is no original")
        mark = new_mark(self._mark)
        stdin_end, stdin = os.pipe2(os.O_CLOEXEC)
        try:
            with Pipes() as pipes:
                socket.send_fds(self._control, [mark.encode()], [stdin_end, pipes.stdout_end, pipes.stderr_end])
                answer = self._control.recv(ANSWER_MAX)
                if not answer:
                    raise ConnectionError("it has died")
                return Forked(int(answer), pipes, stdin, mark=mark, limiter=self._limiter, crashed=self.close)
        except OSError:
            os.close(stdin)
            raise
        finally:
            os.close(stdin_end)

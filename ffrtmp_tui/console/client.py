"""The master asked from threads, so that no key ever waits for it."""

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from ffrtmp_tui.console.state import Ask, Lane
from ffrtmp_tui.failures import Failure
from ffrtmp_tui.link import Link
from ffrtmpd.wire.ask import TRIES_S
from ffrtmpd.wire.messages.common import Reply

# What only reads is asked once: the console itself asks again, and shows meanwhile that nobody answers.
READ_TRIES_S: Final = (2.0,)

Answer = tuple[Ask, Reply | Failure]


class Client(Protocol):
    """What the console asks the master through."""

    def send(self, ask: Ask) -> None:
        """Send a question; its answer comes later."""

    def receive(self) -> list[Answer]:
        """Return the answers that have come since."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when there are answers."""

    def close(self) -> None:
        """Give up what is under way."""


class ThreadClient:
    """One thread and one link for each lane; answers ring through a pipe."""

    def __init__(self, link: Callable[[tuple[float, ...]], Link]) -> None:
        self._link = link
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._lanes: dict[Lane, queue.SimpleQueue[Ask | None]] = {lane: queue.SimpleQueue() for lane in Lane}
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._guard = threading.Lock()
        self._closed = False
        # A thread that waits for a master which is gone must not hold the program up when it leaves.
        self._threads = [threading.Thread(target=self._serve, args=(lane,), daemon=True) for lane in Lane]
        for thread in self._threads:
            thread.start()

    def fileno(self) -> int:
        """Return the read end of the pipe."""
        return self._read

    def send(self, ask: Ask) -> None:
        """Put a question on its lane."""
        self._lanes[ask.lane].put(ask)

    def receive(self) -> list[Answer]:
        """Return the answers that have come, and still the bell."""
        try:
            while os.read(self._read, 4_096):
                pass
        except BlockingIOError:
            pass
        found: list[Answer] = []
        while True:
            try:
                found.append(self._answers.get_nowait())
            except queue.Empty:
                return found

    def close(self) -> None:
        """Tell the threads to end after what they are at."""
        with self._guard:
            self._closed = True
            os.close(self._read)
            os.close(self._write)
        for lane in self._lanes.values():
            lane.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads to end; tell whether all have."""
        for thread in self._threads:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self, lane: Lane) -> None:
        with self._link(TRIES_S if lane is Lane.ACT else READ_TRIES_S) as link:
            while (ask := self._lanes[lane].get()) is not None and not self._closed:
                try:
                    reply = link.ask(ask.request, ask.expected, wait_s=ask.wait_s)
                except Failure as failure:
                    self._ring((ask, failure))
                else:
                    self._ring((ask, reply))

    def _ring(self, answer: Answer) -> None:
        self._answers.put(answer)
        with self._guard:
            if not self._closed:
                # Full of bells that nobody has heard yet: one is enough.
                with suppress(BlockingIOError):
                    os.write(self._write, b"\0")

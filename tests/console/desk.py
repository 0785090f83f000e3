"""A console without a terminal, in front of a real master without sockets, both on one clock set by hand."""

import itertools
from dataclasses import replace
from typing import Any

from ffrtmp_tui.console.model import Console
from ffrtmp_tui.console.screens import Screen, screen, text_of
from ffrtmp_tui.console.state import Ask, Now, State
from ffrtmp_tui.failures import Exit, Failure
from ffrtmpd.events import Peer, Side
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.common import Error, Reply, Request
from ffrtmpd.wire.messages.inquiries import Logs
from ffrtmpd.wire.messages.session import FetchLog, LogChunk
from ffrtmpd.wire.vocabulary import TERMINAL_STATES
from tests.master.house import House

STEP_S = 0.5


class Desk:
    """Keys in, screens out. ``away`` says that the master does not answer."""

    def __init__(self, house: House, by: str = "ops", *, read_only: bool = False) -> None:
        self.house = house
        self.by = by
        self.away = False
        numbers = itertools.count(1)
        self.state = State(cluster="prod", endpoint="tcp://m1:7000", read_only=read_only)
        self.console = Console(self.state, lambda: f"console-{next(numbers):06d}")
        self.asked: list[Request] = []
        # What the nodes keep as logs, by job; those that are not here are missing there.
        self.logs: dict[str, str] = {}
        self.pump()

    @property
    def now(self) -> Now:
        return Now(self.house.now_s, self.house.now.wall_s)

    def pump(self) -> None:
        """Carry questions and answers until there are no more."""
        while self.step():
            pass

    def step(self) -> bool:
        """Carry the questions that there are now, and their answers; tell whether there were any."""
        asks = self.console.tick(self.now)
        for ask in asks:
            self._carry(ask)
        return bool(asks)

    def _carry(self, ask: Ask) -> None:
        if self.away:
            failure = Failure(Exit.UNREACHABLE, "nothing listens at tcp://m1:7000", code="unreachable")
            self.console.missed(ask, failure, self.now)
            return
        self.asked.append(ask.request)
        request: Any = ask.request
        reply = self.house.ask(replace(request, wait_s=0.0) if hasattr(request, "wait_s") else request, self.by)
        if isinstance(request, Logs) and reply is None:
            reply = self._fetched()
        if isinstance(reply, Error):
            problem = reply.problem
            self.console.missed(ask, Failure(Exit.FAILED, problem.message, code=str(problem.code)), self.now)
        elif reply is not None:
            assert isinstance(reply, Reply)
            assert isinstance(reply, ask.expected)
            self.console.heard(ask, reply, self.now)

    def _fetched(self) -> Message | None:
        """Let the node that is asked for a log send its piece, and return what the master makes of it."""
        for worker in self.house.workers:
            for fetch in worker.got(FetchLog):
                log = self.logs.get(fetch.job_id, "").encode()
                start = max(0, len(log) + fetch.offset) if fetch.offset < 0 else min(fetch.offset, len(log))
                end = min(len(log), start + fetch.limit)
                over = end == len(log) and self.house.job(fetch.job_id).state in TERMINAL_STATES
                text = log[start:end].decode()
                missing = fetch.job_id not in self.logs
                worker.say(
                    LogChunk(
                        fetch_id=fetch.fetch_id, text=text, offset=start, next_offset=end, end=over, missing=missing
                    )
                )
        replies = self.house.take(Peer(Side.CLIENTS, self.by.encode()), Message)
        return replies[-1] if replies else None

    def press(self, *keys: str) -> None:
        for key in keys:
            self.console.key(key, self.now)
            self.pump()

    def type(self, text: str) -> None:
        self.press(*text)

    def wait(self, seconds: float) -> None:
        """Let time pass, for the console and for the master."""
        until_s = self.house.now_s + seconds
        while self.house.now_s < until_s:
            self.house.wait(min(STEP_S, until_s - self.house.now_s))
            self.pump()

    def draw(self, columns: int = 80, rows: int = 24) -> Screen:
        return screen(self.state, (columns, rows), self.now)

    def text(self, columns: int = 80, rows: int = 24) -> str:
        return "\n".join(text_of(self.draw(columns, rows)))

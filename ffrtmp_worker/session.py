"""The worker's session with the master: greeting, beats, silence and back-off. Pure."""

import math
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from ffrtmp_worker.events import Action, AttemptId, Note, Reconnect, Send
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.messages.session import Heartbeat, HeartbeatAck, Held, Hello, Ready, Welcome
from ffrtmpd.wire.vocabulary import HEARTBEAT_S, SILENT_BEATS, SUPPORTED_VERSIONS

BACK_OFF_S: Final = 0.5
BACK_OFF_BUSY_S: Final = 5.0
BACK_OFF_IDLE_S: Final = 32.0
# Acknowledgements of older beats are of no use: the silence has ended the session long before.
BEATS_KEPT: Final = 64

Inventory = Callable[[], tuple[Held, ...]]


class Stage(StrEnum):
    """How far the session is."""

    CONNECTING = "connecting"
    GREETING = "greeting"
    READY = "ready"


class Session:
    """One conversation after the other with the same master.

    Args:
        hello: what HELLO says.
        running, finished: the inventory, asked for at each READY and beat.
        load: readings for a beat.
        random: numbers from 0 to 1, for jitter.
    """

    def __init__(
        self,
        *,
        boot_id: str,
        slots: int,
        hardware: Hardware,
        running: Inventory,
        finished: Inventory,
        load: Callable[[], Load | None],
        random: Callable[[], float],
    ) -> None:
        self._hello = Hello(versions=SUPPORTED_VERSIONS, boot_id=boot_id, slots=slots, hardware=hardware)
        self._running = running
        self._finished = finished
        self._load = load
        self._random = random
        self.stage = Stage.CONNECTING
        self.node_id: str | None = None
        # Of all queues the longest, as the latest WELCOME says: a master that was started anew with other settings
        # counts on it. None before the first: until then there is nothing that a fence could guard.
        self.fence_s: float | None = None
        self._heartbeat_s = HEARTBEAT_S
        self._retries = 0
        self._retry_at = 0.0
        self._heard_at = 0.0
        self._hello_at: float | None = None
        self._hello_sent_at = float("-inf")
        self._beat_at = 0.0
        # The first beat since the master was last heard.
        self._unanswered_at: float | None = None
        self._beats: OrderedDict[int, frozenset[AttemptId]] = OrderedDict()
        self._ready_at = float("-inf")
        self._acknowledged_at = float("-inf")

    @property
    def vouched_at(self) -> float:
        """When the last beat that the master acknowledged was sent."""
        return self._acknowledged_at

    @property
    def leased_at(self) -> float:
        """From when a lease counts that the master gives now: it cannot have given it before it read READY."""
        return max(self.vouched_at, self._ready_at)

    def connect(self, now_s: float, *, busy: bool) -> list[Action]:
        """Begin anew with a fresh socket; ``busy`` shortens the way to the next try."""
        self._retry_at = now_s + self._back_off_s(BACK_OFF_BUSY_S if busy else BACK_OFF_IDLE_S)
        self.stage = Stage.CONNECTING
        self._hello_at = None
        return [Reconnect()]

    def link_up(self, now_s: float) -> list[Action]:
        """Greet: the fresh socket has reached somebody."""
        return self._greet(now_s) if self.stage is Stage.CONNECTING else []

    def heard(self, now_s: float) -> None:
        """Take any message as a sign of life."""
        self._heard_at = now_s
        self._unanswered_at = None

    def welcome(self, message: Welcome, now_s: float) -> list[Action]:
        """Answer a WELCOME with the inventory, and a beat so that leases count from now."""
        if message.version not in SUPPORTED_VERSIONS:
            return [Note("error", "version_not_spoken", {"version": message.version}), *self.denied(now_s)]
        if self.stage is Stage.CONNECTING:
            return []
        self.stage = Stage.READY
        self.node_id = message.node_id
        self.fence_s = message.fence_s
        self._heartbeat_s = message.heartbeat_s
        self._retries = 0
        self._hello_at = None
        self._beats.clear()
        self._ready_at = now_s
        ready = Ready(nonce=message.nonce, running=self._running(), finished=self._finished())
        fields = {"node": message.node_id, "epoch": message.epoch, "running": len(ready.running)}
        return [Note("info", "session_opened", fields), Send(ready), self._beat(now_s)]

    def reset(self, now_s: float) -> list[Action]:
        """Greet again, at most once a beat: two workers with one key would throw each other out as fast as they can."""
        if self.stage is not Stage.READY:
            return []
        self.stage = Stage.GREETING
        due = self._hello_sent_at + self._heartbeat_s
        if now_s >= due:
            return [Note("info", "session_reset"), *self._greet(now_s)]
        self._hello_at = due
        return [Note("warning", "session_reset", {"again_in_s": round(due - now_s, 1)})]

    def denied(self, now_s: float) -> list[Action]:
        """Greet later, when it was the greeting that was refused."""
        if self.stage is Stage.GREETING:
            self._hello_at = now_s + self._back_off_s(BACK_OFF_IDLE_S)
        return []

    def revoked(self, now_s: float) -> bool:
        """Greet again as seldom as an idle worker looks for its master; tell whether that is news.

        What was under way when the key was revoked is answered message by message; one answer is enough. A new key
        needs a new process: a greeting is heard again only by a master restored from a copy that knows this key.
        """
        if self.stage is not Stage.READY and self._hello_at is not None:
            return False
        if self.stage is not Stage.CONNECTING:
            self.stage = Stage.GREETING
            self._hello_at = now_s + self._jittered(BACK_OFF_IDLE_S)
        return True

    def acknowledged(self, message: HeartbeatAck) -> frozenset[AttemptId]:
        """Return the attempts that the acknowledged beat showed: their leases count from when it was sent."""
        shown = self._beats.get(message.sent_ms)
        if shown is None:
            return frozenset()
        self._acknowledged_at = max(self._acknowledged_at, message.sent_ms / 1000)
        return shown

    def tick(self, now_s: float, *, busy: bool) -> list[Action]:
        """Do what is due."""
        if now_s >= self._silent_at():
            event = "master_not_reached" if self.stage is Stage.CONNECTING else "master_silent"
            return [Note("warning", event), *self.connect(now_s, busy=busy)]
        if self._hello_at is not None and now_s >= self._hello_at:
            return self._greet(now_s)
        if self.stage is Stage.READY and now_s >= self._beat_at:
            return [self._beat(now_s)]
        return []

    def beat_now(self, now_s: float) -> list[Action]:
        """Say at once what runs, because it has changed."""
        return [self._beat(now_s)] if self.stage is Stage.READY else []

    def wakeup(self) -> float:
        """Return when ``tick`` has something to do next."""
        moments = [self._silent_at()]
        if self._hello_at is not None:
            moments.append(self._hello_at)
        if self.stage is Stage.READY:
            moments.append(self._beat_at)
        return min(moments)

    def _back_off_s(self, most_s: float) -> float:
        delay_s = min(most_s, BACK_OFF_S * 2.0 ** min(self._retries, 16))
        self._retries += 1
        return self._jittered(delay_s)

    def _jittered(self, delay_s: float) -> float:
        # So that workers that lost the same master do not all come back at once.
        return delay_s * (0.75 + 0.25 * self._random())

    def _silent_at(self) -> float:
        if self.stage is Stage.CONNECTING:
            return self._retry_at
        allowed = SILENT_BEATS * self._heartbeat_s
        if self._hello_at is not None:
            return self._hello_at + allowed
        if self.stage is Stage.READY:
            # A worker that was held up has asked nothing: that is no silence of its master.
            if self._unanswered_at is None:
                return math.inf
            return max(self._heard_at + allowed, self._unanswered_at + allowed - self._heartbeat_s)
        return max(self._heard_at, self._hello_sent_at) + allowed

    def _greet(self, now_s: float) -> list[Action]:
        self.stage = Stage.GREETING
        self._hello_at = None
        self._hello_sent_at = now_s
        return [Send(self._hello)]

    def _beat(self, now_s: float) -> Action:
        self._beat_at = now_s + self._heartbeat_s
        if self._unanswered_at is None:
            self._unanswered_at = now_s
        sent_ms = int(now_s * 1000)
        running = self._running()
        self._beats[sent_ms] = frozenset((held.job_id, held.attempt) for held in running)
        while len(self._beats) > BEATS_KEPT:
            self._beats.popitem(last=False)
        return Send(Heartbeat(sent_ms=sent_ms, running=running, load=self._load()))

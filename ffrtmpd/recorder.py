"""Counts what the master does, and publishes at the end of turns what Prometheus reads."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from ffrtmpd.base.figures import SHORT, Figures
from ffrtmpd.broker.broker import Broker
from ffrtmpd.events import Event, GarbageCame, MessageCame, Now
from ffrtmpd.metrics import STARTING, MasterMetrics, Snapshot
from ffrtmpd.wire.catalogue import CLIENT_REQUESTS, WORKER_TO_MASTER
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.common import Error
from ffrtmpd.wire.messages.session import Denied

# Oftener than anybody scrapes, and seldom enough that a thousand nodes cost nothing.
PUBLISH_EVERY_S: Final = 0.5
# A peer may send any word as a type; only known ones become a label.
KNOWN: Final = frozenset({*CLIENT_REQUESTS, *WORKER_TO_MASTER})
OTHER: Final = "other"
_REFUSALS: Final = (Error, Denied)


class Recorder:
    """Watches the turns of one master.

    Args:
        broker: whose cluster is told of.
        metrics: gets the snapshots.
    """

    def __init__(self, broker: Broker, metrics: MasterMetrics) -> None:
        self._broker = broker
        self._metrics = metrics
        self._own = Figures()
        self._published_s = 0.0
        self._is_stale = True
        self.read_only = False

    def opened(self, now: Now) -> None:
        """Publish what the master starts with."""
        self._publish(now)

    def said(self, messages: Iterable[Message]) -> None:
        """Count refusals among what leaves."""
        for message in messages:
            if isinstance(message, _REFUSALS):
                self._own.count("denied", message.problem.code)

    def committed(self, seconds: float) -> None:
        """Count a commit."""
        self._own.observe("commit", seconds, bounds=SHORT)

    def turned(self, events: Sequence[Event], took_s: float, ended: Now) -> None:
        """Count a turn and what came in it, and publish if the last time is long enough ago."""
        if events:
            self._count(events)
            self._own.observe("turn", took_s, bounds=SHORT)
            # The wall clock may have been set back.
            waits_s = [max(0.0, ended.wall_s - queued_at) for queued_at in self._broker.cluster.dispatched]
            self._own.observe_all("dispatch", waits_s)
            self._is_stale = True
        if self._is_stale and ended.mono_s >= self._published_s + PUBLISH_EVERY_S:
            self._publish(ended)

    def _count(self, events: Sequence[Event]) -> None:
        came = [(event.peer.side, event.message.TYPE) for event in events if isinstance(event, MessageCame)]
        for event in events:
            if isinstance(event, GarbageCame):
                type_name = event.problem.type_name
                came.append((event.peer.side, type_name if type_name in KNOWN else OTHER))
        for kind in set(came):
            self._own.count("messages", *kind, by=came.count(kind))

    def due_s(self) -> float:
        """Return the monotonic second at which a turn shall come to publish, infinity if none is needed."""
        return self._published_s + PUBLISH_EVERY_S if self._is_stale else math.inf

    def unready(self) -> list[str]:
        """Return why the master is not ready. Called from the thread of a scrape."""
        if self._metrics.snapshot is None:
            return [STARTING]
        return ["the database takes no writes"] if self.read_only else []

    def _publish(self, now: Now) -> None:
        self._published_s, self._is_stale = now.mono_s, False
        cluster = self._broker.cluster
        self._own.take()
        self._metrics.snapshot = Snapshot(
            kept=cluster.figures.values.copy(),
            own=self._own.values.copy(),
            exemplars=cluster.figures.exemplars.copy(),
            jobs=cluster.store.counts(),
            nodes=Counter(node.status for node in cluster.roster),
            read_only=self.read_only,
        )

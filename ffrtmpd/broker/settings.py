"""What the broker is told at start."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ffrtmpd.sla import SlaSettings
from ffrtmpd.wire.vocabulary import CLIENTS_PORT, HEARTBEAT_S, SILENT_BEATS, WORKERS_PORT, JobState, Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The lease of an attempt whose output has side effects, in seconds.

    Attributes:
        fence_s: a worker without an acknowledged beat for so long stops it by itself.
        give_away_s: a node silent for so long loses it.
    """

    fence_s: float
    give_away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long is kept what is over, in seconds; 0 keeps it for ever. ``events_s``: of nodes and keys."""

    completed_s: float = 0.0
    failed_s: float = 0.0
    canceled_s: float = 0.0
    events_s: float = 0.0

    def of(self, state: JobState) -> float:
        """Return how long jobs in a final state are kept."""
        return {
            JobState.COMPLETED: self.completed_s,
            JobState.FAILED: self.failed_s,
            JobState.CANCELED: self.canceled_s,
        }[state]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Names, ports and times; every ``_s`` is in seconds.

    Attributes:
        server_public: the master's public key, for invitations.
        advertise: host that invitations name.
        lost_after_s: a node silent for so long loses attempts whose output is staged.
        fence_s, give_away_s: the terms of queues that have none of their own.
        queue_terms: queues with terms of their own.
        back_off_s: wait before the second attempt; doubles with each further failure.
        back_off_max_s: the longest wait between attempts.
        busy_s: for so long the hardware encoders of a node that had no room get no job.
        busy_limit: answers of that kind in a row that count as one failure, so that no job goes round for ever.
        loss_limit: losses with a node after which a job is failed as poison.
        fetch_timeout_s: how long a node may take to answer for a log.
        sla: what is promised.
        retention: how long is kept what is over.
        null_engine: jobs that encode nothing are taken, for benchmarks.
    """

    cluster: str = "ffrtmp"
    version: str = ""
    server_public: str = ""
    advertise: str = "127.0.0.1"
    workers_port: int = WORKERS_PORT
    clients_port: int = CLIENTS_PORT
    heartbeat_s: float = HEARTBEAT_S
    lost_after_s: float = 60.0
    fence_s: float = 10.0
    give_away_s: float = 15.0
    queue_terms: Mapping[Queue, Terms] = field(default_factory=dict)
    back_off_s: float = 5.0
    back_off_max_s: float = 300.0
    busy_s: float = 30.0
    busy_limit: int = 20
    loss_limit: int = 5
    fetch_timeout_s: float = 5.0
    sla: SlaSettings = field(default_factory=SlaSettings)
    retention: Retention = field(default_factory=Retention)
    null_engine: bool = False

    @property
    def silent_s(self) -> float:
        """Silence after which a node is offline."""
        return self.heartbeat_s * SILENT_BEATS

    def terms(self, queue: Queue) -> Terms:
        """Return the terms of a queue."""
        own = self.queue_terms.get(queue)
        return Terms(fence_s=self.fence_s, give_away_s=self.give_away_s) if own is None else own

    @property
    def longest(self) -> Terms:
        """The longest fence and the longest lease of all queues."""
        every = [self.terms(queue) for queue in Queue]
        return Terms(
            fence_s=max(terms.fence_s for terms in every), give_away_s=max(terms.give_away_s for terms in every)
        )

"""What the broker is told at start."""

from dataclasses import dataclass, field

from ffrtmpd.sla import SlaSettings
from ffrtmpd.wire.vocabulary import CLIENTS_PORT, HEARTBEAT_S, SILENT_BEATS, WORKERS_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Names, ports and times; every ``_s`` is in seconds.

    Attributes:
        server_public: the master's public key, for invitations.
        advertise: host that invitations name.
        lost_after_s: a node silent for so long loses attempts whose output is staged.
        fence_s: a worker without an acknowledged beat for so long stops outputs with side effects by itself.
        give_away_s: a node silent for so long loses attempts whose output has side effects.
        back_off_s: wait before the second attempt; doubles with each further failure.
        back_off_max_s: the longest wait between attempts.
        loss_limit: losses with a node after which a job is failed as poison.
        fetch_timeout_s: how long a node may take to answer for a log.
        sla: what is promised.
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
    back_off_s: float = 5.0
    back_off_max_s: float = 300.0
    loss_limit: int = 5
    fetch_timeout_s: float = 5.0
    sla: SlaSettings = field(default_factory=SlaSettings)

    @property
    def silent_s(self) -> float:
        """Silence after which a node is offline."""
        return self.heartbeat_s * SILENT_BEATS

"""Publishes what Prometheus reads of a worker: with each beat, and when its master is lost."""

from ffrtmp_worker.agent import Agent
from ffrtmp_worker.hardware import LinkMeter
from ffrtmp_worker.metrics import WorkerMetrics, WorkerSnapshot
from ffrtmp_worker.sampler import Sampler
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.messages.session import Heartbeat


class Recorder:
    """Watches one worker.

    Args:
        agent: whose attempts are told of.
        hardware: what the node was found to be.
        slots: attempts at once.
        energy: the node's meters.
        min_free_disk_bytes: with less free the worker is not ready.
    """

    def __init__(
        self, agent: Agent, *, hardware: Hardware, slots: int, energy: Sampler, min_free_disk_bytes: int
    ) -> None:
        self.metrics = WorkerMetrics()
        self._agent = agent
        self._hardware, self._slots = hardware, slots
        self._energy = energy
        self._least_bytes = min_free_disk_bytes
        self._link = LinkMeter()

    def sent(self, message: Message) -> None:
        """Take note of what was said to the master: a beat carries the readings."""
        if isinstance(message, Heartbeat):
            self._agent.tally.count("heartbeats")
            self._publish(message.load or Load(), connected=True)

    def disconnected(self) -> None:
        """The master is not reached: readings are as old as the last beat, so there are none."""
        self._publish(Load(), connected=False)

    def unready(self) -> list[str]:
        """Return why the worker is not ready. Called from the thread of a scrape."""
        now = self.metrics.snapshot
        reasons = [] if self._hardware.encoders else ["no encoder works here"]
        if now is None or not now.connected:
            return [*reasons, "no session with the master"]
        free = now.load.disk_free_bytes
        if free is not None and free < self._least_bytes:
            reasons.append("the disk of the outputs is nearly full")
        return reasons

    def _publish(self, load: Load, *, connected: bool) -> None:
        node_id = self._agent.session.node_id
        if node_id is None:
            return
        tally = self._agent.tally
        tally.take()
        self.metrics.snapshot = WorkerSnapshot(
            node_id=node_id,
            connected=connected,
            slots=self._slots,
            active_jobs=self._agent.active,
            load=load,
            hardware=self._hardware,
            figures=tally.values.copy(),
            encode_fps=self._agent.encode_fps(),
            joules=self._energy.ledger.joules_total(),
            link_percent=self._link.read(),
        )

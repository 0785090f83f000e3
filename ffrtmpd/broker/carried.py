"""What a turn that could not be written must not take with it: all that is only ever in memory.

A job's state, its holder and its token are made anew from the disk. Who is connected, who waits, how far a run is and
how long its lease is are no decisions but what was seen, and stay true.
"""

from collections import deque
from typing import NamedTuple, Self

from ffrtmpd.broker import holding
from ffrtmpd.broker.cluster import HAPPENED_MAX, Cluster, Fetch, Happening, Live
from ffrtmpd.broker.journal import Waiter, Watcher
from ffrtmpd.events import Peer
from ffrtmpd.roster import Candidate, Node, Session


class Carried(NamedTuple):
    """Memory before a turn, in copies that cost a few microseconds at a thousand nodes."""

    sessions: dict[str, Session]
    candidates: dict[Peer, Candidate]
    waiters: dict[Peer, Waiter]
    watchers: dict[Peer, Watcher]
    happened: tuple[Happening, ...]
    fetches: dict[int, Fetch]
    live: dict[int, Live]
    unsaved: set[str]
    busy: dict[int, int]
    revision: int

    @classmethod
    def of(cls, cluster: Cluster) -> Self:
        """Return what to go back to."""
        return cls(
            sessions=cluster.roster.sessions.copy(),
            candidates=cluster.roster.candidates.copy(),
            waiters=cluster.waiters.copy(),
            watchers=cluster.watchers.copy(),
            happened=tuple(cluster.happened),
            fetches=cluster.fetches.copy(),
            live=cluster.live.copy(),
            unsaved=cluster.unsaved.copy(),
            busy=cluster.busy.copy(),
            revision=cluster.journal.revision,
        )

    def give(self, fresh: Cluster, failed: Cluster) -> None:
        """Complete ``fresh``, which was read from the disk; ``failed`` is the memory of the turn that was not kept."""
        fresh.epoch, fresh.life, fresh.started_s = failed.epoch, failed.life, failed.started_s
        fresh.strikes = failed.strikes
        fresh.figures.exemplars = failed.figures.exemplars
        fresh.hour = failed.hour
        fresh.hour.forget()
        fresh.happened = deque(self.happened, maxlen=HAPPENED_MAX)
        for node in fresh.roster:
            seen = failed.roster.get(node.node_id)
            if seen is not None:
                _carry_node(fresh, node, seen)
        for node_id, session in self.sessions.items():
            known = fresh.roster.get(node_id)
            if known is not None:
                fresh.roster.connect(known, session)
                if session.provisional:
                    fresh.provisional.add(node_id)
                fresh.timers.set(("silence", node_id), session.last_heard_s + fresh.settings.silent_s)
        for peer, candidate in self.candidates.items():
            fresh.roster.offer(peer, candidate)
        held = {seq for node in fresh.roster for seq, hold in node.holds.items() if hold.dropped is None}
        fresh.live = {seq: live for seq, live in self.live.items() if seq in held}
        fresh.unsaved = self.unsaved.copy()
        fresh.busy = self.busy.copy()
        self._give_clients(fresh, failed)

    def _give_clients(self, fresh: Cluster, failed: Cluster) -> None:
        fresh.waiters = self.waiters.copy()
        for peer, waiter in fresh.waiters.items():
            fresh.timers.set(("waiter", peer), waiter.until_s)
        fresh.watchers = self.watchers.copy()
        for peer, watcher in fresh.watchers.items():
            fresh.timers.set(("watcher", peer), watcher.until_s)
        fresh.fetches = self.fetches.copy()
        for fetch_id, fetch in fresh.fetches.items():
            fresh.timers.set(("fetch", fetch_id), fetch.until_s)
        # Its numbers never go back. That a job is called changed which is as before costs a client one look.
        fresh.journal = failed.journal
        fresh.journal.refresh(self.revision)


def _carry_node(fresh: Cluster, node: Node, seen: Node) -> None:
    node.address, node.hardware, node.slots = seen.address, seen.hardware, seen.slots
    node.first_seen_at, node.last_seen_at, node.load = seen.first_seen_at, seen.last_seen_at, seen.load
    for seq, before in seen.holds.items():
        held = node.holds.get(seq)
        if held is None:
            if before.dropped is not None:
                # Its job is nobody's or another's by now, and only its node knows when it has stopped.
                holding.wait_for_stop(fresh, node, before)
        elif (held.attempt, held.token) == (before.attempt, before.token):
            # One that the turn released has its full lease again.
            held.started, held.frozen = before.started, held.paused and before.frozen
            held.hardware = before.hardware
            held.lease_s, held.lease_until_s = before.lease_s, before.lease_until_s
            fresh.timers.hasten(("leases", node.node_id), held.lease_until_s)
    if seen.avoided_until_s is not None:
        holding.avoid_encoders(fresh, node, seen.avoided_until_s)
    fresh.roster.changed(node)

"""The brain of the master: ``handle(event, now)`` gives actions, to be done once the turn is on disk."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from ffrtmpd.base.figures import Figures
from ffrtmpd.broker import (
    attempts,
    dispatch,
    explain,
    jobs,
    keys,
    listing,
    many,
    nodes,
    overview,
    retention,
    sessions,
    submissions,
)
from ffrtmpd.broker.carried import Carried
from ffrtmpd.broker.cluster import Cluster, Refusal
from ffrtmpd.broker.journal import Journal
from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.events import Action, Event, GarbageCame, MessageCame, Now, Peer, PeerLost, Side, TimeCame
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.principals import Principal, Principals
from ffrtmpd.randomness import RandomBytes
from ffrtmpd.scenario import Scenarios
from ffrtmpd.store import Store, Unreadable
from ffrtmpd.wire.catalogue import PERMISSIONS, READERS
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages import acts, common, inquiries, session
from ffrtmpd.wire.messages import jobs as job_messages
from ffrtmpd.wire.messages import keys as key_messages
from ffrtmpd.wire.messages import nodes as node_messages
from ffrtmpd.wire.messages import overview as overview_messages
from ffrtmpd.wire.messages.common import Ping, Pong, Problem
from ffrtmpd.wire.vocabulary import ErrorCode, Role

Handlers = dict[type[Message], Callable[..., None]]

_CLIENT: Final[dict[type[Message], Callable[..., Message | None]]] = {
    job_messages.Submit: submissions.submit,
    job_messages.Status: jobs.status,
    job_messages.ListJobs: listing.list_jobs,
    job_messages.Changes: jobs.changes,
    acts.Cancel: jobs.cancel,
    acts.Pause: jobs.pause,
    acts.Resume: jobs.resume,
    acts.Retry: jobs.retry,
    acts.ActOnJobs: many.act,
    inquiries.Logs: jobs.logs,
    inquiries.Explain: explain.explain,
    inquiries.ListScenarios: jobs.list_scenarios,
    overview_messages.Queues: overview.queues,
    overview_messages.Events: overview.events,
    node_messages.ListNodes: nodes.list_nodes,
    node_messages.DescribeNode: nodes.describe_node,
    node_messages.DrainNode: nodes.drain,
    node_messages.UndrainNode: nodes.undrain,
    node_messages.RemoveNode: nodes.remove,
    key_messages.Invite: keys.invite,
    key_messages.Enrol: keys.enrol,
    key_messages.ListKeys: keys.list_keys,
    key_messages.RevokeKey: keys.revoke,
}
_OPENING: Final[Handlers] = {
    session.Hello: sessions.hello,
    session.Ready: sessions.ready,
}
_SESSION: Final[Handlers] = {
    session.Heartbeat: sessions.heartbeat,
    session.Started: attempts.started,
    session.ProgressReport: attempts.progress,
    session.Result: attempts.result,
    session.Committed: attempts.committed,
    session.Bye: sessions.bye,
}
# The same while nothing can be written. Requests that are no reads are refused.
_READS: Final = frozenset({key_messages.ListKeys} | {cls for cls, roles in PERMISSIONS.items() if roles is READERS})
_OPENING_UNWRITTEN: Final[Handlers] = {
    session.Hello: sessions.hello,
    session.Ready: sessions.ready_unwritten,
}
_SESSION_UNWRITTEN: Final[Handlers] = {
    session.Heartbeat: sessions.heartbeat,
    session.Started: attempts.unwritten,
    session.ProgressReport: attempts.unwritten,
    session.Result: attempts.unwritten,
    session.Committed: attempts.unwritten,
    session.Bye: sessions.bye_unwritten,
}
# Timers whose moment changes no job.
_UNWRITTEN_TIMERS: Final = frozenset({"silence", "waiter", "watcher", "fetch"})
# How soon the others are looked at again while nothing can be written.
PUT_OFF_S: Final = 1.0


class Broker:
    """Decides. Knows no socket, no clock and no thread; writes to the store within the turn that its shell opened."""

    def __init__(
        self,
        *,
        store: Store,
        principals: Principals,
        scenarios: Scenarios,
        settings: BrokerSettings,
        random_bytes: Callable[[int], bytes] | None = None,
    ) -> None:
        self._cluster = Cluster(
            store=store,
            principals=principals,
            scenarios=scenarios,
            settings=settings,
            random_bytes=random_bytes or RandomBytes(),
        )
        # Memory before the turn that was begun last: its commit may still fail after it has ended.
        self._before = Carried.of(self._cluster)
        self._in_turn = False

    @property
    def cluster(self) -> Cluster:
        """The working memory, for tests and for metrics to read."""
        return self._cluster

    def open(self, now: Now) -> list[Action]:
        """Begin a new epoch after a start: all that nodes held is theirs for a full lease, nothing is requeued."""
        cluster = self._cluster
        cluster.epoch = cluster.store.epoch_up()
        cluster.store.keep_longest_lease(max(cluster.store.longest_lease(), cluster.settings.longest.give_away_s))
        cluster.life = cluster.random_bytes(session.TOKEN_BYTES)
        cluster.started_s = now.mono_s
        cluster.journal = Journal(cluster.epoch)
        self._remember(now)
        return self._take()

    def reload(self, now: Now) -> list[Action]:
        """Make memory what it was before a turn that could not be committed.

        Nobody has been told anything of that turn. What decisions hang on is read from the disk; sessions, leases and
        clients that wait live on.
        """
        failed = self._cluster
        fresh = self._cluster = Cluster(
            store=failed.store,
            principals=failed.principals,
            scenarios=failed.scenarios,
            settings=failed.settings,
            random_bytes=failed.random_bytes,
        )
        self._remember(now)
        self._before.give(fresh, failed)
        self._in_turn = False
        jobs.tell_waiters(fresh)
        return self._take()

    def _remember(self, now: Now) -> None:
        cluster = self._cluster
        cluster.now = now
        cluster.principals.replace(cluster.store.principals())
        for principal in cluster.principals.everyone():
            if principal.role is Role.WORKER and principal.is_open(now.wall_s):
                cluster.roster.get_or_add(principal.name)
        cluster.queued = dict(cluster.store.ready_classes())
        cluster.figures = Figures(cluster.store.figures())
        cluster.memory_since_s = now.mono_s
        cluster.longest_lease_s = cluster.store.longest_lease()
        # Jobs that had to wait for what workers say may begin then.
        cluster.timers.set(("dispatch", None), now.mono_s + cluster.longest_lease_s)
        sessions.restore(cluster)
        retention.arm(cluster)
        for seq, due_at in cluster.store.waiting():
            cluster.timers.set(("due", seq), now.mono_s + max(0.0, due_at - now.wall_s))

    def foresee(self, events: Sequence[Event]) -> None:
        """Read at once what the events of a turn will ask for one after the other."""
        messages = [event.message for event in events if isinstance(event, MessageCame)]
        keys = [new.key for said in messages if isinstance(said, job_messages.Submit) for new in said.jobs]
        if keys:
            self._cluster.store.foresee(keys)

    def handle(self, event: Event, now: Now) -> list[Action]:
        """Decide what follows from ``event``."""
        self._go_on(now)
        if isinstance(event, MessageCame):
            if event.peer.side is Side.CLIENTS:
                self._client_said(event)
            else:
                self._worker_said(event, _OPENING, _SESSION)
        elif isinstance(event, GarbageCame):
            self._garbage(event)
        elif isinstance(event, PeerLost):
            self._peer_lost(event.peer)
        else:
            self._look_at_clock()
        return self._take()

    def rest(self) -> None:
        """Write what was decided so far: whoever comes before the turn ends finds that done."""
        cluster = self._cluster
        cluster.count_finished()
        cluster.store.flush()

    def settle(self, now: Now) -> list[Action]:
        """End the turn: give jobs to free slots, tell waiting clients what changed."""
        self._go_on(now)
        cluster = self._cluster
        sessions.save(cluster)
        overview.save(cluster)
        dispatch.dispatch(cluster)
        jobs.tell_waiters(cluster)
        self.rest()
        # Once a turn, however often it rested: the same few are counted up again and again.
        cluster.store.add_figures(cluster.figures.take())
        overview.tell_watchers(cluster)
        self._in_turn = False
        return self._take()

    def serve(self, event: Event, now: Now) -> list[Action]:
        """Decide on ``event`` while nothing can be written: a turn of its own that changes nothing on disk.

        Sessions begin, live on and end, reads are answered, and whatever would change a job, a key or a drain is
        refused or put off. Workers say theirs again until it is answered.
        """
        self._begin(now)
        cluster = self._cluster
        match event:
            case MessageCame(peer=peer, message=common.Request() as request) if type(request) not in _READS:
                cluster.refuse(peer, request.request_id, _read_only())
            case MessageCame(peer=peer) if peer.side is Side.CLIENTS:
                self._client_said(event)
            case MessageCame():
                self._worker_said(event, _OPENING_UNWRITTEN, _SESSION_UNWRITTEN)
            case GarbageCame():
                self._garbage(event)
            case PeerLost(peer=peer):
                self._peer_lost(peer)
            case TimeCame():
                self._look_at_clock(_UNWRITTEN_TIMERS)
        jobs.tell_waiters(cluster)
        self._in_turn = False
        return self._take()

    def _go_on(self, now: Now) -> None:
        """Take up the turn, and begin it if this is its first call."""
        if self._in_turn:
            self._cluster.now = now
        else:
            self._begin(now)
            sessions.confirm(self._cluster)

    def _begin(self, now: Now) -> None:
        self._cluster.hour.keep()
        self._before = Carried.of(self._cluster)
        self._in_turn = True
        self._cluster.now = now
        self._cluster.dispatched.clear()

    def wakeup(self) -> float | None:
        """Return the monotonic second at which to call again if nothing comes before."""
        return self._cluster.timers.next()

    def is_awaited(self) -> bool:
        """Tell whether a job waits for the slot of another, or a client for news of jobs."""
        cluster = self._cluster
        return bool(cluster.queued or cluster.resuming or cluster.waiters or cluster.watchers)

    def has_room(self) -> bool:
        """Tell whether a slot is free."""
        return bool(self._cluster.roster.free)

    def _take(self) -> list[Action]:
        taken, self._cluster.out = self._cluster.out, []
        return taken

    # ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _client_said(self, event: MessageCame) -> None:
        cluster, request = self._cluster, event.message
        if not isinstance(request, common.Request):
            return
        # A REQ asks one thing at a time: whatever it waited for before, it has given up.
        if cluster.waiters.pop(event.peer, None) is not None:
            cluster.timers.drop(("waiter", event.peer))
        if cluster.watchers.pop(event.peer, None) is not None:
            cluster.timers.drop(("watcher", event.peer))
        try:
            by = self._allowed(event, request)
            reply = (
                self._pong(request, by)
                if isinstance(request, Ping)
                else _CLIENT[type(request)](cluster, request, by, event.peer)
            )
        except Refusal as refusal:
            cluster.complain(
                "info",
                "refused",
                type=request.TYPE,
                code=refusal.problem.code,
                message=refusal.problem.message,
                user=event.user_id,
            )
            cluster.refuse(event.peer, request.request_id, refusal)
            return
        except Unreadable as error:
            if type(request) not in _READS:
                raise
            cluster.complain("error", "unreadable", type=request.TYPE, reason=str(error), user=event.user_id)
            internal = Refusal(ErrorCode.INTERNAL, str(error), hint="stop ffrtmpd and restore a backup")
            cluster.refuse(event.peer, request.request_id, internal)
            return
        if reply is not None:
            cluster.send(event.peer, reply)

    def _allowed(self, event: MessageCame, request: common.Request) -> Principal:
        by = self._cluster.principals.of(event.user_id, self._cluster.now.wall_s)
        if by is None:
            raise Refusal(
                ErrorCode.NOT_ALLOWED, "this key has been revoked or has expired", hint="ask for an invitation"
            )
        if by.role not in PERMISSIONS[type(request)]:
            raise Refusal(
                ErrorCode.NOT_ALLOWED,
                f"a key with role {by.role} may not {request.TYPE.lower().replace('_', ' ')}",
                hint=f"roles that may: {', '.join(sorted(PERMISSIONS[type(request)]))}",
            )
        return by

    def _pong(self, request: Ping, by: Principal) -> Pong:
        cluster = self._cluster
        return Pong(
            request_id=request.request_id,
            version=cluster.settings.version,
            cluster=cluster.settings.cluster,
            epoch=cluster.epoch,
            uptime_s=cluster.now.mono_s - cluster.started_s,
            principal=by.name,
            role=by.role,
            workers_port=cluster.settings.workers_port,
        )

    # ── workers ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _worker_said(self, event: MessageCame, openings: Handlers, handlers: Handlers) -> None:
        cluster, message, peer = self._cluster, event.message, event.peer
        by = cluster.principals.of(event.user_id, cluster.now.wall_s)
        if by is None or by.role is not Role.WORKER:
            problem = Problem(code=ErrorCode.NOT_ALLOWED, message="this key has been revoked")
            cluster.send(peer, session.Denied(problem=problem))
            return
        opening = openings.get(type(message))
        if opening is not None:
            opening(cluster, message, by, peer, event.address)
            return
        node = cluster.roster.connected_as(peer)
        if node is None:
            cluster.send(peer, session.Reset())
            return
        sessions.heard(cluster, node)
        if isinstance(message, session.LogChunk):
            jobs.log_came(cluster, message, node.node_id)
        else:
            handlers[type(message)](cluster, message, node)

    def _peer_lost(self, peer: Peer) -> None:
        cluster = self._cluster
        cluster.roster.candidates.pop(peer, None)
        cluster.waiters.pop(peer, None)
        cluster.watchers.pop(peer, None)
        node = cluster.roster.connected_as(peer)
        if node is not None:
            sessions.offline(cluster, node, why="connection lost")

    # ── the rest ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _garbage(self, event: GarbageCame) -> None:
        cluster, problem = self._cluster, event.problem
        cluster.complain(
            "warning",
            "garbage",
            side=event.peer.side,
            user=event.user_id,
            code=problem.code,
            message=problem.message,
            type=problem.type_name or None,
        )
        refusal = Refusal(problem.code, problem.message)
        if event.peer.side is Side.CLIENTS:
            cluster.refuse(event.peer, problem.request_id or "", refusal)
        else:
            cluster.send(event.peer, session.Denied(problem=refusal.problem))

    def _look_at_clock(self, kinds: frozenset[str] | None = None) -> None:
        """Do what is due, or only what is of those kinds; the rest is put off."""
        cluster = self._cluster
        for kind, whom in cluster.timers.due(cluster.now.mono_s):
            if kinds is not None and kind not in kinds:
                cluster.timers.set((kind, whom), cluster.now.mono_s + PUT_OFF_S)
                continue
            match kind:
                case "due":
                    self._job_due(whom)
                case "silence":
                    sessions.silence(cluster, whom)
                case "leases":
                    sessions.leases_due(cluster, whom)
                case "drain":
                    nodes.drain_over(cluster, whom)
                case "dispatch":
                    # Each turn ends with it. Whoever was silent until now has fenced itself, and whoever was not has
                    # been told the longest fence of the present settings.
                    cluster.store.keep_longest_lease(cluster.settings.longest.give_away_s)
                case "encoders":
                    attempts.encoders_free(cluster, whom)
                case "waiter":
                    jobs.wait_over(cluster, whom)
                case "watcher":
                    overview.watch_over(cluster, whom)
                case "fetch":
                    jobs.fetch_over(cluster, whom)
                case "retention":
                    retention.step(cluster)

    def _job_due(self, seq: Any) -> None:
        row = self._cluster.store.job(seq)
        if row is not None and row.due_at is not None:
            self._cluster.walk(row, ((JobEvent.DUE, None, {}),))


def _read_only() -> Refusal:
    return Refusal(
        ErrorCode.READ_ONLY,
        "the master's disk takes no writes now; nothing was changed",
        hint="make room on the master's disk, then try again",
        retryable=True,
    )

"""Rules of the protocol switched off, one at a time. A simulator that lets one of them pass proves nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from unittest.mock import patch

from ffrtmp_worker.agent import Agent
from ffrtmp_worker.attempt import Attempt
from ffrtmp_worker.begun import Begun
from ffrtmp_worker.events import Action, Event, MessageCame, Publish
from ffrtmp_worker.finished import Finished, Stage
from ffrtmp_worker.spool import Entry, Fate
from ffrtmpd.broker import attempts, broker, dispatch, holding, sessions, submissions
from ffrtmpd.broker.cluster import Cluster
from ffrtmpd.broker.holding import Loss
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.roster import Hold, Node
from ffrtmpd.store import JobRow, NewJob, Store, effects
from ffrtmpd.store.effects import Columns
from ffrtmpd.store.records import JOB_COLUMNS
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.session import About, Assign
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState, Outcome, Phase
from tests.simulator.disk import Disk
from tests.simulator.master import Master
from tests.simulator.plan import CrashPoint
from tests.simulator.referee import Rule

Patch = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule switched off. ``profiles`` are where it matters, ``caught_by`` what it breaks."""

    name: str
    profiles: tuple[str, ...]
    caught_by: frozenset[Rule]
    patches: Callable[[], list[Patch]]

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Switch the rule off for a while."""
        with ExitStack() as stack:
            for owner, attribute, instead in self.patches():
                stack.enter_context(patch.object(owner, attribute, instead))
            yield


# ── the master ────────────────────────────────────────────────────────────────────────────────────────────────────


def _no_fence_check() -> list[Patch]:
    def holder(cluster: Cluster, message: About, node: Node) -> JobRow | None:
        row = attempts._find(cluster, message)
        return None if row is None or row.state in TERMINAL_STATES or row.node_id is None else row

    return [(attempts, "_holder", holder)]


def _no_idempotency_key() -> list[Patch]:
    numbers = count()

    def new_job(**fields: Any) -> NewJob:
        return NewJob(**{**fields, "key": f"{fields['key']}-{next(numbers)}"})

    return [(submissions, "NewJob", new_job)]


def _repeated_attempt() -> list[Patch]:
    real, place = effects.let_happen, JOB_COLUMNS.index("attempt")

    def let_happen(columns: Columns, event: JobEvent, why: str | None, at: float) -> tuple[JobState, JobState]:
        attempt = columns[place]
        states = real(columns, event, why, at)
        if event is JobEvent.ASSIGN:
            columns[place] = max(attempt, 1)
        return states

    return [(effects, "let_happen", let_happen)]


def _reply_before_commit() -> list[Patch]:
    def conclude(self: Master, actions: list[Any]) -> None:
        self._perform(actions)
        self.come_to(CrashPoint.BEFORE_COMMIT, writes=self.writes)
        self.store.commit()

    return [(Master, "_conclude", conclude)]


def _requeue_on_restart() -> list[Patch]:
    real = sessions.restore

    def restore(cluster: Cluster) -> None:
        real(cluster)
        for row in cluster.store.held_by_nodes():
            holding.release(cluster, cluster.roster.get_or_add(row.node_id or ""), row.seq)
            holding.requeue(cluster, row, why="the master was restarted")

    return [(sessions, "restore", restore)]


def _published_is_given_away() -> list[Patch]:
    real = sessions._lease_over

    def lease_over(cluster: Cluster, node: Node, hold: Hold) -> None:
        row = cluster.store.job(hold.seq)
        if row is not None and row.phase is Phase.PUBLISHING:
            holding.release(cluster, node, hold.seq)
            holding.requeue(cluster, row, why=f"{node.node_id} was lost", loss=Loss.SILENT)
        else:
            real(cluster, node, hold)

    return [(sessions, "_lease_over", lease_over)]


def _stop_is_not_waited_for() -> list[Patch]:
    return [(dispatch, "_may_begin", lambda *_: True)]


def _terms_of_an_earlier_life_are_forgotten() -> list[Patch]:
    # A store that was opened by this life knows what this life has kept.
    kept: dict[int, float] = {}
    opened: list[Store] = []

    def keep(self: Store, lease_s: float) -> None:
        opened.append(self)
        kept[id(self)] = lease_s

    return [(Store, "keep_longest_lease", keep), (Store, "longest_lease", lambda self: kept.get(id(self), 0.0))]


def _no_greeting_while_read_only() -> list[Patch]:
    openings: dict[type[Message], Any] = {kind: lambda *_: None for kind in broker._OPENING_UNWRITTEN}
    return [(broker, "_OPENING_UNWRITTEN", openings)]


def _memory_of_a_turn_not_kept() -> list[Patch]:
    return [(broker.Broker, "reload", lambda *_: [])]


# ── the worker ────────────────────────────────────────────────────────────────────────────────────────────────────


def _no_resend() -> list[Patch]:
    real = Finished.resend
    told: set[tuple[int, Stage]] = set()
    kept: list[Finished] = []

    def resend(self: Finished, now_s: float) -> list[Action]:
        # Kept, so that the number of one that is gone is not given to another.
        kept.append(self)
        if (id(self), self.stage) in told:
            return []
        told.add((id(self), self.stage))
        return real(self, now_s)

    return [(Finished, "resend", resend), (Finished, "wakeup", lambda _: None)]


def _no_spool() -> list[Patch]:
    real = Disk.recall

    def recall(self: Disk) -> list[tuple[Entry, Fate]]:
        self.spool.clear()
        return real(self)

    return [(Disk, "recall", recall)]


def _publish_without_commit() -> list[Patch]:
    real = Finished._answer

    def answer(self: Finished, now_s: float) -> list[Action]:
        actions = real(self, now_s)
        if self.outcome is Outcome.ENCODED and self._entry.partial is not None:
            self.stage = Stage.PUBLISHING
            actions.append(Publish(self._entry))
        return actions

    return [(Finished, "_answer", answer)]


def _no_fence() -> list[Patch]:
    return [(Agent, "_fenced_at", lambda *_: None)]


def _fence_of_another_queue() -> list[Patch]:
    def fenced_at(self: Agent, attempt: Attempt) -> float | None:
        longest_s = self.session.fence_s
        return None if longest_s is None or not attempt.reaches_audience else attempt.leased_at + longest_s

    return [(Agent, "_fenced_at", fenced_at)]


def _lease_by_any_traffic() -> list[Patch]:
    real = Agent.handle

    def handle(self: Agent, event: Event, now_s: float) -> list[Action]:
        actions = real(self, event, now_s)
        if isinstance(event, MessageCame):
            for attempt in self._attempts.values():
                attempt.leased_from(now_s)
        return actions

    return [(Agent, "handle", handle)]


def _no_assign_dedup() -> list[Patch]:
    real = Agent.handle

    def handle(self: Agent, event: Event, now_s: float) -> list[Action]:
        if isinstance(event, MessageCame) and isinstance(event.message, Assign):
            key = (event.message.job_id, event.message.attempt)
            self._attempts.pop(key, None)
            self._finished.pop(key, None)
            self._begun = Begun()
        return real(self, event, now_s)

    return [(Agent, "handle", handle)]


def _highest_attempt_is_forgotten() -> list[Patch]:
    return [(Begun, "remember", lambda *_: None)]


MUTANTS: Final = (
    Mutant(
        name="results are taken from any attempt",
        profiles=("wire", "harsh"),
        caught_by=frozenset({Rule.ONE_PUBLISHER, Rule.ONE_PUSH, Rule.LEASED}),
        patches=_no_fence_check,
    ),
    Mutant(
        name="a submit's key is not looked at",
        profiles=("harsh",),
        caught_by=frozenset({Rule.ACKNOWLEDGED_ONCE}),
        patches=_no_idempotency_key,
    ),
    Mutant(
        name="attempts have the same number",
        profiles=("calm", "wire"),
        caught_by=frozenset({Rule.AUDIT_IS_A_PATH, Rule.BEGUN_ONCE}),
        patches=_repeated_attempt,
    ),
    Mutant(
        name="replies leave before the commit",
        profiles=("outage", "wire"),
        caught_by=frozenset({Rule.ACKNOWLEDGED_ONCE, Rule.BEGUN_ONCE, Rule.ONE_PUBLISHER, Rule.AUDIT_IS_A_PATH}),
        patches=_reply_before_commit,
    ),
    Mutant(
        name="a result is told once",
        profiles=("outage",),
        caught_by=frozenset({Rule.NO_WASTE, Rule.ALL_TERMINAL, Rule.NOTHING_LEFT}),
        patches=_no_resend,
    ),
    Mutant(
        name="a restarted worker knows nothing of its results",
        profiles=("wire",),
        caught_by=frozenset({Rule.ONE_PUBLISHER, Rule.NOTHING_LEFT}),
        patches=_no_spool,
    ),
    Mutant(
        name="a worker publishes without leave",
        profiles=("wire",),
        caught_by=frozenset({Rule.ONE_PUBLISHER}),
        patches=_publish_without_commit,
    ),
    Mutant(
        name="a restarted master queues anew what runs",
        profiles=("outage",),
        caught_by=frozenset({Rule.NO_WASTE, Rule.ONE_PUBLISHER, Rule.ONE_PUSH}),
        patches=_requeue_on_restart,
    ),
    Mutant(
        name="a master that cannot write greets nobody",
        profiles=("disk",),
        caught_by=frozenset({Rule.NO_FENCE, Rule.NO_WASTE}),
        patches=_no_greeting_while_read_only,
    ),
    Mutant(
        name="memory is not undone with its turn",
        profiles=("disk",),
        caught_by=frozenset({Rule.LEASED, Rule.COUNTS, Rule.STANDS, Rule.SLOTS}),
        patches=_memory_of_a_turn_not_kept,
    ),
    Mutant(
        name="a push is not fenced",
        profiles=("push",),
        caught_by=frozenset({Rule.ONE_PUSH}),
        patches=_no_fence,
    ),
    Mutant(
        name="a push has the fence of another queue",
        profiles=("push",),
        caught_by=frozenset({Rule.ONE_PUSH}),
        patches=_fence_of_another_queue,
    ),
    Mutant(
        name="a restarted master forgets the terms that it named before",
        profiles=("settings",),
        caught_by=frozenset({Rule.ONE_PUSH}),
        patches=_terms_of_an_earlier_life_are_forgotten,
    ),
    Mutant(
        name="any traffic renews a lease",
        profiles=("uplink",),
        caught_by=frozenset({Rule.ONE_PUSH}),
        patches=_lease_by_any_traffic,
    ),
    Mutant(
        name="an assignment that comes twice runs twice",
        profiles=("harsh", "wire"),
        caught_by=frozenset({Rule.BEGUN_ONCE}),
        patches=_no_assign_dedup,
    ),
    Mutant(
        name="a worker forgets which attempts it has had",
        profiles=("harsh",),
        caught_by=frozenset({Rule.BEGUN_ONCE, Rule.ONE_PUSH}),
        patches=_highest_attempt_is_forgotten,
    ),
    Mutant(
        name="a job that is being published is given away",
        profiles=("harsh",),
        caught_by=frozenset({Rule.ONE_PUBLISHER}),
        patches=_published_is_given_away,
    ),
    Mutant(
        name="a stopped push is not waited for",
        profiles=("push", "wire"),
        caught_by=frozenset({Rule.ONE_PUSH}),
        patches=_stop_is_not_waited_for,
    ),
)

"""The working memory that all handlers of the broker share, and the few moves that more than one of them makes."""

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from ffrtmpd.base.figures import Exemplar, Figures
from ffrtmpd.broker.hour import Hour
from ffrtmpd.broker.journal import Journal, Waiter, Watcher
from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.broker.strikes import Strikes
from ffrtmpd.events import Action, Note, Now, Peer, Send
from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.placement import Need, why_waiting
from ffrtmpd.principals import Principals
from ffrtmpd.roster import Ability, Node, Roster
from ffrtmpd.scenario import Scenarios
from ffrtmpd.sla import judge
from ffrtmpd.store import JobChanges, JobRow, Order, Step, Store
from ffrtmpd.timers import Timers
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.common import Error, Problem
from ffrtmpd.wire.messages.inquiries import Logs
from ffrtmpd.wire.messages.jobs import JobView, Progress
from ffrtmpd.wire.vocabulary import (
    TERMINAL_STATES,
    ErrorCode,
    JobState,
    Phase,
    Queue,
    Role,
    Sla,
    Why,
)

MASTER = "master"


_WAITS = frozenset({JobState.QUEUED, JobState.ASSIGNED})
# Asked of each move of a job. A member of an enumeration takes Python 3.11 70 ns to look up, a name a tenth of that.
_PENDING, _QUEUED, _PAUSED, _CANCELED = JobState.PENDING, JobState.QUEUED, JobState.PAUSED, JobState.CANCELED


class Refusal(Exception):
    """A request that is answered with an error and changes nothing."""

    def __init__(self, code: ErrorCode, message: str, *, hint: str | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.problem = Problem(code=code, message=message[:2_048], hint=hint, retryable=retryable)


@dataclass(frozen=True, slots=True)
class Fetch:
    """A client that waits, until ``until_s``, for a node to send a piece of a log."""

    peer: Peer
    role: Role
    request: Logs
    job_id: str
    attempt: int
    node_id: str
    until_s: float


@dataclass(frozen=True, slots=True)
class Live:
    """What a running attempt last said of itself. Kept in memory: losing it with the master loses nothing."""

    phase: Phase = Phase.ENCODING
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a node or a key, to be written. ``at`` is in Unix seconds."""

    event: str
    at: float
    who: str
    why: str | None
    node_id: str | None


# While nothing can be written, so many are kept.
HAPPENED_MAX = 1_000

# Timers are named by what they are for and whom they concern.
TimerKey = tuple[str, Any]


class Cluster:
    """Store, roster and everything else that a turn works on.

    ``now`` is the time of the event being handled; ``out`` gathers the actions of the turn.
    """

    def __init__(
        self,
        *,
        store: Store,
        principals: Principals,
        scenarios: Scenarios,
        settings: BrokerSettings,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.store = store
        self.principals = principals
        self.scenarios = scenarios
        self.settings = settings
        self.random_bytes = random_bytes
        self.roster = Roster()
        self.timers: Timers[TimerKey] = Timers()
        self.epoch = 0
        self.life = b""
        self.started_s = 0.0
        self.journal = Journal(0)
        self.queued: dict[str, int] = {}
        # What jobs of a spec have in common, by the identity of the spec that it holds.
        self.orders: dict[int, Order] = {}
        self.live: dict[int, Live] = {}
        self.resuming: dict[int, str] = {}
        # Jobs by how often in a row the hardware encoders of their nodes had no room.
        self.busy: dict[int, int] = {}
        # Nodes of which a restart shall know more than is on disk; written at the end of the turn.
        self.unsaved: set[str] = set()
        # Nodes whose session began while nothing could be written.
        self.provisional: set[str] = set()
        # Why classes wait, and the abilities for which that is so.
        self._reasons: dict[str, Why | None] = {}
        self._reasons_for: frozenset[Ability] = frozenset()
        # Jobs with side effects by the number of their runs that were told to stop and may not have yet.
        self.stopping: Counter[int] = Counter()
        # From when on memory has seen all that was said; before, a worker may run what is not known here.
        self.memory_since_s = 0.0
        # What a node that has not greeted since may have been told; see ``sessions.restore``.
        self.longest_lease_s = 0.0
        self.hour = Hour()
        self.happened: deque[Happening] = deque(maxlen=HAPPENED_MAX)
        self.watchers: dict[Peer, Watcher] = {}
        self.waiters: dict[Peer, Waiter] = {}
        self.fetches: dict[int, Fetch] = {}
        self.strikes = Strikes()
        # What is counted of jobs, for as long as the database lives.
        self.figures = Figures()
        # How far the wall clock was ahead of the monotonic one when something was to be removed last.
        self.clock_offset_s = 0.0
        # What was removed since the last line about it in the log.
        self.purged: Counter[str] = Counter()
        # When the jobs that were assigned in this turn had been queued, Unix seconds.
        self.dispatched: list[float] = []
        # What completed or failed in this turn and is not counted yet.
        self.finished: list[JobRow] = []
        self.now = Now(0.0, 0.0)
        self.out: list[Action] = []

    # ── what a turn says ──────────────────────────────────────────────────────────────────────────────────────────

    def send(self, peer: Peer, message: Message) -> None:
        """Send once the turn is on disk."""
        self.out.append(Send(peer, message))

    def tell(self, node: Node, message: Message) -> None:
        """Send to a node, if it is connected; what it misses its beats bring up again."""
        if node.session is not None:
            self.send(node.session.peer, message)

    def note(self, level: str, event: str, **fields: Any) -> None:
        """Log once the turn is on disk."""
        self.out.append(Note(level, event, fields))

    def happen(self, event: str, *, node_id: str | None, who: str = MASTER, why: str | None = None) -> None:
        """Record what happened to a node or a key, as soon as something can be written."""
        self.happened.append(Happening(event, self.now.wall_s, who, why, node_id))

    def refuse(self, peer: Peer, request_id: str, refusal: Refusal) -> None:
        """Answer a request with an error."""
        self.send(peer, Error(request_id=request_id, problem=refusal.problem))

    def complain(self, level: str, event: str, *, user: str, **fields: Any) -> None:
        """Log what a peer did wrong, unless it has filled its share of the log."""
        loud, silent = self.strikes.count(user, self.now.mono_s)
        if silent:
            self.note("warning", "complaints_not_logged", user=user, count=silent)
        if loud:
            self.note(level, event, user=user, **fields)

    # ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def move(
        self,
        row: JobRow,
        event: JobEvent,
        *,
        who: str = MASTER,
        why: str | None = None,
        **changes: Unpack[JobChanges],
    ) -> JobRow:
        """Move a job along the transition table, and log it.

        Raises:
            IllegalTransition: the table knows no such move; nothing changed.
        """
        moved = self.walk(row, ((event, why, changes),), who=who)
        self.note(
            "info",
            "job",
            job=moved.job_id,
            was=row.state,
            state=moved.state,
            by=who,
            node=moved.node_id,
            attempt=moved.attempt or None,
            why=why,
        )
        return moved

    def walk(self, row: JobRow, steps: Sequence[Step], *, who: str = MASTER) -> JobRow:
        """Move a job along the transition table, by steps of one moment, and keep what memory holds of it in step.

        What happens to nearly every job stands in its history; a line in the log for each would be most of the log.

        Raises:
            IllegalTransition: the table knows no such move; nothing changed.
        """
        moved = self.store.walk(row.seq, steps, expect_attempt=row.attempt, at=self.now.wall_s, who=who)
        if row.state is _QUEUED:
            self._left_queue(row)
        elif row.state is _PENDING:
            self.timers.drop(("due", row.seq))
        self.entered(moved)
        return moved

    def entered(self, row: JobRow) -> None:
        """Take note of the state that a job is in now."""
        state, seq = row.state, row.seq
        self.figures.count("jobs", state)
        if state is _QUEUED:
            self.queued[row.requires] = self.queued.get(row.requires, 0) + 1
            if (why := self.why_waiting(row.requires)) is not None:
                self.figures.count("schedule", why)
        elif state is _PENDING:
            if row.due_at is not None:
                self.timers.set(("due", seq), self.now.mono_s + max(0.0, row.due_at - self.now.wall_s))
            self.busy.pop(seq, None)
        elif state in TERMINAL_STATES:
            self.hour.note(row, self.now.mono_s)
            self.busy.pop(seq, None)
            if state is not _CANCELED:
                self.finished.append(row)
        if self.resuming and state is not _PAUSED:
            self.resuming.pop(seq, None)
        if self.live and (row.node_id is None or state in TERMINAL_STATES):
            self.live.pop(seq, None)
        self.journal.touch(seq)

    def sla(self, row: JobRow) -> Sla | None:
        """Return how a job was served, None while that is not known."""
        return judge(row, self.settings.sla, loss_limit=self.settings.loss_limit)

    def count_finished(self) -> None:
        """Count what finished in this turn: all together, which takes half of what it would take one by one."""
        finished, self.finished = self.finished, []
        for queue in {row.queue for row in finished}:
            rows = [row for row in finished if row.queue is queue]
            self._observe("wait", [row.waited_s for row in rows], rows, queue)
            self._observe("duration", [row.processed_s for row in rows], rows, queue)
            served = [sla for row in rows if (sla := self.sla(row)) is not None]
            for sla in set(served):
                self.figures.count("sla", queue, sla, by=served.count(sla))

    def _observe(self, metric: str, seconds: Sequence[float], rows: Sequence[JobRow], queue: Queue) -> None:
        wall_s = self.now.wall_s

        def exemplar(place: int) -> Exemplar:
            return Exemplar(rows[place].job_id, seconds[place], wall_s)

        self.figures.observe_all(metric, seconds, queue, exemplar=exemplar)

    def _left_queue(self, row: JobRow) -> None:
        left = self.queued[row.requires] - 1
        if left:
            self.queued[row.requires] = left
        else:
            del self.queued[row.requires]

    def view(self, row: JobRow) -> JobView:
        """Return a job as clients see it, with what its node last said."""
        live = self.live.get(row.seq)
        now_s = max(self.now.wall_s, row.state_at)
        reason = self.why_waiting(row.requires) if row.state is JobState.QUEUED else row.reason
        return JobView(
            job_id=row.job_id,
            scenario=row.scenario,
            state=row.state,
            phase=live.phase if live and row.phase is Phase.ENCODING else row.phase,
            queue=row.queue,
            priority=row.priority,
            engine=row.spec.engine,
            progress=self._shown(row, live.progress if live and live.progress else row.progress),
            node_id=row.node_id,
            attempt=row.attempt,
            max_attempts=row.max_attempts,
            losses=row.losses,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            due_at=row.due_at,
            reason=reason,
            output=row.output or row.spec.output,
            waited_s=row.waited_s + (now_s - row.state_at if row.state in _WAITS else 0.0),
            processed_s=row.processed_s + (now_s - row.state_at if row.state is JobState.PROCESSING else 0.0),
            vmaf=row.vmaf,
            qoe=row.qoe,
            energy_j=row.energy_j,
            joules_per_minute=row.joules_per_minute,
            exit_code=row.exit_code if row.state is JobState.FAILED else None,
            sla=self.sla(row),
            revision=self.journal.of(row.seq),
        )

    def why_waiting(self, requires: str) -> Why | None:
        """Return why no connected node can run queued jobs of this class; the same is asked for every job."""
        abilities = self.roster.abilities
        if self._reasons_for is not abilities:
            self._reasons, self._reasons_for = {}, abilities
        if requires not in self._reasons:
            self._reasons[requires] = why_waiting(Need.parse(requires), abilities)
        return self._reasons[requires]

    def _shown(self, row: JobRow, progress: Progress | None) -> Progress | None:
        """Return ``progress`` without what was true only while the encoder ran and its node was heard."""
        node = self.roster.get(row.node_id)
        if progress is None or (row.state is JobState.PROCESSING and node is not None and node.session is not None):
            return progress
        return dataclasses.replace(progress, fps=None, speed=None, eta_s=None)


def full(progress: Progress) -> Progress:
    """Return the progress of a completed job: what was last measured, at 100 percent."""
    return dataclasses.replace(progress, percent=100.0, eta_s=None)

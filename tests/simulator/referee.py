"""What must never happen, looked at whenever it could."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from ffrtmp_worker.events import AttemptId
from ffrtmpd.lifecycle import INITIAL, TRANSITIONS, JobEvent
from ffrtmpd.roster import Roster
from ffrtmpd.store import job_id, parse_job_ref
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState, OutputMode, Phase
from tests.master.house import free_now, listed_as_free
from tests.simulator.clockwork import Clockwork
from tests.simulator.media import Child, Course
from tests.simulator.plan import Fault, Plan

# What an agent says that has seen a later attempt of the job.
OVERTAKEN: Final = "a later attempt was begun here"
# For the restored master to start, and for what it tells to be done.
RESTORE_S: Final = 12.0

Peek = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


class Rule(StrEnum):
    """The invariants."""

    ACKNOWLEDGED_ONCE = "an acknowledged submit exists exactly once"
    ACKNOWLEDGED_ACT = "an acknowledged act is on record"
    ONE_TERMINAL_STATE = "a terminal state is final, an operator's retry aside"
    AUDIT_IS_A_PATH = "the audit trail is a path of the transition table and ends where the job is"
    ONE_PUBLISHER = "one attempt publishes, and it is the recorded winner"
    BEGUN_ONCE = "no attempt begins twice"
    SLOTS = "a worker never runs more than its slots, nor does the master give it more"
    ONE_PUSH = "no two live runs of a job whose output has side effects"
    NO_WASTE = "an outage of the master alone, or of its disk, runs nothing again"
    NO_FENCE = "no push is fenced while its worker and its master are well"
    ALL_TERMINAL = "every job is terminal once everything works again"
    LEASED = "whoever holds a job holds it under a lease"
    NOTHING_LEFT = "nothing is left behind: no process, no partial output, no unanswered result, no slot taken"
    FREE_LISTED = "the nodes listed as free are those that are, in their order"
    COUNTS = "the figures kept in memory are those of the store"
    IN_ORDER = "on a wire that keeps the order, no assignment is overtaken"
    STANDS = "no message and no moment brings a daemon down, or keeps it turning"


class Violation(AssertionError):
    """A rule was broken."""

    def __init__(self, rule: Rule, detail: str, at_s: float) -> None:
        super().__init__(f"{rule}: {detail} (at {at_s:.3f} s)")
        self.rule, self.detail, self.at_s = rule, detail, at_s


@dataclass(frozen=True, slots=True)
class Output:
    """A file: which attempt wrote it."""

    attempt: AttemptId
    inode: int


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A child and where it runs."""

    node: str
    child: Child


@dataclass(slots=True)
class Trail:
    """What the audit rows of a job have said so far."""

    state: JobState
    attempt: int = 0
    completed: int = 0


_ON_NODES: Final = (
    "SELECT seq, node_id, attempt, token FROM jobs "
    "WHERE state IN ('assigned', 'processing', 'paused') AND node_id IS NOT NULL"
)
_PUBLISHING: Final = "SELECT seq, attempt FROM jobs WHERE state = 'processing' AND phase = 'publishing'"
_NEW_AUDIT: Final = (
    "SELECT id, job_seq, from_state, to_state, event, attempt, who, why FROM audit WHERE id > ? AND job_seq > 0 "
    "ORDER BY id"
)


class Referee:
    """Watches a world. ``trace`` takes a line for everything that happens; None for none."""

    def __init__(self, plan: Plan, clock: Clockwork, trace: list[str] | None) -> None:
        self._plan, self._clock, self._trace = plan, clock, trace
        self.peek: Peek = lambda *_: []
        self._audited = 0
        self.trails: dict[int, Trail] = {}
        self._begun: dict[tuple[str, int, bytes], str] = {}
        self._published: defaultdict[str, set[int]] = defaultdict(set)
        self._given_up: defaultdict[str, set[int]] = defaultdict(set)
        self._publishing: set[tuple[Any, ...]] = set()
        self._pushing: defaultdict[str, list[Run]] = defaultdict(list)
        self._excused: set[str] = set()
        self._acknowledged: dict[str, str] = {}
        self._acts: list[tuple[tuple[str, ...], str, str]] = []
        self._copy: tuple[int, dict[int, Trail], dict[str, str], list[tuple[tuple[str, ...], str, str]]] | None = None
        self._restored_until_s = 0.0
        self._twins = any(mishap.fault is Fault.TWIN for mishap in plan.mishaps)

    # ── the trace ─────────────────────────────────────────────────────────────────────────────────────────────────

    def say(self, who: str, what: str, message: Message | None = None, /, **fields: object) -> None:
        """Write a line of the trace."""
        if self._trace is None:
            return
        said = [] if message is None else [_short(message)]
        said += [f"{name}={value}" for name, value in fields.items() if value is not None]
        self._trace.append(f"{self._clock.now_s:9.3f}  {who:<9}{what} {' '.join(said)}")

    def _broken(self, rule: Rule, detail: str) -> Violation:
        self.say("RULE", f"broken: {rule}: {detail}")
        return Violation(rule, detail, self._clock.now_s)

    # ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────

    def acknowledged(self, intent: str, job: str) -> None:
        """A client was told that what it wants is that job."""
        known = self._acknowledged.setdefault(intent, job)
        if known != job:
            raise self._broken(Rule.ACKNOWLEDGED_ONCE, f"{intent} was answered with {known}, then with {job}")
        if not self.peek("SELECT 1 FROM jobs WHERE seq = ?", (parse_job_ref(job),)):
            raise self._broken(Rule.ACKNOWLEDGED_ONCE, f"{intent} was answered with {job}, which is not stored")

    def acted(self, events: tuple[str, ...], job: str, who: str) -> None:
        """A client was told that its act, recorded as one of ``events``, is on disk."""
        self._acts.append((events, job, who))

    # ── workers ───────────────────────────────────────────────────────────────────────────────────────────────────

    def begun(self, node: str, assign: Assign) -> None:
        """An agent takes an assignment up."""
        run = (assign.job_id, assign.attempt, assign.token)
        known = self._begun.get(run)
        if known is not None:
            raise self._broken(Rule.BEGUN_ONCE, f"{run[:2]} on {known}, and now on {node}")
        self._begun[run] = node

    def noted(self, node: str, event: str, fields: dict[str, object]) -> None:
        """An agent wrote a line to its log."""
        self.say(node, event, **fields)
        if event == "push_fenced" and self._plan.profile == "disk":
            raise self._broken(Rule.NO_FENCE, f"{fields['job']} on {node}")
        if event == "assignment_refused" and fields.get("reason") == OVERTAKEN and not self._plan.loss:
            raise self._broken(Rule.IN_ORDER, f"{node} refuses {fields['job']} attempt {fields['attempt']}")

    def spawned(self, run: Run, *, busy: int, slots: int) -> None:
        """A child was started."""
        self.say(run.node, "runs", job=run.child.spawn.attempt, child=run.child.spawn.child, argv=run.child.spawn.argv)
        if busy > slots and self._clock.now_s >= self._restored_until_s:
            raise self._broken(Rule.SLOTS, f"{run.node} runs {busy} attempts in {slots} slots")
        if run.child.encodes and run.child.spawn.partial is None:
            job = run.child.spawn.attempt[0]
            self._pushing[job].append(run)
            self._check_pushes(job)

    def ended(self, child: Child) -> None:
        """A child has ended, or will do nothing any more."""
        runs = self._pushing.get(child.spawn.attempt[0])
        if runs:
            runs[:] = [run for run in runs if run.child is not child]

    def excuse(self, node: str) -> None:
        """The agent stands still and its children do not: nobody could fence them."""
        self._excused.add(node)

    def unexcuse(self, node: str) -> None:
        """The agent has had its turn."""
        self._excused.discard(node)
        self._check_all_pushes()

    def _check_pushes(self, job: str) -> None:
        if self._twins or self._clock.now_s < self._restored_until_s:
            # Two machines with one key are one node to the master. And a run begun after the copy is not known to a
            # master that was restored from it, until its worker greets or fences it.
            return
        live = [
            run
            for run in self._pushing[job]
            if run.child.live and not run.child.stands_still and run.node not in self._excused
        ]
        if len(live) > 1:
            where = " and ".join(f"{run.node} (attempt {run.child.spawn.attempt[1]})" for run in live)
            raise self._broken(Rule.ONE_PUSH, f"{job} runs on {where}")

    def published(self, node: str, attempt: AttemptId) -> None:
        """A file got its final name."""
        job, number = attempt
        self.say(node, "renames", job=job, attempt=number)
        self._published[job].add(number)
        if self._twins or number in self._given_up[job]:
            return
        seq = parse_job_ref(job)
        columns = "state, phase, attempt, node_id"
        state, phase, current, holder = self.peek(f"SELECT {columns} FROM jobs WHERE seq = ?", (seq,))[0]  # noqa: S608
        wins = current == number and holder == node
        if wins and (state == JobState.COMPLETED or phase == Phase.PUBLISHING):
            return
        detail = f"{node} publishes {job} attempt {number}, which is {state}, {phase}, attempt {current} on {holder}"
        raise self._broken(Rule.ONE_PUBLISHER, detail)

    # ── the master ────────────────────────────────────────────────────────────────────────────────────────────────

    def committed(self) -> None:
        """A turn is on disk."""
        for number, seq, before, after, event, attempt, who, why in self.peek(_NEW_AUDIT, (self._audited,)):
            self._audited = number
            removed = event == JobEvent.REQUEUE and (why or "").endswith("was removed")
            if (event == JobEvent.CANCEL or removed) and (seq, attempt) in self._publishing:
                # Nobody can know whether its node, which is away, has published already.
                self._given_up[job_id(seq)].add(attempt)
            self._follow(seq, before, JobState(after), event, attempt)
            self.say("store", f"{job_id(seq)} {before} → {after}", event=event, attempt=attempt, by=who)
        self._publishing = set(self.peek(_PUBLISHING, ()))

    def _follow(self, seq: int, before: str | None, after: JobState, event: str, attempt: int) -> None:
        trail = self.trails.get(seq)
        if before is None:
            if trail is not None or after not in INITIAL or event != "submit":
                raise self._broken(Rule.AUDIT_IS_A_PATH, f"{job_id(seq)} is submitted as {after} by {event}")
            self.trails[seq] = Trail(after)
            return
        if trail is None or trail.state != before or TRANSITIONS.get((JobState(before), JobEvent(event))) != after:
            at = None if trail is None else trail.state
            raise self._broken(Rule.AUDIT_IS_A_PATH, f"{job_id(seq)} is {at}, and {event} takes {before} to {after}")
        if before in TERMINAL_STATES and (event != JobEvent.RETRY or before == JobState.COMPLETED):
            raise self._broken(Rule.ONE_TERMINAL_STATE, f"{job_id(seq)} was {before}, and {event} made it {after}")
        if attempt != trail.attempt + (event == JobEvent.ASSIGN):
            raise self._broken(Rule.AUDIT_IS_A_PATH, f"{job_id(seq)}: {event} goes from {trail.attempt} to {attempt}")
        trail.state, trail.attempt = after, attempt
        if event == JobEvent.COMPLETE:
            trail.completed += 1

    def copied(self) -> None:
        """The database was copied: what is known now outlives a restore."""
        trails = {seq: replace(trail) for seq, trail in self.trails.items()}
        self._copy = (self._audited, trails, dict(self._acknowledged), list(self._acts))
        self.say("master", "copies its database", jobs=len(trails))

    def restored(self) -> None:
        """The copy is the database now, and what came after it was for nothing."""
        if self._copy is None:
            return
        self._audited, trails, acknowledged, self._acts = self._copy
        self.trails = {seq: replace(trail) for seq, trail in trails.items()}
        self._acknowledged, self._acts = dict(acknowledged), list(self._acts)
        for job, number, _ in self._begun:
            # The number may be given again, and whoever had leave to publish may do so.
            self._given_up[job].add(number)
        self._restored_until_s = self._clock.now_s + RESTORE_S + self._plan.longest_lease_s
        self._clock.at(self._restored_until_s, self._check_all_pushes)
        self.say("master", "has its database restored", jobs=len(self.trails))

    def _check_all_pushes(self) -> None:
        for job in list(self._pushing):
            self._check_pushes(job)

    def check_roster(self, roster: Roster) -> None:
        """Compare what the master remembers with what it has stored."""
        for seq, node_id, attempt, token in self.peek(_ON_NODES, ()):
            node = roster.get(node_id)
            held = node.holds.get(seq) if node else None
            if held is None or (held.attempt, held.token) != (attempt, token) or held.dropped is not None:
                raise self._broken(Rule.LEASED, f"{job_id(seq)} attempt {attempt} is on {node_id}, which holds {held}")
        if listed_as_free(roster) != free_now(roster):
            detail = f"{listed_as_free(roster)} are listed, {free_now(roster)} are free"
            raise self._broken(Rule.FREE_LISTED, detail)
        for node in roster:
            runs = [held for held in node.holds.values() if held.dropped is None and not held.paused]
            if len(runs) > node.slots and node.session is not None:
                raise self._broken(Rule.SLOTS, f"{node.node_id} was given {len(runs)} attempts for {node.slots} slots")

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    def all_terminal(self) -> bool:
        """Whether no job is left to do."""
        return all(trail.state in TERMINAL_STATES for trail in self.trails.values())

    def check_end(self, course: Callable[[str, int], Course], outputs: Collection[str]) -> None:
        """Look at everything once more."""
        rows = self.peek("SELECT seq, state, attempt, spec_json FROM jobs ORDER BY seq", ())
        states = {seq: (JobState(state), attempt) for seq, state, attempt, _ in rows}
        for seq, (state, attempt) in states.items():
            trail = self.trails.get(seq)
            if trail is None or (trail.state, trail.attempt) != (state, attempt):
                raise self._broken(Rule.AUDIT_IS_A_PATH, f"{job_id(seq)} is {state} at {attempt}, its trail: {trail}")
            if state not in TERMINAL_STATES:
                raise self._broken(Rule.ALL_TERMINAL, f"{job_id(seq)} is {state} at attempt {attempt}")
            if trail.completed > 1 or (trail.completed == 1) != (state is JobState.COMPLETED):
                raise self._broken(Rule.ONE_TERMINAL_STATE, f"{job_id(seq)} was completed {trail.completed} times")
        if missing := self.trails.keys() - states.keys():
            raise self._broken(Rule.ACKNOWLEDGED_ONCE, f"{[job_id(seq) for seq in missing]} are gone from the store")
        self._check_intents()
        self._check_acts()
        files = {seq for seq, _, _, spec in rows if f'"output_mode":"{OutputMode.FILE}"' in spec or "rtmp" not in spec}
        for seq, (state, attempt) in states.items():
            name = job_id(seq)
            done = seq in files and state is JobState.COMPLETED
            if done and f"/out/{name}.mp4" not in outputs:
                raise self._broken(Rule.ONE_PUBLISHER, f"{name} is completed, and its output is not there")
            expected = {attempt} if done and not self._twins else set()
            if not self._twins and self._published[name] - self._given_up[name] != expected - self._given_up[name]:
                raise self._broken(
                    Rule.ONE_PUBLISHER, f"{name} is {state} at {attempt}, published by {self._published[name]}"
                )
        if self._plan.thrifty:
            self._check_waste({job_id(seq): attempt for seq, (_, attempt) in states.items()}, course)

    def _check_intents(self) -> None:
        rows = self.peek("SELECT json_extract(spec_json, '$.labels.intent'), seq FROM jobs", ())
        found: defaultdict[str, list[str]] = defaultdict(list)
        for intent, seq in rows:
            found[intent].append(job_id(seq))
        for intent, jobs in found.items():
            if len(jobs) > 1:
                raise self._broken(Rule.ACKNOWLEDGED_ONCE, f"{intent} became {' and '.join(jobs)}")
        for intent, job in self._acknowledged.items():
            if found[intent] != [job]:
                raise self._broken(Rule.ACKNOWLEDGED_ONCE, f"{intent} was answered with {job}, stored: {found[intent]}")

    def _check_acts(self) -> None:
        rows = self.peek("SELECT event, job_seq, who FROM audit", ())
        known = {(event, job_id(seq), who) for event, seq, who in rows}
        for events, job, who in self._acts:
            if not any((event, job, who) in known for event in events):
                raise self._broken(Rule.ACKNOWLEDGED_ACT, f"{events} of {job} by {who} is in no audit row")

    def _check_waste(self, winners: dict[str, int], course: Callable[[str, int], Course]) -> None:
        for (job, number, _), node in self._begun.items():
            if number != winners[job] and course(job, number) is Course.WELL:
                raise self._broken(Rule.NO_WASTE, f"{job} attempt {number} on {node} was for nothing")

    def fell(self, what: str) -> Violation:
        """Return the violation for a fault in the program itself."""
        return self._broken(Rule.STANDS, what)

    def nothing_left(self, what: str) -> Violation:
        """Return the violation for something left behind."""
        return self._broken(Rule.NOTHING_LEFT, what)

    def check_queued(self, in_memory: dict[str, int], on_disk: dict[str, int]) -> None:
        """Compare what waits for a slot with what is stored."""
        if in_memory != on_disk:
            raise self.miscounted(f"queued in memory {in_memory}, on disk {on_disk}")

    def miscounted(self, what: str) -> Violation:
        """Return the violation for wrong figures."""
        return self._broken(Rule.COUNTS, what)


def _short(message: Message) -> str:
    """Return a message in a few words."""
    words = [message.TYPE]
    for name in ("request_id", "job", "job_id", "attempt", "token", "outcome", "verdict", "reason", "nonce", "epoch"):
        value = getattr(message, name, None)
        if value is not None and value != "":
            words.append(f"{name}={value.hex()[-6:] if isinstance(value, bytes) else getattr(value, 'job_id', value)}")
    for name in ("running", "finished"):
        held = getattr(message, name, ())
        if held:
            words.append(f"{name}={[(one.job_id, one.attempt) for one in held]}")
    jobs = getattr(message, "jobs", ())
    if jobs:
        words.append(f"jobs={[getattr(job, 'key', getattr(job, 'job_id', job)) for job in jobs]}")
    problem = getattr(message, "problem", None)
    if problem is not None:
        words.append(f"problem={problem.code}: {problem.message}")
    return " ".join(words)

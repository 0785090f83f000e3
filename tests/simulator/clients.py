"""Users: each asks one thing at a time, as a REQ socket does, and again with a fresh connection when unanswered."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from ffrtmpd.events import Side
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.acts import Acted, Cancel, Pause, Resume, Retry
from ffrtmpd.wire.messages.common import Error, Request
from ffrtmpd.wire.messages.inquiries import Logs
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit, Submitted
from ffrtmpd.wire.messages.keys import RevokeKey
from ffrtmpd.wire.messages.nodes import DrainNode, RemoveNode, UndrainNode
from ffrtmpd.wire.vocabulary import JobState, OutputMode, Priority, Queue
from tests.simulator.clockwork import Clockwork
from tests.simulator.master import OPERATOR
from tests.simulator.network import Connection, Network
from tests.simulator.plan import CLIENTS, Plan
from tests.simulator.referee import Referee

TRIES_S: Final = (2.0, 4.0, 8.0)
AGAIN_S: Final = 0.25
# What a user does who got no answer at all.
LATER_S: Final = 3.0
WHIMS: Final[tuple[tuple[type[Request], ...], ...]] = (
    (Cancel, Retry),
    (Cancel,),
    (Pause,),
    (Pause, Resume),
    (Resume,),
    (Retry,),
)
DRAIN_SHARE: Final = 0.15
# How often somebody looks at a log.
LOOK_S: Final = 1.5
EVENTS: Final[dict[type[Request], tuple[str, ...]]] = {
    Cancel: ("cancel",),
    Pause: ("pause", "hold"),
    Resume: ("resume", "release"),
    Retry: ("retry",),
}


@dataclass(slots=True)
class Try:
    """One socket of one request."""

    request: Request
    number: int
    link: Connection | None = None
    over: bool = False


class Client:
    """Asks what it is given, in order. ``persistent``: a request without an answer is asked anew until it has one."""

    def __init__(
        self, name: str, user_id: str, *, clock: Clockwork, random: Random, network: Network, referee: Referee
    ) -> None:
        self.name = name
        self._user_id = user_id
        self._clock, self._random, self._network, self._referee = clock, random, network, referee
        self._waiting: deque[tuple[Request, Callable[[Message], None], bool]] = deque()
        self._try: Try | None = None

    @property
    def idle(self) -> bool:
        """Whether it has nothing to ask."""
        return not self._waiting

    def ask(self, request: Request, answered: Callable[[Message], None], *, persistent: bool) -> None:
        """Ask that when everything before is settled."""
        self._waiting.append((request, answered, persistent))
        if len(self._waiting) == 1:
            self._begin(0)

    def _begin(self, number: int) -> None:
        request = self._waiting[0][0]
        self._try = current = Try(request, number)
        self._clock.after(TRIES_S[number], self._timed_out, current)
        self._connect(current)

    def _connect(self, current: Try) -> None:
        if current.over:
            return
        current.link = self._network.connect(
            Side.CLIENTS,
            CLIENTS,
            self._user_id,
            deliver=lambda message: self._answered(current, message),
            broken=lambda: self._connect(current),
        )
        if current.link is None:
            self._clock.after(AGAIN_S, self._connect, current)
            return
        self._referee.say(self.name, "→", current.request, attempt=current.number + 1)
        self._network.up(current.link, current.request)

    def _end(self, current: Try) -> None:
        current.over = True
        if current.link is not None:
            self._network.close(current.link)

    def _timed_out(self, current: Try) -> None:
        if current.over:
            return
        self._end(current)
        if current.number + 1 < len(TRIES_S):
            self._begin(current.number + 1)
        else:
            self._referee.say(self.name, "gives up", current.request)
            self._unanswered()

    def _unanswered(self) -> None:
        if self._waiting[0][2]:
            self._clock.after(LATER_S * self._random.random(), self._begin, 0)
        else:
            self._next()

    def _next(self) -> None:
        self._waiting.popleft()
        if self._waiting:
            self._begin(0)

    def _answered(self, current: Try, message: Message) -> None:
        if current.over:
            return
        self._referee.say(self.name, "←", message)
        self._end(current)
        if isinstance(message, Error) and message.problem.retryable and self._waiting[0][2]:
            self._unanswered()
            return
        answered = self._waiting[0][1]
        self._next()
        answered(message)


class Users:
    """Those who submit, the operator who cannot leave the jobs alone, an admin, and somebody who reads logs."""

    def __init__(
        self,
        plan: Plan,
        user_id: str,
        admin_id: str,
        *,
        clock: Clockwork,
        random: Random,
        network: Network,
        referee: Referee,
    ) -> None:
        self._plan, self._clock, self._random, self._referee = plan, clock, random, referee
        self.clients = [
            Client(f"client{number}", user_id, clock=clock, random=random, network=network, referee=referee)
            for number in (1, 2)
        ]
        self.operator, self.onlooker = (
            Client(name, user_id, clock=clock, random=random, network=network, referee=referee)
            for name in ("operator", "onlooker")
        )
        self.admin = Client("admin", admin_id, clock=clock, random=random, network=network, referee=referee)
        self._requests = 0
        self.known: list[str] = []
        self._submit_all()
        self._plan_act()
        self._plan_look()

    @property
    def submitted(self) -> bool:
        """Whether every submit has been answered."""
        return all(client.idle for client in self.clients)

    def _request_id(self) -> str:
        self._requests += 1
        return f"r{self._requests}"

    def _submit_all(self) -> None:
        draw = self._random
        left = list(range(1, self._plan.jobs + 1))
        at_s = 0.0
        while left:
            batch = [left.pop(0) for _ in range(min(len(left), draw.choice((1, 1, 2, 3))))]
            submit = Submit(
                request_id=self._request_id(),
                jobs=tuple(Submission(key=f"key-{number:06d}", spec=self._spec(number)) for number in batch),
            )
            client = draw.choice(self.clients)
            self._clock.at(at_s, self._submit, client, submit)
            at_s += draw.choice((0.01, 2.0, 10.0)) * draw.random()

    def _spec(self, number: int) -> JobSpec:
        draw = self._random
        pushes = draw.random() < self._plan.push_share
        return JobSpec(
            scenario="720p30-h264",
            output=f"rtmp://ingest/live/{number}" if pushes else None,
            output_mode=OutputMode.RTMP if pushes else OutputMode.FILE,
            queue=draw.choice(list(Queue)),
            priority=draw.choice(list(Priority)),
            max_attempts=draw.choice((1, 2, 3)),
            timeout_s=None if self._plan.thrifty else draw.choice((None, None, None, 10.0)),
            labels={"intent": f"intent-{number}"},
        )

    def _submit(self, client: Client, submit: Submit) -> None:
        client.ask(submit, lambda reply: self._submitted(submit, reply), persistent=True)

    def _submitted(self, submit: Submit, reply: Message) -> None:
        if not isinstance(reply, Submitted):
            raise TypeError(f"a submit was answered with {reply}")
        for submission, result in zip(submit.jobs, reply.results, strict=True):
            if result.job_id is None:
                raise TypeError(f"a submission was answered with {result}")
            self._referee.acknowledged(submission.spec.labels["intent"], result.job_id)
            self.known.append(result.job_id)

    # ── the operator ──────────────────────────────────────────────────────────────────────────────────────────────

    def _plan_act(self) -> None:
        gap_s = self._plan.operator_gap_s
        if gap_s is not None:
            self._clock.after(self._random.expovariate(1 / gap_s), self._act)

    def _act(self) -> None:
        if self._clock.now_s > self._plan.chaos_s:
            return
        self._plan_act()
        if self.operator.idle and self._random.random() < DRAIN_SHARE:
            self._drain(self._random.choice(self._plan.names))
        elif self.known and self.operator.idle:
            job = self._random.choice(self.known)
            for verb in self._random.choice(WHIMS):
                self._order(verb, job, persistent=False)

    def _drain(self, node: str) -> None:
        """Drain a node, with or without a deadline, and think better of it."""
        deadline_s = self._random.choice((None, 0.0, 5.0))
        self._tell(DrainNode(request_id=self._request_id(), node_id=node, deadline_s=deadline_s))
        self._clock.after(self._random.random() * 12.0, self.undrain, node)

    def undrain(self, node: str) -> None:
        """Let a node take jobs again."""
        self._tell(UndrainNode(request_id=self._request_id(), node_id=node))

    def _tell(self, request: Request) -> None:
        self.operator.ask(request, lambda _: None, persistent=False)

    def _order(self, verb: type[Request], job: str, *, persistent: bool) -> None:
        request = verb(request_id=self._request_id(), job=job)  # type: ignore[call-arg]
        self.operator.ask(request, lambda reply: self._acted(verb, reply), persistent=persistent)

    def _acted(self, verb: type[Request], reply: Message) -> None:
        # A resume that has to wait for a slot is a wish, and its row is written when it comes true.
        if isinstance(reply, Acted) and not (verb is Resume and reply.job.state is JobState.PAUSED):
            self._referee.acted(EVENTS[verb], reply.job.job_id, OPERATOR)

    # ── the admin ─────────────────────────────────────────────────────────────────────────────────────────────────

    def revoke(self, fingerprint: str) -> None:
        """Revoke a key, however long it takes to say so."""
        self.admin.ask(RevokeKey(request_id=self._request_id(), name=fingerprint), lambda _: None, persistent=True)

    def remove(self, node: str) -> None:
        """Remove a node, if it is away."""
        self.admin.ask(RemoveNode(request_id=self._request_id(), node_id=node), lambda _: None, persistent=False)

    # ── the onlooker ──────────────────────────────────────────────────────────────────────────────────────────────

    def _plan_look(self) -> None:
        if self._plan.onlooker:
            self._clock.after(LOOK_S, self._look)

    def _look(self) -> None:
        if self._clock.now_s > self._plan.chaos_s:
            return
        self._plan_look()
        if self.known and self.onlooker.idle:
            logs = Logs(request_id=self._request_id(), job=self._random.choice(self.known))
            self.onlooker.ask(logs, lambda _: None, persistent=False)

    def resume(self, job: str) -> None:
        """Let a paused job go on, however long it takes to say so."""
        if self.operator.idle:
            self._order(Resume, job, persistent=True)

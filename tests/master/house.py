"""A master without sockets: the real broker on the real store in memory, with a clock that is set by hand."""

import itertools
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from ffrtmpd.broker.broker import Broker
from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.daemon import READ_ONLY_S
from ffrtmpd.events import Action, Event, MessageCame, Now, Peer, PeerLost, Send, Side, TimeCame
from ffrtmpd.principals import Principal, Principals
from ffrtmpd.roster import Ability, Rank, Roster
from ffrtmpd.scenario import load_scenarios
from ffrtmpd.store import JobRow, Store, StoreReadOnly, parse_job_ref
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.curve import new_key_pair
from ffrtmpd.wire.media import ENCODERS, PROBED_AS
from ffrtmpd.wire.messages.common import Error, Problem, Request
from ffrtmpd.wire.messages.jobs import (
    JobSpec,
    JobView,
    MediaInfo,
    Report,
    Status,
    StatusReply,
    Submission,
    Submit,
    Submitted,
    VideoStream,
)
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.messages.session import (
    Assign,
    Commit,
    Committed,
    Encode,
    Heartbeat,
    Held,
    Hello,
    Ready,
    Result,
    ResultVerdict,
    Started,
    Welcome,
)
from ffrtmpd.wire.vocabulary import Engine, FailureClass, Outcome, Role

M = TypeVar("M", bound=Message)

CPU = ("libx264", "libx265")
GPU = ("h264_nvenc", "hevc_nvenc", "libx264", "libx265")
SCENARIOS = Path(__file__).parents[2] / "conf" / "scenarios.toml"
START_WALL_S = 1_700_000_000.0


Free = dict[str, tuple[Ability, Rank]]


def listed_as_free(roster: Roster) -> Free:
    """Return the nodes that dispatch would choose from."""
    return {
        node_id: (ability, rank)
        for ability, nodes in roster.free.items()
        for node_id, (rank, _, _) in nodes._entries.items()
    }


def free_now(roster: Roster) -> Free:
    """Return the nodes that it should, by looking at each."""
    return {node.node_id: (node.ability_now, node.rank) for node in roster if node.ability_now and node.takes_jobs}


class Full(Enum):
    """When a full disk is noticed: before anything of the turn was decided, or after all of it was."""

    AT_THE_FIRST_WRITE = "at the first write"
    AT_THE_COMMIT = "at the commit"


class House:
    """The master, its clock, and everything it has sent."""

    def __init__(self, settings: BrokerSettings | None = None) -> None:
        self.settings = settings or BrokerSettings(server_public=new_key_pair().public)
        self.store = Store.open(None)
        self.now_s = 1_000.0
        self.sent: list[Send] = []
        self.full: Full | None = None
        self.read_only_until_s = 0.0
        self._numbers = itertools.count(1)
        self.workers: list[Worker] = []
        for name in ("ops", "root", "eyes"):
            role = {"ops": Role.OPERATOR, "root": Role.ADMIN, "eyes": Role.VIEWER}[name]
            self.store.begin()
            self.store.add_principal(name=name, role=role, public=new_key_pair().public, at=START_WALL_S)
            self.store.commit()
        self.start()

    def start(self) -> None:
        """Start the master on the store as it is: a restart, when called again."""
        self.principals = Principals()
        self.broker = Broker(
            store=self.store,
            principals=self.principals,
            scenarios=load_scenarios([SCENARIOS]),
            settings=self.settings,
            random_bytes=self._random,
        )
        self.store.begin()
        self._keep(self.broker.open(self.now))
        self.store.commit()

    def _random(self, count: int) -> bytes:
        return next(self._numbers).to_bytes(count)

    @property
    def now(self) -> Now:
        return Now(self.now_s, START_WALL_S + self.now_s)

    def _keep(self, actions: list[Action]) -> None:
        self.sent.extend(action for action in actions if isinstance(action, Send))

    def turn(self, *events: Event) -> None:
        """Take a turn as the daemon does, on a disk that may be full."""
        if self.now_s < self.read_only_until_s:
            self._serve(events)
            return
        try:
            actions = self._decide(events)
        except StoreReadOnly:
            self.read_only_until_s = self.now_s + READ_ONLY_S
            self.store.rollback()
            self._keep(self.broker.reload(self.now))
            self._serve(events)
        else:
            self._keep(actions)

    def _decide(self, events: tuple[Event, ...]) -> list[Action]:
        connection = self.store._database.connection
        connection.execute(f"PRAGMA query_only = {self.full is Full.AT_THE_FIRST_WRITE}")
        self.store.begin()
        actions = [action for event in events for action in self.broker.handle(event, self.now)]
        actions += self.broker.settle(self.now)
        if self.full is Full.AT_THE_COMMIT and connection.in_transaction:
            raise StoreReadOnly("the disk is full")
        self.store.commit()
        self._check_free()
        return actions

    def _serve(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self.store.begin()
            self._keep(self.broker.serve(event, self.now))
            assert not self.store.is_writing, f"{event} wrote"
            self.store.commit()
        self._check_free()

    def _check_free(self) -> None:
        roster = self.broker.cluster.roster
        assert listed_as_free(roster) == free_now(roster)
        assert set(roster.abilities) == {node.ability_now for node in roster if node.session} - {None}

    def wait(self, seconds: float) -> None:
        """Let time pass, waking the broker whenever it asked for it."""
        until_s = self.now_s + seconds
        while (when := self.broker.wakeup()) is not None and when <= until_s:
            self.now_s = max(self.now_s, when)
            self.turn(TimeCame())
        self.now_s = until_s

    def take(self, peer: Peer, kind: type[M]) -> list[M]:
        """Return what was sent to ``peer`` of that kind and forget it."""
        found = [send.message for send in self.sent if send.peer == peer and isinstance(send.message, kind)]
        self.sent = [send for send in self.sent if not (send.peer == peer and isinstance(send.message, kind))]
        return found

    # ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────

    def who(self, name: str) -> Principal:
        return next(p for p in self.principals.everyone() if p.name == name and p.role is not Role.ENROL)

    def ask(self, request: Request, by: str = "ops") -> Message | None:
        """Return the reply, None if the client is left waiting."""
        peer = Peer(Side.CLIENTS, by.encode())
        self.turn(MessageCame(peer, self.who(by).user_id, request))
        replies = self.take(peer, Message)
        return replies[-1] if replies else None

    def refused(self, request: Request, by: str = "ops") -> Problem:
        """Return the problem with which a request is refused."""
        reply = self.ask(request, by)
        assert isinstance(reply, Error), reply
        return reply.problem

    def submit(self, *specs: JobSpec, key: str | None = None) -> list[str]:
        """Submit jobs and return their ids."""
        jobs = tuple(Submission(key=key or f"key-{next(self._numbers):08d}", spec=spec) for spec in specs)
        reply = self.ask(Submit(request_id="s", jobs=jobs))
        assert isinstance(reply, Submitted), reply
        assert all(result.job_id for result in reply.results), reply
        return [result.job_id or "" for result in reply.results]

    def status(self, job_id: str) -> StatusReply:
        reply = self.ask(Status(request_id="t", job=job_id))
        assert isinstance(reply, StatusReply), reply
        return reply

    def job(self, job_id: str) -> JobView:
        return self.status(job_id).job

    def row(self, job_id: str) -> JobRow:
        row = self.store.job(parse_job_ref(job_id) or 0)
        assert row is not None
        return row

    # ── workers ───────────────────────────────────────────────────────────────────────────────────────────────────

    def worker(
        self,
        name: str,
        *,
        slots: int = 1,
        encoders: tuple[str, ...] = CPU,
        scorers: tuple[str, ...] = (),
        sessions: int | None = None,
        more_engines: tuple[Engine, ...] = (),
        **hardware: Any,
    ) -> "Worker":
        """Enrol a worker and connect it."""
        self.store.begin()
        principal = self.store.add_principal(
            name=name, role=Role.WORKER, public=new_key_pair().public, at=self.now.wall_s
        )
        self.store.commit()
        self.principals.put(principal)
        worker = Worker(self, name, slots=slots, encoders=encoders, scorers=scorers, sessions=sessions, **hardware)
        worker.more_engines = more_engines
        self.workers.append(worker)
        worker.connect()
        return worker


def as_asked(encode: Encode) -> VideoStream:
    """Return what a probe shows of an output that is as asked."""
    return VideoStream(codec=PROBED_AS[encode.codec], width=encode.width, height=encode.height, fps=encode.fps)


class Worker:
    """A scripted worker: it says what a test makes it say."""

    def __init__(
        self,
        house: House,
        name: str,
        *,
        slots: int,
        encoders: tuple[str, ...],
        scorers: tuple[str, ...] = (),
        sessions: int | None = None,
        **hardware: Any,
    ) -> None:
        self.hardware = hardware
        self.house, self.name, self.slots, self.encoders = house, name, slots, encoders
        self.scorers, self.sessions = scorers, sessions
        self.more_engines: tuple[Engine, ...] = ()
        self.boots = 0
        self.peer = Peer(Side.WORKERS, b"")
        self.jobs: dict[str, Assign] = {}

    def say(self, *messages: Message) -> None:
        user_id = self.house.who(self.name).user_id
        self.house.turn(*(MessageCame(self.peer, user_id, message, "10.0.0.9") for message in messages))
        self.hear()

    def hear(self) -> None:
        for assign in self.house.take(self.peer, Assign):
            self.jobs[assign.job_id] = assign

    def connect(self, *, running: tuple[Held, ...] = (), finished: tuple[Held, ...] = (), boot: bool = True) -> None:
        """Open a new connection and begin a session."""
        self.boots += boot
        self.peer = Peer(Side.WORKERS, f"{self.name}/{next(self.house._numbers)}".encode())
        engines = tuple(dict.fromkeys(ENCODERS[name].engine for name in self.encoders))
        hardware = Hardware(
            hostname=self.name,
            encoders=self.encoders,
            engines=(*engines, *self.more_engines),
            scorers=self.scorers,
            encoder_sessions=self.sessions,
            **self.hardware,
        )
        self.say(Hello(versions=(1,), boot_id=f"boot-{self.boots}", slots=self.slots, hardware=hardware))
        (welcome,) = self.house.take(self.peer, Welcome)
        self.say(Ready(nonce=welcome.nonce, running=running, finished=finished))

    def lose_connection(self) -> None:
        self.house.turn(PeerLost(self.peer))

    def got(self, kind: type[M]) -> list[M]:
        return self.house.take(self.peer, kind)

    def assigned(self) -> list[str]:
        """Return the ids of the jobs that it has, in the order in which it got them."""
        self.hear()
        return list(self.jobs)

    def held(self, job_id: str, *, started: bool = True, paused: bool = False) -> Held:
        assign = self.jobs[job_id]
        return Held(job_id=job_id, attempt=assign.attempt, token=assign.token, started=started, paused=paused)

    def beat(self, *held: Held, load: Load | None = None) -> None:
        self.say(Heartbeat(sent_ms=int(self.house.now_s * 1_000), running=held, load=load))

    def beat_for(self, seconds: float, *held: Held) -> None:
        """Beat every two seconds while time passes."""
        until_s = self.house.now_s + seconds
        while self.house.now_s < until_s:
            self.house.wait(min(2.0, until_s - self.house.now_s))
            self.beat(*held)

    def start(self, job_id: str, encoder: str = "libx264") -> None:
        self.say(Started(**self._about(job_id), encoder=encoder))

    def _about(self, job_id: str) -> dict[str, Any]:
        assign = self.jobs[job_id]
        return {"job_id": job_id, "attempt": assign.attempt, "token": assign.token}

    def result(
        self,
        job_id: str,
        outcome: Outcome = Outcome.ENCODED,
        *,
        failure_class: FailureClass | None = None,
        reason: str | None = None,
        **measured: Any,
    ) -> None:
        report = Report(encoder="libx264", exit_code=1)
        if outcome is Outcome.ENCODED:
            media = MediaInfo(container="mp4", video=as_asked(self.jobs[job_id].encode))
            report = Report(encoder="libx264", exit_code=0, media=media, output=f"/out/{job_id}.mp4", **measured)
        self.say(
            Result(**self._about(job_id), outcome=outcome, report=report, failure_class=failure_class, reason=reason)
        )

    def committed(self, job_id: str) -> None:
        self.say(Committed(**self._about(job_id), output=f"/out/{job_id}.mp4"))

    def run(self, job_id: str) -> None:
        """Take a job from assigned to completed."""
        self.start(job_id)
        self.result(job_id)
        assert self.got(Commit), "no leave to publish"
        self.committed(job_id)
        assert self.got(ResultVerdict), "no verdict"
        del self.jobs[job_id]
        self.hear()

    def fail(self, job_id: str, failure_class: FailureClass, reason: str = "broken") -> None:
        self.start(job_id)
        self.result(job_id, Outcome.FAILED, failure_class=failure_class, reason=reason)
        self.got(ResultVerdict)
        del self.jobs[job_id]
        self.hear()

"""An agent under test: a clock of numbers, a recipe that is a list of steps, and the actions as they come."""

from dataclasses import dataclass, field
from typing import TypeVar

from ffrtmp_worker.agent import Agent
from ffrtmp_worker.attempt import Limits
from ffrtmp_worker.events import Action, ChildExited, ChildOutput, Event, LinkUp, MessageCame, Send, Spawn, TimeCame
from ffrtmp_worker.recipe import AttemptFailed, Step, StepEnd, StepName
from ffrtmp_worker.spool import Entry, Fate
from ffrtmpd.wire.catalogue import WORKER_TO_MASTER
from ffrtmpd.wire.codec import Message, decode, encode
from ffrtmpd.wire.messages.jobs import MediaInfo, Progress
from ffrtmpd.wire.messages.measures import Provenance, Quality
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.messages.session import (
    Assign,
    Commit,
    Encode,
    HeartbeatAck,
    Kill,
    PauseAttempt,
    ResultVerdict,
    ResumeAttempt,
    Welcome,
)
from ffrtmpd.wire.vocabulary import Codec, Engine, OutputMode, Verdict

M = TypeVar("M", bound=Message)
A = TypeVar("A")
TOKEN = b"t" * 16
ENCODE_1080P = Encode(codec=Codec.H264, width=1920, height=1080, bitrate_bps=5_000_000)


def assign(
    job: str = "job-000001",
    *,
    attempt: int = 1,
    token: bytes = TOKEN,
    live: bool = False,
    timeout_s: float | None = None,
) -> Assign:
    return Assign(
        job_id=job,
        attempt=attempt,
        token=token,
        encode=ENCODE_1080P,
        output="rtmp://host/live/key" if live else "out.mp4",
        output_mode=OutputMode.RTMP if live else OutputMode.FILE,
        timeout_s=timeout_s,
    )


def welcome(*, nonce: bytes = b"n" * 16, fence_s: float = 10.0, version: int = 1) -> Welcome:
    return Welcome(
        version=version, node_id="node-1", epoch=1, nonce=nonce, heartbeat_s=2.0, fence_s=fence_s, lost_after_s=60.0
    )


class ListedRecipe:
    """Steps named in advance; progress is the frame number in what was written, and ``@`` the media second."""

    chosen = "libx264"
    fallback: str | None = None
    quality: Quality | None = None
    provenance: Provenance | None = None

    def __init__(self, assignment: Assign, steps: tuple[StepName, ...]) -> None:
        self._left = list(steps)
        self._planned = False
        self.assignment = assignment
        self.fails: AttemptFailed | None = None
        self.ends: list[StepEnd | None] = []
        self.measured: list[tuple[float, float]] = []
        self.closed = 0

    @property
    def pushes(self) -> bool:
        return self.assignment.output_mode is not OutputMode.FILE

    @property
    def encoder(self) -> str | None:
        return self.chosen if self._planned else None

    @property
    def engine(self) -> Engine:
        return Engine.FFMPEG

    @property
    def engine_version(self) -> str | None:
        return "9.0"

    @property
    def output(self) -> str | None:
        return self.assignment.output if self.pushes else "/out/out.mp4"

    @property
    def partial(self) -> str | None:
        return "/out/out.mp4.partial" if self._planned and not self.pushes else None

    @property
    def media(self) -> MediaInfo | None:
        return None if self._left else MediaInfo(container="mp4", size_bytes=1_000)

    def advance(self, end: StepEnd | None) -> Step | None:
        self.ends.append(end)
        if self.fails is not None:
            raise self.fails
        return self._step(self._left.pop(0)) if self._left else None

    def again(self) -> Step:
        return self._step(StepName.ENCODE)

    def begun(self, now_s: float, paused_s: float) -> None:
        self.measured.append((now_s, paused_s))

    def read(self, data: bytes, now_s: float, paused_s: float) -> Progress | None:
        self.measured.append((now_s, paused_s))
        frame, _, media_s = data.partition(b"@")
        return Progress(frame=int(frame), out_time_s=float(media_s) if media_s else None) if data else None

    def close(self) -> None:
        self.closed += 1

    def _step(self, name: StepName) -> Step:
        if name is StepName.ENCODE:
            self._planned = True
        return Step(name=name, argv=(str(name),), env={"A": "b"}, timeout_s=30.0 if name is StepName.PROBE else None)


@dataclass
class Bench:
    """An agent, the time, and everything it asked for."""

    slots: int = 1
    steps: tuple[StepName, ...] = (StepName.ENCODE, StepName.CHECK)
    spooled: tuple[tuple[Entry, Fate], ...] = ()
    limits: Limits = field(default_factory=Limits)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.recipes: list[ListedRecipe] = []
        self.fails: AttemptFailed | None = None
        self.agent = Agent(
            boot_id="boot",
            slots=self.slots,
            hardware=Hardware(hostname="here"),
            recipes=self._recipe,
            load=lambda: Load(cpu_load_percent=5.0),
            random=lambda: 1.0,
            limits=self.limits,
            spooled=self.spooled,
        )
        self.opening = self.agent.open(self.now)

    def _recipe(self, assignment: Assign) -> ListedRecipe:
        recipe = ListedRecipe(assignment, self.steps)
        recipe.fails = self.fails
        self.recipes.append(recipe)
        return recipe

    def online(self) -> "Bench":
        """Bring the session to READY."""
        self.do(LinkUp())
        self.say(welcome())
        return self

    def do(self, event: Event) -> list[Action]:
        """Feed an event now; every message that comes of it must be one that the master takes."""
        actions = self.agent.handle(event, self.now)
        for message in sent(actions):
            assert decode(encode(message), WORKER_TO_MASTER) == message
        return actions

    def say(self, message: Message) -> list[Action]:
        return self.do(MessageCame(message))

    def at(self, now: float) -> list[Action]:
        """Let time pass, waking the agent whenever it wants; return all it asked for."""
        actions: list[Action] = []
        for _ in range(10_000):
            wakeup = self.agent.wakeup()
            if wakeup is None or wakeup > now:
                self.now = now
                return actions
            assert wakeup >= self.now - 1e-6 or self.now == 0, "it asks to be woken in the past"
            self.now = max(self.now, wakeup)
            actions += self.do(TimeCame())
        raise AssertionError("the agent does not come to rest")

    def beat(self, now: float) -> list[Action]:
        """Let time pass with a master that acknowledges every beat at once."""
        actions: list[Action] = []
        while self.now < now:
            step = min(now, self.now + 1)
            came = self.at(step)
            actions += came
            for message in sent(came):
                if message.TYPE == "HEARTBEAT":
                    actions += self.say(HeartbeatAck(sent_ms=message.sent_ms))  # type: ignore[attr-defined]
        return actions

    def child(self, actions: list[Action]) -> int:
        return only(actions, Spawn).child

    def exit(self, child: int, code: int = 0, *, log: str = "") -> list[Action]:
        return self.do(ChildExited(child=child, exit_code=code, cpu_s=1.0, log_tail=log))

    def write(self, child: int, data: bytes) -> list[Action]:
        return self.do(ChildOutput(child, data))

    def encoded(self, job: str = "job-000001") -> list[Action]:
        """Run an assignment up to the check's good end; return what came of it."""
        child = self.child(self.say(assign(job)))
        return self.exit(self.child(self.exit(child)))


def sent(actions: list[Action]) -> list[Message]:
    return [action.message for action in actions if isinstance(action, Send)]


def messages(actions: list[Action], kind: type[M]) -> list[M]:
    return [message for message in sent(actions) if isinstance(message, kind)]


def some(actions: list[Action], kind: type[A]) -> list[A]:
    return [action for action in actions if isinstance(action, kind)]


def only(actions: list[Action], kind: type[A]) -> A:
    found = some(actions, kind)
    assert len(found) == 1, f"expected one {kind.__name__} in {actions}"
    return found[0]


def kill(job: str = "job-000001", attempt: int = 1, token: bytes = TOKEN) -> Kill:
    return Kill(job_id=job, attempt=attempt, token=token, reason="canceled")


def commit(job: str = "job-000001", attempt: int = 1, token: bytes = TOKEN) -> Commit:
    return Commit(job_id=job, attempt=attempt, token=token)


def verdict(which: Verdict = Verdict.RECORDED, job: str = "job-000001", attempt: int = 1) -> ResultVerdict:
    return ResultVerdict(job_id=job, attempt=attempt, token=TOKEN, verdict=which)


def pause(job: str = "job-000001") -> PauseAttempt:
    return PauseAttempt(job_id=job, attempt=1, token=TOKEN)


def resume(job: str = "job-000001") -> ResumeAttempt:
    return ResumeAttempt(job_id=job, attempt=1, token=TOKEN)

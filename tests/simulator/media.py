"""What stands in for programs: recipes whose steps are written down, and children that run them in virtual time."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from ffrtmp_worker.attempt import Limits
from ffrtmp_worker.events import ChildExited, ChildOutput, Event, Spawn
from ffrtmp_worker.recipe import AttemptFailed, Step, StepEnd, StepName
from ffrtmpd.wire.messages.jobs import MediaInfo, Progress
from ffrtmpd.wire.messages.measures import Provenance, Quality
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import Engine, FailureClass, OutputMode
from tests.master.house import as_asked
from tests.simulator.clockwork import Clockwork
from tests.simulator.plan import Plan

# A hung encoder is noticed sooner here than on a real node, so that a world stays short.
LIMITS: Final = Limits(stall_file_s=8.0, stall_live_s=6.0, push_grace_s=4.0)
OUTPUT_EVERY_S: Final = 2.5
TERMINATED: Final = -15
KILLED: Final = -9
PAUSED: Final = "paused"


class Course(StrEnum):
    """How an attempt goes when nobody disturbs it."""

    WELL = "well"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    HANGS = "hangs"


@dataclass(frozen=True, slots=True)
class Script:
    """What will become of one attempt. Two runs of a job are not alike."""

    course: Course
    steps: tuple[StepName, ...]
    encode_s: float
    step_s: float
    stubborn: bool

    @classmethod
    def of(cls, plan: Plan, job_id: str, attempt: int) -> "Script":
        """Return the same script for the same attempt of the same world."""
        random = Random(f"{plan.seed}/{job_id}/{attempt}")
        course = Course.WELL
        if random.random() < plan.trouble_share:
            course = random.choice((Course.TRANSIENT, Course.TRANSIENT, Course.PERMANENT, Course.HANGS))
        before = random.choice(((), (), (StepName.SOURCE,), (StepName.SOURCE, StepName.PROBE)))
        return cls(
            course=course,
            steps=(*before, StepName.ENCODE, StepName.CHECK),
            encode_s=random.choice(plan.encode_s) * random.uniform(0.2, 1.2),
            step_s=random.choice((0.05, 0.5)),
            stubborn=random.random() < 0.15,
        )


class ScriptedRecipe:
    """One attempt's steps."""

    fallback: str | None = None
    quality: Quality | None = None
    provenance: Provenance | None = None

    def __init__(self, assign: Assign, script: Script) -> None:
        self.assign, self.script = assign, script
        self._left = list(script.steps)
        self._planned = False

    @property
    def pushes(self) -> bool:
        return self.assign.output_mode is not OutputMode.FILE

    @property
    def encoder(self) -> str | None:
        return "libx264" if self._planned else None

    @property
    def engine(self) -> Engine:
        return Engine.FFMPEG

    @property
    def engine_version(self) -> str | None:
        return None

    @property
    def output(self) -> str | None:
        return self.assign.output if self.pushes else f"/out/{self.assign.job_id}.mp4"

    @property
    def partial(self) -> str | None:
        if self.pushes or not self._planned:
            return None
        return f"/out/{self.assign.job_id}.mp4.{self.assign.attempt}.partial"

    @property
    def media(self) -> MediaInfo | None:
        return None if self._left else MediaInfo(container="mp4", size_bytes=1_000, video=as_asked(self.assign.encode))

    def advance(self, end: StepEnd | None) -> Step | None:
        if end is not None and end.exit_code != 0:
            permanent = self.script.course is Course.PERMANENT
            failure = FailureClass.PERMANENT if permanent else FailureClass.TRANSIENT
            raise AttemptFailed(failure, f"ended with {end.exit_code}")
        return self._step(self._left.pop(0)) if self._left else None

    def again(self) -> Step:
        return self._step(StepName.ENCODE, "again")

    def begun(self, now_s: float, paused_s: float) -> None:
        """Nothing is measured."""

    def read(self, data: bytes, now_s: float, paused_s: float) -> Progress | None:  # noqa: ARG002 - as all recipes
        return Progress(frame=int(data))

    def close(self) -> None:
        """Nothing is held."""

    def _step(self, name: StepName, *words: str) -> Step:
        if name is StepName.ENCODE:
            self._planned = True
        return Step(name=name, argv=(str(name), *words), env={}, timeout_s=None)


class Child:
    """A running program: it writes and ends when its script says so, stands still when stopped, and can be killed.

    ``tell`` takes its events. ``live`` is False from the moment at which it cannot do anything any more.
    """

    def __init__(
        self, clock: Clockwork, spawn: Spawn, script: Script, *, random: Random, tell: Callable[[Event], None]
    ) -> None:
        self.spawn = spawn
        self.live = True
        self.asked_to_end = False
        self._clock, self._random, self._tell = clock, random, tell
        self._stubborn = script.stubborn
        self._held: set[str] = set()
        self._version = 0
        self._ending = False
        self._since_s = clock.now_s
        self._ran_s = 0.0
        self._frame = 0
        self.encodes = spawn.argv[0] == StepName.ENCODE
        self._plan = self._moments(script)
        self._arm()

    def _moments(self, script: Script) -> list[tuple[float, int | None]]:
        """Return at which second of its own running time it writes (None) or ends with a code."""
        if not self.encodes:
            return [(script.step_s, 0)]
        # A push that hung is connected again, and then goes well.
        course = Course.WELL if script.course is Course.HANGS and "again" in self.spawn.argv else script.course
        hangs = course is Course.HANGS
        ends_s = script.encode_s if course is Course.WELL else script.encode_s / 2
        moments: list[tuple[float, int | None]] = [(min(0.1, ends_s / 2), None)]
        moments += [(index * OUTPUT_EVERY_S, None) for index in range(1, int(ends_s / OUTPUT_EVERY_S) + 1)]
        if not hangs:
            moments.append((ends_s, 0 if course is Course.WELL else 1))
        return moments

    def hold(self, why: str) -> None:
        """Let it stand still."""
        if not self._held and not self._ending:
            self._ran_s += self._clock.now_s - self._since_s
            self._version += 1
        self._held.add(why)

    def release(self, why: str) -> None:
        """Let it go on, unless something else holds it."""
        if why in self._held:
            self._held.discard(why)
            if not self._held and not self._ending:
                self._since_s = self._clock.now_s
                self._arm()

    @property
    def is_paused(self) -> bool:
        """Whether its worker has stopped it."""
        return PAUSED in self._held

    @property
    def stands_still(self) -> bool:
        """Whether it is stopped."""
        return bool(self._held)

    def terminate(self) -> None:
        """Ask it to end; a stubborn one does not."""
        self.asked_to_end = True
        if self.live and not self._stubborn:
            # A stopped process is continued to be ended.
            self._held.discard(PAUSED)
            self._end_in(self._random.random(), TERMINATED)

    def kill(self) -> None:
        """End it. It does nothing from now on; that it is gone is heard of later."""
        self.asked_to_end = True
        if self.live:
            self.live = False
            self._end_in(self._random.random() * 0.2, KILLED)

    def vanish(self) -> None:
        """It dies together with its worker."""
        self.live = False
        self._version += 1

    def _end_in(self, delay_s: float, code: int) -> None:
        self._version += 1
        self._ending = True
        self._clock.after(delay_s, self._ended, self._version, code)

    def _arm(self) -> None:
        if self._plan:
            when_s, _ = self._plan[0]
            self._version += 1
            self._clock.after(max(0.0, when_s - self._ran_s), self._step, self._version)

    def _step(self, version: int) -> None:
        if version != self._version:
            return
        when_s, code = self._plan.pop(0)
        self._ran_s, self._since_s = when_s, self._clock.now_s
        if code is not None:
            self._ended(version, code)
            return
        self._frame += 1
        self._tell(ChildOutput(self.spawn.child, str(self._frame).encode()))
        self._arm()

    def _ended(self, version: int, code: int) -> None:
        if version == self._version:
            self._version += 1
            self.live = False
            self._tell(ChildExited(child=self.spawn.child, exit_code=code, cpu_s=1.0))

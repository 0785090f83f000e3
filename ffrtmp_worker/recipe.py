"""What the agent asks of the media side: which programs to run for an attempt, one after the other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ffrtmpd.wire.messages.jobs import MediaInfo, Progress
from ffrtmpd.wire.messages.measures import Provenance, Quality
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import Engine, FailureClass


class StepName(StrEnum):
    """The steps of an attempt in their order; all but the encode are left out where nothing needs them."""

    SOURCE = "source"
    PROBE = "probe"
    ENCODE = "encode"
    CHECK = "check"
    VERIFY = "verify"
    SCORE = "score"
    HASH = "hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A program to run to its end. ``timeout_s`` leaves pauses out; None: as long as it takes."""

    name: StepName
    argv: tuple[str, ...]
    env: Mapping[str, str]
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnd:
    """How a step ended. ``stdout`` is empty for the encode, whose output is progress.

    ``cpu_s`` is as in ``ChildExited``.
    """

    exit_code: int
    stdout: bytes
    log_tail: str
    seconds: float = 0.0
    cpu_s: float | None = None


class Cause(StrEnum):
    """What a push may do about its failure.

    ``CONNECTION``: its peer was lost, or the source's; it connects again. ``UNCLEAR``: an I/O error, which a server
    that turns a push down looks like too. ``ENDED``: a live source ended well, and may come again. ``OTHER``: nothing.
    """

    CONNECTION = "connection"
    UNCLEAR = "unclear"
    ENDED = "ended"
    OTHER = "other"


class AttemptFailed(Exception):
    """The attempt cannot go on."""

    def __init__(self, failure_class: FailureClass, reason: str, cause: Cause = Cause.OTHER) -> None:
        super().__init__(reason)
        self.failure_class = failure_class
        self.reason = reason
        self.cause = cause


class Recipe(Protocol):
    """One attempt. Runs nothing itself."""

    @property
    def pushes(self) -> bool:
        """The encode itself reaches the audience: nothing is staged, and nothing can be taken back."""

    @property
    def encoder(self) -> str | None:
        """The encoder chosen, None until the encode step is known."""

    @property
    def engine(self) -> Engine:
        """The engine that encodes."""

    @property
    def engine_version(self) -> str | None:
        """Its build."""

    @property
    def fallback(self) -> str | None:
        """Why another encoder took the place of the one chosen first, None where nothing of that kind happened."""

    @property
    def output(self) -> str | None:
        """Path or URL of the output, None until known."""

    @property
    def partial(self) -> str | None:
        """Path that is written before the output is published; None when nothing is staged."""

    @property
    def media(self) -> MediaInfo | None:
        """The output as probed, None until then."""

    @property
    def quality(self) -> Quality | None:
        """The output's scores, None while it has none and none were asked for."""

    @property
    def provenance(self) -> Provenance | None:
        """What went in and came out, None until known."""

    def advance(self, end: StepEnd | None) -> Step | None:
        """Return the step after the one that ended so, the first for None, and None after the last.

        A failed encode may be followed by another encode, with another encoder.

        Raises:
            AttemptFailed: the step failed, or there is no next one.
        """

    def again(self) -> Step:
        """Return the encode step for what is left of a push that was paused, or whose connection was lost."""

    def begun(self, now_s: float, paused_s: float) -> None:
        """Take note that the encode step runs now; ``paused_s`` as for ``read``."""

    def read(self, data: bytes, now_s: float, paused_s: float) -> Progress | None:
        """Return how far the encode is after it wrote ``data``, None while it has not said.

        ``paused_s`` counts all pauses of the attempt so far.
        """

    def close(self) -> None:
        """Let go of what the attempt held, such as a cached source."""


Recipes = Callable[[Assign], Recipe]

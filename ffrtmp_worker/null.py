"""The engine that encodes nothing: with it a benchmark sees what the cluster costs around an encode. Pure."""

from ffrtmp_worker.recipe import Step, StepEnd
from ffrtmpd.wire.messages.jobs import MediaInfo, Progress
from ffrtmpd.wire.messages.measures import Provenance, Quality
from ffrtmpd.wire.vocabulary import Engine


class NullRecipe:
    """An attempt without steps, whose result follows its assignment at once; ``Recipe`` says what each part is for."""

    pushes: bool = False
    encoder: str | None = None
    engine: Engine = Engine.NULL
    engine_version: str | None = None
    fallback: str | None = None
    output: str | None = None
    partial: str | None = None
    media: MediaInfo | None = None
    quality: Quality | None = None
    provenance: Provenance | None = None

    def advance(self, end: StepEnd | None) -> Step | None:  # noqa: ARG002 - no step has ended
        """Return None: there is nothing to do."""
        return None

    def again(self) -> Step:
        """Raise: nothing is pushed."""
        raise RuntimeError("the engine null pushes nothing")

    def begun(self, now_s: float, paused_s: float) -> None:
        """Do nothing: no encode begins."""

    def read(self, data: bytes, now_s: float, paused_s: float) -> Progress | None:  # noqa: ARG002 - there is none
        """Return None: nothing is written."""
        return None

    def close(self) -> None:
        """Do nothing: nothing is held."""

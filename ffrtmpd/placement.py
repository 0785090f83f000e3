"""Which job fits which node, and why one waits. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from ffrtmpd.roster import Node
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.vocabulary import Codec, Engine, Priority, Queue, Why

_QUEUES = list(Queue)
_PRIORITIES = list(Priority)
_ANY = "any"
_GPU = "gpu"


def rank_of(queue: Queue, priority: Priority) -> int:
    """Return the order of service as one number, 0 first: by queue, then by priority."""
    return _QUEUES.index(queue) * len(_PRIORITIES) + _PRIORITIES.index(priority)


@dataclass(frozen=True, slots=True)
class Need:
    """What a job needs of a node. Jobs of equal need form one class and are served in order within it.

    Attributes:
        encoder: this one and no other.
        gpu: any hardware encoder of the codec.
    """

    engine: Engine
    codec: Codec
    encoder: str | None = None
    gpu: bool = False

    @property
    def requires(self) -> str:
        """The class as text, as the store indexes it."""
        return f"{self.engine}:{self.codec}:{self.encoder or (_GPU if self.gpu else _ANY)}"

    @classmethod
    def parse(cls, requires: str) -> "Need":
        """Return the need that ``requires`` spells."""
        engine, codec, how = requires.split(":", 2)
        pinned = None if how in (_ANY, _GPU) else how
        return cls(Engine(engine), Codec(codec), pinned, how == _GPU)

    @property
    def wants_hardware(self) -> bool:
        """Whether only a hardware encoder will do."""
        pinned = ENCODERS.get(self.encoder) if self.encoder else None
        return self.gpu or (pinned is not None and pinned.hardware is not None)


def need_of(spec: JobSpec, codec: Codec) -> Need:
    """Return what a job with this spec, resolved to ``codec``, needs."""
    return Need(spec.engine, codec, spec.encoder, spec.require_gpu and spec.encoder is None)


def cannot(need: Need, node: Node) -> Why | None:
    """Return why ``node`` could never run it as it is, None if it could."""
    hardware = node.hardware
    if hardware is None:
        return Why.OFFLINE
    if need.engine is not Engine.AUTO and need.engine not in hardware.engines:
        return Why.NO_ENGINE
    proved = [ENCODERS[name] for name in hardware.encoders if name in ENCODERS]
    able = [encoder for encoder in proved if need.engine in (Engine.AUTO, encoder.engine)]
    if need.encoder is not None:
        fits = any(encoder.name == need.encoder for encoder in able)
    else:
        fits = any(encoder.codec is need.codec and (encoder.hardware or not need.gpu) for encoder in able)
    if fits:
        return None
    return Why.GPU_REQUIRED if need.wants_hardware else Why.NO_ENCODER


def refusal(need: Need, node: Node) -> Why | None:
    """Return why ``node`` does not take such a job now, None if it does."""
    if node.session is None:
        return Why.OFFLINE
    reason = cannot(need, node)
    if reason is not None:
        return reason
    if node.draining:
        return Why.DRAINING
    return None if node.free_slots else Why.NO_FREE_SLOT


def why_waiting(need: Need, nodes: Iterable[Node]) -> Why | None:
    """Return why a queued job of this need cannot run at all now; None if it merely waits for its turn."""
    if any(node.session is not None and cannot(need, node) is None for node in nodes):
        return None
    return Why.GPU_REQUIRED if need.wants_hardware else Why.NO_WORKER


def preference(need: Need, node: Node) -> tuple[bool, float, float, str]:
    """Return a sort key, best node first: GPUs kept for jobs that need them, then the least loaded, then by name."""
    spoils_gpu = node.has_gpu_encoder and not need.wants_hardware
    taken = len(node.holds) / node.slots
    measured = node.load.cpu_load_percent if node.load else None
    # A load that nobody measured may be anything, so it is no reason to be chosen.
    busy = 100.0 if measured is None else measured
    return (spoils_gpu, taken, busy, node.node_id)

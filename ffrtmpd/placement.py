"""Which job fits which node, and why one waits. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from ffrtmpd.roster import Node
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.vocabulary import Codec, Engine, Priority, Queue, VmafMode, Why

_QUEUES = list(Queue)
_PRIORITIES = list(Priority)
_ANY = "any"
_GPU = "gpu"
_AND = "+"


def rank_of(queue: Queue, priority: Priority) -> int:
    """Return the order of service as one number, 0 first: by queue, then by priority."""
    return _QUEUES.index(queue) * len(_PRIORITIES) + _PRIORITIES.index(priority)


@dataclass(frozen=True, slots=True)
class Need:
    """What a job needs of a node. Jobs of equal need form one class and are served in order within it.

    Attributes:
        encoder: this one and no other.
        gpu: any hardware encoder of the codec.
        scores: what is measured of the output: vmaf, psnr, ssim.
    """

    engine: Engine
    codec: Codec
    encoder: str | None = None
    gpu: bool = False
    scores: tuple[str, ...] = ()

    @property
    def requires(self) -> str:
        """The class as text, as the store indexes it."""
        text = f"{self.engine}:{self.codec}:{self.encoder or (_GPU if self.gpu else _ANY)}"
        return f"{text}:{_AND.join(self.scores)}" if self.scores else text

    @classmethod
    def parse(cls, requires: str) -> "Need":
        """Return the need that ``requires`` spells."""
        engine, codec, how, *scores = requires.split(":", 3)
        pinned = None if how in (_ANY, _GPU) else how
        measures = tuple(scores[0].split(_AND)) if scores else ()
        return cls(Engine(engine), Codec(codec), pinned, how == _GPU, measures)

    @property
    def wants_hardware(self) -> bool:
        """Whether only a hardware encoder will do."""
        pinned = ENCODERS.get(self.encoder) if self.encoder else None
        return self.gpu or (pinned is not None and pinned.hardware is not None)


def need_of(spec: JobSpec, codec: Codec) -> Need:
    """Return what a job with this spec, resolved to ``codec``, needs."""
    vmaf = spec.vmaf is not VmafMode.OFF or spec.vmaf_floor is not None
    asked = {"vmaf": vmaf, "psnr": spec.psnr, "ssim": spec.ssim}
    scores = tuple(name for name, is_asked in asked.items() if is_asked)
    return Need(spec.engine, codec, spec.encoder, spec.require_gpu and spec.encoder is None, scores)


def cannot(need: Need, node: Node) -> Why | None:
    """Return why ``node`` could never run it as it is, None if it could."""
    hardware = node.hardware
    if hardware is None:
        return Why.OFFLINE
    if need.engine is not Engine.AUTO and need.engine not in hardware.engines:
        return Why.NO_ENGINE
    able = [ENCODERS[name] for name in hardware.encoders if name in ENCODERS]
    if need.encoder is not None:
        fits = any(encoder.name == need.encoder for encoder in able)
    else:
        fits = any(encoder.codec is need.codec and (encoder.hardware or not need.gpu) for encoder in able)
    if not fits:
        return Why.GPU_REQUIRED if need.wants_hardware else Why.NO_ENCODER
    return None if set(need.scores) <= set(hardware.scorers) else Why.NO_SCORER


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
    reasons = [cannot(need, node) for node in nodes if node.session is not None]
    if None in reasons:
        return None
    if Why.NO_SCORER in reasons:
        return Why.NO_SCORER
    return Why.GPU_REQUIRED if need.wants_hardware else Why.NO_WORKER


def preference(need: Need, node: Node) -> tuple[bool, float, float, str]:
    """Return a sort key, best node first: GPUs kept for jobs that need them, then the least loaded, then by name."""
    spoils_gpu = node.has_gpu_encoder and not need.wants_hardware
    taken = len(node.holds) / node.slots
    measured = node.load.cpu_load_percent if node.load else None
    # A load that nobody measured may be anything, so it is no reason to be chosen.
    busy = 100.0 if measured is None else measured
    return (spoils_gpu, taken, busy, node.node_id)

"""Which job fits which node, and why one waits. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ffrtmpd.ranking import Ranking
from ffrtmpd.roster import Ability, Node, Rank
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.vocabulary import Codec, Engine, Priority, Queue, VmafMode, Why

_QUEUES = list(Queue)
_PRIORITIES = list(Priority)
_ANY = "any"
_GPU = "gpu"
# Few needs meet few abilities, over and over.
_REMEMBERED: Final = 4_096
_AND = "+"


def rank_of(queue: Queue, priority: Priority) -> int:
    """Return the order of service as one number, 0 first: by queue, then by priority."""
    return _QUEUES.index(queue) * len(_PRIORITIES) + _PRIORITIES.index(priority)


@dataclass(frozen=True, slots=True, eq=False)
class Need:
    """What a job needs of a node. Jobs of equal need form one class and are served in order within it.

    Like an ability it is found by its identity.

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

    @staticmethod
    @lru_cache(maxsize=_REMEMBERED)
    def parse(requires: str) -> "Need":
        """Return the need that ``requires`` spells."""
        engine, codec, how, *scores = requires.split(":", 3)
        pinned = None if how in (_ANY, _GPU) else how
        measures = tuple(scores[0].split(_AND)) if scores else ()
        return Need(Engine(engine), Codec(codec), pinned, how == _GPU, measures)

    @property
    def wants_hardware(self) -> bool:
        """Whether only a hardware encoder will do."""
        pinned = ENCODERS.get(self.encoder) if self.encoder else None
        return self.gpu or (pinned is not None and pinned.hardware is not None)


def requires_of(spec: JobSpec, codec: Codec) -> str:
    """Return the class of a job with this spec, resolved to ``codec``; see ``Need.requires``."""
    vmaf = spec.vmaf is not VmafMode.OFF or spec.vmaf_floor is not None
    asked = (("vmaf", vmaf), ("psnr", spec.psnr), ("ssim", spec.ssim))
    scores = tuple([name for name, is_asked in asked if is_asked])
    return _requires(spec.engine, codec, spec.encoder, spec.require_gpu and spec.encoder is None, scores)


@lru_cache(maxsize=_REMEMBERED)
def _requires(engine: Engine, codec: Codec, encoder: str | None, gpu: bool, scores: tuple[str, ...]) -> str:
    return Need(engine, codec, encoder, gpu, scores).requires


def cannot(need: Need, node: Node) -> Why | None:
    """Return why ``node`` could not run it now if it had a slot, None if it could."""
    ability = node.ability_now
    return Why.OFFLINE if ability is None else lacks(ability, need)


@lru_cache(maxsize=_REMEMBERED)
def lacks(ability: Ability, need: Need) -> Why | None:
    """Return what a node of that ability lacks for it, None if nothing."""
    return _lacks(ability, need, encoder_busy=ability.encoder_busy)


def _lacks(ability: Ability, need: Need, *, encoder_busy: bool) -> Why | None:
    if need.engine is not Engine.AUTO and need.engine not in ability.engines:
        return Why.NO_ENGINE
    if need.engine is Engine.NULL:
        # Encodes nothing, so it has no encoders.
        return None
    proved = [ENCODERS[name] for name in ability.encoders if name in ENCODERS]
    able = [
        encoder
        for encoder in proved
        if need.engine in (Engine.AUTO, encoder.engine) and not (encoder_busy and encoder.hardware)
    ]
    if need.encoder is not None:
        fits = any(encoder.name == need.encoder for encoder in able)
    else:
        fits = any(encoder.codec is need.codec and (encoder.hardware or not need.gpu) for encoder in able)
    if not fits and encoder_busy and _lacks(ability, need, encoder_busy=False) is None:
        return Why.ENCODER_BUSY
    if not fits:
        return Why.GPU_REQUIRED if need.wants_hardware else Why.NO_ENCODER
    return None if set(need.scores) <= set(ability.scorers) else Why.NO_SCORER


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


def why_waiting(need: Need, abilities: Iterable[Ability]) -> Why | None:
    """Return why no node of these abilities can run a job of this need now; None if it merely waits for its turn."""
    reasons: set[Why] = set()
    for ability in abilities:
        reason = lacks(ability, need)
        if reason is None:
            return None
        reasons.add(reason)
    for reason in (Why.ENCODER_BUSY, Why.NO_SCORER):
        if reason in reasons:
            return reason
    return Why.GPU_REQUIRED if need.wants_hardware else Why.NO_WORKER


def waits_for_drained(need: Need, nodes: Iterable[Node]) -> bool:
    """Tell whether every connected node that can run a job of this need is being drained, and there is one."""
    answers = {refusal(need, node) for node in nodes}
    return Why.DRAINING in answers and not answers & {None, Why.NO_FREE_SLOT}


def best_node(need: Need, free: Mapping[Ability, Ranking[str, Rank]]) -> str | None:
    """Return the node that gets a job of this need, None if no free one can run it.

    GPUs are kept for jobs that need them; then the least loaded is the best.
    """
    best: tuple[bool, Rank] | None = None
    for ability, nodes in free.items():
        if lacks(ability, need) is None and (first := nodes.first()) is not None:
            place = (_spoils_gpu(ability, need), first[0])
            best = place if best is None else min(best, place)
    return None if best is None else best[1][-1]


@lru_cache(maxsize=_REMEMBERED)
def _spoils_gpu(ability: Ability, need: Need) -> bool:
    proved = (ENCODERS.get(name) for name in ability.encoders)
    has_gpu = any(encoder is not None and encoder.hardware is not None for encoder in proved)
    return has_gpu and not need.wants_hardware

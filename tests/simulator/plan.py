"""What a seed stands for: how many workers and jobs, over which wire, and everything that will go wrong and when."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Final

from ffrtmpd.broker.settings import Terms
from ffrtmpd.wire.vocabulary import Queue


class Fault(StrEnum):
    """What can go wrong."""

    WORKER_KILL = "worker_kill"
    WORKER_STOP = "worker_stop"
    WORKER_FREEZE = "worker_freeze"
    AGENT_FREEZE = "agent_freeze"
    CUT = "cut"
    BREAK = "break"
    SLOW = "slow"
    MASTER_KILL = "master_kill"
    MASTER_FREEZE = "master_freeze"
    MASTER_DISK_FULL = "master_disk_full"
    WALL_JUMP = "wall_jump"
    KEY_REVOKED = "key_revoked"
    NODE_REMOVED = "node_removed"
    TWIN = "twin"
    RESTORE = "restore"


class Cut(StrEnum):
    """Which way nothing passes."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class CrashPoint(StrEnum):
    """When a process dies: the master in a turn that writes, a worker at a deed of its disk."""

    AT_ONCE = "at once"
    BEFORE_COMMIT = "before the commit"
    BEFORE_SEND = "between commit and send"
    AMID_SENDS = "amid the sends"
    BEFORE_DEED = "before the disk's next deed"
    AFTER_DEED = "after the disk's next deed"


MASTER_POINTS: Final = (
    CrashPoint.AT_ONCE,
    CrashPoint.BEFORE_COMMIT,
    CrashPoint.BEFORE_SEND,
    CrashPoint.AMID_SENDS,
)
WORKER_POINTS: Final = (CrashPoint.AT_ONCE, CrashPoint.BEFORE_DEED, CrashPoint.AFTER_DEED)


# By how much a message may be late on a harsh wire.
OVERTAKEN_S: Final = 6.0
CLIENTS: Final = "clients"
MASTER: Final = "master"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """A fault at a moment. ``target`` is a worker, ``clients`` or ``master``; ``lasts_s`` until it is over.

    A key revoked or a node removed is let in again with a new key when it is over. A twin is a second machine with the
    same key. A restore puts a copy of the master's database in its place that is ``age_s`` seconds old.
    """

    at_s: float
    fault: Fault
    target: str
    lasts_s: float = 0.0
    cut: Cut | None = None
    point: CrashPoint | None = None
    age_s: float = 0.0

    def __str__(self) -> str:
        detail = "".join(f", {part}" for part in (self.cut, self.point) if part)
        return f"{self.at_s:7.2f}  {self.fault} {self.target} for {self.lasts_s:.2f} s{detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One world.

    Attributes:
        slots: of each worker.
        push_share: how many of the jobs push to a URL.
        trouble_share: how many attempts do not succeed by themselves.
        encode_s: about how long encodes take, one of these.
        operator_gap_s: mean seconds between an operator's acts; None for no operator.
        onlooker: somebody reads logs, so that a worker hears from the master more than answers to its beats.
        loss, duplication, disorder: shares of messages lost, doubled and overtaken; zero: the wire is ZeroMQ's.
        coded: messages pass through the codec.
        thrifty: nothing happens here that may cost a second run of an attempt that would succeed.
        lives: the queues' own terms in each life of the master; after the last come the first again.
    """

    seed: int
    profile: str
    slots: tuple[int, ...]
    jobs: int
    push_share: float
    trouble_share: float
    operator_gap_s: float | None
    mishaps: tuple[Mishap, ...]
    chaos_s: float
    fence_s: float
    give_away_s: float
    lost_after_s: float
    encode_s: tuple[float, ...] = (0.5, 4.0, 12.0)
    onlooker: bool = False
    loss: float = 0.0
    duplication: float = 0.0
    disorder: float = 0.0
    coded: bool = False
    thrifty: bool = False
    lives: tuple[Mapping[Queue, Terms], ...] = ({},)

    @property
    def longest_lease_s(self) -> float:
        """The longest lease of a push in any life of the master."""
        own = [terms.give_away_s for life in self.lives for terms in life.values()]
        return max((self.give_away_s, *own))

    @property
    def names(self) -> tuple[str, ...]:
        """The workers."""
        return tuple(f"w{number}" for number in range(1, len(self.slots) + 1))


PROFILES: Final = (
    "wire",
    "push",
    "harsh",
    "keys",
    "outage",
    "uplink",
    "harsh",
    "wire",
    "calm",
    "restore",
    "wire",
    "keys",
    "twins",
    "settings",
    "disk",
)

_WORKER_FAULTS: Final = (
    Fault.WORKER_KILL,
    Fault.WORKER_KILL,
    Fault.WORKER_STOP,
    Fault.WORKER_FREEZE,
    Fault.AGENT_FREEZE,
    Fault.CUT,
    Fault.CUT,
    Fault.BREAK,
)
_MASTER_FAULTS: Final = (
    Fault.MASTER_KILL,
    Fault.MASTER_KILL,
    Fault.MASTER_FREEZE,
    Fault.MASTER_DISK_FULL,
    Fault.WALL_JUMP,
    Fault.SLOW,
)
_PUSH_FAULTS: Final = (Fault.CUT, Fault.CUT, Fault.WORKER_FREEZE, Fault.SLOW, Fault.BREAK, Fault.MASTER_KILL)
_KEY_FAULTS: Final = (*(Fault.KEY_REVOKED, Fault.NODE_REMOVED) * 6, *_WORKER_FAULTS, *_MASTER_FAULTS)
_TWIN_FAULTS: Final = (*(Fault.TWIN,) * 8, *_WORKER_FAULTS, *_MASTER_FAULTS)
_RESTORE_FAULTS: Final = (*(Fault.RESTORE,) * 8, *_WORKER_FAULTS, *_MASTER_FAULTS)
_ON_WORKERS: Final = (*_WORKER_FAULTS, Fault.KEY_REVOKED, Fault.NODE_REMOVED, Fault.TWIN)
_POINTS: Final = {Fault.MASTER_KILL: MASTER_POINTS, Fault.WORKER_KILL: WORKER_POINTS}
_LAST_FAULT_S: Final = 40.0


def plan_of(seed: int, profile: str | None = None) -> Plan:
    """Return the world of ``seed``; ``profile`` instead of the one that the seed has."""
    plan = _plan_of(seed, profile)
    return plan if len(plan.lives) > 1 else replace(plan, lives=_lives(seed, plan))


def _lives(seed: int, plan: Plan) -> tuple[Mapping[Queue, Terms], ...]:
    """Return terms for each queue that are just as tight as the common ones; sometimes others after each restart."""
    random = Random(f"terms {seed}")
    tight_s = plan.give_away_s - plan.fence_s
    fences_s = (10.0, 14.0, 25.0) if plan.thrifty else (6.0, 7.0, 12.0, 20.0)
    lives = []
    for _ in range(random.choice((1, 1, 2, 3))):
        own = {queue: random.choice(fences_s) for queue in Queue if random.random() < 0.6}
        lives.append({queue: Terms(fence_s=fence, give_away_s=fence + tight_s) for queue, fence in own.items()})
    return tuple(lives)


def _plan_of(seed: int, profile: str | None) -> Plan:
    random = Random(seed)
    chosen = profile or PROFILES[seed % len(PROFILES)]
    slots = tuple(random.choice((1, 1, 2, 3)) for _ in range(random.choice((1, 2, 2, 3))))
    names = tuple(f"w{number}" for number in range(1, len(slots) + 1))
    coded = seed % 17 == 0
    if chosen == "calm":
        return Plan(
            seed=seed,
            profile=chosen,
            slots=slots,
            jobs=random.randint(2, 7),
            push_share=random.choice((0.0, 0.4)),
            trouble_share=0.3,
            operator_gap_s=None,
            mishaps=(),
            chaos_s=5.0,
            fence_s=10.0,
            give_away_s=15.0,
            lost_after_s=25.0,
            coded=coded,
            thrifty=True,
        )
    if chosen == "outage":
        return _outage(seed, random, slots, coded)
    if chosen == "uplink":
        return _uplink(seed, random, coded)
    if chosen == "settings":
        return _settings(seed, random, coded)
    if chosen == "disk":
        return _disk(seed, random, slots, coded)
    pushes = chosen == "push"
    faults = _FAULTS.get(chosen, (*_WORKER_FAULTS, *_MASTER_FAULTS))
    return Plan(
        seed=seed,
        profile=chosen,
        slots=slots if not pushes or len(slots) > 1 else (*slots, 1),
        jobs=random.randint(2, 6),
        push_share=0.9 if pushes else random.choice((0.0, 0.5, 0.9) if chosen == "keys" else (0.0, 0.3, 0.7)),
        trouble_share=random.choice((0.0, 0.3)),
        operator_gap_s=random.choice((None, 12.0, 4.0)),
        mishaps=_mishaps(random, names, faults, gap_s=random.choice((3.0, 6.0, 12.0))),
        chaos_s=_LAST_FAULT_S + 2.0,
        fence_s=7.0,
        # Just what the settings of a master allow: the fence, the grace of a kill, and one beat. A lease counts from
        # what was sent last, so a wire on which messages overtake others needs as much more.
        give_away_s=7.0 + 0.5 + 2.0 + (OVERTAKEN_S if chosen == "harsh" else 0.0),
        lost_after_s=random.choice((12.0, 20.0)),
        encode_s=(8.0, 20.0, 30.0) if pushes or chosen == "keys" else (0.5, 4.0, 12.0, 25.0),
        onlooker=pushes,
        loss=random.choice((0.02, 0.1, 0.25)) if chosen == "harsh" else 0.0,
        duplication=random.choice((0.02, 0.15)) if chosen == "harsh" else 0.0,
        disorder=random.choice((0.02, 0.2)) if chosen == "harsh" else 0.0,
        coded=coded,
    )


_FAULTS: Final = {
    "push": _PUSH_FAULTS,
    "keys": _KEY_FAULTS,
    "twins": _TWIN_FAULTS,
    "restore": _RESTORE_FAULTS,
}


def _outage(seed: int, random: Random, slots: tuple[int, ...], coded: bool) -> Plan:
    """Only the master fails. Pushes outlive what is shorter than their fence, files whatever it is."""
    pushes = random.random() < 0.3
    mishaps = []
    at_s = random.uniform(1.0, 10.0)
    while at_s < _LAST_FAULT_S:
        lasts_s = random.uniform(0.2, 2.0) if pushes else random.choice((0.5, 5.0, 20.0)) * random.uniform(0.1, 1.0)
        fault = random.choice((Fault.MASTER_KILL, Fault.MASTER_KILL, Fault.MASTER_FREEZE))
        point = random.choice(MASTER_POINTS) if fault is Fault.MASTER_KILL else None
        mishaps.append(Mishap(at_s=at_s, fault=fault, target=MASTER, lasts_s=lasts_s, point=point))
        at_s += lasts_s + (20.0 if pushes else random.uniform(0.1, 15.0))
    return Plan(
        seed=seed,
        profile="outage",
        slots=slots,
        jobs=random.randint(2, 6),
        push_share=0.5 if pushes else 0.0,
        trouble_share=0.0,
        operator_gap_s=None,
        mishaps=tuple(mishaps),
        chaos_s=_LAST_FAULT_S + 2.0,
        fence_s=10.0,
        give_away_s=15.0,
        lost_after_s=25.0,
        coded=coded,
        thrifty=True,
    )


def _disk(seed: int, random: Random, slots: tuple[int, ...], coded: bool) -> Plan:
    """Only the master's disk is full, for longer than any fence and any lease, while connections break now and then."""
    names = tuple(f"w{number}" for number in range(1, len(slots) + 1))
    mishaps = []
    at_s = random.uniform(1.0, 12.0)
    while at_s < _LAST_FAULT_S:
        lasts_s = random.choice((2.0, 20.0, 60.0)) * random.uniform(0.2, 1.2)
        mishaps.append(Mishap(at_s=at_s, fault=Fault.MASTER_DISK_FULL, target=MASTER, lasts_s=lasts_s))
        breaks = random.choice((0, 0, 1, 3))
        moments = sorted(random.uniform(at_s, at_s + lasts_s) for _ in range(breaks))
        mishaps += [Mishap(at_s=moment, fault=Fault.BREAK, target=random.choice(names)) for moment in moments]
        at_s += lasts_s + random.uniform(0.5, 15.0)
    return Plan(
        seed=seed,
        profile="disk",
        slots=slots,
        jobs=random.randint(2, 6),
        push_share=random.choice((0.0, 0.5, 1.0)),
        trouble_share=0.0,
        operator_gap_s=None,
        mishaps=tuple(mishaps),
        chaos_s=at_s + 2.0,
        fence_s=10.0,
        give_away_s=15.0,
        lost_after_s=25.0,
        encode_s=(4.0, 25.0, 80.0),
        coded=coded,
        thrifty=True,
    )


def _uplink(seed: int, random: Random, coded: bool) -> Plan:
    """A push whose worker hears the master and is not heard by it."""
    at_s = random.uniform(4.0, 12.0)
    cut = Mishap(at_s=at_s, fault=Fault.CUT, target="w1", lasts_s=random.uniform(8.0, 25.0), cut=Cut.UP)
    slow = Mishap(
        at_s=at_s - random.uniform(0.0, 3.0), fault=Fault.SLOW, target=MASTER, lasts_s=random.uniform(0.1, 4.0)
    )
    return Plan(
        seed=seed,
        profile="uplink",
        slots=(1, random.choice((1, 2))),
        jobs=random.randint(2, 3),
        push_share=1.0,
        trouble_share=0.0,
        operator_gap_s=None,
        mishaps=(slow, cut) if random.random() < 0.5 else (cut,),
        chaos_s=30.0,
        fence_s=7.0,
        give_away_s=9.5,
        lost_after_s=20.0,
        encode_s=(35.0,),
        onlooker=True,
        coded=coded,
    )


def _settings(seed: int, random: Random, coded: bool) -> Plan:
    """A push whose worker is away while the master is restarted with shorter terms."""
    at_s = random.uniform(4.0, 8.0)
    cut = Mishap(at_s=at_s, fault=Fault.CUT, target="w1", lasts_s=random.uniform(8.0, 25.0), cut=Cut.BOTH)
    restarts = [
        Mishap(
            at_s=at_s + random.uniform(-1.0, 6.0),
            fault=Fault.MASTER_KILL,
            target=MASTER,
            lasts_s=random.uniform(0.1, 2.0),
            point=CrashPoint.AT_ONCE,
        )
        for _ in range(random.choice((1, 1, 2)))
    ]
    every = tuple(Queue)
    short = {queue: Terms(fence_s=random.choice((6.0, 8.0)), give_away_s=10.5) for queue in every}
    long = {queue: Terms(fence_s=20.0, give_away_s=22.5) for queue in every}
    return Plan(
        seed=seed,
        profile="settings",
        slots=(1, random.choice((1, 2))),
        jobs=random.randint(2, 3),
        push_share=1.0,
        trouble_share=0.0,
        operator_gap_s=None,
        mishaps=(cut, *restarts),
        chaos_s=35.0,
        fence_s=7.0,
        give_away_s=9.5,
        lost_after_s=20.0,
        encode_s=(35.0,),
        coded=coded,
        lives=(short, long, short),
    )


def _mishaps(random: Random, names: tuple[str, ...], faults: tuple[Fault, ...], *, gap_s: float) -> tuple[Mishap, ...]:
    found = []
    at_s = random.expovariate(1 / gap_s)
    while at_s < _LAST_FAULT_S:
        fault = random.choice(faults)
        lasts_s = min(_LAST_FAULT_S - at_s, random.choice((0.3, 3.0, 12.0, 30.0)) * random.uniform(0.2, 1.2))
        cut = random.choice((Cut.UP, Cut.UP, Cut.DOWN, Cut.BOTH)) if fault is Fault.CUT else None
        point = random.choice(_POINTS[fault]) if fault in _POINTS else None
        target = MASTER
        age_s = 0.0
        if fault in _ON_WORKERS:
            target = (
                random.choice((*names, *names, CLIENTS)) if fault in (Fault.CUT, Fault.BREAK) else random.choice(names)
            )
        elif fault is Fault.MASTER_DISK_FULL:
            lasts_s = min(lasts_s, 6.0)
        elif fault is Fault.RESTORE:
            lasts_s, age_s = min(lasts_s, 6.0), random.uniform(0.0, at_s)
        found.append(Mishap(at_s=at_s, fault=fault, target=target, lasts_s=lasts_s, cut=cut, point=point, age_s=age_s))
        at_s += random.expovariate(1 / gap_s)
    return tuple(found)

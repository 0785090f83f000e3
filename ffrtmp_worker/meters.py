"""Meters of energy: RAPL for the processors, NVML for NVIDIA's GPUs. What cannot be read is no meter.

RAPL is read through the kernel's powercap tree (Documentation/power/powercap/powercap.rst): a folder for each zone with
``name``, ``energy_uj`` and ``max_energy_range_uj``, at which the counter wraps. Zones overlap: a package holds its
cores and its uncore, and ``psys`` the packages, so only zones that do not hold each other are added.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from ffrtmp_worker.energy import RENEWED_S, Domain

try:
    import pynvml
except ImportError:
    pynvml = None

POWERCAP: Final = Path("/sys/class/powercap")
# No package, memory or GPU takes more; a larger step of a counter is a reset or a fault.
MOST_W: Final = 2_000.0
# Over a longer time a counter may have wrapped twice, or the machine has slept.
LONGEST_S: Final = 30.0
# psys must move in this time at startup, or it is not believed.
PSYS_LOOK_S: Final = 0.05
READ_MAX: Final = 64
ZONE: Final = re.compile(r"(?P<kind>intel-rapl[a-z-]*)(?P<number>(?::\d+)+)")
PERMIT: Final = "let the worker's group read energy_uj of all zones, by the udev rule of docs/energy.md"


class Meter(Protocol):
    """A counter of joules."""

    @property
    def domain(self) -> Domain:
        """What it meters, and how."""

    def read(self, now_s: float) -> float | None:
        """Return joules counted since the first call.

        None when those since the last call are not known: they are never counted then. So is the first call's answer.
        """


class GpuMeter(Meter, Protocol):
    """A counter of a GPU, which also knows who used it."""

    def use(self) -> Mapping[int, float] | None:
        """Return by process how much it used since the last call, in any unit; None if it cannot be told."""


class Counter:
    """Steps of a counter that may wrap, stop, or begin anew.

    Args:
        range_j: joules at which it wraps to 0; None: it never does.
    """

    def __init__(self, range_j: float | None = None) -> None:
        self._range_j = range_j
        self._last: tuple[float, float] | None = None

    def step(self, now_s: float, value_j: float | None) -> float | None:
        """Return joules since the last call, None if they are not known or not to be believed."""
        last, self._last = self._last, None if value_j is None else (now_s, value_j)
        if last is None or value_j is None:
            return None
        seconds, step_j = now_s - last[0], value_j - last[1]
        if step_j < 0 and self._range_j is not None:
            step_j += self._range_j
        most_j = MOST_W * (seconds + RENEWED_S)
        if self._range_j is not None and MOST_W * seconds > self._range_j:
            return None
        return step_j if 0 < seconds <= LONGEST_S and 0 <= step_j <= most_j else None


# ── RAPL ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone of the tree. ``holder`` is the name of the zone around it."""

    name: str
    holder: str | None
    folder: Path

    def read_j(self) -> float:
        """Return its counter.

        Raises:
            OSError: it cannot be read, or is gone.
            ValueError: no number is in it.
        """
        return _read_number(self.folder / "energy_uj") / 1e6

    def range_j(self) -> float | None:
        """Return where its counter wraps."""
        with contextlib.suppress(OSError, ValueError):
            return _read_number(self.folder / "max_energy_range_uj") / 1e6
        return None


class Rapl:
    """The sum of some zones."""

    def __init__(self, zones: Sequence[Zone], scope: str) -> None:
        self._counters = [(zone, Counter(zone.range_j())) for zone in zones]
        self._total_j = 0.0
        self._domain = Domain(key=f"rapl:{scope}", scope=scope, method="rapl")

    @property
    def domain(self) -> Domain:
        """What it meters."""
        return self._domain

    def read(self, now_s: float) -> float | None:
        """Return joules since the first call; None if one of the zones cannot tell."""
        steps = [counter.step(now_s, _value(zone)) for zone, counter in self._counters]
        known = [step for step in steps if step is not None]
        if len(known) < len(steps):
            return None
        self._total_j += sum(known)
        return self._total_j


def _value(zone: Zone) -> float | None:
    try:
        return zone.read_j()
    except (OSError, ValueError):
        return None


def _read_number(path: Path) -> int:
    # Opened anew each time: a zone that is gone must be noticed.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(handle, READ_MAX))
    finally:
        os.close(handle)


def zones_of(root: Path) -> list[Zone]:
    """Return all zones below ``root``, those told of twice by several drivers once, the MSR's before others."""
    folders = dict(_folders(root))
    names = {name: _name(folder) for name, folder in folders.items()}
    found: dict[tuple[str | None, str], Zone] = {}
    for own in sorted(folders, key=lambda name: (not name.startswith("intel-rapl:"), name)):
        holder = own.rpartition(":")[0]
        zone = Zone(names[own], names.get(holder), folders[own])
        if zone.name:
            found.setdefault((zone.holder, zone.name), zone)
    return list(found.values())


def _folders(root: Path, depth: int = 3) -> Iterator[tuple[str, Path]]:
    """Yield the folders of zones, whether they lie side by side as in /sys/class or one in the other."""
    try:
        entries = sorted(entry for entry in root.iterdir() if entry.name.startswith("intel-rapl") and entry.is_dir())
    except OSError:
        return
    for entry in entries:
        if depth > 0:
            yield from _folders(entry, depth - 1)
        if ZONE.fullmatch(entry.name):
            yield entry.name, entry


def _name(folder: Path) -> str:
    try:
        return (folder / "name").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """What can be metered on this node; ``problems`` says why something there cannot."""

    cpu: Meter | None = None
    gpus: tuple[GpuMeter, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def domains(self) -> tuple[Domain, ...]:
        """What is metered."""
        cpu = () if self.cpu is None else (self.cpu.domain,)
        return (*cpu, *(gpu.domain for gpu in self.gpus))

    @property
    def note(self) -> str:
        """What is metered, in a few words."""
        scopes = "+".join(dict.fromkeys(domain.scope for domain in self.domains))
        methods = "+".join(dict.fromkeys(domain.method for domain in self.domains))
        return f"{methods} {scopes}" if scopes else "none"


def find_meters(root: Path = POWERCAP, *, wait: Callable[[float], object] = time.sleep) -> Meters:
    """Return the meters of this node.

    Args:
        root: of the powercap tree.
        wait: lets seconds pass, to see whether psys moves.
    """
    gpus, problems = find_gpus()
    # What psys covers is up to the maker; a GPU may be in it and must not be counted twice.
    cpu, problem = find_rapl(root, psys=not gpus, wait=wait)
    return Meters(cpu=cpu, gpus=gpus, problems=(*problems, *((problem,) if problem else ())))


def find_rapl(
    root: Path, *, psys: bool = True, wait: Callable[[float], object] = time.sleep
) -> tuple[Rapl | None, str]:
    """Return the meter of the processors, or None and why there is none; no reason where there is no RAPL.

    Args:
        root: of the powercap tree.
        psys: whether that zone may be used.
        wait: lets seconds pass.
    """
    zones = zones_of(root)
    packages = [zone for zone in zones if zone.holder is None and zone.name.startswith("package-")]
    memories = [zone for zone in zones if zone.name == "dram"]
    platform = [zone for zone in zones if zone.holder is None and zone.name.startswith("psys")]
    moving = _moving(platform, packages, wait) if psys and platform else []
    if moving:
        return Rapl(moving, "psys"), ""
    for zone in (*packages, *memories) if packages else platform:
        try:
            zone.read_j()
        except PermissionError:
            return None, f"{zone.folder / 'energy_uj'} may be read by root only: {PERMIT}"
        except (OSError, ValueError) as error:
            return None, f"{zone.folder / 'energy_uj'} cannot be read: {error}"
    if not packages:
        return None, ""
    return Rapl([*packages, *memories], "package+dram" if memories else "package"), ""


def _moving(platform: Sequence[Zone], packages: Sequence[Zone], wait: Callable[[float], object]) -> list[Zone]:
    """Return the psys zones that count: on many boards they stand still, or count less than what they hold."""
    zones = [*platform, *packages]
    before = [_value(zone) for zone in zones]
    wait(PSYS_LOOK_S)
    # A counter that wraps just now shows a step below zero, and psys is passed over in this life.
    steps = [
        0.0 if one is None or other is None else other - one
        for one, other in zip(before, map(_value, zones), strict=True)
    ]
    outer = [step for step in steps[: len(platform)] if step > 0]
    if not outer or min(steps) < 0 or sum(outer) < 0.9 * sum(steps[len(platform) :]):
        return []
    return [zone for zone, step in zip(platform, steps, strict=False) if step > 0]


# ── NVML ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Nvml:
    """One GPU's counter of millijoules, on Volta and later, and what its processes use of it."""

    def __init__(self, handle: Any, uuid: str) -> None:
        self._handle = handle
        self._counter = Counter()
        self._total_j = 0.0
        self._seen_us = 0
        self._domain = Domain(key=f"nvml:{uuid}", scope="gpu", method="nvml")

    @property
    def domain(self) -> Domain:
        """What it meters."""
        return self._domain

    def read(self, now_s: float) -> float | None:
        """Return joules since the first call."""
        value_j: float | None = None
        with contextlib.suppress(pynvml.NVMLError):
            value_j = pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3
        step = self._counter.step(now_s, value_j)
        if step is None:
            return None
        self._total_j += step
        return self._total_j

    def use(self) -> Mapping[int, float] | None:
        """Return by process the utilisation of shaders, encoder and decoder, summed over the samples since last time.

        Processes are numbered as on the host: in a container with numbers of its own none is found again.
        """
        try:
            samples = pynvml.nvmlDeviceGetProcessUtilization(self._handle, self._seen_us)
        except pynvml.NVMLError as error:
            # Nobody used it.
            return {} if getattr(error, "value", None) == pynvml.NVML_ERROR_NOT_FOUND else None
        found: dict[int, float] = {}
        for sample in samples:
            if sample.timeStamp > self._seen_us:
                found[sample.pid] = found.get(sample.pid, 0.0) + sample.smUtil + sample.encUtil + sample.decUtil
        self._seen_us = max((sample.timeStamp for sample in samples), default=self._seen_us)
        return found


def find_gpus() -> tuple[tuple[GpuMeter, ...], tuple[str, ...]]:
    """Return a meter for each GPU that can tell joules and who used it, and what the others lack."""
    if pynvml is None:
        return (), ()
    try:
        # Never shut down: the meters live as long as the program.
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except (pynvml.NVMLError, OSError):
        return (), ()
    meters: list[GpuMeter] = []
    problems: list[str] = []
    for index in range(count):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = pynvml.nvmlDeviceGetUUID(handle)
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            problems.append(f"GPU {index} does not tell its energy: {error}")
            continue
        meter = Nvml(handle, uuid if isinstance(uuid, str) else uuid.decode("utf-8", "replace"))
        if meter.use() is None:
            problems.append(f"GPU {index} does not tell who uses it, so that its energy cannot be shared")
        else:
            meters.append(meter)
    return tuple(meters), tuple(problems)

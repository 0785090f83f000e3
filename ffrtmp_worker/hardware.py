"""What this node is made of and how busy it is. What cannot be read is None."""

import contextlib
import math
import os
import platform
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil

from ffrtmp_worker.room import disk_of
from ffrtmp_worker.tools import Tools
from ffrtmpd.wire.messages.nodes import Gpu, GpuLoad, Hardware, Load
from ffrtmpd.wire.vocabulary import Engine

try:
    import pynvml
except ImportError:
    pynvml = None

N = TypeVar("N")

ROOT: Final = Path("/")
MILLIWATTS: Final = 1_000
MEGABIT: Final = 1_000_000
# How long the speed of the links is taken for known: to ask takes three calls of the kernel a link, and a host of
# containers has hundreds.
LINK_SPEED_S: Final = 60.0
# The kernel's drivers for the sensors of processors: Intel, AMD, ARM boards.
_CPU_SENSORS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")
MODEL_MAX: Final = 256
# SMBIOS 7.4.1: what a machine stands or lies in.
_DESKTOPS: Final = frozenset({3, 4, 5, 6, 7, 13, 15, 16, 24, 35, 36})
_LAPTOPS: Final = frozenset({8, 9, 10, 11, 14, 30, 31, 32})


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs that the NVIDIA driver tells of, and its version; None without it."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None


def read_gpus() -> Gpus:
    """Return the GPUs of this node. A driver that is missing or broken is no GPU."""
    if pynvml is None:
        return Gpus()
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError, OSError):
        return Gpus()
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        gpus = tuple(_gpu(index, driver) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return Gpus()
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    return Gpus(gpus, driver)


def _gpu(index: int, driver: str) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory: int | None = None
    # Some integrated ones share the memory of the machine and tell none.
    with contextlib.suppress(pynvml.NVMLError):
        memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    return Gpu(name=_text(pynvml.nvmlDeviceGetName(handle)), memory_bytes=memory, driver=driver)


def _text(value: str | bytes) -> str:
    # Releases before 11.515 answer with bytes.
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def read_hardware(
    tools: Tools,
    *,
    encoders: Sequence[str],
    gpus: Gpus,
    program_version: str,
    engines: Sequence[Engine] = (Engine.FFMPEG,),
    scorers: Sequence[str] = (),
    encoder_sessions: int | None = None,
    root: Path = ROOT,
) -> Hardware:
    """Return what the master is told of this node.

    Args:
        tools: the programs.
        encoders: names proved by a test encode.
        gpus: what ``read_gpus`` returned.
        program_version: of this worker.
        engines: those that were proved to run.
        scorers: measures of quality that were proved.
        encoder_sessions: hardware encodes at once; None: not counted.
        root: where ``proc`` and ``sys`` are.
    """
    return Hardware(
        hostname=socket.gethostname()[:MODEL_MAX],
        kind=_kind(root),
        cpu_model=_cpu_model(root),
        cpu_count=usable_cpus(),
        ram_total_bytes=int(psutil.virtual_memory().total),
        gpus=gpus.gpus,
        encoders=tuple(encoders),
        engines=tuple(engines),
        scorers=tuple(scorers),
        encoder_sessions=encoder_sessions,
        ffmpeg_version=tools.ffmpeg_version,
        program_version=program_version,
    )


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    # A container or a CPU set may leave fewer than the machine has.
    return len(os.sched_getaffinity(0))


def _cpu_model(root: Path) -> str | None:
    for line in _read(root / "proc/cpuinfo").splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() in ("model name", "Model", "cpu model") and value.strip():
            return value.strip()[:MODEL_MAX]
    return platform.machine() or None


def _kind(root: Path) -> str:
    """Guess from the processor's flags and the firmware's chassis type; ``server`` when nothing tells."""
    for line in _read(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            if "hypervisor" in value.split():
                return "virtual"
            break
    chassis = _read(root / "sys/class/dmi/id/chassis_type").strip()
    if chassis.isdecimal():
        if int(chassis) in _LAPTOPS:
            return "laptop"
        return "desktop" if int(chassis) in _DESKTOPS else "server"
    return "server"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class GpuMeter:
    """Reads the GPUs that the NVIDIA driver tells of. A GPU that falls off the bus is absent from then on."""

    def __init__(self) -> None:
        self._handles: list[tuple[str, Any]] = []
        if pynvml is None:
            return
        with contextlib.suppress(pynvml.NVMLError, OSError):
            pynvml.nvmlInit()
            for index in range(pynvml.nvmlDeviceGetCount()):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                self._handles.append((_text(pynvml.nvmlDeviceGetName(handle))[:MODEL_MAX], handle))

    def read(self) -> tuple[GpuLoad, ...]:
        """Return the readings of each GPU that still answers."""
        return tuple(load for name, handle in self._handles if (load := _gpu_load(name, handle)) is not None)


def _gpu_load(name: str, handle: Any) -> GpuLoad | None:
    try:
        # Divided into instances (MIG) it has a name and tells no load of the whole.
        pynvml.nvmlDeviceGetName(handle)
    except pynvml.NVMLError:
        return None
    usage = _told(lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu))
    return GpuLoad(
        name=name,
        usage_percent=usage,
        encoder_percent=_told(lambda: float(pynvml.nvmlDeviceGetEncoderUtilization(handle)[0])),
        decoder_percent=_told(lambda: float(pynvml.nvmlDeviceGetDecoderUtilization(handle)[0])),
        memory_used_bytes=_told(lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)),
        temperature_celsius=_told(lambda: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))),
        power_watts=_told(lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / MILLIWATTS),
    )


def _told(read: Callable[[], N]) -> N | None:
    """Return a reading, None where this GPU or its driver knows no such thing."""
    try:
        return read()
    except pynvml.NVMLError:
        return None


def _temperature_celsius() -> float | None:
    """Return the temperature of the hottest processor; virtual machines have none."""
    try:
        chips = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    found = [sensor.current for chip in _CPU_SENSORS for sensor in chips.get(chip, ()) if sensor.current is not None]
    return max(found, default=None)


class LinkMeter:
    """Reads how busy the network link is: of all that are up and tell their speed, the busier direction."""

    def __init__(self) -> None:
        self._last = _traffic()
        self._speed_mbps, self._speed_until_s = 0, -math.inf

    def read(self) -> float | None:
        """Return percent since the last call; None where no link tells its speed, as in most virtual machines."""
        now, last = _traffic(), self._last
        self._last = now
        seconds = now[0] - last[0]
        if now[0] >= self._speed_until_s:
            self._speed_mbps, self._speed_until_s = _link_speed_mbps(), now[0] + LINK_SPEED_S
        if not self._speed_mbps or seconds <= 0:
            return None
        bits = 8 * max(now[1] - last[1], now[2] - last[2]) / seconds
        return min(100.0, max(0.0, 100.0 * bits / (self._speed_mbps * MEGABIT)))


def _link_speed_mbps() -> int:
    """Return the speed of all links that are up and tell theirs, 0 if none does."""
    return sum(link.speed for link in psutil.net_if_stats().values() if link.isup and link.speed > 0)


def _traffic() -> tuple[float, int, int]:
    """Return the time and the bytes sent and received so far."""
    counted = psutil.net_io_counters()
    return time.monotonic(), counted.bytes_sent, counted.bytes_recv


class LoadMeter:
    """Reads how busy the node is.

    Args:
        output: folder whose disk is told of; one that does not exist yet stands for its nearest parent.
        power: returns watts, where there is a meter.
    """

    def __init__(self, output: Path, power: Callable[[], float | None] = lambda: None) -> None:
        self._output = output
        self._gpus = GpuMeter()
        self._power = power
        self._last = _cpu_times()

    def read(self) -> Load:
        """Return readings; the processor's load is that since the last call, None if no time has passed."""
        return Load(
            cpu_load_percent=self._cpu_load_percent(),
            ram_free_bytes=int(psutil.virtual_memory().available),
            disk_free_bytes=self._disk_free_bytes(),
            temperature_celsius=_temperature_celsius(),
            gpus=self._gpus.read(),
            power_watts=self._power(),
        )

    def _cpu_load_percent(self) -> float | None:
        now, last = _cpu_times(), self._last
        total = now[1] - last[1]
        if total <= 0:
            return None
        self._last = now
        return round(min(100.0, max(0.0, 100.0 * (now[0] - last[0]) / total)), 1)

    def _disk_free_bytes(self) -> int | None:
        disk = disk_of(self._output)
        return None if disk is None else disk.free_bytes


def _cpu_times() -> tuple[float, float]:
    """Return the busy and all processor seconds since the start of the machine."""
    times = psutil.cpu_times()
    # Guests' time is part of user and nice already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total

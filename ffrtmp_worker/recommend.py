"""Settings for this host, from what it shows in a few seconds of real encoding."""

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ffrtmp_worker.process import ToolTimeout, run_tool
from ffrtmp_worker.tools import ToolError, Tools
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.nodes import Hardware, Load

# Long enough that the start of the encoder does not count for much.
MEDIA_S: Final = 4
TIMEOUT_S: Final = 120.0
WIDTH, HEIGHT, FPS = 1920, 1080, 30
# What the system, the worker itself and caches keep.
RAM_SHARE: Final = 0.8
# A stream that needs all of the time there is falls behind at the next difficult scene.
HEADROOM: Final = 0.8
# With more than this many processors taken by others, the figures are theirs too.
OTHERS_MOST: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One encode of ``MEDIA_S`` seconds of 1080p30, alone on the host.

    ``memory_bytes`` is the most it took, ``others`` how many processors other programs kept busy meanwhile.
    """

    encoder: str
    seconds: float
    cpu_s: float
    memory_bytes: int
    others: float = 0.0

    @property
    def busy(self) -> float:
        """Processors kept busy."""
        return self.cpu_s / self.seconds

    @property
    def speed(self) -> float:
        """Media seconds per second."""
        return MEDIA_S / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Settings of the worker, and why. ``streams`` is how many live 1080p30 pushes the host keeps up with."""

    slots: int
    memory_bytes: int
    streams: int
    reasons: Mapping[str, str]


def try_encoder(tools: Tools, encoder: str) -> Trial:
    """Encode a few seconds and return what that took. Blocks.

    Raises:
        ToolError: the encoder does not work.
    """
    command = (
        *(tools.ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error"),
        *("-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FPS},noise=alls=12:allf=t"),
        *("-t", str(MEDIA_S), "-pix_fmt", "yuv420p", "-c:v", encoder, "-b:v", "5M"),
        *(("-preset", "veryfast") if encoder in ("libx264", "libx265") else ()),
        *("-f", "null", "-"),
    )
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    try:
        ran = run_tool(command, timeout_s=TIMEOUT_S)
    except (OSError, ToolTimeout) as error:
        raise ToolError(f"{encoder} could not be tried: {error}") from None
    seconds, after = time.monotonic() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.exit_code != 0:
        raise ToolError(f"{encoder} does not work: {ran.stderr.decode('utf-8', 'replace').strip()[-500:]}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Trial(encoder=encoder, seconds=seconds, cpu_s=cpu_s, memory_bytes=after.ru_maxrss * 1024)


def preferred(hardware: Hardware) -> str | None:
    """Return the encoder that most jobs of this host will use: for H.264, else for any codec."""
    known = [ENCODERS[name] for name in hardware.encoders if name in ENCODERS]
    first = next((encoder for encoder in known if encoder.codec == "h264"), known[0] if known else None)
    return None if first is None else first.name


def advise(trial: Trial, *, cpu_count: int, ram_bytes: int) -> Advice:
    """Return settings for a host of ``cpu_count`` processors and ``ram_bytes`` of memory."""
    by_cpu = max(1, round(cpu_count / max(trial.busy, 0.1)))
    # 4K takes about four times what 1080p takes.
    by_ram = max(1, int(ram_bytes * RAM_SHARE / (4 * trial.memory_bytes)))
    slots = min(by_cpu, by_ram)
    streams = int(HEADROOM * cpu_count / (trial.cpu_s / MEDIA_S))
    narrow = "processors" if by_cpu <= by_ram else "memory"
    return Advice(
        slots=slots,
        memory_bytes=int(ram_bytes * RAM_SHARE / slots),
        streams=streams,
        reasons={
            "slots": f"{trial.encoder} alone keeps {trial.busy:.1f} of {cpu_count} processors busy; {narrow} decide",
            "memory_bytes": f"{RAM_SHARE:.0%} of the memory, shared by the slots",
            "streams": f"a second of 1080p30 costs {trial.cpu_s / MEDIA_S:.2f} processor seconds; "
            f"{1 - HEADROOM:.0%} are kept for difficult scenes",
        },
    )


def as_toml(advice: Advice, trial: Trial, hardware: Hardware) -> str:
    """Return the advice as lines for worker.toml."""
    reasons = advice.reasons
    noisy = f"# Other programs took {trial.others:.1f} processors meanwhile: run it again on a quiet host.\n"
    return (
        f"# Measured on {hardware.hostname}: {hardware.cpu_count} x {hardware.cpu_model or 'unknown processor'}.\n"
        f"# {trial.encoder}, {MEDIA_S} s of 1080p30: {trial.seconds:.2f} s, x{trial.speed:.2f} of real time, "
        f"{trial.memory_bytes / 2**20:.0f} MiB.\n"
        f"# Live 1080p30 pushes it keeps up with: {advice.streams} ({reasons['streams']}).\n"
        f"{noisy if trial.others > OTHERS_MOST else ''}"
        f"\n[worker]\n# {reasons['slots']}.\nslots = {advice.slots}\n"
        f"\n[limits]\n# {reasons['memory_bytes']}.\nmemory_bytes = {advice.memory_bytes}\n"
    )


def as_plain(advice: Advice, trial: Trial, hardware: Hardware) -> dict[str, Any]:
    """Return the same for JSON."""
    return {
        "version": 1,
        "host": hardware.hostname,
        "encoders": list(hardware.encoders),
        "trial": {**asdict(trial), "media_s": MEDIA_S, "busy": trial.busy, "speed": trial.speed},
        "advice": {**asdict(advice), "reasons": dict(advice.reasons)},
    }


def measure(tools: Tools, hardware: Hardware, load: Callable[[], Load]) -> Trial:
    """Try the encoder that most jobs will use. Blocks for some seconds. ``load`` reads the host, as ``LoadMeter``.

    Raises:
        ToolError: no encoder works.
    """
    encoder = preferred(hardware)
    if encoder is None:
        raise ToolError("no encoder works on this host: see `ffrtmp-worker check`")
    load()
    trial = try_encoder(tools, encoder)
    all_busy = (load().cpu_load_percent or 0.0) / 100 * (hardware.cpu_count or 1)
    return replace(trial, others=max(0.0, all_busy - trial.busy))

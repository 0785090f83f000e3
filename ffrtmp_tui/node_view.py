"""How nodes look: the columns of a list, the sheet of one node."""

from collections.abc import Callable
from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.fit import Column
from ffrtmp_tui.render import sheet
from ffrtmp_tui.terminal import Terminal
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.nodes import GpuLoad, NodeView


def gpus(node: NodeView) -> str | None:
    """Return the models of a node's GPUs, None without any."""
    return (", ".join(gpu.name for gpu in node.hardware.gpus) or None) if node.hardware else None


def gpu_capabilities(node: NodeView) -> tuple[str, ...] | None:
    """Return the hardware encoders that the node has proved, None without any."""
    if node.hardware is None:
        return None
    proved = (ENCODERS.get(name) for name in node.hardware.encoders)
    return tuple(encoder.name for encoder in proved if encoder is not None and encoder.hardware) or None


def cpu(node: NodeView) -> str | None:
    """Return processor and count as far as known."""
    hardware = node.hardware
    if hardware is None or (hardware.cpu_model is None and hardware.cpu_count is None):
        return None
    count = None if hardware.cpu_count is None else f"{hardware.cpu_count} x"
    return " ".join(part for part in (count, hardware.cpu_model or "CPU") if part)


def _joined(names: tuple[str, ...]) -> str:
    return ",".join(names)


def _first(names: tuple[str, ...]) -> str:
    return names[0] if len(names) < 2 else f"{names[0]} +{len(names) - 1}"


def _percent(value: float) -> str:
    return f"{value:.1f}%"


def _celsius(value: float) -> str:
    return f"{value:.0f} °C"


def _watts(value: float) -> str:
    return f"{value:.1f} W"


def _gpu_mean(reading: str) -> Callable[[NodeView], float | None]:
    """Return what gives the mean of a reading of a node's GPUs, None where none has it."""

    def mean(node: NodeView) -> float | None:
        found = [getattr(gpu, reading) for gpu in (node.load.gpus if node.load else ())]
        read = [value for value in found if value is not None]
        return sum(read) / len(read) if read else None

    return mean


def temperature(node: NodeView) -> float | None:
    """Return the highest temperature that the node reads, in degrees Celsius."""
    if node.load is None:
        return None
    read = (node.load.temperature_celsius, *(gpu.temperature_celsius for gpu in node.load.gpus))
    return max((value for value in read if value is not None), default=None)


def _reading(title: str, name: str, get: Callable[[NodeView], float | None], show: Callable[[float], str]) -> Column:
    return Column(title=title, name=name, get=get, show=show, wide=True, right=True, sparse=True)


def _proved(title: str, name: str) -> Column:
    """Return the column of what a node has proved, by its name in the node's hardware; None where it has none."""
    return Column(
        title=title, name=name, get=lambda node: getattr(node.hardware, name, None) or None, show=_joined, wide=True
    )


NODE_COLUMNS: Final = (
    Column(title="Node ID", name="node_id", get=lambda node: node.node_id),
    Column(title="Address", name="address", get=lambda node: node.address, least=11, rank=6),
    Column(title="Type", name="type", get=lambda node: node.hardware and node.hardware.kind, rank=8),
    Column(title="Status", name="status", get=lambda node: node.status),
    Column(title="CPU", name="cpu", get=cpu, least=12, rank=3),
    Column(
        title="CPU Load",
        name="cpu_load_percent",
        get=lambda node: node.load and node.load.cpu_load_percent,
        show=_percent,
        right=True,
        short_title="Load",
        rank=2,
    ),
    Column(title="GPU", name="gpu", get=gpus, least=12, rank=4),
    Column(
        title="GPU Capabilities",
        name="gpu_capabilities",
        get=gpu_capabilities,
        show=_joined,
        short_title="GPU Caps",
        least=10,
        rank=7,
    ),
    Column(
        title="Total RAM",
        name="ram_total_bytes",
        get=lambda node: node.hardware and node.hardware.ram_total_bytes,
        show=units.memory_text,
        right=True,
        short_title="RAM",
        rank=5,
    ),
    Column(
        title="Free RAM",
        name="ram_free_bytes",
        get=lambda node: node.load and node.load.ram_free_bytes,
        show=units.memory_text,
        right=True,
        short_title="Free",
        rank=1,
    ),
    Column(
        title="Active Job",
        name="active_jobs",
        get=lambda node: node.active_jobs or None,
        show=_joined,
        brief=_first,
    ),
    Column(title="Slots", name="slots", get=lambda node: node.slots, wide=True, right=True),
    Column(title="Free Slots", name="free_slots", get=lambda node: node.free_slots, wide=True, right=True),
    _reading("Power", "power_watts", lambda node: node.load.power_watts if node.load else None, _watts),
    _reading("Temperature", "temperature_celsius", temperature, _celsius),
    _reading("GPU Load", "gpu_percent", _gpu_mean("usage_percent"), _percent),
    _reading("GPU Encoder", "gpu_encoder_percent", _gpu_mean("encoder_percent"), _percent),
    _reading("GPU Decoder", "gpu_decoder_percent", _gpu_mean("decoder_percent"), _percent),
    _proved("Encoders", "encoders"),
    Column(
        title="Encoder Sessions",
        name="encoder_sessions",
        get=lambda node: node.hardware and node.hardware.encoder_sessions,
        wide=True,
        right=True,
        sparse=True,
    ),
    _proved("Scores", "scorers"),
    _proved("Engines", "engines"),
    Column(title="Last Seen", name="last_seen_at", get=lambda node: node.last_seen_at, show=units.time_text, wide=True),
)


def node_sheet(node: NodeView, terminal: Terminal) -> str:
    """Return everything about a node, for people."""
    hardware = node.hardware
    pairs: list[tuple[str, str | None]] = []
    for column in NODE_COLUMNS:
        value = column.get(node)
        if value is not None or not column.sparse:
            pairs.append((column.title, None if value is None else column.show(value)))
    if hardware is not None:
        pairs += [
            ("Host Name", hardware.hostname or None),
            ("FFmpeg", hardware.ffmpeg_version),
            ("Program", hardware.program_version),
        ]
        pairs += [
            (f"GPU {number}", " ".join(part for part in (gpu.name, _memory(gpu.memory_bytes), gpu.driver) if part))
            for number, gpu in enumerate(hardware.gpus)
        ]
    pairs += [(f"GPU {number} Now", _now(gpu)) for number, gpu in enumerate(node.load.gpus if node.load else ())]
    disk = node.load.disk_free_bytes if node.load else None
    pairs += [
        ("Free Disk", None if disk is None else units.size_text(disk)),
        ("Connected At", None if node.connected_at is None else units.time_text(node.connected_at)),
    ]
    return sheet(pairs, box=terminal.out_shows, unicode=terminal.unicode, room=terminal.room, paint=terminal.paint)


def _now(gpu: GpuLoad) -> str | None:
    """Return the readings of a GPU, None where its driver tells nothing."""
    used = _memory(gpu.memory_used_bytes)
    parts = (
        None if gpu.usage_percent is None else f"{_percent(gpu.usage_percent)} busy",
        None if gpu.encoder_percent is None else f"encoder {_percent(gpu.encoder_percent)}",
        None if gpu.decoder_percent is None else f"decoder {_percent(gpu.decoder_percent)}",
        None if used is None else f"{used} in use",
        None if gpu.power_watts is None else _watts(gpu.power_watts),
        None if gpu.temperature_celsius is None else _celsius(gpu.temperature_celsius),
    )
    return ", ".join(part for part in parts if part) or None


def _memory(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else units.memory_text(size_bytes)

"""A node as one line, and in full: the columns as a table, for narrow and for wide screens. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.console.columns import rooms
from ffrtmp_tui.console.palette import STATE_STYLES
from ffrtmp_tui.console.state import Now
from ffrtmp_tui.console.text import Line, age, bar, ending, pad
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.messages.nodes import GpuLoad, NodeView
from ffrtmpd.wire.vocabulary import NodeStatus

_ABSENT: Final = "-"
_GIB: Final = 2**30


def _gpus(node: NodeView) -> tuple[GpuLoad, ...]:
    return node.load.gpus if node.load else ()


def _mean_of(node: NodeView, reading: str) -> float | None:
    """Return the mean of a reading of the node's GPUs, None where none has it."""
    read = [value for gpu in _gpus(node) if (value := getattr(gpu, reading)) is not None]
    return sum(read) / len(read) if read else None


def _whole(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.0f}"


def _barred(percent: float | None) -> str:
    return _ABSENT if percent is None else f"{bar(percent, 7)}{percent:>3.0f}"


def memory(free_bytes: float | None, total_bytes: float | None) -> str:
    """Return ``31/64G`` in use, or ``31G free`` where nobody tells how much there is."""
    if free_bytes is None:
        return _ABSENT
    if total_bytes is None:
        return f"{free_bytes / _GIB:.0f}G free"
    return f"{(total_bytes - free_bytes) / _GIB:.0f}/{total_bytes / _GIB:.0f}G"


def hottest(node: NodeView) -> float | None:
    """Return the highest temperature that the node reads, in degrees Celsius."""
    read = [gpu.temperature_celsius for gpu in _gpus(node)] + [node.load.temperature_celsius if node.load else None]
    return max((value for value in read if value is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeColumn:
    """One column: its title, its cells, and what stands in it."""

    title: str
    room: int
    get: Callable[[NodeView], str]
    grows: int = 0
    rank: int = 0


_ID: Final = NodeColumn(title="ID", room=8, get=lambda node: clean(node.node_id), grows=1)
_STATE: Final = NodeColumn(title="STATE", room=9, get=lambda node: str(node.status))
_CPU: Final = NodeColumn(
    title="CPU", room=11, get=lambda node: _barred(node.load.cpu_load_percent if node.load else None)
)
_GPU: Final = NodeColumn(title="GPU", room=11, get=lambda node: _barred(_mean_of(node, "usage_percent")))
_ENC: Final = NodeColumn(title="ENC", room=4, get=lambda node: _whole(_mean_of(node, "encoder_percent")))
_DEC: Final = NodeColumn(title="DEC", room=4, get=lambda node: _whole(_mean_of(node, "decoder_percent")))
_RAM: Final = NodeColumn(
    title="RAM",
    room=9,
    get=lambda node: memory(
        node.load.ram_free_bytes if node.load else None, node.hardware.ram_total_bytes if node.hardware else None
    ),
)
_WATTS: Final = NodeColumn(title="W", room=5, get=lambda node: _whole(node.load.power_watts if node.load else None))
_CELSIUS: Final = NodeColumn(title="C", room=4, get=lambda node: _whole(hottest(node)))
_SLOTS: Final = NodeColumn(title="SLOTS", room=6, get=lambda node: f"{node.slots - node.free_slots}/{node.slots}")

# Beside the jobs, on a page of 80 columns, and on a wide one.
PANE: Final = (_ID, _STATE, _CPU, _GPU, _ENC, replace(_RAM, rank=1), _WATTS, _CELSIUS)
NARROW: Final = (_ID, _STATE, _CPU, _GPU, _ENC, _DEC, _RAM, _WATTS, _CELSIUS, _SLOTS)
WIDE: Final = (
    NodeColumn(title="ID", room=14, get=lambda node: clean(node.node_id), grows=1),
    _STATE,
    _CPU,
    _GPU,
    _ENC,
    _DEC,
    NodeColumn(title="RAM", room=10, get=_RAM.get),
    _WATTS,
    _CELSIUS,
    _SLOTS,
    NodeColumn(title="JOBS", room=22, get=lambda node: " ".join(node.active_jobs) or _ABSENT),
    NodeColumn(
        title="GPUS",
        room=20,
        get=lambda node: clean(", ".join(gpu.name for gpu in node.hardware.gpus) if node.hardware else "") or _ABSENT,
        grows=2,
    ),
    NodeColumn(title="ADDRESS", room=16, get=lambda node: clean(node.address or _ABSENT)),
)


def node_line(node: NodeView, columns: tuple[NodeColumn, ...], width: int, now: Now, *, selected: bool) -> Line:
    """Return a node's line; of one that is away, since when."""
    widths = rooms(columns, width)
    cells = [pad(column.get(node), room - 1) + " " for column, room in zip(columns, widths, strict=True)]
    cells[0] = pad(ending(clean(node.node_id), widths[0] - 1), widths[0])
    rest = "".join(cells[2:])
    if node.status is NodeStatus.OFFLINE:
        seen = node.last_seen_at
        rest = "never seen" if seen is None else f"last seen {age(now.wall_s - seen)} ago"
    if selected:
        return [("selected", pad(f">{cells[0]}{cells[1]}{rest}", width))]
    return [("", f" {cells[0]}"), (STATE_STYLES.get(node.status, ""), cells[1]), ("", rest)]


def detail_lines(node: NodeView | None) -> list[Line]:
    """Return what is known of one node beyond its line."""
    if node is None:
        return [[("dim", "no node is selected")]]
    hardware, load = node.hardware, node.load
    lines: list[Line] = []
    for number, gpu in enumerate(_gpus(node)):
        total = hardware.gpus[number].memory_bytes if hardware and number < len(hardware.gpus) else None
        used = None if gpu.memory_used_bytes is None or total is None else memory(total - gpu.memory_used_bytes, total)
        parts = (
            bar(gpu.usage_percent, 12),
            f"{_whole(gpu.usage_percent)}%",
            f"enc {_whole(gpu.encoder_percent)}",
            f"dec {_whole(gpu.decoder_percent)}",
            f"mem {used or _ABSENT}",
            f"{_whole(gpu.power_watts)}W",
            f"{_whole(gpu.temperature_celsius)}C",
            clean(gpu.name),
        )
        lines.append([("dim", pad(f"gpu {number}", 9)), ("", "  ".join(parts))])
    disk = None if load is None or load.disk_free_bytes is None else f"{units.size_text(load.disk_free_bytes)} free"
    processor = ""
    if hardware is not None:
        count = "" if hardware.cpu_count is None else f"{hardware.cpu_count} x "
        processor = f"{count}{hardware.cpu_model or 'CPU'}" if hardware.cpu_model or count else ""
    warm = "" if load is None or load.temperature_celsius is None else f", {load.temperature_celsius:.0f}C"
    pairs = (
        ("jobs", " ".join(node.active_jobs)),
        ("host", " ".join(part for part in ((hardware.hostname if hardware else ""), node.address or "") if part)),
        ("cpu", f"{processor}{warm}"),
        ("disk", disk),
        ("encoders", ", ".join(hardware.encoders) if hardware else None),
        ("engines", ", ".join((*hardware.engines, *hardware.scorers)) if hardware else None),
        ("ffmpeg", hardware.ffmpeg_version if hardware else None),
        ("worker", hardware.program_version if hardware else None),
        ("drains", None if node.drain_until is None else f"until {units.time_text(node.drain_until)[11:]}"),
    )
    lines += [[("dim", pad(name, 9)), ("", clean(value))] for name, value in pairs if value]
    return lines

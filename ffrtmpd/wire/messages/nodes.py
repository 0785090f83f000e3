"""What clients say about nodes."""

from typing import Annotated

from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import Range, Size
from ffrtmpd.wire.vocabulary import Engine, NodeSortKey, NodeStatus


@record
class Gpu:
    """One GPU as its driver names it."""

    name: Annotated[str, "model"]
    memory_bytes: Annotated[int | None, "memory"] = None
    driver: Annotated[str | None, "driver version"] = None


@record
class Hardware:
    """What a node is made of and what it has proved it can do."""

    hostname: Annotated[str, "host name", Size(0, 256)]
    kind: Annotated[str, "server, desktop, laptop or virtual", Size(0, 32)] = "server"
    cpu_model: Annotated[str | None, "processor", Size(0, 256)] = None
    cpu_count: Annotated[int | None, "logical processors"] = None
    ram_total_bytes: Annotated[int | None, "memory"] = None
    gpus: Annotated[tuple[Gpu, ...], "GPUs", Size(0, 64)] = ()
    encoders: Annotated[tuple[str, ...], "encoders proved by a test encode", Size(0, 256)] = ()
    encoder_sessions: Annotated[
        int | None, "hardware encodes that it runs at once; nothing: not counted", Range(1, 1_024)
    ] = None
    scorers: Annotated[tuple[str, ...], "of vmaf, psnr and ssim, those proved to be measured", Size(0, 8)] = ()
    engines: Annotated[tuple[Engine, ...], "engines proved to run", Size(0, 8)] = ()
    ffmpeg_version: Annotated[str | None, "build of ffmpeg", Size(0, 256)] = None
    program_version: Annotated[str | None, "version of ffrtmp-worker", Size(0, 64)] = None


@record
class GpuLoad:
    """Readings of one GPU. What its driver does not tell is absent."""

    name: Annotated[str, "model", Size(0, 256)]
    usage_percent: Annotated[float | None, "busy share", Range(0, 100)] = None
    encoder_percent: Annotated[float | None, "busy share of the encoder", Range(0, 100)] = None
    decoder_percent: Annotated[float | None, "busy share of the decoder", Range(0, 100)] = None
    memory_used_bytes: Annotated[int | None, "memory in use", Range(0, 2**60)] = None
    temperature_celsius: Annotated[float | None, "temperature", Range(-100, 1_000)] = None
    power_watts: Annotated[float | None, "power", Range(0, 1e6)] = None


@record
class Load:
    """Readings of a node, sent with each heartbeat. What cannot be read is absent."""

    cpu_load_percent: Annotated[float | None, "busy share of all processors", Range(0, 100)] = None
    ram_free_bytes: Annotated[int | None, "memory available", Range(0, 2**60)] = None
    disk_free_bytes: Annotated[int | None, "free in the output folder", Range(0, 2**60)] = None
    temperature_celsius: Annotated[float | None, "of the hottest processor", Range(-100, 1_000)] = None
    gpus: Annotated[tuple[GpuLoad, ...], "GPUs", Size(0, 64)] = ()
    power_watts: Annotated[float | None, "mean power of all that is metered", Range(0, 1e6)] = None


@record
class NodeView:
    """A node as lists show it."""

    node_id: Annotated[str, "name given at enrolment"]
    address: Annotated[str | None, "address it connects from"] = None
    status: Annotated[NodeStatus, "status"]
    hardware: Annotated[Hardware | None, "absent until its first session"] = None
    load: Annotated[Load | None, "last readings"] = None
    slots: Annotated[int, "jobs it takes at once"] = 0
    free_slots: Annotated[int, "slots without a job"] = 0
    drain_until: Annotated[float | None, "Unix seconds at which a drain gives its jobs to others"] = None
    active_jobs: Annotated[tuple[str, ...], "job ids"] = ()
    last_seen_at: Annotated[float | None, "Unix seconds"] = None
    connected_at: Annotated[float | None, "Unix seconds of this session's start"] = None


@record
class ListNodes(Request):
    """Ask for a window of the nodes."""

    TYPE = "LIST_NODES"
    statuses: Annotated[tuple[NodeStatus, ...], "only these; nothing: all", Size(0, 4)] = ()
    text: Annotated[str | None, "a part of name or address, whatever its case", Size(1, 128)] = None
    encoder: Annotated[str | None, "only nodes that have proved it", Size(1, 64)] = None
    engine: Annotated[Engine | None, "only nodes that have proved it"] = None
    gpu: Annotated[bool | None, "only nodes with a GPU, or without"] = None
    sort: Annotated[NodeSortKey, "by what; nodes without a value come last, equal ones by name"] = NodeSortKey.NODE
    descending: Annotated[bool, "the greatest first"] = False
    limit: Annotated[int | None, "nodes in the window; nothing: as many as fit", Range(1, 10_000)] = None
    cursor: Annotated[str | None, "`next` of the window before", Size(1, 128)] = None


@record
class NodeList(Reply):
    """A window of the enrolled nodes."""

    TYPE = "NODE_LIST"
    nodes: Annotated[tuple[NodeView, ...], "nodes"]
    total: Annotated[int, "nodes that match"] = 0
    next: Annotated[str | None, "cursor of the next window"] = None


@record
class DescribeNode(Request):
    """Ask for one node."""

    TYPE = "DESCRIBE_NODE"
    node_id: Annotated[str, "node", Size(1, 128)]


@record
class NodeReply(Reply):
    """One node."""

    TYPE = "NODE"
    node: Annotated[NodeView, "the node"]


@record
class DrainNode(Request):
    """Give a node no more jobs; what it runs may finish, until the deadline if there is one."""

    TYPE = "DRAIN_NODE"
    node_id: Annotated[str, "node", Size(1, 128)]
    deadline_s: Annotated[
        float | None, "seconds after which what it still runs is given to others", Range(0, 30 * 86_400.0)
    ] = None


@record
class UndrainNode(Request):
    """Let a node take jobs again."""

    TYPE = "UNDRAIN_NODE"
    node_id: Annotated[str, "node", Size(1, 128)]


@record
class RemoveNode(Request):
    """Forget a node that is offline and refuse its key from now on; what it still holds goes to others."""

    TYPE = "REMOVE_NODE"
    node_id: Annotated[str, "node", Size(1, 128)]

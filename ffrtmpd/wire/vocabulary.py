"""The words of the wire, each spelled once."""

import re
from enum import StrEnum
from typing import Final

PROTOCOL_VERSION: Final = 1
SUPPORTED_VERSIONS: Final = (PROTOCOL_VERSION,)

WORKERS_PORT: Final = 5570
CLIENTS_PORT: Final = 5571

# Of clusters, nodes, people, contexts and jobs, for `fullmatch`: each is a file name and a word of the shell too.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE: Final = "1 to 64 letters, digits, dots, dashes and underscores, the first a letter or a digit"

HEARTBEAT_S: Final = 2.0
# Three silent intervals: one lost beat is noise, two are a busy machine, three are a fault.
SILENT_BEATS: Final = 3


class JobState(StrEnum):
    """Where a job stands. The last three are terminal."""

    PENDING = "pending"
    QUEUED = "queued"
    ASSIGNED = "assigned"
    PROCESSING = "processing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL_STATES: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})


class JobAct(StrEnum):
    """What can be done to jobs."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"


class Phase(StrEnum):
    """What a processing job is doing."""

    ENCODING = "encoding"
    SCORING = "scoring"
    PUBLISHING = "publishing"


class Queue(StrEnum):
    """Queues in the order in which they are served."""

    LIVE = "live"
    DEFAULT = "default"
    BATCH = "batch"


class Priority(StrEnum):
    """Priorities within a queue, first served first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class SortKey(StrEnum):
    """What lists of jobs are sorted by. ``created`` is the order of submit."""

    CREATED = "created"
    QUEUE = "queue"
    PRIORITY = "priority"
    STATE = "state"
    SCENARIO = "scenario"
    NODE = "node"
    STARTED = "started"
    FINISHED = "finished"
    VMAF = "vmaf"
    QOE = "qoe"
    ENERGY = "energy"
    JOULES_PER_MINUTE = "joules_per_minute"
    DURATION = "duration"
    PROGRESS = "progress"
    FPS = "fps"
    ETA = "eta"


class NodeSortKey(StrEnum):
    """What lists of nodes are sorted by."""

    NODE = "node"
    STATUS = "status"
    LOAD = "load"
    FREE_SLOTS = "free_slots"
    JOBS = "jobs"
    POWER = "power"
    LAST_SEEN = "last_seen"


class NodeStatus(StrEnum):
    """``busy`` is an active node whose slots are all taken."""

    ACTIVE = "active"
    OFFLINE = "offline"
    BUSY = "busy"
    DRAINING = "draining"


class Why(StrEnum):
    """Why a node does not take a job, or why a job waits."""

    OFFLINE = "offline"
    DRAINING = "draining"
    NO_FREE_SLOT = "no_free_slot"
    NO_ENGINE = "no_engine"
    NO_ENCODER = "no_encoder"
    GPU_REQUIRED = "gpu_required"
    ENCODER_BUSY = "encoder_busy"
    NO_SCORER = "no_scorer"
    NO_WORKER = "no_worker"


class Role(StrEnum):
    """What a key may do. ``enrol`` is the one-time key of an invitation."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    WORKER = "worker"
    ENROL = "enrol"


class Codec(StrEnum):
    """Video codecs a scenario may name."""

    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"
    VP9 = "vp9"


class Engine(StrEnum):
    """Which program encodes. ``auto`` leaves the choice to the node and never means ``null``.

    ``null`` encodes nothing and ends at once: benchmarks measure with it what the cluster itself costs. Master and
    worker refuse it unless their settings allow it.
    """

    AUTO = "auto"
    FFMPEG = "ffmpeg"
    GSTREAMER = "gstreamer"
    NULL = "null"


# What people are offered.
ENGINES: Final = (Engine.AUTO, Engine.FFMPEG, Engine.GSTREAMER)


class OutputMode(StrEnum):
    """``file`` is staged and published once; the others push to a URL while they encode."""

    FILE = "file"
    RTMP = "rtmp"
    SRT = "srt"
    STREAM = "stream"


class VmafMode(StrEnum):
    """How much of an output is scored: nothing, every few frames, or every frame."""

    OFF = "off"
    SAMPLE = "sample"
    FULL = "full"


class VerifyMode(StrEnum):
    """How an output is checked before it counts: by what a probe shows, or decoded to its end too."""

    PROBE = "probe"
    DECODE = "decode"


class Sla(StrEnum):
    """Whether a finished job was served as promised."""

    COMPLIANT = "compliant"
    VIOLATION = "violation"


class Outcome(StrEnum):
    """How an attempt ended on its node. ``encoded`` asks the master for leave to publish."""

    ENCODED = "encoded"
    FAILED = "failed"
    CANCELED = "canceled"


class FailureClass(StrEnum):
    """``permanent`` fails the job at once; ``transient`` is tried again after a back-off.

    ``busy`` is no failure: the node's hardware encoders have no room now, and another node may have some.
    """

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    BUSY = "busy"


class Verdict(StrEnum):
    """The master's answer to a result. ``stale`` means that another attempt holds the job."""

    RECORDED = "recorded"
    STALE = "stale"


class ErrorCode(StrEnum):
    """Stable codes of refused requests; scripts may rely on them."""

    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown_type"
    UNSUPPORTED_VERSION = "unsupported_version"
    INVALID_ARGUMENT = "invalid_argument"
    UNKNOWN_SCENARIO = "unknown_scenario"
    NOT_ALLOWED = "not_allowed"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    STALE = "stale"
    READ_ONLY = "read_only"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    INTERNAL = "internal"

"""What master and worker say to each other. None of these has a request id: each stands for itself."""

from typing import Annotated

from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.common import Problem
from ffrtmpd.wire.messages.jobs import LOG_MAX, PATH_MAX, Progress, Report
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import Range, Size
from ffrtmpd.wire.vocabulary import (
    Codec,
    Engine,
    FailureClass,
    Outcome,
    OutputMode,
    Phase,
    Sla,
    Verdict,
    VerifyMode,
    VmafMode,
)

SLOTS_MAX = 1_024
TOKEN_BYTES = 16


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@record
class About(Message):
    """A message about one attempt: only the token given with it may speak for it."""

    job_id: Annotated[str, "job", Size(1, 64)]
    attempt: Annotated[int, "attempt, from 1", Range(1, 1_000_000)]
    token: Annotated[bytes, "random, given with the assignment", Size(TOKEN_BYTES, TOKEN_BYTES)]


@record
class Held:
    """An attempt that a worker holds: running, paused, or finished and not yet answered."""

    job_id: Annotated[str, "job", Size(1, 64)]
    attempt: Annotated[int, "attempt", Range(1, 1_000_000)]
    token: Annotated[bytes, "of the attempt", Size(TOKEN_BYTES, TOKEN_BYTES)]
    started: Annotated[bool, "the encoder has begun"] = False
    paused: Annotated[bool, "its processes are stopped"] = False


@record
class Encode:
    """What to encode, resolved by the master from scenario and options."""

    codec: Annotated[Codec, "codec"]
    width: Annotated[int, "pixels", Range(16, 16_384)]
    height: Annotated[int, "pixels", Range(16, 16_384)]
    fps: Annotated[float | None, "frames per second; nothing: the source's", Range(1, 480)] = None
    bitrate_bps: Annotated[int, "bits per second", Range(1_000, 2_000_000_000)]
    preset: Annotated[str | None, "speed preset", Size(1, 32)] = None


# ── worker to master ──────────────────────────────────────────────────────────────────────────────────────────────


@record
class Hello(Message):
    """A worker asks for a session."""

    TYPE = "HELLO"
    versions: Annotated[tuple[int, ...], "protocol versions it speaks", Size(1, 16)]
    boot_id: Annotated[str, "random, new at each start of the worker's process", Size(1, 64)]
    slots: Annotated[int, "jobs it takes at once", Range(0, SLOTS_MAX)]
    hardware: Annotated[Hardware, "what it has"]


@record
class Ready(Message):
    """The worker's inventory. It counts only with the nonce of the WELCOME that it answers."""

    TYPE = "READY"
    nonce: Annotated[bytes, "of the WELCOME", Size(TOKEN_BYTES, TOKEN_BYTES)]
    running: Annotated[tuple[Held, ...], "attempts that run or are paused", Size(0, SLOTS_MAX)] = ()
    finished: Annotated[tuple[Held, ...], "attempts whose result is not answered yet", Size(0, 4_096)] = ()


@record
class Heartbeat(Message):
    """The worker is alive."""

    TYPE = "HEARTBEAT"
    sent_ms: Annotated[int, "the worker's monotonic clock at sending, milliseconds", Range(0, 2**62)]
    running: Annotated[tuple[Held, ...], "as in READY", Size(0, SLOTS_MAX)] = ()
    load: Annotated[Load | None, "readings"] = None


@record
class Started(About):
    """The encoder has begun. Said again when another encoder takes its place."""

    TYPE = "STARTED"
    encoder: Annotated[str, "encoder chosen", Size(1, 64)]
    engine: Annotated[Engine, "engine chosen"] = Engine.FFMPEG
    command: Annotated[tuple[str, ...], "exact command", Size(0, 512)] = ()


@record
class ProgressReport(About):
    """How far an attempt is; counts as a heartbeat."""

    TYPE = "PROGRESS"
    phase: Annotated[Phase, "what it does"] = Phase.ENCODING
    progress: Annotated[Progress, "figures"]


@record
class Result(About):
    """An attempt has ended. Sent until a VERDICT or a COMMIT answers it."""

    TYPE = "RESULT"
    outcome: Annotated[Outcome, "how"]
    report: Annotated[Report, "what it did"]
    failure_class: Annotated[FailureClass | None, "of a failure"] = None
    reason: Annotated[str | None, "of a failure, in one line", Size(0, 1_024)] = None


@record
class Committed(About):
    """The output stands under its final name and survives a power cut. Sent until a VERDICT answers it."""

    TYPE = "COMMITTED"
    output: Annotated[str, "path or URL", Size(1, PATH_MAX)]


@record
class LogChunk(Message):
    """A piece of a log that the master asked for."""

    TYPE = "LOG_CHUNK"
    fetch_id: Annotated[int, "of the FETCH_LOG"]
    text: Annotated[str, "the piece", Size(0, LOG_MAX)] = ""
    offset: Annotated[int, "byte at which it begins", Range(0, 2**62)] = 0
    next_offset: Annotated[int, "byte to go on at", Range(0, 2**62)] = 0
    end: Annotated[bool, "nothing is behind it, and the attempt has ended"] = False
    missing: Annotated[bool, "this node has no log of that attempt"] = False


@record
class Bye(Message):
    """The worker ends; what it still ran is canceled on its side and may be given to others at once."""

    TYPE = "BYE"


# ── master to worker ──────────────────────────────────────────────────────────────────────────────────────────────


@record
class Welcome(Message):
    """A session is offered; the worker answers with READY."""

    TYPE = "WELCOME"
    version: Annotated[int, "protocol version of this session"]
    node_id: Annotated[str, "the name bound to the worker's key"]
    epoch: Annotated[int, "grows by one at each start of the master"]
    nonce: Annotated[bytes, "to be repeated in READY", Size(TOKEN_BYTES, TOKEN_BYTES)]
    life: Annotated[
        bytes,
        "random, new at each start of the master: one restored from a backup repeats epochs",
        Size(0, TOKEN_BYTES),
    ] = b""
    heartbeat_s: Annotated[float, "seconds between beats", Range(0.01, 3_600)]
    fence_s: Annotated[
        float, "the longest fence of all queues: no attempt's own is longer, whatever its ASSIGN said", Range(0, 1e6)
    ]
    lost_after_s: Annotated[float, "silent for so long, staged attempts are given to others", Range(0, 1e6)]


@record
class HeartbeatAck(Message):
    """The master is alive and has heard the beat sent at that time."""

    TYPE = "HEARTBEAT_ACK"
    sent_ms: Annotated[int, "of the HEARTBEAT", Range(0, 2**62)]


@record
class Assign(About):
    """Run this. The same assignment may come twice."""

    TYPE = "ASSIGN"
    encode: Annotated[Encode, "what to encode"]
    input: Annotated[str | None, "path or URL; nothing: a generated source", Size(1, PATH_MAX)] = None
    output: Annotated[str | None, "path or URL; nothing: named after the job", Size(1, PATH_MAX)] = None
    output_mode: Annotated[OutputMode, "file, or how the output URL is fed"] = OutputMode.FILE
    duration_s: Annotated[float | None, "seconds of media"] = None
    encoder: Annotated[str | None, "this encoder and no other", Size(1, 64)] = None
    engine: Annotated[Engine, "which program encodes"] = Engine.AUTO
    require_gpu: Annotated[bool, "only a hardware encoder will do"] = False
    timeout_s: Annotated[float | None, "seconds the attempt may take"] = None
    vmaf: Annotated[VmafMode, "how much of the output is scored against its source"] = VmafMode.OFF
    vmaf_floor: Annotated[float | None, "below this mean VMAF the attempt has failed", Range(0, 100)] = None
    psnr: Annotated[bool, "measure PSNR too"] = False
    ssim: Annotated[bool, "measure SSIM too"] = False
    verify: Annotated[VerifyMode, "how the output is checked"] = VerifyMode.PROBE
    fence_s: Annotated[
        float | None,
        "of an output with side effects: without an acknowledged beat for so long, stop it; nothing: as in WELCOME",
        Range(0, 1e6),
    ] = None


@record
class PauseAttempt(About):
    """Stop the attempt's processes where they are."""

    TYPE = "PAUSE_ATTEMPT"


@record
class ResumeAttempt(About):
    """Let the attempt's processes go on."""

    TYPE = "RESUME_ATTEMPT"


@record
class Kill(About):
    """Stop the attempt, remove its partial output and forget it."""

    TYPE = "KILL"
    reason: Annotated[str, "why", Size(0, 256)] = ""


@record
class Commit(About):
    """Publish the attempt's output."""

    TYPE = "COMMIT"


@record
class ResultVerdict(About):
    """The result, or the publication, is on the master's disk, or is nobody's concern any more: forget it."""

    TYPE = "VERDICT"
    verdict: Annotated[Verdict, "which"]
    sla: Annotated[Sla | None, "how the job was served, where this finished it"] = None


@record
class Reset(Message):
    """The master knows no such session: say HELLO again."""

    TYPE = "RESET"


@record
class Denied(Message):
    """What came last was refused and changed nothing."""

    TYPE = "DENIED"
    problem: Annotated[Problem, "why"]


@record
class FetchLog(Message):
    """Send a piece of an attempt's log."""

    TYPE = "FETCH_LOG"
    fetch_id: Annotated[int, "to be repeated"]
    job_id: Annotated[str, "job", Size(1, 64)]
    attempt: Annotated[int, "attempt", Range(1, 1_000_000)]
    offset: Annotated[int, "byte to begin at; negative counts from the end"] = 0
    limit: Annotated[int, "bytes at most", Range(1, LOG_MAX)] = LOG_MAX

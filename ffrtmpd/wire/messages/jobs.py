"""What a job is, and how clients submit, see, list and follow jobs."""

from typing import Annotated

from ffrtmpd.wire.messages.common import Problem, Reply, Request
from ffrtmpd.wire.messages.measures import Energy, Experience, Provenance, Quality
from ffrtmpd.wire.record import field, record
from ffrtmpd.wire.schema import Range, Shared, Size
from ffrtmpd.wire.vocabulary import (
    Codec,
    Engine,
    FailureClass,
    JobState,
    OutputMode,
    Phase,
    Priority,
    Queue,
    Sla,
    SortKey,
    VerifyMode,
    VmafMode,
)

PATH_MAX = 4_096
WEEK_S = 7 * 86_400.0
SUBMIT_MAX = 1_000
PAGE_MAX = 1_000
IDS_MAX = 4_000
LOG_MAX = 65_536
WAIT_MAX_S = 30.0
# No figure of a job is larger: 2⁵³, up to which a float holds every whole number.
FIGURE_MAX = float(2**53)


@record
class JobSpec:
    """What a user wants encoded."""

    scenario: Annotated[str, "`<resolution>[<fps>]-<codec>` or a name from scenarios.toml", Size(1, 128)]
    input: Annotated[str | None, "path or URL; nothing: a generated source", Size(1, PATH_MAX)] = None
    output: Annotated[str | None, "path or URL; nothing: `<job id>.mp4` in the node's folder", Size(1, PATH_MAX)] = None
    output_mode: Annotated[OutputMode, "file, or how the output URL is fed"] = OutputMode.FILE
    queue: Annotated[Queue, "queue"] = Queue.DEFAULT
    priority: Annotated[Priority, "priority within the queue"] = Priority.MEDIUM
    duration_s: Annotated[float | None, "seconds of media; nothing: all of the input", Range(0.04, WEEK_S)] = None
    bitrate_bps: Annotated[int | None, "bits per second; nothing: the scenario's", Range(1_000, 2_000_000_000)] = None
    codec: Annotated[Codec | None, "instead of the scenario's codec"] = None
    preset: Annotated[str | None, "the encoder's speed preset", Size(1, 32)] = None
    encoder: Annotated[str | None, "this encoder and no other, such as `libx264`", Size(1, 64)] = None
    engine: Annotated[Engine, "which program encodes"] = Engine.AUTO
    require_gpu: Annotated[bool, "only a hardware encoder will do"] = False
    vmaf: Annotated[VmafMode, "how much of a file is scored against its source"] = VmafMode.OFF
    vmaf_floor: Annotated[float | None, "below this mean VMAF nothing is published", Range(0, 100)] = None
    psnr: Annotated[bool, "measure PSNR too"] = False
    ssim: Annotated[bool, "measure SSIM too"] = False
    verify: Annotated[VerifyMode, "how a file is checked before it is published"] = VerifyMode.PROBE
    timeout_s: Annotated[float | None, "seconds an attempt may take", Range(1, WEEK_S)] = None
    max_attempts: Annotated[int, "attempts before a transient failure is final", Range(1, 100)] = 3
    not_before: Annotated[float | None, "Unix seconds before which it is not queued", Range(0, 1e11)] = None
    labels: Annotated[dict[str, str], "free names and values", Size(0, 64)] = field(default_factory=dict)


@record
class Submission:
    """One job to add, under a key that makes a retried submit harmless."""

    key: Annotated[str, "unique and made by the client; the same key again answers with the same job", Size(8, 128)]
    spec: Annotated[JobSpec, "what to encode", Shared()]


@record
class Submit(Request):
    """Add jobs. Each is taken or refused by itself; those taken are on disk before the reply."""

    TYPE = "SUBMIT"
    jobs: Annotated[tuple[Submission, ...], "the jobs", Size(1, SUBMIT_MAX)]


@record
class SubmitResult:
    """What became of one submission: a job, or a problem."""

    key: Annotated[str, "of the submission"]
    job_id: Annotated[str | None, "of the job made, now or by an earlier submit with this key"] = None
    state: Annotated[JobState | None, "of that job"] = None
    reason: Annotated[str | None, "why it waits, if no connected node can run it now"] = None
    problem: Annotated[Problem | None, "why there is no job"] = None


@record
class Submitted(Reply):
    """One result for each submission, in the same order."""

    TYPE = "SUBMITTED"
    results: Annotated[tuple[SubmitResult, ...], "results"]


@record
class Progress:
    """How far an attempt is. What was not measured is absent."""

    percent: Annotated[
        float | None, "0 to 100, never going back; 100 only when the job is completed", Range(0, 100)
    ] = None
    frame: Annotated[int | None, "frames written", Range(0, FIGURE_MAX)] = None
    fps: Annotated[float | None, "frames per second over the last seconds", Range(0, FIGURE_MAX)] = None
    speed: Annotated[float | None, "media seconds per second over the last seconds", Range(0, FIGURE_MAX)] = None
    bitrate_bps: Annotated[float | None, "bits per second of the output so far", Range(0, FIGURE_MAX)] = None
    size_bytes: Annotated[int | None, "bytes written", Range(0, FIGURE_MAX)] = None
    out_time_s: Annotated[float | None, "media seconds written", Range(0, FIGURE_MAX)] = None
    dropped_frames: Annotated[int | None, "frames dropped", Range(0, FIGURE_MAX)] = None
    duplicated_frames: Annotated[int | None, "frames duplicated", Range(0, FIGURE_MAX)] = None
    eta_s: Annotated[float | None, "seconds to the end, paused time left out", Range(0, FIGURE_MAX)] = None
    reconnects: Annotated[int | None, "times a push had to connect again", Range(0, FIGURE_MAX)] = None
    stall_s: Annotated[float | None, "seconds a push was behind real time or away", Range(0, FIGURE_MAX)] = None
    real_time_ratio: Annotated[float | None, "media seconds per second of a push so far", Range(0, FIGURE_MAX)] = None


@record
class VideoStream:
    """A video stream as a probe of the file shows it."""

    codec: Annotated[str, "h264, hevc, av1, vp9"]
    width: Annotated[int, "pixels"]
    height: Annotated[int, "pixels"]
    fps: Annotated[float | None, "average frames per second"] = None
    frames: Annotated[int | None, "frames counted"] = None
    pixel_format: Annotated[str | None, "such as yuv420p"] = None
    bitrate_bps: Annotated[float | None, "bits per second"] = None
    start_s: Annotated[float | None, "seconds from where the file begins to its first picture"] = None
    duration_s: Annotated[float | None, "seconds from its first picture to the end of its last"] = None
    moving_fps: Annotated[float | None, "frames per second while it moves"] = None
    interlaced: Annotated[bool, "it says that its frames are two fields each"] = False


@record
class AudioStream:
    """An audio stream as a probe of the file shows it."""

    codec: Annotated[str, "such as aac"]
    sample_rate: Annotated[int | None, "samples per second"] = None
    channels: Annotated[int | None, "channels"] = None
    start_s: Annotated[float | None, "seconds from where the file begins to its first sound"] = None


@record
class MediaInfo:
    """What a probe found in an output."""

    container: Annotated[str, "format name"]
    size_bytes: Annotated[int | None, "bytes on disk"] = None
    duration_s: Annotated[float | None, "seconds from the first picture or sound to the end of the last"] = None
    video: Annotated[VideoStream | None, "first video stream"] = None
    audio: Annotated[AudioStream | None, "first audio stream"] = None
    probe: Annotated[str | None, "which program looked: ffprobe or pyav"] = None


@record
class Report:
    """What an attempt did, as its node tells it."""

    encoder: Annotated[str | None, "encoder used"] = None
    engine: Annotated[Engine | None, "engine used"] = None
    fallback: Annotated[str | None, "why another encoder took the place of the one chosen first", Size(0, 512)] = None
    engine_version: Annotated[str | None, "build of the engine", Size(0, 256)] = None
    command: Annotated[tuple[str, ...], "exact command", Size(0, 512)] = ()
    output: Annotated[str | None, "path or URL of the output", Size(0, PATH_MAX)] = None
    media: Annotated[MediaInfo | None, "the output as probed"] = None
    encode_s: Annotated[float | None, "seconds from start to exit of the encoder, pauses included"] = None
    paused_s: Annotated[float | None, "seconds of that spent paused"] = None
    cpu_s: Annotated[float | None, "processor seconds of the encoder and its children"] = None
    exit_code: Annotated[int | None, "of the encoder; minus the signal when killed"] = None
    limits: Annotated[str | None, "limits in force", Size(0, 256)] = None
    log_tail: Annotated[str | None, "last lines of the encoder's log", Size(0, 8_192)] = None
    quality: Annotated[Quality | None, "how close the output is to its source"] = None
    experience: Annotated[Experience | None, "what an audience would notice"] = None
    energy: Annotated[Energy | None, "joules"] = None
    efficiency: Annotated[
        float | None, "megapixels encoded × VMAF/100 per joule; only like ladders compare", Range(0, FIGURE_MAX)
    ] = None
    bandwidth_bps: Annotated[
        float | None, "(input + output bytes) · 8 / seconds, SI bits per second", Range(0, FIGURE_MAX)
    ] = None
    provenance: Annotated[Provenance | None, "what went in and came out"] = None


@record
class JobView:
    """A job as lists show it. Times are Unix seconds."""

    job_id: Annotated[str, "such as job-000123"]
    scenario: Annotated[str, "as submitted"]
    state: Annotated[JobState, "state"]
    phase: Annotated[Phase | None, "within processing"] = None
    queue: Annotated[Queue, "queue"]
    priority: Annotated[Priority, "priority"]
    engine: Annotated[Engine, "asked for"] = Engine.AUTO
    progress: Annotated[Progress | None, "last known"] = None
    node_id: Annotated[str | None, "node that holds or held it"] = None
    attempt: Annotated[int, "attempts begun"] = 0
    max_attempts: Annotated[int, "attempts allowed"] = 3
    losses: Annotated[int, "attempts lost with their node"] = 0
    created_at: Annotated[float, "submitted"]
    started_at: Annotated[float | None, "last attempt began to encode"] = None
    finished_at: Annotated[float | None, "terminal state entered"] = None
    due_at: Annotated[float | None, "pending until"] = None
    reason: Annotated[str | None, "why it is in this state, or why it waits"] = None
    output: Annotated[str | None, "path or URL"] = None
    waited_s: Annotated[float, "seconds spent queued or assigned, in all attempts"] = 0.0
    processed_s: Annotated[float, "seconds spent processing, pauses left out, in all attempts"] = 0.0
    vmaf: Annotated[float | None, "mean VMAF of the output"] = None
    qoe: Annotated[float | None, "quality of experience, 1 to 5"] = None
    energy_j: Annotated[float | None, "marginal joules, scoring left out"] = None
    joules_per_minute: Annotated[float | None, "joules per minute of output"] = None
    exit_code: Annotated[int | None, "of the encoder of a failed job; minus the signal when killed"] = None
    sla: Annotated[Sla | None, "whether it was served as promised; absent: not finished, or not counted"] = None
    revision: Annotated[int, "grows with every change of any job"] = 0


@record
class AuditEntry:
    """One transition of a job."""

    at: Annotated[float, "Unix seconds"]
    from_state: Annotated[JobState | None, "absent for the submit"] = None
    to_state: Annotated[JobState, "state entered"]
    event: Annotated[str, "what happened"]
    who: Annotated[str, "principal or `master`"]
    why: Annotated[str | None, "reason"] = None
    attempt: Annotated[int, "attempt at that time"] = 0


@record
class Status(Request):
    """Ask for everything about one job."""

    TYPE = "STATUS"
    job: Annotated[str, "job id or sequence number", Size(1, 64)]


@record
class StatusReply(Reply):
    """Everything about one job."""

    TYPE = "STATUS_REPLY"
    job: Annotated[JobView, "as in lists"]
    spec: Annotated[JobSpec, "as submitted"]
    failure_class: Annotated[FailureClass | None, "of the last failure"] = None
    exit_code: Annotated[int | None, "of the last attempt's encoder"] = None
    report: Annotated[Report | None, "of the last attempt"] = None
    history: Annotated[tuple[AuditEntry, ...], "transitions, oldest first, the last thousand"] = ()


@record
class ListJobs(Request):
    """Ask for a window of the jobs, filtered and sorted by the master.

    In the order of submit a window may hold fewer jobs than `limit`, even none: where a filter fits few, the master
    looks at ten thousand at a time, and `next` goes on. The same holds for `finished` where only terminal states are
    asked for. Another order is that of the newest ten thousand that fit.
    """

    TYPE = "LIST_JOBS"
    states: Annotated[tuple[JobState, ...], "only these; nothing: all", Size(0, 8)] = ()
    queues: Annotated[tuple[Queue, ...], "only these; nothing: all", Size(0, 3)] = ()
    node_id: Annotated[str | None, "only jobs of this node", Size(1, 128)] = None
    limit: Annotated[int, "jobs in the window", Range(1, PAGE_MAX)] = 100
    cursor: Annotated[str | None, "`next` of the window before", Size(1, 128)] = None
    oldest_first: Annotated[bool, "by submit order; else newest first"] = False
    priorities: Annotated[tuple[Priority, ...], "only these; nothing: all", Size(0, 3)] = ()
    engines: Annotated[tuple[Engine, ...], "only jobs that asked for these; nothing: all", Size(0, 8)] = ()
    text: Annotated[str | None, "a part of the scenario, whatever its case", Size(1, 128)] = None
    labels: Annotated[dict[str, str], "only jobs with all these labels", Size(0, 8)] = field(default_factory=dict)
    created_after: Annotated[float | None, "Unix seconds; only jobs submitted then or later", Range(0, 1e11)] = None
    created_before: Annotated[float | None, "Unix seconds; only jobs submitted earlier", Range(0, 1e11)] = None
    sort: Annotated[SortKey, "by what; jobs without a value come last, equal ones newest first"] = SortKey.CREATED
    descending: Annotated[bool, "the greatest first; `created` has `oldest_first` instead"] = False
    ids_only: Annotated[
        bool, "by submit order: only `ids`, up to four thousand a window, whatever `limit` and `sort`"
    ] = False


@record
class JobList(Reply):
    """A window of the jobs."""

    TYPE = "JOB_LIST"
    jobs: Annotated[tuple[JobView, ...], "the window"]
    ids: Annotated[tuple[str, ...], "the window, where only ids were asked for"] = ()
    total: Annotated[int, "jobs that match; with `partial` those found so far may be fewer"]
    partial: Annotated[bool, "not every job was looked at: `total` or the order is of those that were"] = False
    next: Annotated[str | None, "cursor of the next window"] = None
    revision: Annotated[int, "give it to CHANGES to hear what happened since"]


@record
class Changes(Request):
    """Wait for jobs to change: answered as soon as one has, or after ``wait_s`` with none."""

    TYPE = "CHANGES"
    since: Annotated[int, "revision of the last answer"]
    jobs: Annotated[tuple[str, ...], "only these job ids; nothing: all", Size(0, PAGE_MAX)] = ()
    wait_s: Annotated[float, "seconds to wait", Range(0, WAIT_MAX_S)] = 10.0


@record
class ChangesReply(Reply):
    """Jobs that changed since the revision asked about."""

    TYPE = "CHANGES_REPLY"
    jobs: Annotated[tuple[JobView, ...], "as they are now"]
    revision: Annotated[int, "to ask from next"]
    reset: Annotated[bool, "`since` is too old or of another epoch: read the list anew"] = False

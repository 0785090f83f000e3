"""Replies with every field told, and with none told."""

from ffrtmpd.wire.messages.common import Error, Pong, Problem, Request
from ffrtmpd.wire.messages.jobs import (
    AudioStream,
    AuditEntry,
    JobSpec,
    JobView,
    MediaInfo,
    Progress,
    Report,
    StatusReply,
    VideoStream,
)
from ffrtmpd.wire.messages.nodes import Gpu, Hardware, Load, NodeView
from ffrtmpd.wire.vocabulary import Engine, ErrorCode, JobState, NodeStatus, Phase, Priority, Queue, Sla

# 2023-11-14 22:13:20 UTC
AT = 1_700_000_000.0


def job(
    state: JobState = JobState.QUEUED, *, number: int = 123, revision: int = 1, percent: float | None = None
) -> JobView:
    return JobView(
        job_id=f"job-{number:06d}",
        scenario="720p30-h264",
        state=state,
        queue=Queue.DEFAULT,
        priority=Priority.MEDIUM,
        progress=None if percent is None else Progress(percent=percent),
        created_at=AT,
        revision=revision,
    )


DONE = JobView(
    job_id="job-000124",
    scenario="4K60-h264",
    state=JobState.COMPLETED,
    queue=Queue.LIVE,
    priority=Priority.HIGH,
    progress=Progress(percent=100.0, fps=71.25, speed=1.18, eta_s=0.0),
    node_id="worker-1",
    attempt=1,
    created_at=AT,
    started_at=AT + 2,
    finished_at=AT + 131.5,
    output="/srv/out/job-000124.mp4",
    waited_s=2.0,
    processed_s=129.5,
    sla=Sla.COMPLIANT,
    revision=9,
)

RUNNING = JobView(
    job_id="job-000125",
    scenario="1080p30-h265",
    state=JobState.PROCESSING,
    phase=Phase.ENCODING,
    queue=Queue.BATCH,
    priority=Priority.LOW,
    progress=Progress(percent=45.25, fps=71.0, speed=1.18, eta_s=151.0),
    node_id="worker-2",
    attempt=2,
    created_at=AT,
    started_at=AT + 2,
    revision=10,
)

REPORT = Report(
    encoder="libx264",
    engine=Engine.FFMPEG,
    command=("ffmpeg", "-i", "file:/srv/a b.mov", "out.mp4"),
    media=MediaInfo(
        container="mov,mp4",
        size_bytes=1_270_000,
        duration_s=5.0,
        video=VideoStream(codec="h264", width=3840, height=2160, fps=60.0, frames=300, bitrate_bps=2_032_000.0),
        audio=AudioStream(codec="aac", sample_rate=48_000, channels=2),
        probe="ffprobe",
    ),
    encode_s=129.5,
    cpu_s=240.0,
    exit_code=0,
    limits="cgroup-v2 cpu=4 memory=2GiB, nice=5",
    log_tail="frame=300\nlsize=1240kB\n",
)


def status_of(view: JobView, request: Request, *, full: bool = False) -> StatusReply:
    return StatusReply(
        request_id=request.request_id,
        job=view,
        spec=JobSpec(
            scenario=view.scenario, input="/srv/a b.mov" if full else None, labels={"show": "a"} if full else {}
        ),
        exit_code=0 if full else None,
        report=REPORT if full else None,
        history=(
            AuditEntry(at=AT, to_state=JobState.QUEUED, event="submit", who="ana"),
            AuditEntry(
                at=AT + 2, from_state=JobState.QUEUED, to_state=view.state, event="start", who="master", attempt=1
            ),
        )
        if full
        else (),
    )


NODE = NodeView(
    node_id="worker-1",
    address="10.0.0.7",
    status=NodeStatus.BUSY,
    hardware=Hardware(
        hostname="rack7",
        kind="server",
        cpu_model="EPYC 7302",
        cpu_count=32,
        ram_total_bytes=64 << 30,
        gpus=(Gpu(name="RTX A4000", memory_bytes=16 << 30, driver="550.54"),),
        encoders=("libx264", "h264_nvenc"),
        engines=(Engine.FFMPEG,),
        ffmpeg_version="5.1.9",
        program_version="0.1.0",
    ),
    load=Load(cpu_load_percent=58.25, ram_free_bytes=31 << 30, disk_free_bytes=2_000_000_000),
    slots=2,
    free_slots=0,
    active_jobs=("job-000124", "job-000125"),
    last_seen_at=AT,
    connected_at=AT - 60,
)
BARE_NODE = NodeView(node_id="worker-2", status=NodeStatus.OFFLINE)


def error(
    request: Request, code: ErrorCode, message: str = "no", hint: str | None = None, *, retryable: bool = False
) -> Error:
    problem = Problem(code=code, message=message, hint=hint, retryable=retryable)
    return Error(request_id=request.request_id, problem=problem)


def pong(request: Request) -> Pong:
    return Pong(
        request_id=request.request_id,
        version="1.2",
        cluster="c",
        epoch=1,
        uptime_s=1.0,
        principal="ana",
        role="viewer",
        workers_port=1,
    )

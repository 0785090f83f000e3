"""SUBMIT: check each job, store it, and say which became a job."""

import re
from typing import Final

from ffrtmpd.broker.cluster import Cluster, Refusal
from ffrtmpd.events import Peer
from ffrtmpd.placement import rank_of, requires_of
from ffrtmpd.principals import Principal
from ffrtmpd.scenario import InvalidSpec, Scenarios, UnknownScenario
from ffrtmpd.store import KeyConflict, NewJob, Order
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.common import Problem
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit, SubmitResult, Submitted
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.places import BadPlace, check_input, check_output_file, has_control, same_file, split_url
from ffrtmpd.wire.vocabulary import Engine, ErrorCode, JobState, OutputMode, VerifyMode, VmafMode

# Words and levels of encoders: nothing that could be read as an option.
_PRESET = re.compile(r"[A-Za-z0-9_]+")
_URL_SCHEMES = {
    OutputMode.RTMP: ("rtmp://", "rtmps://"),
    OutputMode.SRT: ("srt://",),
    OutputMode.STREAM: ("rtmp://", "rtmps://", "srt://", "http://", "https://", "udp://", "rtp://"),
}


# Orders of specs that came lately. A longer spec is one job's own.
_REMEMBERED: Final = 2_048
_SPEC_MAX: Final = 1_024


def submit(cluster: Cluster, request: Submit, by: Principal, peer: Peer) -> Message:
    """Take each job that can be taken."""
    cluster.store.foresee([submission.key for submission in request.jobs])
    results = tuple([_take(cluster, submission, by) for submission in request.jobs])
    return Submitted(request_id=request.request_id, results=results)


def _take(cluster: Cluster, submission: Submission, by: Principal) -> SubmitResult:
    spec = submission.spec
    try:
        order = _order(cluster, spec)
        new = NewJob(
            key=submission.key, order=order, who=by.name, state=_first_state(cluster, spec), due_at=spec.not_before
        )
        row, is_new = cluster.store.add(new, at=cluster.now.wall_s)
    except Refusal as refusal:
        return SubmitResult(key=submission.key, problem=refusal.problem)
    except KeyConflict:
        problem = Problem(
            code=ErrorCode.CONFLICT,
            message="this key was used before for another job",
            hint="a new job needs a new key; a retry repeats key and content",
        )
        return SubmitResult(key=submission.key, problem=problem)
    if is_new:
        cluster.entered(row)
    reason = cluster.why_waiting(row.requires) if row.state is JobState.QUEUED else None
    return SubmitResult(key=submission.key, job_id=row.job_id, state=row.state, reason=reason)


def _order(cluster: Cluster, spec: JobSpec) -> Order:
    """Return what jobs of ``spec`` have in common, or refuse them.

    Raises:
        Refusal: no node could ever run it, or this master does not take it.
    """
    # Jobs that are alike share their spec. Its order holds it, so that no other can have its identity.
    known = cluster.orders.get(id(spec))
    if known is not None:
        return known
    if spec.engine is Engine.NULL:
        _refuse_null(cluster, spec)
    order = order_of(spec, resolve(cluster.scenarios, spec))
    if len(order.spec_json) <= _SPEC_MAX:
        if len(cluster.orders) >= _REMEMBERED:
            cluster.orders.clear()
        cluster.orders[id(spec)] = order
    return order


def order_of(spec: JobSpec, encode: Encode) -> Order:
    """Return what jobs of ``spec`` have in common where it means ``encode``."""
    requires, rank = requires_of(spec, encode.codec), rank_of(spec.queue, spec.priority)
    return Order(spec=spec, encode=encode, requires=requires, rank=rank)


def _first_state(cluster: Cluster, spec: JobSpec) -> JobState:
    waits = spec.not_before is not None and spec.not_before > cluster.now.wall_s
    return JobState.PENDING if waits else JobState.QUEUED


def _is_scored(spec: JobSpec) -> bool:
    return spec.vmaf is not VmafMode.OFF or spec.vmaf_floor is not None or spec.psnr or spec.ssim


def resolve(scenarios: Scenarios, spec: JobSpec) -> Encode:
    """Return what to encode, or refuse a spec that no node could ever run.

    Raises:
        Refusal: unknown scenario or encoder, options that contradict each other, names that no node may open.
    """
    if spec.encoder is not None and spec.encoder not in ENCODERS:
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT, f"unknown encoder {spec.encoder!r}", hint=f"known: {', '.join(ENCODERS)}"
        )
    if spec.encoder is not None and spec.engine not in (Engine.AUTO, ENCODERS[spec.encoder].engine):
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT,
            f"{spec.encoder} is an encoder of {ENCODERS[spec.encoder].engine}, and the job asks for {spec.engine}",
            hint="drop one of the two",
        )
    if spec.require_gpu and spec.encoder is not None and ENCODERS[spec.encoder].hardware is None:
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT,
            f"{spec.encoder} runs in software, and a GPU is required",
            hint="drop one of the two",
        )
    if spec.output_mode is not OutputMode.FILE:
        schemes = _URL_SCHEMES[spec.output_mode]
        if spec.output is None or not spec.output.startswith(schemes):
            raise Refusal(
                ErrorCode.INVALID_ARGUMENT,
                f"output mode {spec.output_mode} pushes to a URL",
                hint=f"give an output that starts with {' or '.join(schemes)}",
            )
    elif spec.output is not None and "://" in spec.output:
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT,
            "the output is a URL, and the output mode is file",
            hint="choose output mode rtmp, srt or stream",
        )
    if spec.output_mode is not OutputMode.FILE and _is_scored(spec):
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT,
            "a push is not scored: nothing of it is kept that could be compared with its source",
            hint="leave vmaf, vmaf_floor, psnr and ssim out, or choose output mode file",
        )
    if spec.output_mode is not OutputMode.FILE and spec.verify is VerifyMode.DECODE:
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT,
            "a push is not decoded: nothing of it is kept",
            hint="leave verify out, or choose output mode file",
        )
    _refuse_words(spec)
    _refuse_places(spec)
    try:
        return scenarios.resolve(spec)
    except UnknownScenario as error:
        raise Refusal(
            ErrorCode.UNKNOWN_SCENARIO, str(error), hint="`ffrtmp scenarios list` shows the known ones"
        ) from None
    except InvalidSpec as error:
        raise Refusal(ErrorCode.INVALID_ARGUMENT, str(error)) from None


def _refuse_null(cluster: Cluster, spec: JobSpec) -> None:
    if not cluster.settings.null_engine:
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT,
            "the engine null encodes nothing; it is for benchmarks, and this master does not take its jobs",
            hint="choose auto, ffmpeg or gstreamer",
        )
    asks = spec.input or spec.output or spec.require_gpu or _is_scored(spec) or spec.verify is VerifyMode.DECODE
    if asks or spec.output_mode is not OutputMode.FILE:
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT,
            "the engine null reads and makes nothing",
            hint="leave out input, output, scores, verify and the GPU",
        )


def _refuse_words(spec: JobSpec) -> None:
    """Refuse texts that would do harm where they are shown, or could be read as options."""
    if spec.preset is not None and not _PRESET.fullmatch(spec.preset):
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT,
            f"preset {spec.preset!r} is not a word",
            hint="a preset is one word or level of the encoder, such as medium",
        )
    for name, value in spec.labels.items():
        if not name or has_control(name) or has_control(value):
            raise Refusal(
                ErrorCode.INVALID_ARGUMENT,
                f"label {name!r} is empty or holds control characters",
                hint="labels are names and values of printable characters",
            )


def _refuse_places(spec: JobSpec) -> None:
    try:
        if spec.input is not None:
            check_input(spec.input)
        if spec.output is not None:
            if spec.output_mode is OutputMode.FILE:
                check_output_file(spec.output)
            else:
                split_url(spec.output)
    except BadPlace as error:
        raise Refusal(ErrorCode.INVALID_ARGUMENT, str(error)) from None
    if spec.output_mode is OutputMode.FILE and same_file(spec.input, spec.output):
        raise Refusal(
            ErrorCode.INVALID_ARGUMENT, "the output would replace the input", hint="give the output another name"
        )

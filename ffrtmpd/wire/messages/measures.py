"""What is measured of a job. What was not measured is absent, never 0; beside each figure stands how it was found."""

from typing import Annotated

from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import Range, Size

NAME_MAX = 128
NOTE_MAX = 512
FIGURE_MAX = float(2**53)
SCORE = Range(0, 100)


@record
class Quality:
    """How close an output is to its source. Scores of different models cannot be compared."""

    vmaf: Annotated[float | None, "arithmetic mean over the frames compared, 0 to 100", SCORE] = None
    vmaf_harmonic_mean: Annotated[float | None, "N / Σ(1/(sᵢ+1)) − 1, which low frames pull down more", SCORE] = None
    vmaf_min: Annotated[float | None, "the worst frame", SCORE] = None
    vmaf_p1: Annotated[float | None, "1st percentile of the frames", SCORE] = None
    psnr_db: Annotated[float | None, "mean PSNR of luma, decibels", Range(0, 1_000)] = None
    ssim: Annotated[float | None, "mean SSIM of luma, 0 to 1", Range(-1, 1)] = None
    model: Annotated[str | None, "VMAF model, such as vmaf_v0.6.1", Size(0, NAME_MAX)] = None
    frames: Annotated[int | None, "pairs of frames compared", Range(0, FIGURE_MAX)] = None
    subsample: Annotated[int | None, "every n-th frame was compared", Range(1, FIGURE_MAX)] = None
    seconds: Annotated[float | None, "that scoring took", Range(0, FIGURE_MAX)] = None
    cpu_s: Annotated[float | None, "processor seconds of scoring", Range(0, FIGURE_MAX)] = None
    method: Annotated[str | None, "which program scored", Size(0, NAME_MAX)] = None
    note: Annotated[str | None, "why there is no score", Size(0, NOTE_MAX)] = None


@record
class Experience:
    """What an audience would notice."""

    score: Annotated[float | None, "mean opinion score, 1 to 5", Range(1, 5)] = None
    method: Annotated[str | None, "how the score was found: est-v1", Size(0, NAME_MAX)] = None
    stall_s: Annotated[float | None, "seconds a push was behind real time or away", Range(0, FIGURE_MAX)] = None
    stall_ratio: Annotated[float | None, "of the media seconds, 0 to 1", Range(0, 1)] = None
    reconnects: Annotated[int | None, "times a push had to connect again", Range(0, FIGURE_MAX)] = None
    dropped_frames: Annotated[int | None, "frames the encoder dropped", Range(0, FIGURE_MAX)] = None
    real_time_ratio: Annotated[float | None, "media seconds per second since the first media", Range(0, 1e6)] = None


@record
class Energy:
    """Marginal joules of a job's processes, on top of what the node takes when idle."""

    joules: Annotated[float | None, "of all but scoring", Range(0, FIGURE_MAX)] = None
    scoring_joules: Annotated[float | None, "of scoring", Range(0, FIGURE_MAX)] = None
    idle_share_joules: Annotated[
        float | None, "of the node's idle power while it ran, shared", Range(0, FIGURE_MAX)
    ] = None
    joules_per_minute: Annotated[float | None, "joules per minute of output", Range(0, FIGURE_MAX)] = None
    cost: Annotated[float | None, "joules / 3.6e6 × the price of a kWh set on the node", Range(0, FIGURE_MAX)] = None
    scope: Annotated[str | None, "what the meter covers: package, package+dram, psys, gpu", Size(0, NAME_MAX)] = None
    method: Annotated[str | None, "rapl, nvml or rapl+nvml", Size(0, NAME_MAX)] = None


@record
class Provenance:
    """What went in and what came out."""

    input_sha256: Annotated[str | None, "of the input file", Size(64, 64)] = None
    output_sha256: Annotated[str | None, "of the output file", Size(64, 64)] = None
    input_bytes: Annotated[int | None, "of the input file", Range(0, FIGURE_MAX)] = None
    output_bytes: Annotated[int | None, "written, of a push too", Range(0, FIGURE_MAX)] = None

"""How the measures of a job look on its sheet. What was not measured has no line, or the reason in its place."""

from ffrtmp_tui import units
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.measures import Energy, Experience, Quality

Lines = list[tuple[str, str | None]]


def measured(report: Report) -> Lines:
    """Return title and text of each measure in ``report``."""
    lines: Lines = []
    if report.quality:
        lines += _quality(report.quality)
    if report.experience:
        lines += _experience(report.experience)
    if report.energy:
        lines += _energy(report.energy)
    if report.efficiency is not None:
        lines.append(("Efficiency", f"{report.efficiency:.3f} VMAF-weighted megapixels per joule"))
    if report.bandwidth_bps is not None:
        lines.append(("Bandwidth", units.bitrate_text(report.bandwidth_bps)))
    if report.provenance:
        lines.append(("Input SHA-256", report.provenance.input_sha256))
        lines.append(("Output SHA-256", report.provenance.output_sha256))
    return lines


def _quality(quality: Quality) -> Lines:
    if quality.vmaf is None and quality.psnr_db is None and quality.ssim is None:
        return [("VMAF", None if quality.note is None else f"not scored: {quality.note}")]
    vmaf = None
    if quality.vmaf is not None:
        vmaf = _joined(
            f"{quality.vmaf:.2f}",
            _named("harmonic {:.2f}", quality.vmaf_harmonic_mean),
            _named("min {:.2f}", quality.vmaf_min),
            _named("1 % {:.2f}", quality.vmaf_p1),
        )
    every = f"every {quality.subsample}th" if quality.subsample and quality.subsample > 1 else None
    return [
        ("VMAF", vmaf),
        ("PSNR", _named("{:.2f} dB", quality.psnr_db)),
        ("SSIM", _named("{:.4f}", quality.ssim)),
        (
            "Scored By",
            _joined(quality.model, _named("{} frames", quality.frames), every, quality.method)
            + (f", in {units.duration_text(quality.seconds)}" if quality.seconds is not None else ""),
        ),
    ]


def _experience(experience: Experience) -> Lines:
    score = None
    if experience.score is not None:
        score = _joined(f"{experience.score:.2f} of 5", experience.method)
    stalls = None
    if experience.stall_s is not None:
        ratio = _named("{:.1%} of the media", experience.stall_ratio)
        stalls = _joined(units.duration_text(experience.stall_s), ratio)
    return [
        ("QoE", score),
        ("Stalls", stalls),
        ("Reconnects", _named("{}", experience.reconnects)),
        ("Dropped", _named("{} frames", experience.dropped_frames)),
        ("Real Time", _named("x{:.3f}", experience.real_time_ratio)),
    ]


def _energy(energy: Energy) -> Lines:
    total = None
    if energy.joules is not None:
        minute = None
        if energy.joules_per_minute is not None:
            minute = f"{units.joules_text(energy.joules_per_minute)} per minute of output"
        meter = _joined(energy.method, energy.scope)
        total = _joined(units.joules_text(energy.joules), minute, meter)
    return [
        ("Energy", total),
        ("Energy Of Scoring", _joules(energy.scoring_joules)),
        ("Idle Share", _joules(energy.idle_share_joules)),
        ("Cost", _named("{:.6g}", energy.cost)),
    ]


def _joules(joules: float | None) -> str | None:
    return None if joules is None else units.joules_text(joules)


def _named(shape: str, value: float | None) -> str | None:
    return None if value is None else shape.format(value)


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)

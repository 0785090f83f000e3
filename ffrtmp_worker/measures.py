"""From what was measured of an attempt to the figures of its report. Pure; formulas as in docs/measures.md."""

from dataclasses import dataclass, replace
from typing import Final

from ffrtmp_worker.events import Joules
from ffrtmp_worker.live import LiveFigures
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.measures import Energy, Experience

ESTIMATE: Final = "est-v1"
JOULES_A_KWH: Final = 3.6e6
PIXELS_A_MEGAPIXEL: Final = 1e6


@dataclass(slots=True)
class Spent:
    """Energy of an attempt so far, summed over its children. None: a child ran of which nothing was measured."""

    joules: float | None = 0.0
    scoring_joules: float | None = 0.0
    idle_share_joules: float | None = 0.0
    scope: str | None = None
    method: str | None = None

    def add(self, joules: Joules | None, *, scoring: bool) -> None:
        """Count a child in."""
        marginal_j = None if joules is None else joules.marginal_j
        if scoring:
            self.scoring_joules = _sum(self.scoring_joules, marginal_j)
        else:
            self.joules = _sum(self.joules, marginal_j)
        self.idle_share_joules = _sum(self.idle_share_joules, None if joules is None else joules.idle_share_j)
        if joules is not None:
            self.scope, self.method = joules.scope, joules.method


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def conclude(
    report: Report, spent: Spent, *, live: LiveFigures | None = None, price_per_kwh: float | None = None
) -> Report:
    """Return ``report`` with the figures that follow from it and from what was measured beside it.

    Args:
        report: with media, quality, provenance and times, as far as they are known.
        spent: the energy.
        live: None for a file.
        price_per_kwh: in whatever currency; None: no cost is told.
    """
    energy = _energy(report, spent, live, price_per_kwh)
    experience, bandwidth_bps = _experience(report, live), _bandwidth_bps(report)
    if energy is None and experience is None and bandwidth_bps is None:
        # Nothing was measured.
        return report
    return replace(
        report,
        energy=energy,
        experience=experience,
        efficiency=_efficiency(report, energy),
        bandwidth_bps=bandwidth_bps,
    )


def opinion(vmaf: float, stall_ratio: float) -> float:
    """Return est-v1, a mean opinion score from 1 to 5: 1 + (V−1)·(1−stall_ratio) with V = clip(VMAF/20, 1, 5).

    An estimate that nobody has validated against viewers.
    """
    quality = min(5.0, max(1.0, vmaf / 20))
    return 1 + (quality - 1) * (1 - stall_ratio)


def _experience(report: Report, live: LiveFigures | None) -> Experience | None:
    vmaf = None if report.quality is None else report.quality.vmaf
    if live is None:
        if vmaf is None:
            return None
        return Experience(score=opinion(vmaf, 0.0), method=ESTIMATE, stall_ratio=0.0)
    ratio = min(1.0, live.stall_s / live.media_s) if live.media_s > 0 else None
    score = None if vmaf is None or ratio is None else opinion(vmaf, ratio)
    return Experience(
        score=score,
        method=None if score is None else ESTIMATE,
        stall_s=live.stall_s,
        stall_ratio=ratio,
        reconnects=live.reconnects,
        dropped_frames=live.dropped_frames,
        real_time_ratio=live.real_time_ratio,
    )


def _energy(report: Report, spent: Spent, live: LiveFigures | None, price_per_kwh: float | None) -> Energy | None:
    if spent.method is None:
        return None
    joules = spent.joules
    output_s = live.media_s if live else report.media and report.media.duration_s
    return Energy(
        joules=joules,
        scoring_joules=spent.scoring_joules or None,
        idle_share_joules=spent.idle_share_joules,
        joules_per_minute=None if joules is None or not output_s else joules / (output_s / 60),
        cost=None if joules is None or price_per_kwh is None else joules / JOULES_A_KWH * price_per_kwh,
        scope=spent.scope,
        method=spent.method,
    )


def _efficiency(report: Report, energy: Energy | None) -> float | None:
    """Return VMAF-weighted megapixels per joule: Σ(w·h·frames)·(VMAF/100) / J / 1e6."""
    video = None if report.media is None else report.media.video
    vmaf = None if report.quality is None else report.quality.vmaf
    if video is None or not video.frames or vmaf is None or energy is None or not energy.joules:
        return None
    return video.width * video.height * video.frames * (vmaf / 100) / energy.joules / PIXELS_A_MEGAPIXEL


def _bandwidth_bps(report: Report) -> float | None:
    """Return (input + output bytes)·8 / seconds of the encode without pauses, in bits of the SI."""
    moved = report.provenance
    if moved is None or moved.input_bytes is None or moved.output_bytes is None or report.encode_s is None:
        return None
    seconds = report.encode_s - (report.paused_s or 0.0)
    return (moved.input_bytes + moved.output_bytes) * 8 / seconds if seconds > 0 else None

"""What became of the attempts of this worker's life, counted. Pure."""

from typing import Final

from ffrtmpd.base.figures import Figures
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.session import Result
from ffrtmpd.wire.vocabulary import Outcome, Sla

# Of VMAF, 0 to 100: closest together where encodes are judged.
VMAF_BOUNDS: Final = (
    20.0, 40.0, 60.0, 70.0, 75.0, 80.0, 85.0, 88.0, 90.0, 92.0, 93.0, 94.0, 95.0, 96.0, 97.0, 98.0, 99.0,
)  # fmt: skip
# Of quality of experience, 1 to 5.
QOE_BOUNDS: Final = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.25, 4.5, 4.75)
# A label must not grow with what users ask for: each picture belongs to the class of the next smaller height.
HEIGHTS: Final = (2160, 1440, 1080, 720, 480)
SMALL: Final = "small"


class Tally(Figures):
    """Counts what a worker's metrics tell."""

    def canceled(self, *, forceful: bool) -> None:
        """Count an attempt that was ended on purpose; ``forceful``: it had to be killed."""
        self.count("jobs", "canceled")
        self.count("jobs", "canceled_forceful" if forceful else "canceled_graceful")

    def recorded(self, result: Result, sla: Sla | None) -> None:
        """Count a result that the master has on its disk, and how the job was served if this finished it."""
        if result.outcome is Outcome.CANCELED:
            return
        self.count("jobs", "completed" if result.outcome is Outcome.ENCODED else "failed")
        if sla is not None:
            self.count("sla", sla)
        self._measured(result.report)

    def _measured(self, report: Report) -> None:
        files, energy = report.provenance, report.energy
        if files is not None:
            self.count("input_bytes", by=files.input_bytes or 0)
            self.count("output_bytes", by=files.output_bytes or 0)
        if energy is not None:
            self.count("energy_joules", by=(energy.joules or 0.0) + (energy.scoring_joules or 0.0))
        kind = scenario_class(report)
        if kind is not None and report.quality is not None and report.quality.vmaf is not None:
            self.observe("vmaf", report.quality.vmaf, kind, bounds=VMAF_BOUNDS)
        if kind is not None and report.experience is not None and report.experience.score is not None:
            self.observe("qoe", report.experience.score, kind, bounds=QOE_BOUNDS)


def scenario_class(report: Report) -> str | None:
    """Return ``1080p-h264`` and the like for an output, None when nobody looked at it."""
    video = None if report.media is None else report.media.video
    if video is None:
        return None
    height = next((f"{height}p" for height in HEIGHTS if video.height >= height), SMALL)
    return f"{height}-{video.codec}"

"""Whether an output decodes to its end. Pure."""

import re
from typing import Final

from ffrtmp_worker.failures import classify
from ffrtmp_worker.places import formats_for, protocols_for
from ffrtmp_worker.progress import ProgressReader
from ffrtmp_worker.recipe import StepEnd
from ffrtmp_worker.tools import Tools
from ffrtmp_worker.verify import FRAMES_SLACK
from ffrtmpd.wire.messages.jobs import MediaInfo

# Only against a decoder that hangs.
DECODE_LEAST_S: Final = 600.0
DECODE_FRAME_S: Final = 1.0
# All of what is printed is kept until the end, and only the last report counts.
REPORT_EVERY_S: Final = 60
_ERROR: Final = re.compile(r"\[(panic|fatal|error)\]")


def decode_command(tools: Tools, target: str, media: MediaInfo) -> tuple[str, ...]:
    """Return the command that decodes picture and sound of ``target`` and keeps nothing; progress on standard output.

    ``-err_detect explode`` is left out: with it ffmpeg 5.1 drops damaged frames, and 9.0 may never end.
    """
    return (
        *(tools.ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "repeat+level+error"),
        *("-progress", "pipe:1", "-nostats", "-stats_period", str(REPORT_EVERY_S)),
        "-xerror",
        *("-protocol_whitelist", protocols_for(target), "-format_whitelist", formats_for(target)),
        *("-i", target),
        *("-map", "0:V:0"),
        *(("-map", "0:a:0") if media.audio is not None else ()),
        *("-fps_mode", "passthrough", "-f", "null", "-"),
    )


def decode_timeout_s(media: MediaInfo) -> float:
    """Return the seconds it may take."""
    frames = (media.video.frames if media.video is not None else None) or 0
    return max(DECODE_LEAST_S, frames * DECODE_FRAME_S)


def decode_problem(end: StepEnd, media: MediaInfo) -> str | None:
    """Return what is wrong with an output whose decode ended so, None if nothing is.

    Decoders hide damage where they can. Those with threads may log an error that no exit code tells of, and fewer
    frames than there are packets tell of others.
    """
    if end.exit_code != 0 or _ERROR.search(end.log_tail):
        reason = classify(end.exit_code or 1, end.log_tail, live=False).reason
        return f"the output does not decode to its end: {reason}"
    blocks = ProgressReader().feed(end.stdout)
    decoded = blocks[-1].frame if blocks else None
    counted = media.video.frames if media.video is not None else None
    if decoded is None:
        return "the output was decoded, and nobody told how many frames came of it"
    if counted is not None and decoded < counted - FRAMES_SLACK:
        return f"only {decoded} of {counted} frames of the output can be decoded"
    return None

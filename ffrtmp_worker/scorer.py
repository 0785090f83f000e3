"""Compares two files and prints one line of JSON: the scoring step of an attempt, as a program of its own.

``python -m ffrtmp_worker.scorer JOB``, where JOB is what ``job_text`` returns. Its ffmpeg is in the same process group,
so that a signal to the one reaches the other. ``ffrtmp-worker score`` calls ``score`` itself.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, Final

from ffrtmp_worker.process import ToolTimeout, run_tool, stream_tool
from ffrtmp_worker.quality import (
    Comparison,
    NotComparable,
    Picture,
    Reading,
    ScoringFailed,
    look_command,
    parse_look,
    score_command,
)
from ffrtmpd.wire.messages.measures import NOTE_MAX, Quality

# One frame, from a slow disk.
LOOK_S: Final = 60.0
LOG_LINES: Final = 64


@dataclass(frozen=True, slots=True)
class Scorer:
    """An ffmpeg that was proved to score: its path, its version, and of vmaf, psnr and ssim what it can."""

    ffmpeg: str
    version: str
    measures: tuple[str, ...]


def score(scorer: Scorer, wanted: Comparison) -> Quality:
    """Return the scores. Blocks as long as it takes to decode both files.

    Raises:
        NotComparable: the comparison would mean nothing.
        ScoringFailed: it did not come to its end.
        OSError: ffmpeg cannot be started.
    """
    reference, distorted = _look(scorer, wanted.reference), _look(scorer, wanted.distorted)
    reading = Reading()
    said: list[str] = []

    def keep(data: bytes) -> None:
        for line in reading.log(data):
            said.append(line)
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is a program
        del said[:-LOG_LINES]

    command = score_command(scorer.ffmpeg, wanted, reference, distorted)
    code = stream_tool(command, on_stdout=reading.report, on_stderr=keep)
    if code != 0:
        raise ScoringFailed(f"ffmpeg ended with {code}: {said[-1] if said else 'it said nothing'}")
    return reading.quality(wanted, reference, ffmpeg_version=scorer.version)


def _look(scorer: Scorer, source: str) -> Picture:
    try:
        looked = run_tool(look_command(scorer.ffmpeg, source), timeout_s=LOOK_S)
    except ToolTimeout as error:
        raise ScoringFailed(str(error)) from None
    return parse_look(looked.stderr.decode("utf-8", "replace"))


def job_text(scorer: Scorer, wanted: Comparison) -> str:
    """Return the program's argument."""
    plain = {**asdict(wanted), "rate": f"{wanted.rate.numerator}/{wanted.rate.denominator}"}
    return json.dumps({"scorer": asdict(scorer), "wanted": plain})


def parse_job(text: str) -> tuple[Scorer, Comparison]:
    """Return what ``job_text`` was given."""
    job: dict[str, dict[str, Any]] = json.loads(text)
    scorer, wanted = job["scorer"], job["wanted"]
    rate = Fraction(wanted["rate"])
    return Scorer(scorer["ffmpeg"], scorer["version"], tuple(scorer["measures"])), Comparison(
        **{**wanted, "rate": rate}
    )


def main() -> int:
    """Print the scores, or a note where there can be none; 1 and a line on standard error when scoring failed."""
    scorer, wanted = parse_job(sys.argv[1])
    try:
        quality = score(scorer, wanted)
    except NotComparable as error:
        quality = replace(Quality(), note=str(error)[:NOTE_MAX])
    except (ScoringFailed, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a program
        return 1
    json.dump(asdict(quality), sys.stdout)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())

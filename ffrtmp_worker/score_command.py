"""``ffrtmp-worker score``: how close one file is to another, as a report of a job tells it."""

import argparse
import json
import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ffrtmp_worker.hardware import usable_cpus
from ffrtmp_worker.places import FILE_PREFIX
from ffrtmp_worker.probe import ProbeError, parse_probe, probe_command
from ffrtmp_worker.process import run_tool
from ffrtmp_worker.quality import MODELS, Comparison, NotComparable, same_rate
from ffrtmp_worker.rates import nearest_rate, rate_of
from ffrtmp_worker.scorer import score
from ffrtmp_worker.scorers import find_scorer
from ffrtmp_worker.tools import ToolError, Tools
from ffrtmpd.wire.messages.jobs import VideoStream
from ffrtmpd.wire.messages.measures import Quality
from ffrtmpd.wire.schema import to_full

PROBE_S: Final = 60.0
THREADS_MAX: Final = 1_024
SUBSAMPLE_MAX: Final = 1_000_000


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to those of ``ffrtmp-worker``."""
    scoring = commands.add_parser("score", help="say how close a file is to its source", parents=[common])
    scoring.add_argument("reference", metavar="REFERENCE", help="the source")
    scoring.add_argument("distorted", metavar="DISTORTED", help="what was made of it")
    scoring.add_argument("-o", "--format", choices=["table", "json"], default="table", help="how it is printed")
    scoring.add_argument("--model", choices=MODELS, default=None, help="VMAF model; else chosen by the source's size")
    scoring.add_argument("--subsample", type=_number(SUBSAMPLE_MAX), default=1, metavar="N", help="VMAF of every N-th")
    scoring.add_argument("--threads", type=_number(THREADS_MAX), default=None, metavar="N", help="threads of VMAF")
    scoring.add_argument("--psnr", action="store_true", default=False, help="measure PSNR too")
    scoring.add_argument("--ssim", action="store_true", default=False, help="measure SSIM too")


def _number(most: int) -> Any:
    def whole(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 1 to {most}")
        return int(text)

    return whole


def compare(tools: Tools, options: dict[str, Any], *, scorer_setting: str | None) -> Quality:
    """Return the scores of the two files that ``options`` names.

    Raises:
        ToolError: nothing here has libvmaf.
        ProbeError: one of them is no video.
        NotComparable: their comparison would mean nothing.
        ScoringFailed: it did not come to its end.
        OSError: one of them is not there.
    """
    scorer = find_scorer(tools, scorer_setting)
    if scorer is None or "vmaf" not in scorer.measures:
        raise ToolError(
            "no ffmpeg here has libvmaf: pip install 'imageio-ffmpeg>=0.8', or set media.scorer to one that has it"
        )
    reference, distorted = (FILE_PREFIX + str(Path(options[name]).resolve(strict=True)) for name in _FILES)
    (source, rate), (output, other) = _video(tools, reference), _video(tools, distorted)
    if not same_rate(rate, other):
        raise NotComparable(f"the source has {rate:.3f} frames per second and the output {other:.3f}")
    wanted = Comparison(
        reference=reference,
        distorted=distorted,
        rate=nearest_rate(rate),
        deinterlaced=source.interlaced and not output.interlaced,
        psnr=options["psnr"],
        ssim=options["ssim"],
        subsample=options["subsample"],
        threads=options["threads"] or usable_cpus(),
        model=options["model"],
    )
    began_s, began_cpu_s = time.monotonic(), _children_s()
    quality = score(scorer, wanted)
    return replace(quality, seconds=time.monotonic() - began_s, cpu_s=_children_s() - began_cpu_s)


_FILES: Final = ("reference", "distorted")


def _video(tools: Tools, source: str) -> tuple[VideoStream, float]:
    """Return a file's picture and its frames per second."""
    looked = run_tool(probe_command(tools, source, count=False), timeout_s=PROBE_S)
    if looked.exit_code != 0:
        said = looked.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ProbeError(said[-1] if said else f"{source}: the probe ended with {looked.exit_code}")
    video = parse_probe(looked.stdout, tools).video
    name = source.removeprefix(FILE_PREFIX)
    if video is None:
        raise ProbeError(f"{name} has no video")
    rate = rate_of(video)
    if not rate:
        raise ProbeError(f"{name} does not tell its frame rate")
    return video, rate


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def shown(quality: Quality, form: str) -> str:
    """Return the report as ``table`` or ``json``."""
    if form == "json":
        return json.dumps(to_full(quality), indent=2)
    rows = [
        ("VMAF", _text("{:.3f}", quality.vmaf)),
        ("  harmonic mean", _text("{:.3f}", quality.vmaf_harmonic_mean)),
        ("  worst frame", _text("{:.3f}", quality.vmaf_min)),
        ("  1st percentile", _text("{:.3f}", quality.vmaf_p1)),
        ("PSNR", _text("{:.3f} dB", quality.psnr_db)),
        ("SSIM", _text("{:.6f}", quality.ssim)),
        ("Model", quality.model or "-"),
        ("Frames", _text("{}", quality.frames) + (f", every {quality.subsample}th" if _sampled(quality) else "")),
        ("Method", quality.method or "-"),
        ("Took", _text("{:.1f} s", quality.seconds) + _text(", {:.1f} s of processor", quality.cpu_s)),
        *([] if quality.note is None else [("Note", quality.note)]),
    ]
    return os.linesep.join(f"{title:<17} {text}" for title, text in rows)


def _sampled(quality: Quality) -> bool:
    return quality.subsample is not None and quality.subsample > 1


def _text(shape: str, value: float | None) -> str:
    return "-" if value is None else shape.format(value)

"""How close an output is to its source: the command that compares them, and what its answer means. Pure.

One ffmpeg decodes both files once. VMAF comes from libvmaf's XML log on standard output, one line a frame, so that
hours of video need no file and little memory here; PSNR and SSIM come from ffmpeg's own filters, which every build
has, so that they mean the same on every node.
"""

import math
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from ffrtmp_worker.ffmpeg import DEINTERLACE, STRETCH_MAX
from ffrtmp_worker.places import formats_for, protocols_for
from ffrtmpd.wire.messages.measures import NAME_MAX, Quality

MODEL_HD: Final = "vmaf_v0.6.1"
MODEL_UHD: Final = "vmaf_4k_v0.6.1"
# Others either fail to load in the builds that exist or return zeros.
MODELS: Final = (MODEL_HD, "vmaf_v0.6.1neg", MODEL_UHD, "vmaf_4k_v0.6.1neg")
# Netflix trained the default model for a 1080p screen seen from three heights, the other for a 4K screen from 1.5.
UHD_LINES: Final = 2_160
UHD_COLUMNS: Final = 3_840
SAMPLE_EVERY: Final = 5
PSNR_MAX_DB: Final = 1_000.0
# Two rates are one rate when they differ by less: 30 and 29.97 differ by twice as much.
SAME_RATE: Final = 0.0005
LINE_MAX: Final = 65_536

_LOOK: Final = re.compile(r" n: *0 .* fmt:(\S+)(?: .*)? sar:(\d+)/(\d+) s:(\d+)x(\d+) ")
_VERSION: Final = re.compile(rb'<VMAF version="([^"]{1,64})"')
_FRAME: Final = re.compile(rb'<frame frameNum="(\d+)" .*\bvmaf="([^"]+)"')
_COUNT: Final = re.compile(r"Output stream #0:(\d+) \(video\): (\d+) frames encoded")
_PSNR: Final = re.compile(r"\[Parsed_psnr_.*PSNR y:(\S+)")
_SSIM: Final = re.compile(r"\[Parsed_ssim_.*SSIM Y:(\S+)")
_BITS: Final = re.compile(r"(\d+)(?:le|be)$")
# Said of every stream and frame; whoever reads the attempt's log wants the rest.
_CHATTER: Final = re.compile(r"(?:^|\] )\[(?:info|verbose|debug)\]")


class NotComparable(Exception):
    """Two files whose comparison would mean nothing; the message says why."""


class ScoringFailed(Exception):
    """The comparison did not come to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What to compare and what to measure.

    Both files are ``file:`` and a path. ``rate`` is that of both, in frames per second. ``encoded``: the distorted
    file was made from the reference by an encode of ours, which played it ``loop``-ed or not, took frames at ``rate``,
    cut it at ``limit_s`` seconds and put bars around a picture of another shape; the reference gets the same.
    ``timed``: it counted time from where the file begins, not from the first picture; ``sound``: it took the sound too.
    ``deinterlaced``: the distorted file has one frame where the reference has two fields.
    ``subsample``: VMAF of every n-th frame. ``model`` None: chosen by the reference's size.
    """

    reference: str
    distorted: str
    rate: Fraction
    encoded: bool = False
    loop: bool = False
    limit_s: float | None = None
    timed: bool = False
    sound: bool = False
    deinterlaced: bool = False
    vmaf: bool = True
    psnr: bool = False
    ssim: bool = False
    subsample: int = 1
    threads: int = 1
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame: pixels after any rotation, the shape of a pixel, ffmpeg's name of its format."""

    width: int
    height: int
    pixel: Fraction
    form: str

    @property
    def shape(self) -> Fraction:
        """Width to height as it is seen."""
        return Fraction(self.width, self.height) * self.pixel

    @property
    def bits(self) -> int:
        """Of a sample of luma; 8 where the name does not tell."""
        told = _BITS.search(self.form)
        return 8 if told is None else min(16, int(told[1]))


def same_rate(one: float, other: float) -> bool:
    """Tell whether two rates, in frames per second, are one."""
    return abs(one / other - 1) < SAME_RATE


def model_for(reference: Picture) -> str:
    """Return the VMAF model for a reference of this size."""
    size = sorted((reference.width, reference.height))
    return MODEL_UHD if size[0] >= UHD_LINES or size[1] >= UHD_COLUMNS else MODEL_HD


# ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────


def look_command(ffmpeg: str, source: str) -> tuple[str, ...]:
    """Return the command that decodes one frame and tells on standard error what it is."""
    return (
        *(ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "info"),
        *_opened(source),
        *("-map", "0:V:0", "-frames:v", "1", "-vf", "showinfo", "-f", "null", "-"),
    )


def parse_look(log: str) -> Picture:
    """Return the frame that ``look_command`` told of.

    Raises:
        ScoringFailed: it told of none.
    """
    told = _LOOK.search(log)
    if told is None:
        lines = log.strip().splitlines()
        raise ScoringFailed(f"no picture can be decoded: {lines[-1] if lines else 'ffmpeg said nothing'}")
    form, above, below, width, height = told.groups()
    # 0/1 is ffmpeg's word for unknown.
    pixel = Fraction(int(above), int(below)) if int(above) and int(below) else Fraction(1)
    return Picture(int(width), int(height), pixel, form)


def score_command(ffmpeg: str, wanted: Comparison, reference: Picture, distorted: Picture) -> tuple[str, ...]:
    """Return the command that compares.

    Raises:
        NotComparable: the pictures have different shapes, and no encode of ours explains why.
    """
    graph, outputs = _graph(wanted, reference, distorted)
    return (
        *(ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+verbose"),
        *(("-stream_loop", "-1") if wanted.loop else ()),
        *_opened(wanted.reference),
        *_opened(wanted.distorted),
        *("-filter_complex", graph),
        *(word for output in outputs for word in ("-map", output)),
        *("-fps_mode", "passthrough", "-f", "null", "-"),
        *_clock(wanted),
    )


def _clock(wanted: Comparison) -> tuple[str, ...]:
    """Return what makes the reference's time begin where it began for the encode.

    In MPEG-TS it begins with the first of the streams that are used: sound that was encoded has to be used here too.
    A source that is played again and again is Matroska of our own.
    """
    if not wanted.timed or not wanted.sound or wanted.loop:
        return ()
    cut = () if wanted.limit_s is None else ("-t", f"{wanted.limit_s:.6f}")
    return ("-map", "0:a:0", "-c:a", "copy", *cut, "-f", "null", "-")


def _opened(source: str) -> tuple[str, ...]:
    return (
        *("-protocol_whitelist", protocols_for(source)),
        *("-format_whitelist", formats_for(source)),
        *("-i", source),
    )


def _graph(wanted: Comparison, reference: Picture, distorted: Picture) -> tuple[str, list[str]]:
    metrics = _metrics(wanted, reference)
    count = len(metrics)
    forks = [("r", _reference(wanted, reference, distorted)), ("d", _distorted(wanted, reference, distorted))]
    parts = []
    for number, (name, chain) in enumerate(forks):
        # The first branch of each is only counted.
        branches = "".join(f"[{name}{index}]" for index in range(count + 1))
        parts.append(f"[{number}:V:0]{chain},split={count + 1}{branches}")
    for index, metric in enumerate(metrics, 1):
        parts.append(f"[d{index}][r{index}]{metric}[m{index}]")
    return ";".join(parts), ["[r0]", "[d0]", *(f"[m{index}]" for index in range(1, count + 1))]


def _reference(wanted: Comparison, reference: Picture, distorted: Picture) -> str:
    # What the encoder did comes first and as it did it, so that it ends with the very frames that went in.
    steps = [DEINTERLACE] if wanted.deinterlaced else []
    steps += [] if wanted.encoded else ["setpts=PTS-STARTPTS"]
    steps.append(f"fps={_text(wanted.rate)}")
    if wanted.limit_s is not None:
        steps += _cut(wanted.limit_s, wanted.rate) if wanted.timed else [f"trim=duration={wanted.limit_s:.6f}"]
    return ",".join([*steps, *_alike(wanted, reference, distorted)])


def _cut(limit_s: float, rate: Fraction) -> list[str]:
    """Return what ``-t`` does to an output: it cuts by length, and by time, which counts from where the file begins."""
    limit = f"{limit_s:.6f}"
    return [f"trim=duration={limit}", f"trim=end_pts={math.ceil(Fraction(limit) * rate)}"]


def _distorted(wanted: Comparison, reference: Picture, distorted: Picture) -> str:
    # A frame that is missing in the middle is filled up by its neighbour: all after it stay with their partners.
    steps = ["setpts=PTS-STARTPTS", f"fps={_text(wanted.rate)}", *_without_bars(wanted, reference, distorted)]
    return ",".join([*steps, *_alike(wanted, reference, distorted)])


def _without_bars(wanted: Comparison, reference: Picture, distorted: Picture) -> list[str]:
    shape, frame = reference.shape, distorted.shape
    if abs(shape / frame - 1) < STRETCH_MAX:
        return []
    if not wanted.encoded:
        raise NotComparable(
            f"the pictures have different shapes: {_size(reference)} seen as {float(shape):.3f}:1, "
            f"{_size(distorted)} as {float(frame):.3f}:1"
        )
    # As the encoder's own filter reckons it.
    if shape > frame:
        height = max(2, int(distorted.width / shape / 2) * 2)
        return [f"crop={distorted.width}:{height}"]
    width = max(2, int(distorted.height * shape / 2) * 2)
    return [f"crop={width}:{distorted.height}"]


def _alike(wanted: Comparison, reference: Picture, distorted: Picture) -> list[str]:
    """Return what makes both the same in size, range and depth, and numbers them: both have one rate by now."""
    bits = max(reference.bits, distorted.bits)
    form = "yuv420p" if bits <= 8 else "yuv420p10le" if bits <= 10 else "yuv420p12le"
    return [
        f"scale={reference.width}:{reference.height}:flags=bicubic:out_range=tv",
        f"format={form}",
        "setsar=1",
        f"setpts=N/({_text(wanted.rate)}*TB)",
    ]


def _metrics(wanted: Comparison, reference: Picture) -> list[str]:
    # Without endall the last frame of the shorter one would be compared again and again.
    model = wanted.model or model_for(reference)
    options = f"n_threads={wanted.threads}:n_subsample={wanted.subsample}:log_fmt=xml:log_path=/dev/stdout"
    return [
        *([f"libvmaf=model=version={model}:{options}:eof_action=endall"] if wanted.vmaf else []),
        *(["psnr=eof_action=endall"] if wanted.psnr else []),
        *(["ssim=eof_action=endall"] if wanted.ssim else []),
    ]


def _text(rate: Fraction) -> str:
    return f"{rate.numerator}/{rate.denominator}"


def _size(picture: Picture) -> str:
    return f"{picture.width}x{picture.height}"


# ── the answer ────────────────────────────────────────────────────────────────────────────────────────────────────


class Reading:
    """Takes what the scoring command writes, in pieces of any size, and keeps eight bytes a frame of it."""

    def __init__(self) -> None:
        self.scores = array("d")
        self.version: str | None = None
        self._rest = b""
        self._log_rest = b""
        self._counts: dict[int, int] = {}
        self._psnr_db: float | None = None
        self._ssim: float | None = None

    def log(self, data: bytes) -> list[str]:
        """Take standard error; return the lines that are worth keeping."""
        lines, self._log_rest = _lines(self._log_rest, data)
        kept = []
        for raw in lines:
            line = raw.decode("utf-8", "replace")
            if counted := _COUNT.search(line):
                self._counts[int(counted[1])] = int(counted[2])
            elif told := _PSNR.search(line):
                self._psnr_db = float(told[1])
            elif told := _SSIM.search(line):
                self._ssim = float(told[1])
            elif line.strip() and not _CHATTER.search(line):
                kept.append(line)
        return kept

    def report(self, data: bytes) -> None:
        """Take standard output."""
        lines, self._rest = _lines(self._rest, data)
        for line in lines:
            if frame := _FRAME.search(line):
                self.scores.append(float(frame[2]))
            elif self.version is None and (told := _VERSION.search(line)):
                self.version = told[1].decode("ascii", "replace")

    def quality(self, wanted: Comparison, reference: Picture, *, ffmpeg_version: str) -> Quality:
        """Return the scores, once the command has ended well.

        Raises:
            NotComparable: one of the two has more frames.
            ScoringFailed: what was asked for is not in what was written.
        """
        self.log(b"\n")
        self.report(b"\n")
        pairs, others = self._counts.get(0), self._counts.get(1)
        if not pairs or not others:
            raise ScoringFailed("the comparison did not tell how many frames it saw")
        if pairs != others:
            raise NotComparable(f"the source has {pairs} frames at this rate and the output {others}")
        scored = -(-pairs // wanted.subsample)
        if wanted.vmaf and (len(self.scores) != scored or not all(map(math.isfinite, self.scores))):
            raise ScoringFailed(f"libvmaf told {len(self.scores)} scores, expected {scored}")
        if (wanted.psnr and self._psnr_db is None) or (wanted.ssim and self._ssim is None):
            raise ScoringFailed("ffmpeg told no PSNR or SSIM")
        endless = self._psnr_db is not None and self._psnr_db > PSNR_MAX_DB
        libvmaf = f"libvmaf {self.version} in " if wanted.vmaf and self.version else ""
        scores = self.scores
        if wanted.vmaf:
            vmaf = Quality(
                vmaf=_within(math.fsum(scores) / len(scores)),
                vmaf_harmonic_mean=_within(harmonic_mean(scores)),
                vmaf_min=_within(min(scores)),
                vmaf_p1=_within(percentile(scores, 1)),
                model=wanted.model or model_for(reference),
            )
        else:
            vmaf = Quality()
        return replace(
            vmaf,
            psnr_db=None if endless else self._psnr_db,
            ssim=self._ssim,
            frames=scored if wanted.vmaf else pairs,
            subsample=wanted.subsample if wanted.vmaf else 1,
            method=f"{libvmaf}ffmpeg {ffmpeg_version}"[:NAME_MAX],
            note="source and output have the same luma, so that PSNR has no bound" if endless else None,
        )


def _lines(rest: bytes, data: bytes) -> tuple[list[bytes], bytes]:
    *lines, rest = (rest + data).split(b"\n")
    return lines, rest if len(rest) <= LINE_MAX else b""


def _within(score: float) -> float:
    # Six decimals are what libvmaf tells; a sum may end a rounding above 100.
    return min(100.0, max(0.0, round(score, 6)))


def harmonic_mean(scores: Iterable[float]) -> float:
    """Return N / Σ(1/(sᵢ+1)) − 1, libvmaf's own: the one added keeps a frame of score 0 from deciding alone."""
    inverse = [1.0 / (score + 1.0) for score in scores]
    return len(inverse) / math.fsum(inverse) - 1.0


def percentile(scores: Iterable[float], share: float) -> float:
    """Return the value below which ``share`` percent lie, with linear interpolation between ranks.

    The definition that NumPy and Netflix's own tools use (Hyndman and Fan, type 7). ``scores`` must not be empty.
    """
    ordered = sorted(scores)
    place = (len(ordered) - 1) * share / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

"""Generated sources: a moving test picture with noise and a tone, made once per size and rate and kept for a while."""

import contextlib
import math
import os
import secrets
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from ffrtmp_worker.ffmpeg import STATS_PERIOD_S
from ffrtmp_worker.places import FILE_PREFIX
from ffrtmp_worker.rates import nearest_rate
from ffrtmp_worker.task import DEFAULT_FPS, GENERATED_S
from ffrtmp_worker.tools import Tools
from ffrtmpd.wire.messages.jobs import AudioStream, MediaInfo, VideoStream
from ffrtmpd.wire.messages.session import Encode

# Longer ones are this one played again and again: at 4K60 a minute takes more than a gigabyte.
LENGTH_MAX_S: Final = 30.0
SUFFIX: Final = ".mkv"
TEMPORARY_SUFFIX: Final = ".making"
# Grows when the picture changes, so that an old file is not taken for a new one.
EDITION: Final = 1
# Enough that encoders have something to work on, as a camera's picture gives them.
NOISE: Final = "noise=alls=4:allf=t"
TONE: Final = "sine=frequency=440:sample_rate=48000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A generated source: size in pixels, frames per second, seconds."""

    width: int
    height: int
    rate: Fraction
    duration_s: float

    @property
    def name(self) -> str:
        """The file's name in the cache."""
        rate = f"{self.rate.numerator}" + ("" if self.rate.denominator == 1 else f"-{self.rate.denominator}")
        return f"testsrc2-{EDITION}-{self.width}x{self.height}-{rate}-{self.duration_s:.3f}s{SUFFIX}"

    @property
    def media(self) -> MediaInfo:
        """What a probe of the file would tell: it was made here, so nobody needs to look."""
        # As many as begin before its end, with the end as the command that makes it says it.
        frames = math.ceil(Fraction(f"{self.duration_s:.6f}") * self.rate)
        video = VideoStream(
            codec="unknown",
            width=self.width,
            height=self.height,
            fps=float(self.rate),
            frames=frames,
            start_s=0.0,
            duration_s=float(frames / self.rate),
            moving_fps=float(self.rate),
        )
        sound = AudioStream(codec="pcm_s16le", sample_rate=48_000, channels=2, start_s=0.0)
        return MediaInfo(container="matroska", duration_s=self.duration_s, video=video, audio=sound)


def generated_for(encode: Encode, duration_s: float | None) -> Generated:
    """Return the source for a job without input: its own size and rate, ten seconds unless it says how long."""
    rate = DEFAULT_FPS if encode.fps is None else nearest_rate(encode.fps)
    asked_s = GENERATED_S if duration_s is None else duration_s
    return Generated(width=encode.width, height=encode.height, rate=rate, duration_s=min(asked_s, LENGTH_MAX_S))


def needs_loop(duration_s: float | None) -> bool:
    """Tell whether a job so long plays its generated source more than once."""
    return duration_s is not None and duration_s > LENGTH_MAX_S


def live_graph(generated: Generated) -> str:
    """Return the filter graph that is the source itself, for an output that is fed live. It has no end."""
    return f"{_picture(generated)},{NOISE}[out0];{TONE}[out1]"


def source_command(tools: Tools, generated: Generated, target: Path, encoders: Collection[str]) -> tuple[str, ...]:
    """Return the command that writes a source to ``target``; it tells progress as an encode does.

    ``encoders`` are those proven here: without libx264 the file is larger, made with ffmpeg's own MJPEG.
    """
    if "libx264" in encoders:
        video: tuple[str, ...] = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "21", "-pix_fmt", "yuv420p")
    else:
        video = ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")
    return (
        tools.ffmpeg,
        *("-nostdin", "-hide_banner", "-y"),
        *("-loglevel", "repeat+level+info"),
        *("-progress", "pipe:1", "-nostats", "-stats_period", str(STATS_PERIOD_S)),
        *("-f", "lavfi", "-i", live_graph(generated)),
        *("-map", "0:v:0", "-map", "0:a:0"),
        *video,
        *("-c:a", "pcm_s16le", "-ac", "2"),
        *("-t", f"{generated.duration_s:.6f}"),
        *("-f", "matroska", FILE_PREFIX + str(target)),
    )


def _picture(generated: Generated) -> str:
    rate = generated.rate
    return f"testsrc2=size={generated.width}x{generated.height}:rate={rate.numerator}/{rate.denominator}"


class SourceCache:
    """The folder of generated sources, bounded in size; those used last are kept. For one thread.

    Args:
        folder: made when missing; what an earlier life left unfinished in it is removed.
        limit_bytes: sources beyond it are removed, but never one in use.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._used: Counter[Path] = Counter()
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"*{TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)

    def take(self, generated: Generated) -> Path | None:
        """Return the source and keep it until ``release``; None if it must be made."""
        path = self._folder / generated.name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        self._used[path] += 1
        return path

    def temporary(self, generated: Generated) -> Path:
        """Return a new name to make a source under."""
        return self._folder / f"{generated.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"

    def keep(self, temporary: Path, generated: Generated) -> Path:
        """Take in a source just made, make room for it, and return it kept until ``release``.

        Raises:
            OSError: it is not there, or cannot be renamed.
        """
        path = self._folder / generated.name
        temporary.replace(path)
        self._used[path] += 1
        self._make_room()
        return path

    def release(self, path: Path) -> None:
        """Say that one user of ``path`` is done."""
        self._used[path] -= 1
        if self._used[path] <= 0:
            del self._used[path]
        self._make_room()

    def _make_room(self) -> None:
        found = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        excess = sum(size for _, size, _ in found) - self._limit_bytes
        for _, size, path in sorted(found):
            if excess <= 0:
                return
            if path not in self._used:
                path.unlink(missing_ok=True)
                excess -= size

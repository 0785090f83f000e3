"""ffmpeg's ``-progress`` lines read into figures. Pure."""

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from ffrtmpd.wire.messages.jobs import Progress

# Rates over less jump about; over more they lag behind what the machine does now.
WINDOW_S: Final = 8.0
# 100 is said by the master alone, once the output is published.
PERCENT_MAX: Final = 99.9
# No line of ffmpeg's is longer; what is, is not ffmpeg's.
LINE_MAX: Final = 4_096
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One report of ffmpeg. None where it said ``N/A`` or nothing, as sound alone has no frames."""

    frame: int | None = None
    out_time_s: float | None = None
    size_bytes: int | None = None
    bitrate_bps: float | None = None
    dropped_frames: int | None = None
    duplicated_frames: int | None = None
    end: bool = False


class ProgressReader:
    """Cuts what arrives on the progress pipe into blocks."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, data: bytes) -> list[Block]:
        """Return the blocks that ``data`` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_MAX:
            self._rest = b""
        blocks = []
        for line in lines:
            key, equals, value = line.decode("ascii", "replace").partition("=")
            if not equals:
                continue
            key, value = key.strip(), value.strip()
            if key != "progress":
                self._fields[key] = value
                continue
            blocks.append(_block(self._fields, end=value == "end"))
            self._fields = {}
        return blocks


def _block(fields: dict[str, str], *, end: bool) -> Block:
    # out_time_ms is microseconds too, in every version; only out_time_us says what it is.
    out_time_us = _number(fields.get("out_time_us"))
    return Block(
        frame=_whole(fields.get("frame")),
        out_time_s=None if out_time_us is None else max(0.0, out_time_us / MICROSECONDS),
        size_bytes=_whole(fields.get("total_size")),
        bitrate_bps=_bitrate(fields.get("bitrate")),
        dropped_frames=_whole(fields.get("drop_frames")),
        duplicated_frames=_whole(fields.get("dup_frames")),
        end=end,
    )


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None or number < 0 else int(number)


def _bitrate(text: str | None) -> float | None:
    number = _number(text.removesuffix("kbits/s")) if text is not None and text.endswith("kbits/s") else None
    return None if number is None or number < 0 else number * 1_000


def summed(pushed: Block, block: Block, last: Block) -> Block:
    """Return ``block`` with what was ``pushed`` by earlier connections, and as in ``last`` where it tells nothing."""

    def both(one: float | None, other: float | None, before: float | None) -> float | None:
        return before if other is None else (one or 0) + other

    return replace(
        block,
        frame=_rounded(both(pushed.frame, block.frame, last.frame)),
        out_time_s=both(pushed.out_time_s, block.out_time_s, last.out_time_s),
        size_bytes=_rounded(both(pushed.size_bytes, block.size_bytes, last.size_bytes)),
        dropped_frames=_rounded(both(pushed.dropped_frames, block.dropped_frames, last.dropped_frames)),
        duplicated_frames=_rounded(both(pushed.duplicated_frames, block.duplicated_frames, last.duplicated_frames)),
    )


def _rounded(number: float | None) -> int | None:
    return None if number is None else int(number)


@dataclass(frozen=True, slots=True)
class _Sample:
    ran_s: float
    frame: int | None
    out_time_s: float | None


class ProgressMeter:
    """Turns blocks into what users see, and knows when the encoder last got on.

    Times are seconds of one monotonic clock; ``paused_s`` is how long of it the encoder was stopped so far.

    Args:
        expected_frames: of the whole output, None if unknown.
        duration_s: of the whole output, None if unknown.
        now_s: when the encoder was started.
    """

    def __init__(self, *, expected_frames: int | None, duration_s: float | None, now_s: float) -> None:
        self._expected_frames = expected_frames or None
        self._duration_s = duration_s or None
        self._advanced_s = now_s
        self._percent: float | None = None
        self._frame = 0
        self._out_time_s = 0.0
        self._window: deque[_Sample] = deque([_Sample(now_s, 0, 0.0)])

    def update(self, block: Block, now_s: float, paused_s: float) -> Progress:
        """Return the figures after ``block``."""
        ran_s = now_s - paused_s
        self._note_advance(block, ran_s)
        self._window.append(_Sample(ran_s, block.frame, block.out_time_s))
        while len(self._window) > 2 and self._window[1].ran_s <= ran_s - WINDOW_S:
            self._window.popleft()
        fps, speed = self._rates()
        self._raise_percent(block)
        return Progress(
            percent=self._percent,
            frame=block.frame,
            fps=fps,
            speed=speed,
            bitrate_bps=block.bitrate_bps,
            size_bytes=block.size_bytes,
            out_time_s=block.out_time_s,
            dropped_frames=block.dropped_frames,
            duplicated_frames=block.duplicated_frames,
            eta_s=self._eta_s(block, fps, speed),
        )

    def stalled_s(self, now_s: float, paused_s: float) -> float:
        """Return the seconds, pauses left out, since the output last grew by a frame or by media time."""
        return max(0.0, now_s - paused_s - self._advanced_s)

    def _note_advance(self, block: Block, ran_s: float) -> None:
        frame, out_time_s = block.frame or 0, block.out_time_s or 0.0
        if frame > self._frame or out_time_s > self._out_time_s:
            self._advanced_s = ran_s
        self._frame = max(self._frame, frame)
        self._out_time_s = max(self._out_time_s, out_time_s)

    def _rates(self) -> tuple[float | None, float | None]:
        # ffmpeg's own fps and speed are averages since the start, pauses included.
        first, last = self._window[0], self._window[-1]
        span_s = last.ran_s - first.ran_s
        if span_s <= 0:
            return None, None
        fps = None if last.frame is None or first.frame is None else max(0.0, (last.frame - first.frame) / span_s)
        if last.out_time_s is None or first.out_time_s is None:
            return fps, None
        return fps, max(0.0, (last.out_time_s - first.out_time_s) / span_s)

    def _raise_percent(self, block: Block) -> None:
        share = self._share(block)
        if share is not None:
            reached = min(PERCENT_MAX, 100.0 * share)
            self._percent = reached if self._percent is None else max(self._percent, reached)

    def _share(self, block: Block) -> float | None:
        # Sound may run a second ahead of the picture, so frames are the better measure.
        if self._expected_frames is not None and block.frame is not None:
            return block.frame / self._expected_frames
        if self._duration_s is not None and block.out_time_s is not None:
            return block.out_time_s / self._duration_s
        return None

    def _eta_s(self, block: Block, fps: float | None, speed: float | None) -> float | None:
        if self._expected_frames is not None and block.frame is not None:
            return max(0, self._expected_frames - block.frame) / fps if fps else None
        if self._duration_s is not None and block.out_time_s is not None:
            return max(0.0, self._duration_s - block.out_time_s) / speed if speed else None
        return None

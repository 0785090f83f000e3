"""What a file holds: the command that looks, and what its answer means."""

import json
import math
from pathlib import Path
from typing import Any, Final, NamedTuple

from ffrtmp_worker.gate import gate
from ffrtmp_worker.places import FILE_PREFIX, formats_for, protocols_for
from ffrtmp_worker.rates import moving_rate
from ffrtmp_worker.tools import Tools
from ffrtmpd.wire.messages.jobs import AudioStream, MediaInfo, VideoStream

PROBE_AV: Final = Path(__file__).with_name("probe_av.py")
# Their index says how many frames there are.
INDEXED: Final = frozenset({".mp4", ".mov", ".m4v", ".m4a", ".3gp", ".3g2"})
# Counting reads the whole file: some 10 s from a fast disk.
COUNT_MAX_BYTES: Final = 8 << 30
TEXT_MAX: Final = 64
# Which field is stored first and which is shown first; others are progressive or unknown.
FIELD_ORDERS: Final = frozenset({"tt", "bb", "tb", "bt"})
# Formats whose timestamps may leap: there it is the streams in use that count.
OF_USED: Final = frozenset({"mpegts", "mpeg", "ogg", "hls"})
# Matroska counts in milliseconds.
ROUNDED_S: Final = 0.002


class Span(NamedTuple):
    """When a stream begins and ends, in seconds; None if it does not say."""

    start_s: float | None
    end_s: float | None

    @property
    def length_s(self) -> float | None:
        """How long it is."""
        return None if self.start_s is None or self.end_s is None else self.end_s - self.start_s

    def after(self, zero_s: float) -> float | None:
        """Return how long after a time it begins."""
        return None if self.start_s is None else self.start_s - zero_s


class ProbeError(Exception):
    """The answer of a probe cannot be read, so there is no such media."""


def probe_command(tools: Tools, source: str, *, count: bool = True) -> tuple[str, ...]:
    """Return the command that describes ``source``, as ``Places.resolve_input`` returned it, on standard output.

    With ``count`` packets are counted: nothing is decoded, and a file that was cut short shows it.
    """
    protocols, formats = protocols_for(source), formats_for(source)
    if tools.ffprobe is None:
        counting = "count" if count else "no-count"
        looked = (tools.python, "-P", str(PROBE_AV), source, protocols, formats, counting)
        return (*gate(tools.python, source), *looked)
    return (
        *gate(tools.python, source),
        tools.ffprobe,
        "-hide_banner",
        # Why a server turned a request down is a warning.
        *("-loglevel", "level+warning"),
        *("-protocol_whitelist", protocols),
        *("-format_whitelist", formats),
        *("-of", "json", "-show_format", "-show_streams"),
        *(("-count_packets",) if count else ()),
        *("-i", source),
    )


def worth_counting(source: str) -> bool:
    """Tell whether packets of an input should be counted: a file whose index does not tell, and not a huge one."""
    if not source.startswith(FILE_PREFIX):
        return False
    path = Path(source.removeprefix(FILE_PREFIX))
    try:
        return path.suffix.lower() not in INDEXED and path.stat().st_size <= COUNT_MAX_BYTES
    except OSError:
        return False


def parse_probe(stdout: bytes, tools: Tools) -> MediaInfo:
    """Return what the command of ``probe_command`` printed.

    Raises:
        ProbeError: it is not such a description.
    """
    try:
        document = json.loads(stdout)
    except (ValueError, RecursionError):
        raise ProbeError("the probe printed no description") from None
    form = document.get("format") if isinstance(document, dict) else None
    if not isinstance(form, dict) or not isinstance(form.get("format_name"), str):
        raise ProbeError("the probe found no media")
    listed = document.get("streams")
    streams = [stream for stream in listed if isinstance(stream, dict)] if isinstance(listed, list) else []
    spans = _spans(form, streams)
    zero_s = _zero_s(form, spans)
    return MediaInfo(
        container=form["format_name"][:TEXT_MAX],
        size_bytes=_whole(form.get("size")),
        duration_s=_duration_s(form, spans),
        video=_first_video(streams, spans, zero_s),
        audio=_first_audio(streams, spans, zero_s),
        probe="pyav" if tools.ffprobe is None else "ffprobe",
    )


def _spans(form: dict[str, Any], streams: list[dict[str, Any]]) -> dict[str, Span]:
    """Return when picture and sound begin and end, both as the file counts its time."""
    end_s = _number(form.get("duration"))
    return {kind: _span(first, end_s) for kind in ("video", "audio") for first in _of_kind(streams, kind)[:1]}


def _span(stream: dict[str, Any], end_s: float | None) -> Span:
    start_s, length_s = _number(stream.get("start_time")), _number(stream.get("duration"))
    if length_s is not None:
        return Span(start_s, (start_s or 0.0) + length_s)
    clock_s = _clock_s(stream.get("tags"))
    if clock_s is None or not start_s:
        return Span(start_s, clock_s)
    # mkvmerge writes a length, and ffmpeg the time of the end. It is a length if the file does not end before.
    is_length = end_s is not None and start_s + clock_s <= end_s + ROUNDED_S
    return Span(start_s, start_s + clock_s if is_length else clock_s)


def _clock_s(tags: Any) -> float | None:
    """Return what Matroska says of a stream's length in a tag alone, as 00:00:01.021000000."""
    clock = tags.get("DURATION") if isinstance(tags, dict) else None
    parts = [_number(part) for part in clock.split(":")] if isinstance(clock, str) else []
    if len(parts) != 3:
        return None
    hours, minutes, seconds = parts
    if hours is None or minutes is None or seconds is None:
        return None
    return hours * 3_600 + minutes * 60 + seconds


def _zero_s(form: dict[str, Any], spans: dict[str, Span]) -> float:
    """Return where time begins for ffmpeg: with the first of all streams, or of those that are used."""
    told = _number(form.get("start_time"))
    return _first_s(spans) if told is None or form["format_name"] in OF_USED else told


def _first_s(spans: dict[str, Span]) -> float:
    return min((span.start_s for span in spans.values() if span.start_s is not None), default=0.0)


def _duration_s(form: dict[str, Any], spans: dict[str, Span]) -> float | None:
    """Return the time from the first of picture and sound to the end of the last; the container's if one tells none.

    Subtitles and data, which are never kept, may make a container longer than both.
    """
    ends = [span.end_s for span in spans.values()]
    known = [end for end in ends if end is not None]
    if known and len(known) == len(ends):
        return max(known) - _first_s(spans)
    return _number(form.get("duration"))


def _of_kind(streams: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [stream for stream in streams if stream.get("codec_type") == kind and not _is_picture(stream)]


def _first_video(streams: list[dict[str, Any]], spans: dict[str, Span], zero_s: float) -> VideoStream | None:
    for stream in _of_kind(streams, "video"):
        counted = _whole(stream.get("nb_read_packets"))
        average, base = _rate(stream.get("avg_frame_rate")), _rate(stream.get("r_frame_rate"))
        return VideoStream(
            codec=_text(stream.get("codec_name")) or "unknown",
            width=_whole(stream.get("width")) or 0,
            height=_whole(stream.get("height")) or 0,
            fps=average or base,
            frames=_whole(stream.get("nb_frames")) if counted is None else counted,
            pixel_format=_text(stream.get("pix_fmt")),
            bitrate_bps=_number(stream.get("bit_rate")),
            start_s=spans["video"].after(zero_s),
            duration_s=spans["video"].length_s,
            moving_fps=moving_rate(average, base),
            interlaced=stream.get("field_order") in FIELD_ORDERS,
        )
    return None


def _is_picture(stream: dict[str, Any]) -> bool:
    disposition = stream.get("disposition")
    return isinstance(disposition, dict) and disposition.get("attached_pic") == 1


def _first_audio(streams: list[dict[str, Any]], spans: dict[str, Span], zero_s: float) -> AudioStream | None:
    for stream in _of_kind(streams, "audio"):
        return AudioStream(
            codec=_text(stream.get("codec_name")) or "unknown",
            sample_rate=_whole(stream.get("sample_rate")),
            channels=_whole(stream.get("channels")),
            start_s=spans["audio"].after(zero_s),
        )
    return None


def _text(value: Any) -> str | None:
    return value[:TEXT_MAX] if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    """Return a number that JSON gave as number or text; None for ``N/A`` and all else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _rate(value: Any) -> float | None:
    """Return frames per second from text such as ``30000/1001``; ``0/0`` means unknown."""
    if not isinstance(value, str):
        return None
    above, _, below = value.partition("/")
    number, divisor = _number(above), _number(below or "1")
    if not number or not divisor or number < 0 or divisor < 0:
        return None
    return number / divisor

"""Probes a file with PyAV and prints what ffprobe would, as far as this program reads it.

Run as a program of its own, by path, so that a crash of a demuxer costs one child. It imports nothing of ours:
``python -P probe_av.py SOURCE PROTOCOLS FORMATS COUNT``.
"""

import gc
import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import av.logging

MICROSECONDS = 1_000_000
ATTACHED_PICTURE = 0x400
# FFmpeg's numbers of them, and ffprobe's words.
FIELD_ORDERS = {1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}


def describe(source: str, protocols: str, formats: str, *, count: bool) -> dict[str, Any]:
    """Return the document that ffprobe prints with ``-show_format -show_streams`` and perhaps ``-count_packets``."""
    options = {"protocol_whitelist": protocols, "format_whitelist": formats}
    with av.open(source, options=options) as container:
        video = next((stream for stream in container.streams.video if not _is_picture(stream)), None)
        audio = next(iter(container.streams.audio), None)
        packets = _count(container, video) if count and video is not None else None
        streams = []
        if video is not None:
            streams.append(_video(video, packets))
        if audio is not None:
            streams.append(_audio(audio))
        return {
            "probe": "pyav",
            "streams": streams,
            "format": {
                "format_name": container.format.name,
                "start_time": None if container.start_time is None else container.start_time / MICROSECONDS,
                "duration": None if container.duration is None else container.duration / MICROSECONDS,
                "size": container.size if container.size and container.size > 0 else None,
            },
        }


def _is_picture(stream: Any) -> bool:
    return bool(int(getattr(stream, "disposition", 0)) & ATTACHED_PICTURE)


def _count(container: Any, video: Any) -> int:
    packets = 0
    try:
        for packet in container.demux(video):
            # The last one is empty: it tells a decoder to flush.
            packets += packet.size > 0
    except av.FFmpegError as error:
        print(f"the file ends in damage: {error}", file=sys.stderr)  # noqa: T201 - this is a program
    return packets


def _codec(stream: Any) -> str:
    codec = stream.codec_context.codec
    return str(getattr(codec, "canonical_name", codec.name))


def _seconds(stream: Any, ticks: int | None) -> float | None:
    return None if ticks is None or stream.time_base is None else float(ticks * stream.time_base)


def _rate(rate: Fraction | None) -> str | None:
    return f"{rate.numerator}/{rate.denominator}" if rate else None


def _video(stream: Any, packets: int | None) -> dict[str, Any]:
    return {
        "codec_type": "video",
        "codec_name": _codec(stream),
        "width": stream.codec_context.width,
        "height": stream.codec_context.height,
        "pix_fmt": stream.codec_context.pix_fmt,
        "avg_frame_rate": _rate(stream.average_rate),
        "r_frame_rate": _rate(stream.base_rate),
        "field_order": FIELD_ORDERS.get(stream.codec_context.field_order),
        "start_time": _seconds(stream, stream.start_time),
        "duration": _seconds(stream, stream.duration),
        "tags": dict(stream.metadata),
        "nb_frames": stream.frames or None,
        "nb_read_packets": packets,
        "bit_rate": stream.codec_context.bit_rate or None,
    }


def _audio(stream: Any) -> dict[str, Any]:
    return {
        "codec_type": "audio",
        "codec_name": _codec(stream),
        "start_time": _seconds(stream, stream.start_time),
        "duration": _seconds(stream, stream.duration),
        "tags": dict(stream.metadata),
        "sample_rate": stream.codec_context.sample_rate or None,
        "channels": stream.codec_context.layout.nb_channels,
    }


def main(arguments: Sequence[str]) -> int:
    """Print the description of a source; 1 and a line on standard error when it cannot be read."""
    source, protocols, formats, count = arguments
    # FFmpeg's own lines tell why, which the exceptions leave out.
    av.logging.set_libav_level(av.logging.WARNING)
    av.logging.restore_default_callback()
    try:
        document = describe(source, protocols, formats, count=count == "count")
    except (av.FFmpegError, OSError) as error:
        print(f"{source}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - this is a program
        return 1
    json.dump(document, sys.stdout)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # The interpreter would look through all of PyAV for garbage once more.
    gc.freeze()
    sys.exit(code)

"""From an assignment to what this node will do: encoder, rate, length, container, names. Pure."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

from ffrtmp_worker.places import FILE_PREFIX, scheme_of
from ffrtmp_worker.rates import nearest_rate, rate_of
from ffrtmp_worker.staging import partial_path
from ffrtmpd.wire.media import ENCODERS, Encoder, encoders_for
from ffrtmpd.wire.messages.jobs import MediaInfo, VideoStream
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import Codec, Engine, FailureClass, OutputMode

# The length of a generated source when the job names none.
GENERATED_S: Final = 10.0
DEFAULT_FPS: Final = Fraction(30)
DEFAULT_SUFFIX: Final = ".mp4"
# Larger pictures are refused: one frame of 16384x8192 takes 200 MB, a decoder holds dozens, and a file of some hundred
# bytes can claim any size.
INPUT_PIXELS_MAX: Final = 1 << 27
# Picture and sound that begin further apart, in seconds, do not begin together.
APART_S: Final = 0.04
# Two readings of an input's length that differ by more leave the number of frames unknown.
AGREE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Container:
    """A file format by its suffix: ffmpeg's muxer, the codecs that players expect in it, its audio encoder."""

    muxer: str
    codecs: frozenset[Codec]
    audio: str = "aac"


_ALL: Final = frozenset(Codec)
# Formats that are joined in their midst, as a probe calls them.
_JOINED: Final = frozenset({"mpegts", "mpeg"})
_BROADCAST: Final = frozenset({Codec.H264, Codec.H265})
CONTAINERS: Final[dict[str, Container]] = {
    ".mp4": Container("mp4", _ALL),
    ".mkv": Container("matroska", _ALL),
    ".mov": Container("mov", _BROADCAST),
    ".webm": Container("webm", frozenset({Codec.VP9, Codec.AV1}), "libopus"),
    ".ts": Container("mpegts", _BROADCAST),
    ".flv": Container("flv", frozenset({Codec.H264})),
}
# What comes by these comes when it is made. By http comes a file too, whose length a probe tells.
_LIVE_SCHEMES: Final = frozenset({"rtmp", "rtmps", "srt", "udp", "tcp"})
_PUSH: Final = {"rtmp": CONTAINERS[".flv"], "rtmps": CONTAINERS[".flv"]}

# What a probe calls each codec.
PROBED_CODEC: Final = {Codec.H264: "h264", Codec.H265: "hevc", Codec.AV1: "av1", Codec.VP9: "vp9"}


class TaskError(Exception):
    """This node cannot do the job. ``failure_class`` tells whether trying again, elsewhere perhaps, may help."""

    failure_class = FailureClass.PERMANENT


class ImpossibleTask(TaskError):
    """No node can do it as it is asked."""


class NotHere(TaskError):
    """This node lacks what it needs; another may have it."""

    failure_class = FailureClass.TRANSIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt as this node will run it.

    ``source`` is what ffmpeg opens: ``file:`` and a path, a URL, or with ``lavfi`` a filter graph. ``target`` is what
    it writes; for a file that is ``partial``, published as ``final`` when all is well. ``rate`` is None when the
    source's rate is unknown and kept. ``limit_s`` cuts the output. What is expected is None when nothing certain is
    known: ``expected_frames`` of video, ``expected_duration_s`` from the first of picture and sound to the end of the
    last. ``picture_s`` is how much later than the sound the picture begins; ``joined``: it may begin later still, since
    a broadcast is joined in its midst and nothing before its first key frame can be decoded. ``last_s`` is how much
    longer than the others the last picture may be shown. ``interlaced``: so is the source. ``live_source``: the source
    sets its own pace. ``length_s`` is how long a file is, None if unknown, and ``skip_s`` how much of it is left out.
    """

    job_id: str
    attempt: int
    mode: OutputMode
    source: str
    lavfi: bool
    loop: bool
    encoder: Encoder
    render_node: str | None
    width: int
    height: int
    rate: Fraction | None
    bitrate_bps: int
    preset: str | None
    limit_s: float | None
    audio: str | None
    muxer: str
    target: str
    final: Path | None
    partial: Path | None
    expected_frames: int | None
    expected_duration_s: float | None
    picture_s: float = 0.0
    joined: bool = False
    last_s: float = 0.0
    interlaced: bool = False
    live_source: bool = False
    length_s: float | None = None
    skip_s: float = 0.0

    @property
    def live(self) -> bool:
        """Whether the output has side effects while it is made, and so cannot be staged."""
        return self.mode is not OutputMode.FILE

    @property
    def output(self) -> str:
        """The path or URL that users see."""
        return self.target if self.final is None else str(self.final)


def choose_encoder(assign: Assign, proven: Collection[str]) -> Encoder:
    """Return the encoder: the one pinned, else proven hardware for the codec, else proven software.

    Raises:
        ImpossibleTask: the pinned encoder does not exist, makes another codec, or is software where a GPU is required.
        NotHere: this node has not proved a fitting one.
    """
    codec = assign.encode.codec
    if assign.encoder is not None:
        pinned = ENCODERS.get(assign.encoder)
        if pinned is None:
            raise ImpossibleTask(f"unknown encoder {assign.encoder}; known: {', '.join(ENCODERS)}")
        if pinned.codec is not codec:
            raise ImpossibleTask(f"{pinned.name} makes {pinned.codec}, and the job asks for {codec}")
        if assign.require_gpu and pinned.hardware is None:
            raise ImpossibleTask(f"a GPU is required and {pinned.name} is a software encoder")
        if pinned.name not in proven:
            raise NotHere(f"{pinned.name} does not work on this node")
        return pinned
    fitting = [encoder for encoder in encoders_for(codec) if encoder.name in proven]
    if assign.require_gpu:
        fitting = [encoder for encoder in fitting if encoder.hardware is not None]
    if not fitting:
        kind = "hardware encoder" if assign.require_gpu else "encoder"
        raise NotHere(f"no {kind} for {codec} works on this node")
    return fitting[0]


def container_for(destination: Path | str, codec: Codec) -> Container:
    """Return the container of an output path or URL.

    Raises:
        ImpossibleTask: unknown suffix, or the container does not take the codec.
    """
    if isinstance(destination, str):
        container = _PUSH.get(scheme_of(destination), CONTAINERS[".ts"])
        where = f"{scheme_of(destination)} ({container.muxer})"
    else:
        found = CONTAINERS.get(destination.suffix.lower())
        if found is None:
            raise ImpossibleTask(
                f"the output's name must end in one of {', '.join(CONTAINERS)}, and {destination.name} does not"
            )
        container, where = found, destination.suffix
    if codec not in container.codecs:
        raise ImpossibleTask(f"{where} does not carry {codec}; it takes {', '.join(sorted(container.codecs))}")
    return container


def plan(
    assign: Assign,
    *,
    encoders: Collection[str],
    source: str,
    media: MediaInfo | None,
    destination: Path | str,
    lavfi: bool = False,
    loop: bool = False,
    render_node: str | None = None,
) -> Task:
    """Return how this node runs an assignment.

    Args:
        assign: what the master asks.
        encoders: names proven on this node.
        source: what ``Places.resolve_input`` returned, a generated file, or a graph with ``lavfi``.
        media: what a probe of the source found; None for a graph.
        destination: what ``Places.resolve_output`` returned.
        lavfi: the source is a filter graph with picture and sound.
        loop: a short generated source stands for a longer one.
        render_node: the device for VAAPI.

    Raises:
        TaskError: the job cannot be done, or not here.
    """
    encoder = choose_encoder(assign, encoders)
    wanted = assign.encode
    container = container_for(destination, wanted.codec)
    if wanted.width % 2 or wanted.height % 2:
        raise ImpossibleTask(f"{wanted.width}x{wanted.height}: width and height must be even")
    live = assign.output_mode is not OutputMode.FILE
    certain = True
    if media is not None:
        _refuse_picture(media)
        certain = live or encoder.engine is Engine.FFMPEG or _together(media)
        media = media if encoder.engine is Engine.FFMPEG else _from_zero(media)
    live_source = not lavfi and _is_live(source, media)
    if live_source and media is not None:
        # What it says of its length is what was buffered, and the next who listens hears another beginning.
        media = replace(_from_zero(media), duration_s=None)
    limit_s = assign.duration_s
    _refuse_cut(media, limit_s)
    if lavfi or (loop and limit_s is None):
        limit_s = GENERATED_S if limit_s is None else limit_s
    if live and _shorter(media, limit_s) and source.startswith(FILE_PREFIX):
        loop = True
    rate = _rate(wanted.fps, media)
    final = destination if isinstance(destination, Path) else None
    partial = None if final is None else partial_path(final, assign.job_id, assign.attempt, assign.token)
    if final is not None and source == FILE_PREFIX + str(final):
        raise ImpossibleTask("the output would replace the input")
    has_audio = lavfi or _sounds(media, limit_s)
    endless = lavfi or loop
    return Task(
        job_id=assign.job_id,
        attempt=assign.attempt,
        mode=assign.output_mode,
        source=source,
        lavfi=lavfi,
        loop=loop,
        encoder=encoder,
        render_node=render_node if encoder.hardware == "vaapi" else None,
        width=wanted.width,
        height=wanted.height,
        rate=rate,
        bitrate_bps=wanted.bitrate_bps,
        preset=wanted.preset,
        limit_s=limit_s,
        audio=container.audio if has_audio else None,
        muxer=container.muxer,
        target=destination if isinstance(destination, str) else FILE_PREFIX + str(partial),
        final=final,
        partial=partial,
        expected_frames=_frames(rate, limit_s, None if endless else media, endless=endless) if certain else None,
        expected_duration_s=_length_s(limit_s, None if endless else media) if certain else None,
        picture_s=_picture_s(media) - _first_s(media),
        joined=media is not None and media.container in _JOINED,
        last_s=_last_s(media),
        interlaced=media is not None and media.video is not None and media.video.interlaced,
        live_source=live_source,
        length_s=None if media is None else media.duration_s,
    )


def _refuse_picture(media: MediaInfo) -> None:
    video = media.video
    if video is None:
        only = " (only sound)" if media.audio is not None else ""
        raise ImpossibleTask(f"the input has no video{only}: every scenario makes a video")
    # A generated source is not looked at: what made it is ours.
    if video.width * video.height > INPUT_PIXELS_MAX and video.codec != "unknown":
        raise ImpossibleTask(
            f"the input says that its picture is {video.width}x{video.height}, more than the {INPUT_PIXELS_MAX} pixels "
            "that are decoded here: is it damaged?"
        )


def _together(media: MediaInfo) -> bool:
    """Tell whether picture and sound begin so close together that every engine makes the same of it.

    ffmpeg keeps the time between. GStreamer fills it or leaves it out, as each of its demuxers tells it.
    """
    return all((stream.start_s or 0.0) < APART_S for stream in (media.video, media.audio) if stream is not None)


def _from_zero(media: MediaInfo) -> MediaInfo:
    video, audio = media.video, media.audio
    return replace(
        media,
        video=None if video is None else replace(video, start_s=None),
        audio=None if audio is None else replace(audio, start_s=None),
    )


def _picture_s(media: MediaInfo | None) -> float:
    video = None if media is None else media.video
    return (None if video is None else video.start_s) or 0.0


def _first_s(media: MediaInfo | None) -> float:
    """Return when the first of picture and sound begins: other streams may begin before both."""
    streams = () if media is None else (media.video, media.audio)
    return min((stream.start_s or 0.0 for stream in streams if stream is not None), default=0.0)


def _last_s(media: MediaInfo | None) -> float:
    """Return how much longer than the others the last picture may be shown: Matroska gives each the average."""
    video = None if media is None else media.video
    if video is None or not video.fps or not video.moving_fps:
        return 0.0
    return max(0.0, 1 / video.fps - 1 / video.moving_fps)


def _refuse_cut(media: MediaInfo | None, limit_s: float | None) -> None:
    start_s = _picture_s(media)
    if limit_s is not None and limit_s <= start_s:
        raise ImpossibleTask(f"the input's picture begins after {start_s:.3f} s, and {limit_s:g} s of it are asked for")


def _is_live(source: str, media: MediaInfo | None) -> bool:
    if source.startswith(FILE_PREFIX):
        return False
    scheme = scheme_of(source)
    return scheme in _LIVE_SCHEMES or (scheme in ("http", "https") and (media is None or media.duration_s is None))


def _shorter(media: MediaInfo | None, limit_s: float | None) -> bool:
    return limit_s is not None and media is not None and media.duration_s is not None and media.duration_s < limit_s


def _rate(fps: float | None, media: MediaInfo | None) -> Fraction | None:
    if fps is not None:
        return nearest_rate(fps)
    if media is None:
        return DEFAULT_FPS
    probed = rate_of(media.video) if media.video is not None else None
    # Beyond 480 it is a time base that a muxer gave for want of a rate.
    return nearest_rate(probed) if probed is not None and 1 <= probed <= 480 else None


def _sounds(media: MediaInfo | None, limit_s: float | None) -> bool:
    """Tell whether there is sound, and it begins before the cut."""
    if media is None or media.audio is None:
        return False
    return limit_s is None or (media.audio.start_s or 0.0) < limit_s


def _frames(rate: Fraction | None, limit_s: float | None, media: MediaInfo | None, *, endless: bool) -> int | None:
    """Return the frames that the output must have, None unless two readings of the picture's length agree."""
    if rate is None:
        return None
    if endless:
        return None if limit_s is None else round(limit_s * rate)
    readings = _readings_s(media)
    if media is None or media.video is None or readings is None:
        return None
    start_s, shortest_s = _picture_s(media), min(readings)
    # The cut counts from where the file begins.
    if limit_s is not None and limit_s <= start_s + shortest_s:
        return min(round(limit_s * rate), math.ceil(limit_s * rate) - round(start_s * rate))
    return round(readings[0] * rate) if _agree(readings, media.video) else None


def _readings_s(media: MediaInfo | None) -> tuple[float, float] | None:
    """Return how long the picture is, in seconds: as its frames are counted, and as the file says."""
    video = None if media is None else media.video
    if media is None or video is None or not video.frames or not video.fps:
        return None
    told_s = video.duration_s
    if told_s is None and media.duration_s is not None:
        told_s = media.duration_s - (_picture_s(media) - _first_s(media))
    return None if told_s is None else (video.frames / video.fps, told_s)


def _agree(readings: tuple[float, float], video: VideoStream) -> bool:
    counted_s, told_s = readings
    return abs(counted_s - told_s) <= max(AGREE * told_s, 2 / (video.fps or 1.0))


def _length_s(limit_s: float | None, media: MediaInfo | None) -> float | None:
    """Return how long the output must be from its first picture or sound to its last, None if that is not certain."""
    told_s = None if media is None else media.duration_s
    if told_s is None:
        return limit_s
    if limit_s is not None and limit_s - _first_s(media) <= told_s:
        return limit_s - _first_s(media)
    readings = _readings_s(media)
    if readings is None or media is None or media.video is None:
        return told_s
    # Where timestamps begin anew, the file says how long one part is, and has the frames of all.
    return told_s if _agree(readings, media.video) or readings[0] < readings[1] else None

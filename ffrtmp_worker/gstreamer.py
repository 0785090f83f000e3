"""From a task to a GStreamer pipeline as data, for ``gstreamer_run.py``. Pure.

Every element and property is ours; of a job only its numbers, its path and its URL come in, each as one value.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final
from urllib.parse import unquote_plus, urlsplit

from ffrtmp_worker.ffmpeg import AUDIO_RATE, FASTSTART_MAX_BYTES, GOP_S, PIXEL_FORMAT, preset_for
from ffrtmp_worker.places import FILE_PREFIX, scheme_of
from ffrtmp_worker.task import Task

PIXELS: Final = {"yuv420p": "I420"}[PIXEL_FORMAT]
AUDIO_BITRATE: Final = 128_000
SECOND_NS: Final = 1_000_000_000
# Enough that decoder and encoder work side by side; a raw 4K picture takes 12 MB.
RAW_FRAMES: Final = 4
# Five seconds: a picture's encoder looks further ahead than a decoder's own queues reach.
RAW_SOUND_BYTES: Final = 1 << 20
# A muxer waits for its slowest stream: what the others have ready meanwhile lies here, some minutes of sound.
READY_BYTES: Final = 16 << 20

# Those that name further files or addresses are left out: HLS, DASH, Smooth Streaming, SDP.
DEMUXERS: Final = (
    "qtdemux", "matroskademux", "tsdemux", "mpegpsdemux", "flvdemux", "avidemux", "oggdemux", "asfdemux", "mxfdemux",
    "gxfdemux", "dvdemux", "ivfparse", "y4mdec", "wavparse",
)  # fmt: skip
PARSERS: Final = {"x264enc": "h264parse", "x265enc": "h265parse", "vp9enc": "vp9parse", "av1enc": "av1parse"}
# Our names of the muxers, GStreamer's, and the properties that go with it.
MUXERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "mp4": ("mp4mux", {}),
    "mov": ("qtmux", {}),
    "matroska": ("matroskamux", {}),
    "webm": ("webmmux", {}),
    # Seven packets of MPEG-TS fit a frame of Ethernet. Larger ones that begin with a table are taken by srtsink for
    # headers and left out, and with them every key frame.
    "mpegts": ("mpegtsmux", {"alignment": 7}),
    "flv": ("flvmux", {}),
}
# Sound encoders, better ones first, and what stands behind each.
SOUND: Final = {
    "aac": (("avenc_aac", "aacparse"), ("voaacenc", "aacparse")),
    "libopus": (("opusenc", "opusparse"),),
}
SINKS: Final = {"rtmp": "rtmp2sink", "rtmps": "rtmp2sink", "srt": "srtsink"}
# What each counts of the bytes that its peer's acceptance let out.
SENT: Final = {"rtmp2sink": "out-bytes-total", "srtsink": "bytes-sent-total"}
# What the URL of an SRT push may ask for; the rest is ffmpeg's alone.
SRT_OPTIONS: Final = frozenset({"mode", "latency", "streamid", "passphrase", "pbkeylen"})
# Closing throws away what waits to be sent: so long after the end, and twice the latency.
SRT_LINGER_MS: Final = 250
SRT_LATENCY_MS: Final = 120
# Without these there is no engine.
NEEDED: Final = (
    "filesrc", "filesink", "decodebin", "queue", "videoconvert", "videoscale", "videorate", "capsfilter",
    "identity", "audioconvert", "audioresample", "audiorate", "videotestsrc", "audiotestsrc", "videoflip",
)  # fmt: skip
# All that may be asked for; a node may lack some.
ELEMENTS: Final = (
    *NEEDED,
    *PARSERS,
    *PARSERS.values(),
    *(muxer for muxer, _ in MUXERS.values()),
    *(name for choices in SOUND.values() for choice in choices for name in choice),
    *dict.fromkeys(SINKS.values()),
)


@dataclass(slots=True)
class _Graph:
    """Elements and links as they are added."""

    elements: list[dict[str, Any]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, factory: str, **properties: object) -> str:
        """Add an element and return its name; ``_`` in a property's name stands for a dash."""
        plain = {key.replace("_", "-"): value for key, value in properties.items()}
        self.elements.append({"name": name, "factory": factory, "properties": plain})
        return name

    def chain(self, *names: str) -> str:
        """Link elements one after the other and return the last."""
        self.links += pairwise(names)
        return names[-1]

    def factories(self) -> set[str]:
        """Return the factories in use."""
        return {element["factory"] for element in self.elements}


def refusal(task: Task, elements: Collection[str]) -> str | None:
    """Return why a task cannot be done with these elements, None if it can.

    Raises:
        InvalidPreset: the preset is not one of the encoder's.
    """
    preset_for(task)
    if task.encoder.name not in PARSERS:
        return f"{task.encoder.name} is no encoder of it"
    if not task.lavfi and not task.source.startswith(FILE_PREFIX):
        return "it reads files and generated sources, no URLs"
    if task.loop:
        # qtdemux now and then ends a source that is played again by segments with an error of its own (1.22).
        return "it plays no source again, and this one is shorter than what is asked for"
    if task.live and scheme_of(task.target) not in SINKS:
        return f"it pushes to {', '.join(SINKS)} URLs alone"
    if task.live and scheme_of(task.target) == "srt":
        asked = _srt_options(task.target)
        unknown = sorted(asked.keys() - SRT_OPTIONS)
        if unknown or asked.get("mode", "caller") != "caller":
            return f"of an SRT URL it does not know {', '.join(unknown) or 'a mode but caller'}"
        if not all(asked.get(name, "0").isdecimal() for name in ("latency", "pbkeylen")):
            return "latency and pbkeylen of an SRT URL are whole numbers"
    lacking = sorted(_graph(task, elements).factories() - set(elements))
    return f"not installed: {', '.join(lacking)}" if lacking else None


def pipeline(task: Task, elements: Collection[str]) -> dict[str, Any]:
    """Return the pipeline of a task that was not refused, ready to be written as JSON."""
    graph = _graph(task, elements)
    kinds = ("video",) if task.audio is None else ("video", "audio")
    names = {element["name"] for element in graph.elements}
    # What waits before a sink that does not take it was not pushed.
    counted = "ready" if task.live else "parser"
    return {
        "elements": graph.elements,
        "links": graph.links,
        "decode": {} if task.lavfi else {kind: f"{kind}-decoded" for kind in kinds},
        "demuxers": DEMUXERS,
        "skip_ns": round(task.skip_s * SECOND_NS),
        "length_ns": None if task.length_s is None else round((task.length_s - task.skip_s) * SECOND_NS),
        "cuts": {kind: f"{kind}-caps" for kind in kinds},
        "counted": {kind: f"{kind}-{counted}" for kind in kinds},
        "sent": SENT[SINKS[scheme_of(task.target)]] if task.live else None,
        "linger_ms": _linger_ms(task),
        "limit_frames": None if task.limit_s is None or task.rate is None else round(task.limit_s * task.rate),
        "limit_ns": None if task.limit_s is None else round(task.limit_s * SECOND_NS),
        "path": None if task.live else task.target.removeprefix(FILE_PREFIX),
        "rate": "rate" if "rate" in names else None,
    }


def proof(encoder: str) -> dict[str, Any]:
    """Return a pipeline that encodes two small pictures and throws them away."""
    graph = _Graph()
    graph.chain(
        graph.add("source", "videotestsrc", num_buffers=2),
        graph.add("video-caps", "capsfilter", caps=f"video/x-raw,format={PIXELS},width=256,height=144,framerate=25/1"),
        # Seconds for a frame at aom's default.
        graph.add("encoder", encoder, **({"cpu_used": 8} if encoder == "av1enc" else {})),
        graph.add("video-parser", PARSERS[encoder]),
        graph.add("sink", "fakesink"),
    )
    return {
        "elements": graph.elements,
        "links": graph.links,
        "decode": {},
        "demuxers": (),
        "skip_ns": 0,
        "length_ns": None,
        "cuts": {"video": "video-caps"},
        "counted": {"video": "video-parser"},
        "sent": None,
        "linger_ms": 0,
        "limit_frames": None,
        "limit_ns": None,
        "path": None,
        "rate": None,
    }


def _graph(task: Task, elements: Collection[str]) -> _Graph:
    graph = _Graph()
    _sink(graph, task)
    if not task.lavfi:
        graph.chain(
            graph.add("source", "filesrc", location=task.source.removeprefix(FILE_PREFIX)),
            graph.add("decoder", "decodebin"),
        )
    _picture(graph, task)
    if task.audio is not None:
        _sound(graph, task, elements)
    return graph


def _picture(graph: _Graph, task: Task) -> None:
    rate = "" if task.rate is None else f",framerate={task.rate.numerator}/{task.rate.denominator}"
    shape = f"width={task.width},height={task.height},pixel-aspect-ratio=1/1"
    last = _picture_source(graph, task, shape + rate)
    scaled = (
        graph.add("convert", "videoconvert"),
        # A phone held upright writes its pictures lying, and says how to turn them. Shape and bars are those of the
        # turned picture.
        graph.add("turn", "videoflip", video_direction="auto"),
        # The picture keeps its shape, bars fill the rest.
        graph.add("scale", "videoscale", add_borders=True),
    )
    paced = () if task.rate is None else (graph.add("rate", "videorate"),)
    caps = graph.add("video-caps", "capsfilter", caps=f"video/x-raw,format={PIXELS},{shape}{rate}")
    last = graph.chain(last, *scaled, *paced, caps, graph.add("encoder", task.encoder.name, **_encoder(task)))
    last = graph.chain(last, graph.add("video-parser", PARSERS[task.encoder.name], **_parser(task)))
    if task.encoder.name == "x265enc" and task.muxer in ("mp4", "mov"):
        # Apple's players take HEVC under this tag alone.
        last = graph.chain(last, graph.add("tagged", "capsfilter", caps="video/x-h265,stream-format=hvc1,alignment=au"))
    graph.chain(last, _ready(graph, "video-ready"), "muxer")


def _picture_source(graph: _Graph, task: Task, shape: str) -> str:
    if not task.lavfi:
        return graph.add("video-decoded", "queue", max_size_buffers=RAW_FRAMES, max_size_bytes=0, max_size_time=0)
    # Bars that move, and a corner of noise.
    moving = graph.add("source", "videotestsrc", is_live=task.live, horizontal_speed=4)
    return graph.chain(moving, graph.add("source-caps", "capsfilter", caps=f"video/x-raw,{shape}"))


def _sound(graph: _Graph, task: Task, elements: Collection[str]) -> None:
    choices = SOUND[task.audio or "aac"]
    encoder, parser = next((choice for choice in choices if choice[0] in elements), choices[0])
    if task.lavfi:
        first = graph.add("tone", "audiotestsrc", is_live=task.live, freq=440.0, volume=0.125)
    else:
        first = graph.add("audio-decoded", "queue", max_size_buffers=0, max_size_bytes=RAW_SOUND_BYTES, max_size_time=0)
    graph.chain(
        first,
        graph.add("audio-convert", "audioconvert"),
        graph.add("audio-resample", "audioresample"),
        # Gaps become silence, so that picture and sound stay together.
        graph.add("audio-rate", "audiorate"),
        graph.add("audio-caps", "capsfilter", caps=f"audio/x-raw,rate={AUDIO_RATE},channels=2"),
        graph.add("audio-encoder", encoder, bitrate=AUDIO_BITRATE),
        graph.add("audio-parser", parser),
        _ready(graph, "audio-ready"),
        "muxer",
    )


def _ready(graph: _Graph, name: str) -> str:
    return graph.add(name, "queue", max_size_buffers=0, max_size_bytes=READY_BYTES, max_size_time=0)


def _sink(graph: _Graph, task: Task) -> None:
    factory, properties = MUXERS[task.muxer]
    properties = dict(properties)
    if not task.live:
        path = task.target.removeprefix(FILE_PREFIX)
        if task.muxer in ("mp4", "mov") and _expected_bytes(task) <= FASTSTART_MAX_BYTES:
            # Where the media lie until the index before them is known: in the output's own folder.
            properties |= {"faststart": True, "faststart_file": path.rpartition("/")[0] or "."}
        sink = graph.add("sink", "filesink", location=path)
    else:
        if task.muxer == "flv":
            properties["streamable"] = True
        # A source that is live sets its own pace; a file gets that of the clock.
        common: dict[str, Any] = {"sync": not task.lavfi}
        if SINKS[scheme_of(task.target)] == "srtsink":
            sink = graph.add("sink", "srtsink", **_srt(task.target), **common)
        else:
            # A server sees no connection for a file that turns out not to be read.
            sink = graph.add("sink", "rtmp2sink", location=task.target, async_connect=task.lavfi, **common)
    graph.chain(graph.add("muxer", factory, **properties), sink)


def _srt_options(target: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in urlsplit(target).query.split("&") if part)
    return {name: value for name, _, value in pairs}


def _srt(target: str) -> dict[str, Any]:
    """Return an SRT URL as properties. Its words are ffmpeg's, whose latency is in microseconds, not milliseconds."""
    asked = _srt_options(target)
    # A lost peer ends the process, and the supervisor sees it.
    made: dict[str, Any] = {"uri": f"srt://{urlsplit(target).netloc}", "auto_reconnect": False}
    if "latency" in asked:
        made["latency"] = _latency_ms(asked)
    if "streamid" in asked:
        made["streamid"] = unquote_plus(asked["streamid"])
    if "passphrase" in asked:
        made["passphrase"] = asked["passphrase"]
    if asked.get("pbkeylen", "0") != "0":
        made["pbkeylen"] = asked["pbkeylen"]
    return made


def _latency_ms(asked: dict[str, str]) -> int:
    return round(int(asked["latency"]) / 1_000) if "latency" in asked else SRT_LATENCY_MS


def _linger_ms(task: Task) -> int:
    if not task.live or scheme_of(task.target) != "srt":
        return 0
    return SRT_LINGER_MS + 2 * _latency_ms(_srt_options(task.target))


def _parser(task: Task) -> dict[str, Any]:
    # Who tunes in later needs the headers again with each group of pictures.
    repeats = task.muxer == "mpegts" and task.encoder.name in ("x264enc", "x265enc")
    return {"config_interval": -1} if repeats else {}


def _encoder(task: Task) -> dict[str, Any]:
    gop = round(GOP_S * (task.rate or Fraction(30)))
    preset = preset_for(task) or ""
    kilobits = max(1, round(task.bitrate_bps / 1_000))
    # A live line takes no more than its rate.
    peak = kilobits if task.live else kilobits * 3 // 2
    match task.encoder.name:
        case "x264enc":
            options = f"vbv-maxrate={peak}:vbv-bufsize={kilobits * 2}:scenecut=0:keyint-min={gop}:open-gop=0"
            tuned = {"tune": "zerolatency"} if task.live else {}
            return {"bitrate": kilobits, "speed_preset": preset, "key_int_max": gop, "option_string": options, **tuned}
        case "x265enc":
            options = (
                f"vbv-maxrate={peak}:vbv-bufsize={kilobits * 2}:scenecut=0:min-keyint={gop}:open-gop=0:log-level=error"
            )
            tuned = {"tune": "zerolatency"} if task.live else {}
            return {"bitrate": kilobits, "speed_preset": preset, "key_int_max": gop, "option_string": options, **tuned}
        case "vp9enc":
            # Above 5 it knows only its realtime mode.
            deadline = 1 if task.live or int(preset) > 5 else 1_000_000
            return {
                "target_bitrate": task.bitrate_bps,
                "keyframe_max_dist": gop,
                "cpu_used": int(preset),
                "deadline": deadline,
                "end_usage": "vbr",
                "row_mt": True,
                "tile_columns": 1,
                "threads": 8,
            }
        case _:
            live = {"usage_profile": "realtime", "lag_in_frames": 0} if task.live else {}
            common = {"target_bitrate": kilobits, "keyframe_max_dist": gop, "cpu_used": int(preset)}
            # Its own default of the largest quantizer is the smallest, and then no rate is kept.
            return {**common, "max_quantizer": 63, "row_mt": True, "tile_columns": 1, "threads": 0, **live}


def _expected_bytes(task: Task) -> float:
    return float("inf") if task.expected_duration_s is None else task.bitrate_bps * task.expected_duration_s / 8

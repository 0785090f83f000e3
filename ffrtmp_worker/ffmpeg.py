"""From a task to the exact ffmpeg command. Pure. Every option is ours: a job gives numbers and words of a list."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from ffrtmp_worker.gate import gate
from ffrtmp_worker.places import FILE_PREFIX, formats_for, protocols_for, scheme_of
from ffrtmp_worker.task import INPUT_PIXELS_MAX, ImpossibleTask, Task
from ffrtmp_worker.tools import Tools

STATS_PERIOD_S: Final = 0.5
GOP_S: Final = 2
# Moving the index to the front rewrites the file: for more than this the pause would look like a hang.
FASTSTART_MAX_BYTES: Final = 1 << 30
# More packets than this share that cannot be decoded, and the input is damaged beyond use (exit code 69).
DECODE_ERRORS_MAX: Final = 0.02
# Pictures whose shapes differ by less are stretched: 854x480 from 16:9 gets no stripe of two pixels.
STRETCH_MAX: Final = 0.01
NETWORK_TIMEOUT_US: Final = 10_000_000
SRT_LINGER_S: Final = 3
# FLV may promise sound that never comes, and ffmpeg would wait five seconds for it once more after the probe did.
MUTE_ANALYSIS_US: Final = 1_000_000
UDP_PACKET_BYTES: Final = 7 * 188
AUDIO_BITRATE: Final = "128k"
AUDIO_RATE: Final = "48000"
PIXEL_FORMAT: Final = "yuv420p"
# A frame of each two fields, and frames that are no fields as they are.
DEINTERLACE: Final = "bwdif=mode=send_frame:deint=interlaced"

# What a child may know of the worker's surroundings. No FFREPORT, which writes files, nor AV_LOG_FORCE_COLOR.
ENVIRONMENT: Final = (
    "PATH",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "TMPDIR",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "LIBVA_DRIVER_NAME",
    "LIBVA_DRIVERS_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "no_proxy",
)

# Speed presets in the words of x264, fastest first, and what each means to the other encoders.
WORDS: Final = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_SVT_AV1: Final = ("12", "11", "10", "9", "8", "7", "5", "4", "3", "2")
_AOM: Final = ("8", "8", "7", "6", "6", "5", "4", "3", "2", "1")
_VP9: Final = ("8", "7", "6", "5", "4", "3", "2", "1", "0", "0")
_NVENC: Final = ("p1", "p1", "p2", "p3", "p3", "p4", "p5", "p6", "p7", "p7")
_QSV: Final = ("veryfast", "veryfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "veryslow")

_OWN_SCALE: Final = {
    "libsvtav1": (_SVT_AV1, tuple(str(level) for level in range(14))),
    "libaom-av1": (_AOM, tuple(str(level) for level in range(9))),
    "libvpx-vp9": (_VP9, tuple(str(level) for level in range(9))),
    "av1enc": (_AOM, tuple(str(level) for level in range(9))),
    "vp9enc": (_VP9, tuple(str(level) for level in range(9))),
    "nvenc": (_NVENC, tuple(f"p{level}" for level in range(1, 8))),
    "qsv": (_QSV, ()),
}
FILE_PRESET: Final = "fast"
LIVE_PRESET: Final = "veryfast"


class InvalidPreset(ImpossibleTask):
    """The encoder has no such preset."""


def environment(outer: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child of the media tools, made from the worker's own."""
    kept = {name: outer[name] for name in ENVIRONMENT if name in outer}
    return {**kept, "LC_ALL": "C.UTF-8"}


def preset_for(task: Task) -> str | None:
    """Return the preset in the encoder's own scale; None where it has none (VAAPI).

    Raises:
        InvalidPreset: neither one of ``WORDS`` nor of the encoder's own.
    """
    word = task.preset or (LIVE_PRESET if task.live else FILE_PRESET)
    encoder = task.encoder
    scale, own = _OWN_SCALE.get(encoder.hardware or encoder.name, (WORDS, ()))
    if word in WORDS:
        return None if encoder.hardware == "vaapi" else scale[WORDS.index(word)]
    if word in own:
        return word
    also = f", {own[0]} to {own[-1]}" if own else ""
    raise InvalidPreset(f"{encoder.name} has no preset {word!r}; it takes {', '.join(WORDS)}{also}")


def encode_command(tools: Tools, task: Task) -> tuple[str, ...]:
    """Return the command that encodes ``task``, writing progress to standard output and its log to standard error.

    Raises:
        InvalidPreset: the preset is not one of the encoder's.
    """
    return (
        *(() if task.lavfi else gate(tools.python, task.source)),
        tools.ffmpeg,
        *("-nostdin", "-hide_banner", "-y"),
        *("-loglevel", "repeat+level+info"),
        *("-progress", "pipe:1", "-nostats", "-stats_period", str(STATS_PERIOD_S)),
        *("-max_error_rate", str(DECODE_ERRORS_MAX)),
        *_device(task),
        *_input(task),
        *_maps(task),
        *("-vf", _filters(task)),
        *_video(task),
        *_audio(task),
        *(() if task.limit_s is None else ("-t", f"{task.limit_s:.6f}")),
        *_sync(task),
        *_output(task),
    )


def _device(task: Task) -> tuple[str, ...]:
    if task.encoder.hardware != "vaapi":
        return ()
    return ("-init_hw_device", f"vaapi=va:{task.render_node}", "-filter_hw_device", "va")


def _input(task: Task) -> tuple[str, ...]:
    # A source that is live by itself sets its own pace.
    paced = ("-re",) if task.live and not task.live_source else ()
    if task.lavfi:
        return (*paced, "-f", "lavfi", "-i", task.source)
    return (
        *paced,
        *(("-stream_loop", "-1") if task.loop else ()),
        *("-protocol_whitelist", protocols_for(task.source)),
        *("-format_whitelist", formats_for(task.source)),
        # A picture may grow after the probe.
        *("-max_pixels", str(INPUT_PIXELS_MAX)),
        *_network(task.source),
        *_analysis(task),
        *(("-ss", f"{task.skip_s:.6f}") if task.skip_s > 0 else ()),
        *("-i", task.source),
    )


def _network(source: str) -> tuple[str, ...]:
    """Return what keeps a lost peer from holding an input for ever."""
    if source.startswith(FILE_PREFIX):
        return ()
    scheme = scheme_of(source)
    if scheme in ("http", "https"):
        # Three tries within some seconds bridge a proxy's restart; more is the queue's business.
        again = ("-reconnect", "1", "-reconnect_streamed", "1", "-reconnect_delay_max", "4")
        return ("-rw_timeout", str(NETWORK_TIMEOUT_US), *again)
    if scheme in ("srt", "udp"):
        return () if "timeout=" in source else ("-timeout", str(NETWORK_TIMEOUT_US))
    return ("-rw_timeout", str(NETWORK_TIMEOUT_US)) if scheme in ("rtmp", "rtmps", "tcp") else ()


def _analysis(task: Task) -> tuple[str, ...]:
    # Less is no measure for the probe: where sound flows, a picture may be waited for until its next key frame.
    is_mute = task.audio is None and task.live_source and scheme_of(task.source) in ("rtmp", "rtmps")
    return ("-analyzeduration", str(MUTE_ANALYSIS_US)) if is_mute else ()


def _maps(task: Task) -> tuple[str, ...]:
    # V leaves out cover pictures.
    sound = ("-an",) if task.audio is None else ("-map", "0:a:0")
    return ("-map", "0:V:0", *sound, "-sn", "-dn")


def _filters(task: Task) -> str:
    """Return the chain to exactly the size asked for: the picture keeps its shape, bars fill the rest."""
    width, height = task.width, task.height
    shape = f"{width}/{height}"
    alike = f"lt(abs(dar*{height}/{width}-1),{STRETCH_MAX})"
    fit_width = f"if({alike},{width},if(gt(dar,{shape}),{width},max(2,trunc({height}*dar/2)*2)))"
    fit_height = f"if({alike},{height},if(gt(dar,{shape}),max(2,trunc({width}/dar/2)*2),{height}))"
    steps = [
        *([DEINTERLACE] if task.interlaced else []),
        *([] if task.rate is None else [f"fps={_fraction(task.rate)}"]),
        f"scale=w='{fit_width}':h='{fit_height}'",
        f"pad={width}:{height}:-1:-1",
        "setsar=1",
    ]
    if task.encoder.hardware == "vaapi":
        return ",".join([*steps, "format=nv12", "hwupload"])
    return ",".join([*steps, f"format={'nv12' if task.encoder.hardware == 'qsv' else PIXEL_FORMAT}"])


def _fraction(rate: Fraction) -> str:
    return f"{rate.numerator}/{rate.denominator}" if rate.denominator != 1 else str(rate.numerator)


def _video(task: Task) -> tuple[str, ...]:
    gop = round(GOP_S * (task.rate or Fraction(30)))
    options = ("-c:v", task.encoder.name, *_speed(task), "-b:v", str(task.bitrate_bps), "-g", str(gop))
    # Apple's players take HEVC under this tag alone.
    tagged = ("-tag:v", "hvc1") if task.encoder.name in _HEVC and task.muxer in ("mp4", "mov") else ()
    return (*options, *_peak(task), *_closed_gops(task, gop), *tagged)


_HEVC: Final = frozenset({"libx265", "hevc_nvenc", "hevc_qsv", "hevc_vaapi"})


def _speed(task: Task) -> tuple[str, ...]:
    preset = preset_for(task)
    if preset is None:
        return ()
    match task.encoder.name:
        case "libaom-av1":
            return ("-cpu-used", preset, "-row-mt", "1", "-tiles", "2x1")
        case "libvpx-vp9":
            # Above 5 it knows only its realtime mode.
            deadline = "realtime" if int(preset) > 5 or task.live else "good"
            return ("-deadline", deadline, "-cpu-used", preset, "-row-mt", "1", "-tile-columns", "1")
        case "libx264" | "libx265" if task.live:
            return ("-preset", preset, "-tune", "zerolatency")
        case "h264_nvenc" | "hevc_nvenc" | "av1_nvenc":
            return ("-preset", preset, "-tune", "ll" if task.live else "hq")
        case _:
            return ("-preset", preset)


def _peak(task: Task) -> tuple[str, ...]:
    """Return the limits of the rate over a second or two; a live line takes no more than its rate."""
    if task.encoder.name in ("libsvtav1", "libaom-av1"):
        # SVT-AV1 takes a peak only with a constant quality and refuses to start otherwise; aom has none.
        return ()
    peak = task.bitrate_bps if task.live else task.bitrate_bps * 3 // 2
    return ("-maxrate", str(peak), "-bufsize", str(task.bitrate_bps * 2))


def _closed_gops(task: Task, gop: int) -> tuple[str, ...]:
    """Return what makes every group of pictures stand alone and begin every two seconds."""
    match task.encoder.name:
        case "libx264":
            return ("-keyint_min", str(gop), "-sc_threshold", "0", "-flags", "+cgop")
        case "libx265":
            return ("-x265-params", f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:log-level=error")
        case "libvpx-vp9" | "libaom-av1":
            return ("-keyint_min", str(gop))
        case _:
            return ()


def _audio(task: Task) -> tuple[str, ...]:
    if task.audio is None:
        return ()
    # Gaps become silence, so that picture and sound stay together.
    return ("-c:a", task.audio, "-b:a", AUDIO_BITRATE, "-ar", AUDIO_RATE, "-ac", "2", "-af", "aresample=async=1")


def _sync(task: Task) -> tuple[str, ...]:
    # The filter fps has made the rate constant. ffmpeg would do so once more, and fill the time before a picture that
    # begins later than the sound with copies of its first frame.
    return () if task.rate is None else ("-fps_mode", "passthrough")


def _output(task: Task) -> tuple[str, ...]:
    if task.live:
        return (*_push(task), "-f", task.muxer, task.target)
    front = task.muxer in ("mp4", "mov") and _expected_bytes(task) <= FASTSTART_MAX_BYTES
    return (*(("-movflags", "+faststart") if front else ()), "-f", task.muxer, task.target)


def _push(task: Task) -> tuple[str, ...]:
    match scheme_of(task.target):
        case "rtmp" | "rtmps":
            return ("-flvflags", "no_duration_filesize", "-rw_timeout", str(NETWORK_TIMEOUT_US))
        case "http" | "https":
            return ("-method", "PUT", "-rw_timeout", str(NETWORK_TIMEOUT_US))
        case "srt":
            # Without it, closing throws away what waits to be sent: the last fifth of a second.
            # Mode and latency stand in the URL where they are not the library's: a caller, 120 ms.
            timeout = () if "timeout=" in task.target else ("-timeout", str(NETWORK_TIMEOUT_US))
            return ("-linger", str(SRT_LINGER_S), *timeout)
        case "udp":
            # Seven packets of MPEG-TS fit a frame of Ethernet.
            return () if "pkt_size=" in task.target else ("-pkt_size", str(UDP_PACKET_BYTES))
        case "tcp":
            return ("-rw_timeout", str(NETWORK_TIMEOUT_US))
        case _:
            return ()


def _expected_bytes(task: Task) -> float:
    return float("inf") if task.expected_duration_s is None else task.bitrate_bps * task.expected_duration_s / 8

"""Encoders by name: what each produces and which hardware it needs."""

from typing import Final, NamedTuple

from ffrtmpd.wire.vocabulary import Codec, Engine


class Encoder(NamedTuple):
    """One encoder of an engine.

    ``hardware`` is the family that runs it (``nvenc``, ``qsv``, ``vaapi``), None for software.
    """

    name: str
    codec: Codec
    hardware: str | None = None
    engine: Engine = Engine.FFMPEG


# In the order in which an engine prefers them for a codec: hardware first, then the fastest software.
ENCODERS: Final[dict[str, Encoder]] = {
    encoder.name: encoder
    for encoder in (
        Encoder("h264_nvenc", Codec.H264, "nvenc"),
        Encoder("h264_qsv", Codec.H264, "qsv"),
        Encoder("h264_vaapi", Codec.H264, "vaapi"),
        Encoder("libx264", Codec.H264),
        Encoder("hevc_nvenc", Codec.H265, "nvenc"),
        Encoder("hevc_qsv", Codec.H265, "qsv"),
        Encoder("hevc_vaapi", Codec.H265, "vaapi"),
        Encoder("libx265", Codec.H265),
        Encoder("av1_nvenc", Codec.AV1, "nvenc"),
        Encoder("av1_qsv", Codec.AV1, "qsv"),
        Encoder("av1_vaapi", Codec.AV1, "vaapi"),
        Encoder("libsvtav1", Codec.AV1),
        Encoder("libaom-av1", Codec.AV1),
        Encoder("vp9_qsv", Codec.VP9, "qsv"),
        Encoder("vp9_vaapi", Codec.VP9, "vaapi"),
        Encoder("libvpx-vp9", Codec.VP9),
        Encoder("x264enc", Codec.H264, engine=Engine.GSTREAMER),
        Encoder("x265enc", Codec.H265, engine=Engine.GSTREAMER),
        Encoder("av1enc", Codec.AV1, engine=Engine.GSTREAMER),
        Encoder("vp9enc", Codec.VP9, engine=Engine.GSTREAMER),
    )
}


# What probes call a codec, where that is another word.
PROBED_AS: Final[dict[Codec, str]] = {Codec.H264: "h264", Codec.H265: "hevc", Codec.AV1: "av1", Codec.VP9: "vp9"}


def encoders_for(codec: Codec) -> tuple[Encoder, ...]:
    """Return every known encoder of ``codec``, preferred first."""
    return tuple(encoder for encoder in ENCODERS.values() if encoder.codec is codec)

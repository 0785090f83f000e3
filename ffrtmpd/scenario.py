"""From a scenario's name to what is encoded: ``<resolution>[<fps>]-<codec>``, or a name from ``scenarios.toml``.

Resolutions are ``480p 720p 1080p 1440p 2160p 4K 8K`` or ``WxH``; after ``WxH`` the rate is set off by a ``p``, as in
``1280x720p50-h264``. Without a rate the source's is kept, and a generated source gets 30. Case does not matter.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

from ffrtmpd.base.settings import SettingsError, load
from ffrtmpd.wire.media import ENCODERS, Encoder
from ffrtmpd.wire.messages.inquiries import ScenarioView
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.schema import Range, Size
from ffrtmpd.wire.vocabulary import Codec, ErrorCode

RESOLUTIONS: Final = {
    "480p": (854, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "2160p": (3840, 2160),
    "4k": (3840, 2160),
    "8k": (7680, 4320),
}
CODECS: Final = {codec.value: codec for codec in Codec} | {"hevc": Codec.H265}
SIDE_MIN: Final = 16
SIDE_MAX: Final = 16_384
FPS_MIN: Final = 1.0
FPS_MAX: Final = 480.0
DEFAULT_FPS: Final = 30.0

# Bits that a codec needs for the same picture, H.264 being 1.
CODEC_FACTORS: Final = {Codec.H264: 1.0, Codec.H265: 0.65, Codec.VP9: 0.65, Codec.AV1: 0.5}
ANCHOR_BITRATE_BPS: Final = 5_000_000
ANCHOR_PIXEL_RATE: Final = 1920 * 1080 * 30
# Larger and faster pictures repeat themselves more, so bits grow slower than pixels; 0.75 fits the published ladders.
BITRATE_EXPONENT: Final = 0.75
BITRATE_MIN_BPS: Final = 1_000
BITRATE_MAX_BPS: Final = 2_000_000_000

_FORMAT: Final = re.compile(
    rf"(?:(?P<name>{'|'.join(RESOLUTIONS)})|(?P<width>\d{{1,5}})x(?P<height>\d{{1,5}})(?:p(?=\d))?)"
    r"(?P<fps>(?<=[pk])\d{1,3}(?:\.\d{1,3})?)?"
    rf"-(?P<codec>{'|'.join(CODECS)})",
    re.ASCII,
)
# A rung that has no name.
_RUNG: Final = re.compile(rf"\d{{1,5}}[pk](?:\d{{1,3}}(?:\.\d{{1,3}})?)?-(?P<codec>{'|'.join(CODECS)})", re.ASCII)
_SHOWN: Final = 64
# Encodes that were asked for lately.
REMEMBERED: Final = 2_048


class UnknownScenario(ValueError):
    """No scenario has this name and it does not follow the grammar."""

    code: Final = ErrorCode.UNKNOWN_SCENARIO

    def __init__(
        self, name: str, near: Iterable[str] = (), why: str = "no such scenario", hint: str | None = None
    ) -> None:
        self.near = tuple(near)
        self.message = f"{name[:_SHOWN]!r}: {why}"
        self.hint = hint or (
            f"did you mean {', '.join(self.near)}?"
            if self.near
            else "a scenario is <resolution>[<fps>]-<codec>, such as 1080p30-h264 or 640x360-h264"
        )
        super().__init__(f"{self.message}; {self.hint}")


class InvalidSpec(ValueError):
    """The options of a job contradict each other or name what does not exist."""

    code: Final = ErrorCode.INVALID_ARGUMENT

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message if hint is None else f"{message}; {hint}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What a name of the grammar says. ``fps`` is None where the source's rate is kept."""

    width: int
    height: int
    fps: float | None
    codec: Codec

    @property
    def default_bitrate_bps(self) -> int:
        """Bits per second for a format that no file gives any for.

        5 Mb/s for 1080p30 in H.264, times ``(pixels·fps / (1920·1080·30))^0.75``, times the codec's factor,
        rounded to 1 kb/s. A rate that is the source's counts as 30.
        """
        pixel_rate = self.width * self.height * (self.fps or DEFAULT_FPS)
        scale = (pixel_rate / ANCHOR_PIXEL_RATE) ** BITRATE_EXPONENT
        return _bounded(ANCHOR_BITRATE_BPS * scale * CODEC_FACTORS[self.codec])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One scenario of a file."""

    format: Annotated[str | None, "what a name outside the grammar stands for, such as 480p25-h264", Size(1, 128)] = (
        None
    )
    bitrate_bps: Annotated[int | None, "bits per second", Range(BITRATE_MIN_BPS, BITRATE_MAX_BPS)] = None
    preset: Annotated[str | None, "speed preset; it belongs to one family of encoders", Size(1, 32)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFile:
    """What ``scenarios.toml`` holds."""

    scenarios: Annotated[dict[str, Entry], "scenarios by name"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario known by name."""

    name: str
    format: Format
    bitrate_bps: int
    preset: str | None

    def view(self) -> ScenarioView:
        """Return it as clients see it."""
        return ScenarioView(
            name=self.name,
            codec=self.format.codec,
            width=self.format.width,
            height=self.format.height,
            fps=self.format.fps,
            bitrate_bps=self.bitrate_bps,
            preset=self.preset,
        )


def _bounded(bitrate_bps: float) -> int:
    return int(min(max(round(bitrate_bps / 1_000) * 1_000, BITRATE_MIN_BPS), BITRATE_MAX_BPS))


def parse_format(name: str) -> Format | None:
    """Return what ``name`` says by the grammar, None if it does not follow it.

    Raises:
        UnknownScenario: it follows the grammar with a size or a rate that nothing encodes.
    """
    found = _FORMAT.fullmatch(name.lower())
    if found is None:
        return None
    if found["name"]:
        width, height = RESOLUTIONS[found["name"]]
    else:
        width, height = int(found["width"]), int(found["height"])
        if not (SIDE_MIN <= width <= SIDE_MAX and SIDE_MIN <= height <= SIDE_MAX):
            raise UnknownScenario(name, why=f"width and height are within {SIDE_MIN} to {SIDE_MAX}")
        if width % 2 or height % 2:
            raise UnknownScenario(name, why="width and height must be even: colour is stored for pairs of pixels")
    fps = float(found["fps"]) if found["fps"] else None
    if fps is not None and not FPS_MIN <= fps <= FPS_MAX:
        raise UnknownScenario(name, why=f"frames per second are within {FPS_MIN:g} to {FPS_MAX:g}")
    return Format(width=width, height=height, fps=fps, codec=CODECS[found["codec"]])


class Scenarios:
    """The scenarios known by name, and the grammar for all others.

    Args:
        entries: by name; a name of the grammar may leave ``format`` out.

    Raises:
        ValueError: an entry whose format is missing, wrong, or contradicts its name.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._known: dict[str, Scenario] = {}
        self._by_format: dict[Format, Scenario] = {}
        for name, entry in entries.items():
            scenario = _scenario(name, entry)
            self._known[name.lower()] = scenario
            if entry.format is None:
                self._by_format[_with_rate(scenario.format)] = scenario
        # Thousands of jobs ask for the same few.
        self._resolved = lru_cache(maxsize=REMEMBERED)(self._resolve)

    def names(self) -> list[ScenarioView]:
        """Return every scenario known by name, in the order of the files."""
        return [scenario.view() for scenario in self._known.values()]

    def meaning(self, name: str) -> ScenarioView:
        """Return what a name means, known or of the grammar.

        Raises:
            UnknownScenario: neither.
        """
        return self._find(name).view()

    def resolve(self, spec: JobSpec) -> Encode:
        """Return what to encode for ``spec``.

        Codec, bitrate and preset of the spec win over the scenario's. A pinned encoder decides the codec where the
        spec leaves it open. A scenario's preset is dropped when the codec is not the scenario's, since presets are
        words of one family of encoders.

        Raises:
            UnknownScenario: neither a known name nor one of the grammar.
            InvalidSpec: the options contradict each other.
        """
        encoder = _pinned(spec)
        codec = spec.codec or (encoder.codec if encoder else None)
        return self._resolved(spec.scenario, codec, spec.bitrate_bps, spec.preset, spec.input is None)

    def _resolve(
        self, name: str, codec: Codec | None, bitrate_bps: int | None, preset: str | None, is_generated: bool
    ) -> Encode:
        scenario = self._find(name)
        if codec is not None and codec is not scenario.format.codec:
            scenario = self._in_codec(scenario, codec)
        fps = scenario.format.fps
        return Encode(
            codec=scenario.format.codec,
            width=scenario.format.width,
            height=scenario.format.height,
            fps=DEFAULT_FPS if fps is None and is_generated else fps,
            bitrate_bps=bitrate_bps or scenario.bitrate_bps,
            preset=preset or scenario.preset,
        )

    def _find(self, name: str) -> Scenario:
        known = self._known.get(name.lower())
        if known is not None:
            return known
        parsed = parse_format(name)
        if parsed is None:
            if rung := _RUNG.fullmatch(name.lower()):
                names = ", ".join(resolution.replace("k", "K") for resolution in RESOLUTIONS)
                hint = f"there are {names} and any WIDTHxHEIGHT, such as 640x360-{rung['codec']}"
                raise UnknownScenario(name, why="no such resolution", hint=hint)
            shown = {key: scenario.name for key, scenario in self._known.items()}
            near = difflib.get_close_matches(name.lower()[:_SHOWN], shown, n=3, cutoff=0.5)
            raise UnknownScenario(name, (shown[key] for key in near))
        return self._of_format(name, parsed)

    def _of_format(self, name: str, wanted: Format) -> Scenario:
        same = self._by_format.get(_with_rate(wanted))
        if same is not None:
            return replace(same, name=name, format=wanted)
        return Scenario(name=name, format=wanted, bitrate_bps=wanted.default_bitrate_bps, preset=None)

    def _in_codec(self, scenario: Scenario, codec: Codec) -> Scenario:
        wanted = replace(scenario.format, codec=codec)
        # A name of the operator's own is a ladder of its own: its bits are scaled, not replaced by another entry's.
        same = None if parse_format(scenario.name) is None else self._by_format.get(_with_rate(wanted))
        if same is not None:
            return replace(same, name=scenario.name, format=wanted)
        scale = CODEC_FACTORS[codec] / CODEC_FACTORS[scenario.format.codec]
        return replace(scenario, format=wanted, bitrate_bps=_bounded(scenario.bitrate_bps * scale), preset=None)


def _scenario(name: str, entry: Entry) -> Scenario:
    try:
        own = parse_format(name)
        given = parse_format(entry.format) if entry.format is not None else None
    except UnknownScenario as error:
        raise ValueError(error.message) from None
    if entry.format is not None and given is None:
        raise ValueError(f"scenario {name!r}: {entry.format!r} is not <resolution>[<fps>]-<codec>")
    if own is not None and given is not None:
        raise ValueError(f"scenario {name!r} means what it says: take its format out, or choose another name")
    meant = own or given
    if meant is None:
        raise ValueError(f"scenario {name!r} needs a format, such as 480p25-h264")
    return Scenario(
        name=name, format=meant, bitrate_bps=entry.bitrate_bps or meant.default_bitrate_bps, preset=entry.preset
    )


def _with_rate(wanted: Format) -> Format:
    return replace(wanted, fps=wanted.fps or DEFAULT_FPS)


def _pinned(spec: JobSpec) -> Encoder | None:
    if spec.encoder is None:
        return None
    encoder = ENCODERS.get(spec.encoder)
    if encoder is None:
        near = difflib.get_close_matches(spec.encoder, ENCODERS, n=3, cutoff=0.5)
        raise InvalidSpec(f"encoder {spec.encoder!r} is not known", f"known near it: {', '.join(near or ENCODERS)}")
    if spec.codec is not None and encoder.codec is not spec.codec:
        raise InvalidSpec(f"encoder {encoder.name} makes {encoder.codec}, not {spec.codec}", "leave one of them out")
    if spec.require_gpu and encoder.hardware is None:
        raise InvalidSpec(f"encoder {encoder.name} is software, and the job requires a GPU", "leave one of them out")
    return encoder


def load_scenarios(paths: Iterable[Path]) -> Scenarios:
    """Read scenario files; later ones add to earlier ones and win over them key by key.

    Raises:
        SettingsError: unreadable file, unknown key, wrong value.
    """
    files = tuple(paths)
    try:
        return Scenarios(load(ScenarioFile, files).scenarios)
    except ValueError as error:
        raise SettingsError(f"{', '.join(str(file) for file in files)}: {error}") from None

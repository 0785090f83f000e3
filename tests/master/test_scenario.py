"""From a scenario's name to what is encoded."""

from pathlib import Path

import pytest

from ffrtmpd.base.settings import SettingsError
from ffrtmpd.scenario import Entry, InvalidSpec, Scenarios, UnknownScenario, load_scenarios, parse_format
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.schema import from_plain, to_plain
from ffrtmpd.wire.vocabulary import Codec

CATALOGUE = Path(__file__).parents[2] / "conf" / "scenarios.toml"
SHIPPED = load_scenarios([CATALOGUE])

H264_BITRATES = {
    "4K60": 20_000_000,
    "4K30": 15_000_000,
    "1080p60": 8_000_000,
    "1080p30": 5_000_000,
    "720p60": 4_000_000,
    "720p30": 2_500_000,
    "480p30": 1_000_000,
}


def resolve(
    scenario: str,
    *,
    scenarios: Scenarios = SHIPPED,
    codec: Codec | None = None,
    bitrate_bps: int | None = None,
    preset: str | None = None,
    encoder: str | None = None,
    require_gpu: bool = False,
) -> Encode:
    return scenarios.resolve(
        JobSpec(
            scenario=scenario,
            input="in.mp4",
            codec=codec,
            bitrate_bps=bitrate_bps,
            preset=preset,
            encoder=encoder,
            require_gpu=require_gpu,
        )
    )


@pytest.mark.parametrize(
    ("name", "width", "height", "fps", "codec"),
    [
        ("4K60-h264", 3840, 2160, 60.0, Codec.H264),
        ("4k60-H264", 3840, 2160, 60.0, Codec.H264),
        ("2160p60-h264", 3840, 2160, 60.0, Codec.H264),
        ("8K-av1", 7680, 4320, None, Codec.AV1),
        ("480p30-vp9", 854, 480, 30.0, Codec.VP9),
        ("720p-hevc", 1280, 720, None, Codec.H265),
        ("1080p29.97-h265", 1920, 1080, 29.97, Codec.H265),
        ("1440p120-h264", 2560, 1440, 120.0, Codec.H264),
        ("640x360-h264", 640, 360, None, Codec.H264),
        ("640x360p25-h264", 640, 360, 25.0, Codec.H264),
        ("1080p1-h264", 1920, 1080, 1.0, Codec.H264),
        ("1080p480-h264", 1920, 1080, 480.0, Codec.H264),
    ],
)
def test_name_of_the_grammar_resolves_to_what_it_says(
    name: str, width: int, height: int, fps: float | None, codec: Codec
) -> None:
    encode = resolve(name)
    assert (encode.width, encode.height, encode.fps, encode.codec) == (width, height, fps, codec)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "4K60",
        "-h264",
        "h264",
        "1080-h264",
        "1080p30-mpeg2",
        "1080p0-h264",
        "1080p0.5-h264",
        "1080p481-h264",
        "1080p999-h264",
        "1080p30.-h264",
        "1080p30-h264 ",
        "1080p30-h264\n",
        "1280x720p-h264",
        "1280x72060-h264",
        "14x720-h264",
        "16386x720-h264",
        "641x360-h264",
        "640x361-h264",
        "1080p３０-h264",
        "x" * 128,
    ],
)
def test_name_outside_the_grammar_is_an_unknown_scenario(name: str) -> None:
    with pytest.raises(UnknownScenario):
        resolve(name)


def test_misspelled_name_lists_near_ones() -> None:
    with pytest.raises(UnknownScenario) as caught:
        resolve("1080p30-h246")
    assert "1080p30-h264" in caught.value.near
    assert "1080p30-h264" in caught.value.hint
    assert "1080p30-h246" in caught.value.message


@pytest.mark.parametrize("name", ["360p-h264", "240p30-av1", "576P25-H265", "2k-vp9"])
def test_rung_without_a_name_is_told_which_resolutions_there_are(name: str) -> None:
    with pytest.raises(UnknownScenario) as caught:
        resolve(name)
    assert caught.value.message == f"{name!r}: no such resolution"
    assert "480p, 720p, 1080p, 1440p, 2160p, 4K, 8K and any WIDTHxHEIGHT" in caught.value.hint
    offered = caught.value.hint.rpartition(" ")[2]
    assert resolve(offered).codec == name.lower().rpartition("-")[2]


def test_catalogue_holds_the_ladder_in_every_codec() -> None:
    factors = {"h264": 1.0, "h265": 0.65, "vp9": 0.65, "av1": 0.5}
    expected = {
        f"{size}-{codec}": round(bits * factor)
        for size, bits in H264_BITRATES.items()
        for codec, factor in factors.items()
    }
    assert {view.name: view.bitrate_bps for view in SHIPPED.names()} == expected
    for view in SHIPPED.names():
        parsed = parse_format(view.name)
        assert parsed is not None
        assert (view.width, view.height, view.fps, view.codec) == (
            parsed.width,
            parsed.height,
            parsed.fps,
            parsed.codec,
        )


@pytest.mark.parametrize("name", ["2160p60-h264", "3840x2160p60-h264", "4k60-h264"])
def test_other_spelling_of_a_known_format_gets_its_bitrate(name: str) -> None:
    assert resolve(name).bitrate_bps == 20_000_000


def test_rate_of_the_source_counts_as_thirty_for_the_bitrate() -> None:
    assert resolve("1080p-h264").bitrate_bps == 5_000_000
    assert resolve("1080p-h264").fps is None


def test_generated_source_without_a_rate_gets_thirty() -> None:
    assert SHIPPED.resolve(JobSpec(scenario="1080p-h264")).fps == 30.0


def test_format_outside_the_catalogue_gets_the_formula() -> None:
    # 1440p60: (2560·1440·60 / (1920·1080·30))^0.75 = 2.5893
    assert resolve("1440p60-h264").bitrate_bps == 12_946_000
    assert resolve("1440p60-av1").bitrate_bps == 6_473_000


def test_formula_stays_within_what_the_wire_takes() -> None:
    for name in ("16x16p1-av1", "16384x16384p480-h264"):
        encode = resolve(name)
        assert from_plain(Encode, to_plain(encode)) == encode


def test_spec_overrides_bitrate_and_preset() -> None:
    encode = resolve("1080p30-h264", bitrate_bps=123_456, preset="veryfast")
    assert (encode.bitrate_bps, encode.preset) == (123_456, "veryfast")


def test_codec_of_the_spec_takes_the_bitrate_of_that_codec() -> None:
    encode = resolve("1080p30-h264", codec=Codec.AV1)
    assert (encode.codec, encode.bitrate_bps) == (Codec.AV1, 2_500_000)


def test_pinned_encoder_decides_an_open_codec() -> None:
    encode = resolve("1080p30-h264", encoder="libx265")
    assert (encode.codec, encode.bitrate_bps) == (Codec.H265, 3_250_000)


def test_pinned_encoder_against_the_codec_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="libx265 makes h265, not h264"):
        resolve("1080p30-h264", encoder="libx265", codec=Codec.H264)


def test_unknown_encoder_is_refused_and_near_ones_named() -> None:
    with pytest.raises(InvalidSpec, match="libx264"):
        resolve("1080p30-h264", encoder="libx624")


def test_software_encoder_with_a_required_gpu_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="requires a GPU"):
        resolve("1080p30-h264", encoder="libx264", require_gpu=True)
    assert resolve("1080p30-h264", encoder="h264_nvenc", require_gpu=True).codec is Codec.H264


def test_operators_file_adds_names_and_wins_key_by_key(tmp_path: Path) -> None:
    extra = tmp_path / "scenarios.toml"
    extra.write_text(
        "[scenarios.4K60-h264]\nbitrate_bps = 25_000_000\n"
        '[scenarios.Mobile]\nformat = "480p25-h264"\nbitrate_bps = 700_000\npreset = "veryfast"\n'
    )
    scenarios = load_scenarios([CATALOGUE, extra])
    assert resolve("4k60-h264", scenarios=scenarios).bitrate_bps == 25_000_000
    mobile = resolve("mobile", scenarios=scenarios)
    assert (mobile.width, mobile.fps, mobile.bitrate_bps, mobile.preset) == (854, 25.0, 700_000, "veryfast")
    assert [view.name for view in scenarios.names()][-1] == "Mobile"


def test_own_ladder_in_another_codec_keeps_its_proportion_and_drops_its_preset() -> None:
    own = Scenarios(
        {
            "mobile": Entry(format="1080p30-h264", bitrate_bps=2_000_000, preset="veryfast"),
            "1080p30-h265": Entry(bitrate_bps=3_250_000),
        }
    )
    encode = resolve("mobile", scenarios=own, codec=Codec.H265)
    assert (encode.bitrate_bps, encode.preset) == (1_300_000, None)


def test_format_like_one_of_the_operators_names_does_not_take_its_bitrate() -> None:
    own = Scenarios({"mobile": Entry(format="1080p30-h264", bitrate_bps=2_000_000)})
    assert resolve("1080p30-h264", scenarios=own).bitrate_bps == 5_000_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[scenarios.mobile]\nbitrate_bps = 700_000\n", "needs a format"),
        ('[scenarios.mobile]\nformat = "small"\n', "is not <resolution>"),
        ('[scenarios.4K60-h264]\nformat = "480p25-h264"\n', "means what it says"),
        ("[scenarios.1080p999-h264]\n", "frames per second"),
        ("[scenarios.4K60-h264]\nbitrate = 1\n", "did you mean scenarios.4K60-h264.bitrate_bps"),
        ("[scenarios.4K60-h264]\nbitrate_bps = 1\n", "not within"),
        ("[scenario.4K60-h264]\n", "did you mean scenarios"),
        ("[scenarios\n", "is not TOML"),
    ],
)
def test_bad_scenario_file_is_refused_with_its_name(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=says) as caught:
        load_scenarios([CATALOGUE, path])
    assert str(path) in str(caught.value)

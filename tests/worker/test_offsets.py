"""Sources whose picture and sound do not begin together: what is encoded of them, checked and scored."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ffrtmpd.wire.vocabulary import VmafMode
from tests.needs import libvmaf
from tests.worker.attempts import BUILDS, Node, node
from tests.worker.media import succeed

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4")
SOUND = ("-f", "lavfi", "-i", "sine=d=4")
CODECS = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
SCORED = {"width": 320, "height": 180, "fps": None, "bitrate_bps": 1_500_000, "vmaf": VmafMode.FULL}

Clip = Callable[..., str]


@pytest.fixture(scope="module", params=BUILDS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("offsets"), BUILDS[request.param](), scorer=libvmaf()) as made:
        yield made


@pytest.fixture(scope="module")
def clip(house: Node) -> Clip:
    """Make a source of four seconds, its picture or its sound so many seconds later than the other.

    Where a container has no word for what AAC begins with before its first sample, the picture is 0.023 s later still.
    """
    folder = house.folder / "in"
    ffmpeg = (house.shop.tools.ffmpeg, "-v", "error", "-y")
    base = folder / "base.mp4"
    succeed((*ffmpeg, *PICTURE, *SOUND, *CODECS, str(base)))

    def make(suffix: str, *, picture_s: float = 0.0, sound_s: float = 0.0) -> str:
        path = folder / f"{picture_s}-{sound_s}{suffix}"
        inputs = ("-itsoffset", str(picture_s), "-i", str(base), "-itsoffset", str(sound_s), "-i", str(base))
        succeed((*ffmpeg, *inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", str(path)))
        return str(path)

    return make


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".flv"])
@pytest.mark.parametrize(("cut_s", "frames"), [(3.0, 74), (2.02, 50), (None, 100), (9.0, 100)])
def test_picture_after_the_sound_is_scored_against_itself(
    house: Node, clip: Clip, suffix: str, cut_s: float | None, frames: int
) -> None:
    ran = house.attempt(input=clip(suffix, picture_s=0.03), duration_s=cut_s, vmaf_floor=90.0, **SCORED)
    assert ran.failure is None, ran.told
    assert ran.quality is not None
    assert ran.quality.frames == frames
    # A pair that is one frame off scores far below.
    assert ran.quality.vmaf_min is not None
    assert ran.quality.vmaf_min > 90


@pytest.mark.parametrize("later", ["picture_s", "sound_s"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("output", ["o.mp4", "o.mkv", "o.ts"])
def test_a_second_between_picture_and_sound_is_no_damage(
    house: Node, clip: Clip, later: str, suffix: str, output: str
) -> None:
    ran = house.attempt(input=clip(suffix, **{later: 1.0}), output=output)
    assert ran.failure is None, ran.told
    assert ran.media is not None
    assert ran.media.video is not None
    assert ran.media.audio is not None
    assert ran.media.video.frames == 100
    assert ran.media.duration_s == pytest.approx(5.0, abs=0.15)
    # What AAC begins with adds up where containers have no word for it.
    assert ran.media.video.start_s == pytest.approx(1.0 if later == "picture_s" else 0.0, abs=0.1)
    assert ran.media.audio.start_s == pytest.approx(1.0 if later == "sound_s" else 0.0, abs=0.1)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("times", [(0.3, 3.0, 67), (2.0, 4.0, 50), (1.0, 60.0, 100)])
def test_cut_counts_from_the_first_of_picture_and_sound(
    house: Node, clip: Clip, suffix: str, times: tuple[float, float, int]
) -> None:
    picture_s, cut_s, frames = times
    ran = house.attempt(input=clip(suffix, picture_s=picture_s), duration_s=cut_s, vmaf_floor=90.0, **SCORED)
    assert ran.failure is None, ran.told
    assert ran.quality is not None
    # What AAC begins with is in some containers the beginning of the file.
    assert ran.quality.frames in (frames, frames - 1)


def test_sound_that_is_not_taken_counts_for_the_cut(house: Node, clip: Clip) -> None:
    late, path = clip(".mp4", picture_s=0.5, sound_s=0.5), house.folder / "in" / "two.mkv"
    inputs = ("-i", late, "-i", clip(".mp4"), "-map", "0:v", "-map", "0:a", "-map", "1:a", "-c", "copy")
    succeed((house.shop.tools.ffmpeg, "-v", "error", "-y", *inputs, str(path)))
    for cut_s in (3.0, None):
        ran = house.attempt(input=str(path), duration_s=cut_s, vmaf_floor=90.0, **SCORED)
        assert ran.failure is None, ran.told


def test_cut_before_the_picture_begins_says_so(house: Node, clip: Clip) -> None:
    ran = house.attempt(input=clip(".mp4", picture_s=2.0), duration_s=1.5)
    assert ran.told == ("permanent", "the input's picture begins after 2.000 s, and 1.5 s of it are asked for")


def test_sound_that_begins_after_the_cut_is_not_missed(house: Node, clip: Clip) -> None:
    ran = house.attempt(input=clip(".mkv", sound_s=1.0), duration_s=0.8)
    assert ran.failure is None, ran.told
    assert ran.media is not None
    assert ran.media.audio is None


@pytest.mark.parametrize("sound", [True, False])
@pytest.mark.parametrize("cut_s", [None, 2.0])
def test_broadcast_joined_before_a_key_frame_begins_with_that(house: Node, *, sound: bool, cut_s: float | None) -> None:
    folder = house.folder / "in"
    whole, joined = folder / "broadcast.ts", folder / f"joined{sound}.ts"
    streams = (*PICTURE, *(SOUND if sound else ()), *CODECS, "-g", "25", "-bf", "0", "-muxdelay", "0")
    succeed((house.shop.tools.ffmpeg, "-v", "error", "-y", *streams, str(whole)))
    packets = [whole.read_bytes()[at : at + 188] for at in range(0, whole.stat().st_size, 188)]
    # The tables, and what follows a first eighth of the media.
    joined.write_bytes(b"".join(packets[:3] + packets[len(packets) // 8 :]))
    ran = house.attempt(input=str(joined), duration_s=cut_s, vmaf_floor=90.0, **SCORED)
    assert ran.failure is None, ran.told
    assert ran.quality is not None
    assert ran.quality.frames == pytest.approx(75 if cut_s is None else 37, abs=6)


def test_timestamps_that_begin_anew_are_no_damage(house: Node, clip: Clip) -> None:
    once = house.folder / "in" / "once.ts"
    once.write_bytes(Path(clip(".ts")).read_bytes() * 2)
    ran = house.attempt(input=str(once), vmaf_floor=90.0, **SCORED)
    assert ran.failure is None, ran.told
    assert ran.media is not None
    assert ran.media.duration_s == pytest.approx(8.05, abs=0.1)
    cut = house.attempt(input=str(once), duration_s=3.0)
    assert cut.failure is None, cut.told

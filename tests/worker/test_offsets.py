"""Sources whose picture and sound do not begin together: what is encoded of them, checked and scored."""

from collections.abc import Callable, Iterator

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

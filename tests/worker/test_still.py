"""Sources that send no picture while it stands still, and others whose average tells no rate."""

from collections.abc import Iterator
from fractions import Fraction

import pytest

from ffrtmpd.wire.vocabulary import VmafMode
from tests.needs import libvmaf
from tests.worker.attempts import BUILDS, Node, node
from tests.worker.media import succeed

FRAGMENTED = ("-movflags", "frag_keyframe+empty_moov")


@pytest.fixture(scope="module", params=BUILDS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("still"), BUILDS[request.param](), scorer=libvmaf()) as made:
        yield made


def clip(house: Node, name: str, graph: str, *options: str) -> str:
    path = house.folder / "in" / name
    codec = ("-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast")
    succeed((house.shop.tools.ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", graph, *options, *codec, str(path)))
    return str(path)


@pytest.mark.parametrize(
    ("name", "graph", "fps", "frames"),
    [
        ("screen.mp4", "testsrc2=s=320x180:r=30:d=9,select=lt(n\\,30)+gt(n\\,240)", 30.0, 270),
        ("screen.mkv", "testsrc2=s=320x180:r=30:d=9,select=lt(n\\,30)+gt(n\\,240)", 30.0, 270),
        ("hole.mp4", "testsrc2=s=320x180:r=25:d=6,select=lt(n\\,50)+gt(n\\,100)", 25.0, 150),
        ("hole.ts", "testsrc2=s=320x180:r=25:d=6,select=lt(n\\,50)+gt(n\\,100)", 25.0, 150),
    ],
)
def test_rate_of_the_moving_picture_is_kept(house: Node, name: str, graph: str, fps: float, frames: int) -> None:
    asked = {"width": 320, "height": 180, "fps": None, "bitrate_bps": 1_500_000, "vmaf": VmafMode.FULL}
    ran = house.attempt(input=clip(house, name, graph), vmaf_floor=90.0, **asked)
    assert ran.failure is None, ran.told
    assert ran.media is not None
    assert ran.media.video is not None
    assert ran.media.video.fps == pytest.approx(fps)
    assert ran.media.video.frames == frames
    assert ran.quality is not None
    assert ran.quality.frames == frames


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30_000, 1_001)])
def test_fragmented_file_keeps_its_rate(house: Node, rate: Fraction) -> None:
    sound = ("-f", "lavfi", "-i", "sine=d=4", "-c:a", "aac")
    path = clip(house, f"{rate.numerator}.mp4", f"testsrc2=s=320x180:r={rate}:d=4", *sound, *FRAGMENTED)
    ran = house.attempt(input=path, fps=None)
    assert ran.failure is None, ran.told
    assert ran.media is not None
    assert ran.media.video is not None
    assert ran.media.video.fps == pytest.approx(float(rate), rel=0.0001)
    # Its last frame may last longer than the others.
    assert ran.media.video.frames == pytest.approx(4 * float(rate), abs=1.2)


def test_picture_that_lasts_the_average_at_the_end_is_no_damage(house: Node) -> None:
    screen = clip(house, "copied.mp4", "testsrc2=s=320x180:r=30:d=9,select=lt(n\\,15)+gt(n\\,255)")
    copied = screen.replace(".mp4", ".mkv")
    succeed((house.shop.tools.ffmpeg, "-v", "error", "-y", "-i", screen, "-c", "copy", copied))
    ran = house.attempt(input=copied, fps=30.0)
    assert ran.failure is None, ran.told

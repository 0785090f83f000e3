"""Sources of two fields a frame."""

import re
from pathlib import Path

import pytest

from ffrtmp_worker.ffmpeg import DEINTERLACE, encode_command
from ffrtmp_worker.probe import parse_probe, probe_command
from ffrtmp_worker.process import run_tool
from ffrtmpd.wire.vocabulary import VmafMode
from tests.needs import libvmaf
from tests.worker.attempts import BUILDS, node
from tests.worker.media import assign, succeed, task

FIELDS = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=50:d=2", "-vf", "tinterlace=4")


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    ("name", "codec"), [("a.ts", ("-c:v", "libx264", "-preset", "ultrafast")), ("a.mpg", ("-c:v", "mpeg2video"))]
)
def test_output_is_not_combed(build: str, name: str, codec: tuple[str, ...], tmp_path: Path) -> None:
    tools = BUILDS[build]()
    with node(tmp_path, tools, scorer=libvmaf()) as house:
        source = tmp_path / "in" / name
        options = (*FIELDS, *codec, "-b:v", "8M", "-flags", "+ildct+ilme", str(source))
        succeed((tools.ffmpeg, "-v", "error", "-y", *options))
        looked = run_tool(probe_command(tools, f"file:{source}"), timeout_s=60)
        video = parse_probe(looked.stdout, tools).video
        assert video is not None
        assert video.interlaced
        asked = {"width": 320, "height": 180, "fps": None, "bitrate_bps": 1_500_000, "vmaf": VmafMode.FULL}
        ran = house.attempt(input=str(source), vmaf_floor=90.0, **asked)
        assert ran.failure is None, ran.told
        assert ran.media is not None
        assert ran.media.video is not None
        assert (ran.media.video.frames, ran.media.video.interlaced) == (50, False)
        combed = ("-i", str(ran.output), "-vf", "idet", "-f", "null", "-")
        said = succeed((tools.ffmpeg, "-hide_banner", *combed)).stderr.decode()
        told = re.findall(r"Multi frame detection: TFF: *(\d+) BFF: *(\d+) Progressive: *(\d+)", said)[-1]
        top, bottom, progressive = map(int, told)
        assert top + bottom < progressive


def test_other_sources_are_left_alone() -> None:
    tools = BUILDS["system"]()
    assert not any(DEINTERLACE in word for word in encode_command(tools, task(assign())))

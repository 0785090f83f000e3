import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from ffrtmp_worker.encoders import proof_command, prove, render_node
from ffrtmp_worker.process import ToolRun, ToolTimeout
from ffrtmp_worker.tools import Tools
from ffrtmpd.wire.media import ENCODERS
from tests.worker.media import proven

LISTED = (
    b"Encoders:\n V..... = Video\n ------\n V....D libx264  H.264\n V....D libx265  H.265\n"
    b" V....D h264_nvenc NVENC\n V....D h264_vaapi VAAPI\n A....D aac AAC\n"
)


def _ran(exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> ToolRun:
    return ToolRun(exit_code=exit_code, stdout=stdout, stderr=stderr)


class _Bench:
    """A node on which the encoders in ``works`` work."""

    def __init__(self, *works: str, answer: Callable[[str], ToolRun] | None = None) -> None:
        self.works = works
        self.tried: list[str] = []
        self._answer = answer

    def __call__(self, argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str]) -> ToolRun:
        assert timeout_s > 0
        assert "PATH" in env
        if "-encoders" in argv:
            return _ran(0, LISTED)
        name = argv[argv.index("-c:v") + 1]
        self.tried.append(name)
        if name in self.works:
            return _ran(0)
        return _ran(1, stderr=b"Cannot load libcuda.so.1") if self._answer is None else self._answer(name)


@pytest.fixture
def kit(tmp_path: Path) -> Tools:
    program = tmp_path / "ffmpeg"
    program.write_bytes(b"x")
    return Tools(ffmpeg=str(program), ffmpeg_version="5.1", ffprobe=None, python="python3")


def test_real_ffmpeg_proves_its_software_encoders() -> None:
    assert "libx264" in proven()
    assert list(proven()) == [name for name in ENCODERS if name in proven()]
    if not Path("/dev/nvidiactl").exists():
        assert not any(name.endswith("_nvenc") for name in proven())


def test_listed_encoder_that_does_not_work_is_left_out(kit: Tools) -> None:
    bench = _Bench("libx264", "libx265")
    assert prove(kit, run=bench) == ("libx264", "libx265")
    assert sorted(bench.tried) == ["h264_nvenc", "libx264", "libx265"]


def test_vaapi_is_tried_through_its_render_node_alone(kit: Tools, tmp_path: Path) -> None:
    bench = _Bench("h264_vaapi")
    assert prove(kit, run=bench, node="/dev/dri/renderD128") == ("h264_vaapi",)
    command = proof_command(kit, ENCODERS["h264_vaapi"], "/dev/dri/renderD128")
    assert "vaapi=va:/dev/dri/renderD128" in command
    assert "format=nv12,hwupload" in command
    (tmp_path / "renderD129").touch()
    (tmp_path / "renderD128").touch()
    assert render_node(tmp_path) == str(tmp_path / "renderD128")
    assert render_node(tmp_path / "none") is None


def test_answer_is_kept_for_the_same_build_and_driver(kit: Tools, tmp_path: Path) -> None:
    cache = tmp_path / "state/encoders.json"
    assert prove(kit, cache=cache, driver="550", run=_Bench("libx264")) == ("libx264",)
    again = _Bench()
    assert prove(kit, cache=cache, driver="550", run=again) == ("libx264",)
    assert again.tried == []


def test_other_build_or_driver_is_proved_anew(kit: Tools, tmp_path: Path) -> None:
    cache = tmp_path / "encoders.json"
    prove(kit, cache=cache, driver="550", run=_Bench("libx264"))
    assert prove(kit, cache=cache, driver="560", run=_Bench("libx265")) == ("libx265",)
    newer = dataclasses.replace(kit, ffmpeg_version="9.0")
    assert prove(newer, cache=cache, driver="560", run=_Bench("h264_nvenc")) == ("h264_nvenc",)
    os.utime(kit.ffmpeg, (1, 1))
    assert prove(newer, cache=cache, driver="560", run=_Bench()) == ()


def test_busy_or_hung_hardware_is_asked_again_next_time(kit: Tools, tmp_path: Path) -> None:
    def busy(_: str) -> ToolRun:
        return _ran(1, stderr=b"OpenEncodeSessionEx failed: out of memory (10)")

    def hung(name: str) -> ToolRun:
        raise ToolTimeout(name)

    cache = tmp_path / "encoders.json"
    for answer in (busy, hung):
        assert prove(kit, cache=cache, run=_Bench("libx264", "libx265", answer=answer)) == ("libx264", "libx265")
    assert prove(kit, cache=cache, run=_Bench("h264_nvenc", "libx264", "libx265"))[0] == "h264_nvenc"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": {}, "encoders": ["libx264"]}'])
def test_damaged_cache_is_proved_anew(kit: Tools, tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "encoders.json"
    cache.write_bytes(content)
    assert prove(kit, cache=cache, run=_Bench("libx265")) == ("libx265",)


def test_ffmpeg_that_lists_nothing_proves_nothing(kit: Tools) -> None:
    def fails(argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str]) -> ToolRun:
        raise OSError(2, "gone")

    assert prove(kit, run=fails) == ()

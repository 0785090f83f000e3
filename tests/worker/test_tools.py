import importlib.util
import sys
from pathlib import Path

import pytest

from ffrtmp_worker.tools import ToolError, find_tools
from tests.needs import module


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def _ffmpeg(folder: Path, name: str = "ffmpeg", version: str = "5.1.9-0+deb12u1") -> Path:
    return _script(folder / name, f'echo "{name} version {version} Copyright (c) 2000-2025 the FFmpeg developers"')


def test_nothing_configured_and_nothing_in_path_takes_the_embedded_ffmpeg(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module("imageio_ffmpeg")
    module("av")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_tools()
    assert "imageio_ffmpeg" in found.ffmpeg
    assert found.ffmpeg_version[0].isalnum()
    assert found.python == sys.executable


def test_path_wins_over_embedded_and_setting_wins_over_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _ffmpeg(tmp_path)
    _ffmpeg(tmp_path, "ffprobe")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = find_tools()
    assert (found.ffmpeg, found.ffprobe) == (str(tmp_path / "ffmpeg"), str(tmp_path / "ffprobe"))
    assert found.ffmpeg_version == "5.1.9-0+deb12u1"
    other = tmp_path / "other"
    other.mkdir()
    _ffmpeg(other, version="9.0.2")
    assert find_tools(ffmpeg=str(other / "ffmpeg")).ffmpeg_version == "9.0.2"


def test_configured_program_that_is_missing_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"ffmpeg is set to .*nothing-here"):
        find_tools(ffmpeg=str(tmp_path / "nothing-here"))


def test_program_that_is_no_ffmpeg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="is it FFmpeg"):
        find_tools(ffmpeg=str(_script(tmp_path / "ffmpeg", "echo hello")))


def test_program_that_cannot_start_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_bytes(b"\x7fELF not really")
    broken.chmod(0o755)
    with pytest.raises(ToolError, match="does not run"):
        find_tools(ffmpeg=str(broken))


def test_old_embedded_ffmpeg_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = module("imageio_ffmpeg")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(package, "__version__", "0.7.0")
    with pytest.raises(ToolError, match=r"pip install -U 'imageio-ffmpeg>=0\.8'"):
        find_tools()


def test_nothing_that_probes_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ToolError, match="pip install av"):
        find_tools(ffmpeg=str(_ffmpeg(tmp_path)))

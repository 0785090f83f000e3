"""Which programs encode and probe on this node."""

import importlib
import importlib.util
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ffrtmp_worker.process import ToolTimeout, run_tool

# A cold read of a 165 MB binary from a slow disk.
VERSION_TIMEOUT_S: Final = 20.0
# The builds of 0.6 and 0.7 crash (SIGSEGV) on MPEG-TS input and on host names.
IMAGEIO_LEAST: Final = (0, 8)
ENGINE_VERSION_MAX: Final = 256
INSTALL_HINT: Final = "install ffmpeg (Debian: apt install ffmpeg; else pip install 'imageio-ffmpeg>=0.8' av) or set"


class ToolError(Exception):
    """A program is missing or does not run; the message says the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Absolute paths of the programs of this node.

    ``ffprobe`` is None where there is none; then PyAV probes, run by ``python``.
    """

    ffmpeg: str
    ffmpeg_version: str
    ffprobe: str | None
    python: str


def find_tools(ffmpeg: str | None = None, ffprobe: str | None = None) -> Tools:
    """Return the programs to use: those configured, else those in PATH, else the ffmpeg of imageio-ffmpeg.

    Blocks for some hundredths of a second while ffmpeg says its version.

    Raises:
        ToolError: no usable ffmpeg, or nothing that probes.
    """
    encoder = _set("ffmpeg", ffmpeg) or shutil.which("ffmpeg") or embedded_ffmpeg()
    encoder = str(Path(encoder).absolute())
    version = version_of(encoder)
    prober = _set("ffprobe", ffprobe) or shutil.which("ffprobe") or _beside(encoder)
    if prober is not None:
        prober = str(Path(prober).absolute())
        version_of(prober)
    elif importlib.util.find_spec("av") is None:
        raise ToolError("nothing here can probe a file: install ffprobe, or PyAV with: pip install av")
    return Tools(ffmpeg=encoder, ffmpeg_version=version, ffprobe=prober, python=sys.executable)


def _set(name: str, setting: str | None) -> str | None:
    return None if setting is None else configured(name, setting)


def configured(name: str, setting: str) -> str:
    """Return the program that a setting names.

    Raises:
        ToolError: it cannot be run.
    """
    found = shutil.which(setting)
    if found is None:
        raise ToolError(f"{name} is set to {setting}, which is no program that can be run: correct the setting")
    return found


def _beside(ffmpeg: str) -> str | None:
    return shutil.which("ffprobe", path=str(Path(ffmpeg).parent))


def embedded_ffmpeg() -> str:
    """Return imageio-ffmpeg's.

    Raises:
        ToolError: it is not there, too old, or not made for this machine.
    """
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise ToolError(f"no ffmpeg found: {INSTALL_HINT} its path")
    package = importlib.import_module("imageio_ffmpeg")
    version = str(package.__version__)
    if _numbers(version) < IMAGEIO_LEAST:
        raise ToolError(
            f"imageio-ffmpeg {version} brings an ffmpeg that crashes on MPEG-TS and on host names: "
            "pip install -U 'imageio-ffmpeg>=0.8'"
        )
    try:
        return str(package.get_ffmpeg_exe())
    except RuntimeError:
        raise ToolError(f"imageio-ffmpeg {version} has no ffmpeg for this machine: {INSTALL_HINT} its path") from None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def version_of(program: str) -> str:
    """Return the version that a program of FFmpeg tells, such as ``5.1.9-0+deb12u1``.

    Raises:
        ToolError: it is no such program.
    """
    try:
        ran = run_tool((program, "-version"), timeout_s=VERSION_TIMEOUT_S)
    except (OSError, ToolTimeout) as error:
        raise ToolError(f"{program} does not run: {error}") from None
    said = re.match(rb"ff(?:mpeg|probe) version (\S+)", ran.stdout)
    if ran.exit_code != 0 or said is None:
        raise ToolError(f"{program} -version ended with {ran.exit_code} and told no version: is it FFmpeg?")
    return said[1].decode("utf-8", "replace")[:ENGINE_VERSION_MAX]

"""Which ffmpeg of this node can score, proved by scoring a few frames: a build that lists a filter may lack a model."""

import importlib.util
import os
import re
from collections.abc import Iterator
from typing import Final

from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.process import ToolTimeout, run_tool
from ffrtmp_worker.quality import MODEL_HD, Reading
from ffrtmp_worker.scorer import Scorer
from ffrtmp_worker.tools import ToolError, Tools, configured, embedded_ffmpeg, version_of

PROOF_TIMEOUT_S: Final = 20.0
PROOF_FRAMES: Final = 5
VMAF: Final = "vmaf"
PSNR: Final = "psnr"
SSIM: Final = "ssim"
_SOURCE: Final = f"testsrc2=size=256x144:rate=25:duration={PROOF_FRAMES / 25}"
_VMAF_GRAPH: Final = (
    f"[0:v]split[a][b];[a][b]libvmaf=model=version={MODEL_HD}:log_fmt=xml:log_path=/dev/stdout:eof_action=endall"
)
_OTHERS: Final = {PSNR: rb"PSNR y:inf", SSIM: rb"SSIM Y:1\.0"}


def find_scorer(tools: Tools, setting: str | None = None) -> Scorer | None:
    """Return what scores here: the ffmpeg that is set, the node's own, else imageio-ffmpeg's, the first with libvmaf.

    Where none has it, the node's own scores PSNR and SSIM; None where it cannot do these either. Blocks for some
    tenths of a second.

    Raises:
        ToolError: the setting names no ffmpeg.
    """
    found = None
    for ffmpeg, version in _candidates(tools, setting):
        measures = _proved(ffmpeg)
        if VMAF in measures:
            return Scorer(ffmpeg, version, measures)
        if measures and found is None:
            found = Scorer(ffmpeg, version, measures)
    return found


def _candidates(tools: Tools, setting: str | None) -> Iterator[tuple[str, str]]:
    if setting is not None:
        path = configured("scorer", setting)
        yield path, version_of(path)
        return
    yield tools.ffmpeg, tools.ffmpeg_version
    if importlib.util.find_spec("imageio_ffmpeg") is not None:
        try:
            path = embedded_ffmpeg()
            if path != tools.ffmpeg:
                yield path, version_of(path)
        except ToolError:
            # Too old, or not made for this machine: then it does not score.
            return


def _proved(ffmpeg: str) -> tuple[str, ...]:
    reading = Reading()
    reading.report(_run(ffmpeg, _VMAF_GRAPH)[0])
    proved = [VMAF] if len(reading.scores) == PROOF_FRAMES and min(reading.scores) > 90 else []
    for name, says in _OTHERS.items():
        if re.search(says, _run(ffmpeg, f"[0:v]split[a][b];[a][b]{name}")[1]):
            proved.append(name)
    return tuple(proved)


def _run(ffmpeg: str, graph: str) -> tuple[bytes, bytes]:
    command = (ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-f", "lavfi", "-i", _SOURCE, "-filter_complex", graph)
    try:
        ran = run_tool(
            (*command, "-fps_mode", "passthrough", "-f", "null", "-"),
            timeout_s=PROOF_TIMEOUT_S,
            env=environment(os.environ),
        )
    except (OSError, ToolTimeout):
        return b"", b""
    return (ran.stdout, ran.stderr) if ran.exit_code == 0 else (b"", b"")

"""Which encoders work here, proved by a test encode: ``ffmpeg -encoders`` lists what was compiled in."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.process import ToolRun, ToolTimeout, run_tool
from ffrtmp_worker.tools import Tools
from ffrtmpd.wire.media import ENCODERS, Encoder

PROOF_TIMEOUT_S: Final = 10.0
LIST_TIMEOUT_S: Final = 20.0
# More at once only wait for each other on a small node, and a GPU opens few sessions.
AT_ONCE: Final = 2
CACHE_VERSION: Final = 1
DEVICES: Final = Path("/dev/dri")
# Said when the hardware works and others hold all its sessions: to be asked again at the next start.
_BUSY: Final = re.compile(rb"OpenEncodeSessionEx failed|out of memory|Resource temporarily unavailable")

Run = Callable[..., ToolRun]


def render_node(devices: Path = DEVICES) -> str | None:
    """Return the first render node, through which VAAPI and Quick Sync reach the GPU; None if there is none."""
    return next((str(path) for path in sorted(devices.glob("renderD*"))), None)


def proof_command(tools: Tools, encoder: Encoder, node: str | None) -> tuple[str, ...]:
    """Return the command that encodes one black frame and writes nothing."""
    vaapi = encoder.hardware == "vaapi"
    pixels = {"vaapi": "format=nv12,hwupload", "qsv": "format=nv12"}.get(encoder.hardware or "", "format=yuv420p")
    return (
        tools.ffmpeg,
        *("-nostdin", "-hide_banner", "-loglevel", "error"),
        *(("-init_hw_device", f"vaapi=va:{node}", "-filter_hw_device", "va") if vaapi else ()),
        *("-f", "lavfi", "-i", "color=c=black:size=256x144:rate=25"),
        *("-frames:v", "1", "-vf", pixels, "-c:v", encoder.name),
        # Seconds for a frame at aom's default.
        *(("-cpu-used", "8") if encoder.name == "libaom-av1" else ()),
        *("-f", "null", "-"),
    )


def prove(
    tools: Tools, *, cache: Path | None = None, driver: str | None = None, node: str | None = None, run: Run = run_tool
) -> tuple[str, ...]:
    """Return the names of the encoders that work here, preferred first for each codec. Blocks, about a second at first.

    Args:
        tools: the programs.
        cache: file that keeps the answer for this build and this driver; None: nothing is kept.
        driver: version of the GPU's driver; None if there is none.
        node: what ``render_node`` returned.
        run: runs a program to its end.
    """
    key = _key(tools, driver, node)
    known = None if cache is None else _read(cache, key)
    if known is not None:
        return known
    listed = _listed(tools, run)
    candidates = [encoder for encoder in ENCODERS.values() if encoder.name in listed and _possible(encoder, node)]

    def tried(encoder: Encoder) -> bool | None:
        return _try(proof_command(tools, encoder, node), run)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(tried, candidates))
    proven = tuple(encoder.name for encoder, answer in zip(candidates, answers, strict=True) if answer)
    if cache is not None and None not in answers:
        _write(cache, key, proven)
    return proven


def _possible(encoder: Encoder, node: str | None) -> bool:
    return node is not None or encoder.hardware not in ("vaapi", "qsv")


def _listed(tools: Tools, run: Run) -> frozenset[str]:
    try:
        ran = run((tools.ffmpeg, "-hide_banner", "-encoders"), timeout_s=LIST_TIMEOUT_S, env=environment(os.environ))
    except (OSError, ToolTimeout):
        return frozenset()
    names = re.findall(rb"^ V\S{5} (\S+)", ran.stdout, re.MULTILINE)
    return frozenset(name.decode("ascii", "replace") for name in names)


def _try(command: Sequence[str], run: Run) -> bool | None:
    """Tell whether a proof succeeds; None when the answer may differ next time."""
    try:
        ran = run(command, timeout_s=PROOF_TIMEOUT_S, env=environment(os.environ))
    except (OSError, ToolTimeout):
        return None
    if ran.exit_code == 0:
        return True
    return None if ran.exit_code < 0 or _BUSY.search(ran.stderr) else False


def _key(tools: Tools, driver: str | None, node: str | None) -> dict[str, object]:
    try:
        status = Path(tools.ffmpeg).stat()
        build: tuple[int, int] | None = (status.st_size, status.st_mtime_ns)
    except OSError:
        build = None
    return {
        "version": CACHE_VERSION,
        "ffmpeg": tools.ffmpeg,
        "ffmpeg_version": tools.ffmpeg_version,
        "build": None if build is None else list(build),
        "driver": driver,
        "render_node": node,
    }


def _read(cache: Path, key: dict[str, object]) -> tuple[str, ...] | None:
    try:
        kept = json.loads(cache.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("key") != key or not isinstance(kept.get("encoders"), list):
        return None
    return tuple(name for name in kept["encoders"] if name in ENCODERS)


def _write(cache: Path, key: dict[str, object], proven: tuple[str, ...]) -> None:
    temporary = cache.with_suffix(".new")
    # Without the file the proofs are run again: no reason to stop.
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"key": key, "encoders": proven}))
        temporary.replace(cache)

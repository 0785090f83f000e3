"""GStreamer as an engine of this node: found, proved, run. Without it the node has ffmpeg alone."""

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ffrtmp_worker.encoders import AT_ONCE
from ffrtmp_worker.failures import EXIT_SIGNALED, Failure, classify, first_line
from ffrtmp_worker.gstreamer import ELEMENTS, NEEDED, PARSERS, pipeline, proof, refusal
from ffrtmp_worker.process import ToolRun, ToolTimeout, run_tool
from ffrtmp_worker.recipe import Cause
from ffrtmp_worker.task import Task
from ffrtmp_worker.tools import ENGINE_VERSION_MAX
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.vocabulary import Engine, FailureClass

RUNNER: Final = Path(__file__).with_name("gstreamer_run.py")
# The first look at all plugins of a node loads each of them.
DESCRIBE_TIMEOUT_S: Final = 30.0
PROOF_TIMEOUT_S: Final = 10.0
CACHE_VERSION: Final = 1
# The pipeline is not understood; the input does not decode, or is not there.
_PERMANENT: Final = frozenset({64, 65, 66})
_UNREADABLE: Final = frozenset({65, 66})
# How its sinks say what ffmpeg says in other words. First those a server gives its reasons in.
_TURNED_DOWN: Final = (
    r"publish denied|[Aa]uthentication failed|wrong authentication mode|Not authorized to connect"
    r"|Unacceptable TLS certificate"
)
# A server that closes before it has said yes: what a wrong key or application looks like.
_UNCLEAR: Final = r"Failed to connect: '\w+' cmd (failed|returned)"
_CONNECTION: Final = (
    r"Connection error|connection closed|Failed to connect|Socket I/O timed out|on SRT socket|to SRT socket"
    r"|Failed to open SRT|Connection does not exist"
)

Run = Callable[..., ToolRun]


@dataclass(frozen=True, slots=True, kw_only=True)
class GstreamerEngine:
    """GStreamer by PyGObject of the system's Python.

    ``elements`` are those installed of ``gstreamer.ELEMENTS``.
    """

    python: str
    version: str
    elements: tuple[str, ...]
    encoders: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def name(self) -> Engine:
        """Always GStreamer."""
        return Engine.GSTREAMER

    def refusal(self, task: Task) -> str | None:
        """Return what its elements cannot do of a task.

        Raises:
            InvalidPreset: the preset is not one of the encoder's.
        """
        return refusal(task, self.elements)

    def command(self, task: Task) -> tuple[str, ...]:
        """Return the runner with the task's pipeline."""
        return command(self.python, "run", pipeline(task, self.elements))

    def classify(self, exit_code: int, log_tail: str, *, live: bool) -> Failure:
        """Return what the runner's exit code tells of the input, else what its log tells."""
        if exit_code in _PERMANENT:
            return Failure(
                failure_class=FailureClass.PERMANENT,
                reason=first_line(log_tail) or f"exit code {exit_code}",
                unreadable=exit_code in _UNREADABLE,
            )
        # Its other codes are none of errno's.
        known = exit_code < 0 or exit_code == EXIT_SIGNALED
        failure = classify(exit_code if known else 1, log_tail, live=live)
        return _of_push(failure) if live and failure.cause is Cause.OTHER else failure


def _of_push(failure: Failure) -> Failure:
    """Return what a failure that ffmpeg's words do not tell means for a push."""
    if re.search(_TURNED_DOWN, failure.reason):
        return replace(failure, failure_class=FailureClass.PERMANENT)
    if failure.failure_class is FailureClass.PERMANENT:
        return failure
    if re.search(_UNCLEAR, failure.reason):
        return replace(failure, cause=Cause.UNCLEAR)
    return replace(failure, cause=Cause.CONNECTION) if re.search(_CONNECTION, failure.reason) else failure


def command(python: str, verb: str, document: object) -> tuple[str, ...]:
    """Return the command of the runner; isolated, since the worker's own packages may not fit that Python."""
    return (python, "-I", str(RUNNER), verb, json.dumps(document, separators=(",", ":")))


def find_gstreamer(
    python: str, *, environment: Mapping[str, str], registry: Path, cache: Path | None = None, run: Run = run_tool
) -> GstreamerEngine | None:
    """Return the engine if it is installed and an encoder of it works here. Blocks, about a second at first.

    Args:
        python: a Python that has PyGObject; empty: do not look.
        environment: of the children.
        registry: file in which GStreamer keeps what it knows of its plugins; a child may have no home for it.
        cache: file that keeps the answer for these versions of the plugins; None: nothing is kept.
        run: runs a program to its end.
    """
    if not python:
        return None
    surroundings = {**environment, "GST_REGISTRY": str(registry)}
    found = _described(python, surroundings, run)
    if found is None or not set(NEEDED) <= set(found["elements"]):
        return None
    encoders = _read(cache, found)
    if encoders is None:
        names = [name for name, parser in PARSERS.items() if {name, parser} <= set(found["elements"])]
        commands = [command(python, "run", proof(name)) for name in names]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            worked = list(pool.map(lambda argv: _works(argv, surroundings, run), commands))
        answers = dict(zip(names, worked, strict=True))
        encoders = tuple(name for name in ENCODERS if answers.get(name))
        if cache is not None and None not in answers.values():
            _write(cache, found, encoders)
    if not encoders:
        return None
    return GstreamerEngine(
        python=python,
        version=str(found["version"])[:ENGINE_VERSION_MAX],
        elements=tuple(found["elements"]),
        encoders=encoders,
        environment=surroundings,
    )


def _described(python: str, environment: Mapping[str, str], run: Run) -> dict[str, Any] | None:
    try:
        ran = run(command(python, "describe", ELEMENTS), timeout_s=DESCRIBE_TIMEOUT_S, env=environment)
        found = json.loads(ran.stdout) if ran.exit_code == 0 else None
    except (OSError, ToolTimeout, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("elements"), dict) else None


def _works(argv: Sequence[str], environment: Mapping[str, str], run: Run) -> bool | None:
    """Tell whether a proof succeeds; None when the answer may differ next time."""
    try:
        ran = run(argv, timeout_s=PROOF_TIMEOUT_S, env=environment)
    except (OSError, ToolTimeout):
        return None
    # Killed, perhaps for want of memory.
    return None if ran.exit_code < 0 else ran.exit_code == 0


def _key(found: Mapping[str, Any]) -> dict[str, Any]:
    stat = RUNNER.stat()
    return {"version": CACHE_VERSION, "runner": [stat.st_size, stat.st_mtime_ns], "found": found}


def _read(cache: Path | None, found: Mapping[str, Any]) -> tuple[str, ...] | None:
    if cache is None:
        return None
    try:
        kept = json.loads(cache.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("key") != _key(found) or not isinstance(kept.get("encoders"), list):
        return None
    return tuple(name for name in kept["encoders"] if name in PARSERS)


def _write(cache: Path, found: Mapping[str, Any], encoders: tuple[str, ...]) -> None:
    temporary = cache.with_suffix(".new")
    # Without the file the proofs are run again: no reason to stop.
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps({"key": _key(found), "encoders": encoders}))
        temporary.replace(cache)

"""The command ``ffrtmp-worker``: its words, and what it says when it cannot start."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, Final

from ffrtmp_worker.config import SYSTEM_STATE, Home, Settings, read_settings
from ffrtmp_worker.enrol import AlreadyJoined, NotAnInvitation, join
from ffrtmp_worker.hardware import LoadMeter
from ffrtmp_worker.link import EnrolError, Unreachable
from ffrtmp_worker.node import (
    PROGRAM,
    AlreadyRunning,
    identity,
    lacking,
    look,
    make_limiter,
    meters_of,
    one_worker,
    places_of,
)
from ffrtmp_worker.places import FILE_PREFIX
from ffrtmp_worker.probe import ProbeError, parse_probe, probe_command
from ffrtmp_worker.process import ToolTimeout, run_tool
from ffrtmp_worker.quality import NotComparable, ScoringFailed
from ffrtmp_worker.recommend import advise, as_plain, as_toml, measure
from ffrtmp_worker.score_command import add_parser, compare, shown
from ffrtmp_worker.tools import ToolError, find_tools
from ffrtmp_worker.wiring import build
from ffrtmpd import __version__
from ffrtmpd.base.collector import calm_collector
from ffrtmpd.base.exporter import ExporterError
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.owner import become_owner
from ffrtmpd.base.service import Bell, CrashReport
from ffrtmpd.base.settings import SettingsError
from ffrtmpd.wire.curve import KeyFileError, fingerprint
from ffrtmpd.wire.schema import to_full

# Installed by packages: starts the service once there are settings in its state folder.
STARTER: Final = tuple(Path(folder, "systemd/system/ffrtmp-worker.path") for folder in ("/lib", "/usr/lib"))
# Counting the packets of a long film reads all of it.
PROBE_S: Final = 600.0
EXAMPLES: Final = """\
examples:
  ffrtmp-worker join ffrtmp1_...       enrol this machine with the line that `ffrtmp keys invite` printed
  ffrtmp-worker join --replace LINE    enrol it anew, as after its key was revoked
  ffrtmp-worker                        run it
  ffrtmp-worker run --slots 4 --input-root /srv/media --output-root /srv/encoded
  ffrtmp-worker check                  say what this machine can encode, and whether it may start
  ffrtmp-worker recommend              encode for a few seconds and propose settings; -o json for scripts
  ffrtmp-worker probe clip.mp4         say what is in a file, as JSON; the same look that every output gets
  ffrtmp-worker score film.mkv out.mp4 say how close an output is to its source: VMAF, and PSNR and SSIM on request

exit codes: 0 stopped as asked, 2 wrong usage, 69 the master cannot be reached, 70 a fault of the program itself,
65 the file is no media or the two cannot be compared, 75 looking at it took too long,
77 the master refuses the invitation, 78 settings, key or tools cannot be used
"""


EXIT_CODES: Final[dict[type[Exception], int]] = {
    NotAnInvitation: 2,
    Unreachable: os.EX_UNAVAILABLE,
    AlreadyJoined: os.EX_CONFIG,
    EnrolError: os.EX_NOPERM,
    SettingsError: os.EX_CONFIG,
    KeyFileError: os.EX_CONFIG,
    ToolError: os.EX_CONFIG,
    ProbeError: os.EX_DATAERR,
    NotComparable: os.EX_DATAERR,
    ScoringFailed: os.EX_DATAERR,
    ToolTimeout: os.EX_TEMPFAIL,
    AlreadyRunning: os.EX_CONFIG,
    ExporterError: os.EX_CONFIG,
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--state", type=Path, metavar="DIR", help="folder of key, logs and unanswered results")
    common.add_argument("--config", type=Path, metavar="FILE", help="settings that win over those of the usual places")
    common.add_argument("--slots", type=int, metavar="N", help="jobs at once")
    common.add_argument("--metrics-port", type=int, metavar="PORT", help="TCP port of the metrics, 0 for any")
    common.add_argument("--input-root", action="append", metavar="DIR", help="folder that jobs may read; repeatable")
    common.add_argument("--output-root", metavar="DIR", help="folder that jobs may write")
    common.add_argument("--log-form", choices=["logfmt", "json"], help="how a log line looks")
    common.add_argument("--log-level", choices=["debug", "info", "warning", "error"], help="the least level written")
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog=PROGRAM,
        description="A worker of an ffrtmp cluster.",
        epilog=EXAMPLES,
        formatter_class=raw,
        parents=[common],
    )
    top.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = top.add_subparsers(dest="command", metavar="run | join | check | recommend | probe | score")
    commands.add_parser("run", help="run the worker (the default)", parents=[common])
    joining = commands.add_parser("join", help="enrol this machine with an invitation", parents=[common])
    joining.add_argument(
        "--replace",
        action="store_true",
        help="join anew where this machine has joined, as after its key was revoked; the old key and settings are kept",
    )
    joining.add_argument("line", metavar="LINE", help="what `ffrtmp keys invite NAME --role worker` printed")
    commands.add_parser("check", help="say what this machine can do and whether it may start", parents=[common])
    advising = commands.add_parser("recommend", help="measure this machine and propose settings", parents=[common])
    advising.add_argument("-o", "--output", choices=["toml", "json"], default="toml", help="form of the answer")
    probing = commands.add_parser("probe", help="say what is in a file, as JSON", parents=[common])
    probing.add_argument("file", metavar="FILE", help="the file to look at")
    add_parser(commands, common)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = vars(parser().parse_args(arguments))
    command = _COMMANDS[options.pop("command") or "run"]
    try:
        return command(options)
    except tuple(EXIT_CODES) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"{PROGRAM}: {where}{error.strerror or error}", file=sys.stderr)
        return os.EX_CONFIG


def _load_at_home(options: dict[str, Any]) -> tuple[Settings, Home]:
    """Return settings and folders, and be the user whose state folder it is: root leaves no files there."""
    settings, home = _load(options)
    become_owner(home.state)
    return settings, home


def _load(options: dict[str, Any]) -> tuple[Settings, Home]:
    flags = {
        "slots": ("worker", "slots"),
        "metrics_port": ("metrics", "port"),
        "input_root": ("media", "input_roots"),
        "output_root": ("media", "output_root"),
        "log_form": ("log", "form"),
        "log_level": ("log", "level"),
    }
    overrides: dict[str, dict[str, Any]] = {}
    for flag, (section, key) in flags.items():
        if flag in options:
            overrides.setdefault(section, {})[key] = options[flag]
    return read_settings(state=options.get("state"), config=options.get("config"), overrides=overrides)


# ── join ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _join(options: dict[str, Any]) -> int:
    _, home = _load_at_home(options)
    # Its files must not change under a worker that runs.
    with one_worker(home) if options["replace"] else nullcontext():
        enrolled = join(options["line"], home, replace=options["replace"])
    print(f"This machine is {enrolled.name} of the cluster {enrolled.cluster}. Its settings are in {home.state}.")
    if home.state == SYSTEM_STATE and any(path.exists() for path in STARTER):
        print(f"Its service starts by itself: systemctl status {PROGRAM}")
    else:
        print(f"Now run: {PROGRAM} run --state {home.state}")
    return os.EX_OK


# ── check ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check(options: dict[str, Any]) -> int:
    settings, home = _load_at_home(options)
    rows: list[tuple[str, str]] = [("state", str(home.state)), ("slots", str(settings.slots))]
    fatal: Exception | None = None
    try:
        own, _ = identity(settings, home)
        rows += [("master", settings.master.endpoint), ("key", fingerprint(own.public))]
    except (SettingsError, KeyFileError) as error:
        fatal = error
        rows.append(("key", f"cannot be used: {error}"))
    try:
        found = look(settings, home)
        tools, gstreamer, scorer, hardware = found.tools, found.gstreamer, found.scorer, found.hardware
        rows += [
            ("ffmpeg", f"{tools.ffmpeg} ({tools.ffmpeg_version})"),
            ("gstreamer", "-" if gstreamer is None else f"{gstreamer.python} ({gstreamer.version})"),
            ("probe", tools.ffprobe or "PyAV"),
            ("encoders", " ".join(hardware.encoders) or "none works"),
            ("scores", "nothing" if scorer is None else f"{' '.join(scorer.measures)} ({scorer.ffmpeg})"),
            ("gpus", ", ".join(gpu.name for gpu in hardware.gpus) or "-"),
        ]
    except ToolError as error:
        fatal = error
        rows.append(("ffmpeg", f"cannot be used: {error}"))
    meters = meters_of(settings)
    rows.append(("energy", meters.note))
    rows += [("unmetered", problem) for problem in meters.problems]
    limiter, _ = make_limiter(settings, f"check-{os.getpid()}")
    rows.append(("limits", limiter.note))
    if limiter.problems:
        rows.append(("no cgroup", lacking(limiter)))
    places = places_of(settings, home)
    rows += [("input", _folder(root, os.R_OK)) for root in places.input_roots]
    rows += [("output", _folder(root, os.W_OK)) for root in places.output_roots]
    for name, value in rows:
        print(f"{name:<9} {value}")
    return os.EX_OK if fatal is None else os.EX_CONFIG


def _folder(path: Path, access: int) -> str:
    if not path.is_dir():
        return f"{path} (not there)" if access == os.R_OK else f"{path} (not there; made at the first output)"
    return f"{path}" if os.access(path, access | os.X_OK) else f"{path} (no access)"


# ── probe ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _probe(options: dict[str, Any]) -> int:
    settings, _ = _load(options)
    tools = find_tools(settings.media.ffmpeg, settings.media.ffprobe)
    source = f"{FILE_PREFIX}{Path(options['file']).resolve(strict=True)}"
    looked = run_tool(probe_command(tools, source), timeout_s=PROBE_S)
    print(json.dumps(to_full(parse_probe(looked.stdout, tools)), indent=2))
    return os.EX_OK


# ── recommend ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _recommend(options: dict[str, Any]) -> int:
    settings, home = _load_at_home(options)
    found = look(settings, home)
    hardware = found.hardware
    trial = measure(found.tools, hardware, LoadMeter(places_of(settings, home).output_roots[0]).read)
    advice = advise(trial, cpu_count=hardware.cpu_count or 1, ram_bytes=hardware.ram_total_bytes or 0)
    if options["output"] == "json":
        print(json.dumps(as_plain(advice, trial, hardware), indent=2))
    else:
        print(as_toml(advice, trial, hardware), end="")
    return os.EX_OK


# ── score ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _score(options: dict[str, Any]) -> int:
    settings, _ = _load(options)
    tools = find_tools(settings.media.ffmpeg, settings.media.ffprobe)
    print(shown(compare(tools, options, scorer_setting=settings.media.scorer), options["format"]))
    return os.EX_OK


# ── run ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _run(options: dict[str, Any]) -> int:
    settings, home = _load_at_home(options)
    log = Logger(form=settings.log.form, level=settings.log.level)
    own, server_public = identity(settings, home)
    with ExitStack() as stack:
        stack.enter_context(one_worker(home))
        bell = Bell()
        stack.callback(bell.close)
        stack.enter_context(bell.on_signals())
        daemon = build(settings, home, own, server_public, log=log, bell=bell, closing=stack)
        calm_collector()
        with CrashReport(log):
            daemon.run()
    log.info("stopped")
    return os.EX_OK


_COMMANDS: Final = {
    "run": _run,
    "join": _join,
    "check": _check,
    "recommend": _recommend,
    "probe": _probe,
    "score": _score,
}


if __name__ == "__main__":
    sys.exit(main())

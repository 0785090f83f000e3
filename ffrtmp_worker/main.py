"""The command ``ffrtmp-worker``: wiring, and what it says when it cannot start."""

import argparse
import fcntl
import hashlib
import json
import os
import random
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ffrtmp_worker.agent import Agent
from ffrtmp_worker.cgroup_search import find
from ffrtmp_worker.config import Home, Settings, read_settings
from ffrtmp_worker.daemon import Daemon
from ffrtmp_worker.egress import Egress
from ffrtmp_worker.encoder_sessions import EncoderSessions
from ffrtmp_worker.encoders import prove, render_node
from ffrtmp_worker.enrol import AlreadyJoined, NotAnInvitation, join
from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.gstreamer_engine import GstreamerEngine, find_gstreamer
from ffrtmp_worker.hardware import LoadMeter, read_gpus, read_hardware, usable_cpus
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.link import EnrolError, Unreachable
from ffrtmp_worker.logbook import Logbook
from ffrtmp_worker.meters import Meters, find_meters
from ffrtmp_worker.metrics import PORT
from ffrtmp_worker.places import FILE_PREFIX, Places
from ffrtmp_worker.probe import ProbeError, parse_probe, probe_command
from ffrtmp_worker.process import Child, ToolTimeout, kill_marked, run_tool
from ffrtmp_worker.quality import NotComparable, ScoringFailed
from ffrtmp_worker.reach import Hosts, bad_entries
from ffrtmp_worker.recommend import advise, as_plain, as_toml, measure
from ffrtmp_worker.recorder import Recorder
from ffrtmp_worker.room import Room
from ffrtmp_worker.sampler import Sampler
from ffrtmp_worker.score_command import add_parser, compare, shown
from ffrtmp_worker.scorer import Scorer
from ffrtmp_worker.scorers import find_scorer
from ffrtmp_worker.sources import SourceCache
from ffrtmp_worker.spool import Spool
from ffrtmp_worker.staging import PartialNotes
from ffrtmp_worker.steps import Workshop
from ffrtmp_worker.tools import ToolError, Tools, find_tools
from ffrtmpd import __version__
from ffrtmpd.base.exporter import ExporterError, serve
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.service import Bell, CrashReport
from ffrtmpd.base.settings import SettingsError
from ffrtmpd.wire.curve import KeyFileError, KeyPair, fingerprint, is_key, make_private_folder, read_key_file
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.schema import to_full
from ffrtmpd.wire.vocabulary import Engine

PROGRAM: Final = "ffrtmp-worker"
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


class AlreadyRunning(Exception):
    """Another worker uses the same state folder."""


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
    _, home = _load(options)
    # Its files must not change under a worker that runs.
    with _one_worker(home) if options["replace"] else nullcontext():
        enrolled = join(options["line"], home, replace=options["replace"])
    print(f"This machine is {enrolled.name} of the cluster {enrolled.cluster}. Its settings are in {home.state}.")
    print(f"Now run: {PROGRAM} run --state {home.state}")
    return os.EX_OK


# ── check ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check(options: dict[str, Any]) -> int:
    settings, home = _load(options)
    rows: list[tuple[str, str]] = [("state", str(home.state)), ("slots", str(settings.slots))]
    fatal: Exception | None = None
    try:
        own, _ = _identity(settings, home)
        rows += [("master", settings.master.endpoint), ("key", fingerprint(own.public))]
    except (SettingsError, KeyFileError) as error:
        fatal = error
        rows.append(("key", f"cannot be used: {error}"))
    try:
        found = _look(settings, home)
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
    meters = _meters(settings)
    rows.append(("energy", meters.note))
    rows += [("unmetered", problem) for problem in meters.problems]
    limiter, _ = _limiter(settings, f"check-{os.getpid()}")
    rows.append(("limits", limiter.note))
    if limiter.problems:
        rows.append(("no cgroup", _lacking(limiter)))
    places = _places(settings, home)
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
    settings, home = _load(options)
    found = _look(settings, home)
    hardware = found.hardware
    trial = measure(found.tools, hardware, LoadMeter(_places(settings, home).output_roots[0]).read)
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
    settings, home = _load(options)
    log = Logger(form=settings.log.form, level=settings.log.level)
    own, server_public = _identity(settings, home)
    with ExitStack() as stack:
        stack.enter_context(_one_worker(home))
        bell = Bell()
        stack.callback(bell.close)
        stack.enter_context(bell.on_signals())
        daemon = _daemon(settings, home, own, server_public, log=log, bell=bell, closing=stack)
        with CrashReport(log):
            daemon.run()
    log.info("stopped")
    return os.EX_OK


def _daemon(
    settings: Settings,
    home: Home,
    own: KeyPair,
    server_public: str,
    *,
    log: Logger,
    bell: Bell,
    closing: ExitStack,
) -> Daemon:
    # The same folder and key are the same worker; two workers of one machine must not kill each other's children.
    mark = hashlib.sha256(f"{own.public}:{home.state.resolve()}".encode()).hexdigest()[:16]
    orphans = kill_marked(mark)
    limiter, groups = _limiter(settings, mark)
    found = _look(settings, home)
    tools, gstreamer, hardware = found.tools, found.gstreamer, found.hardware
    spool = Spool(home.spool)
    notes = PartialNotes(home.partials)
    logbook = Logbook(home.logs, kept_bytes=settings.limits.logs_bytes)
    home.work.mkdir(parents=True, exist_ok=True)
    entries = [(entry, entry.fate()) for entry in spool.load()]
    leftovers = notes.remove_leftovers(keep=[Path(entry.partial) for entry, _ in entries if entry.partial is not None])
    logbook.trim()
    places = _places(settings, home)
    egress = Egress(Hosts(places.hosts), upstream=os.environ)
    closing.callback(egress.close)
    shop = Workshop(
        tools=tools,
        encoders=tuple(name for name in hardware.encoders if ENCODERS[name].engine is Engine.FFMPEG),
        places=places,
        sources=SourceCache(home.sources, settings.media.source_cache_bytes),
        render_node=render_node(),
        environment={**environment(os.environ), **egress.environment},
        room=Room(settings.limits.min_free_disk_bytes),
        more_engines=() if gstreamer is None else (gstreamer,),
        scorer=found.scorer,
        # Comparisons of all slots share the processors.
        scoring_threads=max(1, usable_cpus() // max(1, settings.slots)),
        hashes=settings.provenance.hash,
        sessions=EncoderSessions(settings.worker.encoder_sessions),
    )
    meters = _meters(settings)
    energy = Sampler(
        meters,
        idle_w=settings.energy.idle_watts,
        sample_s=settings.energy.sample_s,
        memory=home.idle_power,
        log=log,
    )
    agent = Agent(
        boot_id=secrets.token_hex(16),
        slots=settings.slots,
        hardware=hardware,
        recipes=shop.recipe,
        load=LoadMeter(places.output_roots[0], energy.power_watts).read,
        # Spreads workers that all lost the same master; nothing secret.
        random=random.random,
        limits=settings.attempt_limits,
        spooled=entries,
        price_per_kwh=settings.energy.price_per_kwh,
    )
    log.info(
        "started",
        version=__version__,
        master=settings.master.endpoint,
        key=fingerprint(own.public),
        slots=settings.slots,
        encoders=",".join(hardware.encoders),
        scores=",".join(hardware.scorers) or None,
        ffmpeg=tools.ffmpeg_version,
        energy=meters.note,
        gstreamer=None if gstreamer is None else gstreamer.version,
        limits=limiter.note,
        no_cgroup=_lacking(limiter) or None,
        unanswered=len(entries) or None,
        orphans_killed=orphans or None,
        groups_removed=groups or None,
        leftovers_removed=len(leftovers) or None,
    )
    for problem in meters.problems:
        log.warning("energy_not_metered", reason=problem)
    recorder = Recorder(
        agent,
        hardware=hardware,
        slots=settings.slots,
        energy=energy,
        min_free_disk_bytes=settings.limits.min_free_disk_bytes,
    )
    exporter = serve(settings.metrics, usual_port=PORT, collector=recorder.metrics, unready=recorder.unready, log=log)
    if exporter is not None:
        closing.callback(exporter.close)
    return Daemon(
        agent,
        endpoint=settings.master.endpoint,
        own=own,
        server_public=server_public,
        spool=spool,
        notes=notes,
        logbook=logbook,
        work=home.work,
        mark=mark,
        log=log,
        bell=bell,
        limiter=limiter,
        energy=energy,
        recorder=recorder,
    )


def _meters(settings: Settings) -> Meters:
    return find_meters(Path(settings.energy.powercap))


def _limiter(settings: Settings, mark: str) -> tuple[Limiter, int]:
    """Return what puts children under limits, and how many groups of an earlier life were removed."""
    tried = Child(("sleep", "60"), env=environment(os.environ), cwd="/", mark=mark)
    try:
        found = find(prefix=f"ffrtmp-{mark}.", pid=tried.pid, bounds=settings.bounds)
    finally:
        tried.close()
    limiter = Limiter(bounds=settings.bounds, nice=settings.limits.nice, cgroups=found.cgroups, problems=found.problems)
    return limiter, 0 if found.cgroups is None else found.cgroups.sweep()


def _lacking(limiter: Limiter) -> str:
    return "; ".join(f"{controller}: {why}" for controller, why in limiter.problems.items())


def _identity(settings: Settings, home: Home) -> tuple[KeyPair, str]:
    """Return this worker's key pair and the master's public key."""
    master = settings.master
    if not master.endpoint or not master.server_key:
        raise SettingsError(
            f"this worker has not joined a cluster: on the master run `ffrtmp keys invite NAME --role worker`, "
            f"here `{PROGRAM} join LINE --state {home.state}`"
        )
    if not is_key(master.server_key):
        raise SettingsError("master.server_key is not a key of 40 characters")
    if not master.endpoint.startswith("tcp://"):
        raise SettingsError(f"master.endpoint: {master.endpoint!r} must look like tcp://host:5570")
    return read_key_file(home.state / master.key), master.server_key


def _places(settings: Settings, home: Home) -> Places:
    media = settings.media
    wrong = bad_entries(media.url_hosts)
    if wrong:
        raise SettingsError(f"media.url_hosts: {wrong[0]!r} is no network; one looks like 10.0.0.0/8")
    return Places(
        input_roots=tuple(Path(root) for root in media.input_roots),
        output_roots=(home.output if media.output_root is None else Path(media.output_root),),
        schemes=media.url_schemes,
        hosts=media.url_hosts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What this node has to work with."""

    tools: Tools
    gstreamer: GstreamerEngine | None
    scorer: Scorer | None
    hardware: Hardware


def _look(settings: Settings, home: Home) -> Found:
    """Look for the programs and try what they can do. Blocks, for some seconds at the first time."""
    tools = find_tools(settings.media.ffmpeg, settings.media.ffprobe)
    gpus = read_gpus()
    make_private_folder(home.state)
    encoders = prove(tools, cache=home.proofs, driver=gpus.driver, node=render_node())
    gstreamer = find_gstreamer(
        settings.media.gstreamer_python,
        environment=environment(os.environ),
        registry=home.gstreamer_registry,
        cache=home.gstreamer_proofs,
    )
    more = () if gstreamer is None else gstreamer.encoders
    scorer = find_scorer(tools, settings.media.scorer)
    hardware = read_hardware(
        tools,
        encoders=(*encoders, *more),
        gpus=gpus,
        program_version=__version__,
        engines=(Engine.FFMPEG,) if gstreamer is None else (Engine.FFMPEG, Engine.GSTREAMER),
        scorers=() if scorer is None else scorer.measures,
        encoder_sessions=settings.worker.encoder_sessions,
    )
    return Found(tools=tools, gstreamer=gstreamer, scorer=scorer, hardware=hardware)


@contextmanager
def _one_worker(home: Home) -> Iterator[None]:
    make_private_folder(home.state)
    with home.lock.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"another worker runs in {home.state}: stop it, or give this one a folder of its own with --state"
            ) from None
        yield


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

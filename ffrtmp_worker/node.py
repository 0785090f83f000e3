"""What this node has to work with, found by looking and trying, and who it is."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ffrtmp_worker.cgroup_search import find
from ffrtmp_worker.config import Home, Settings
from ffrtmp_worker.encoders import prove, render_node
from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.gstreamer_engine import GstreamerEngine, find_gstreamer
from ffrtmp_worker.hardware import read_gpus, read_hardware
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.meters import Meters, find_meters
from ffrtmp_worker.places import Places
from ffrtmp_worker.process import Child
from ffrtmp_worker.reach import bad_entries
from ffrtmp_worker.scorer import Scorer
from ffrtmp_worker.scorers import find_scorer
from ffrtmp_worker.tools import Tools, find_tools
from ffrtmpd import __version__
from ffrtmpd.base.service import credential
from ffrtmpd.base.settings import SettingsError
from ffrtmpd.wire.curve import KeyPair, is_key, make_private_folder, read_key_file
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.vocabulary import Engine

PROGRAM: Final = "ffrtmp-worker"
# A key that systemd hands over goes before the one in the state folder.
KEY_CREDENTIAL: Final = "ffrtmp-worker.key"


class AlreadyRunning(Exception):
    """Another worker uses the same state folder."""


def meters_of(settings: Settings) -> Meters:
    """Return the meters of this node."""
    return find_meters(Path(settings.energy.powercap))


def make_limiter(settings: Settings, mark: str) -> tuple[Limiter, int]:
    """Return what puts children under limits, and how many groups of an earlier life were removed."""
    tried = Child(("sleep", "60"), env=environment(os.environ), cwd="/", mark=mark)
    try:
        found = find(prefix=f"ffrtmp-{mark}.", pid=tried.pid, bounds=settings.bounds)
    finally:
        tried.close()
    limiter = Limiter(bounds=settings.bounds, nice=settings.limits.nice, cgroups=found.cgroups, problems=found.problems)
    return limiter, 0 if found.cgroups is None else found.cgroups.sweep()


def lacking(limiter: Limiter) -> str:
    """Return what no control group limits here, and why."""
    return "; ".join(f"{controller}: {why}" for controller, why in limiter.problems.items())


def identity(settings: Settings, home: Home) -> tuple[KeyPair, str]:
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
    return read_key_file(credential(KEY_CREDENTIAL) or home.state / master.key), master.server_key


def places_of(settings: Settings, home: Home) -> Places:
    """Return where jobs may read and write."""
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


def look(settings: Settings, home: Home) -> Found:
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
    engines = [Engine.FFMPEG]
    if gstreamer is not None:
        engines.append(Engine.GSTREAMER)
    if settings.benchmarks.null_engine:
        engines.append(Engine.NULL)
    scorer = find_scorer(tools, settings.media.scorer)
    hardware = read_hardware(
        tools,
        encoders=(*encoders, *more),
        gpus=gpus,
        program_version=__version__,
        engines=engines,
        scorers=() if scorer is None else scorer.measures,
        encoder_sessions=settings.worker.encoder_sessions,
    )
    return Found(tools=tools, gstreamer=gstreamer, scorer=scorer, hardware=hardware)


@contextmanager
def one_worker(home: Home) -> Iterator[None]:
    """Hold the lock of the state folder.

    Raises:
        AlreadyRunning: another worker has it.
    """
    make_private_folder(home.state)
    with home.lock.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"another worker runs in {home.state}: stop it, or give this one a folder of its own with --state"
            ) from None
        yield

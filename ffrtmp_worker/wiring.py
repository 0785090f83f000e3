"""Puts the parts of a worker together."""

import hashlib
import os
import random
import secrets
from contextlib import ExitStack
from pathlib import Path

from ffrtmp_worker.agent import Agent
from ffrtmp_worker.appraisal import SHA256
from ffrtmp_worker.config import Home, Settings
from ffrtmp_worker.daemon import Daemon
from ffrtmp_worker.egress import Egress
from ffrtmp_worker.encoder_sessions import EncoderSessions
from ffrtmp_worker.encoders import render_node
from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.forker import Forker
from ffrtmp_worker.hardware import LoadMeter, usable_cpus
from ffrtmp_worker.logbook import Logbook
from ffrtmp_worker.metrics import PORT
from ffrtmp_worker.node import lacking, look, make_limiter, meters_of, places_of
from ffrtmp_worker.probe import PROBE_AV
from ffrtmp_worker.process import kill_marked
from ffrtmp_worker.reach import Hosts
from ffrtmp_worker.recorder import Recorder
from ffrtmp_worker.room import Room
from ffrtmp_worker.sampler import Sampler
from ffrtmp_worker.sources import SourceCache
from ffrtmp_worker.spool import Spool
from ffrtmp_worker.staging import PartialNotes
from ffrtmp_worker.steps import Workshop
from ffrtmpd import __version__
from ffrtmpd.base.exporter import serve
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.service import Bell, Watchdog
from ffrtmpd.wire.curve import KeyPair, fingerprint
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.vocabulary import Engine


def build(
    settings: Settings,
    home: Home,
    own: KeyPair,
    server_public: str,
    *,
    log: Logger,
    bell: Bell,
    closing: ExitStack,
) -> Daemon:
    """Return the daemon of a worker, its children of an earlier life killed; ``closing`` closes what is beside it."""
    # The same folder and key are the same worker; two workers of one machine must not kill each other's children.
    mark = hashlib.sha256(f"{own.public}:{home.state.resolve()}".encode()).hexdigest()[:16]
    orphans = kill_marked(mark)
    limiter, groups = make_limiter(settings, mark)
    found = look(settings, home)
    tools, gstreamer, hardware = found.tools, found.gstreamer, found.hardware
    spool = Spool(home.spool)
    notes = PartialNotes(home.partials)
    logbook = Logbook(home.logs, kept_bytes=settings.limits.logs_bytes)
    home.work.mkdir(parents=True, exist_ok=True)
    entries = [(entry, entry.fate()) for entry in spool.load()]
    leftovers = notes.remove_leftovers(keep=[Path(entry.partial) for entry, _ in entries if entry.partial is not None])
    logbook.trim()
    places = places_of(settings, home)
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
        null=settings.benchmarks.null_engine,
    )
    forker = Forker(
        (*((PROBE_AV,) if tools.ffprobe is None else ()), *((SHA256,) if shop.hashes else ())),
        python=tools.python,
        env=shop.environment,
        cwd=str(home.work),
        mark=mark,
        limiter=limiter,
        log=log,
    )
    closing.callback(forker.close)
    meters = meters_of(settings)
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
        no_cgroup=lacking(limiter) or None,
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
        forker=forker,
        energy=energy,
        recorder=recorder,
        watchdog=Watchdog(),
    )

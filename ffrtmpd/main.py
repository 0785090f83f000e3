"""The command ``ffrtmpd``: wiring, and what it says when it cannot start."""

import argparse
import getpass
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import zmq

from ffrtmpd import __version__, backup_command, import_command
from ffrtmpd.auth import DoorOpen, ZapDoor, prove_closed
from ffrtmpd.base.collector import calm_collector
from ffrtmpd.base.exporter import ExporterError, serve
from ffrtmpd.base.logs import LogForm, Logger, LogLevel
from ffrtmpd.base.owner import other_owner
from ffrtmpd.base.service import Bell, CrashReport, Watchdog
from ffrtmpd.base.settings import SettingsError
from ffrtmpd.broker.broker import Broker
from ffrtmpd.config import (
    Places,
    Settings,
    broker_settings,
    check_name,
    current_home,
    endpoint,
    load_settings,
    local_host,
    places,
    scenario_files,
    settings_files,
)
from ffrtmpd.daemon import Daemon
from ffrtmpd.events import Side
from ffrtmpd.initialise import Client, InitError, Step, client_folder, first_start, initialise, write_settings
from ffrtmpd.listener import Listener, PortTaken
from ffrtmpd.metrics import PORT, MasterMetrics
from ffrtmpd.principals import Principals
from ffrtmpd.recorder import Recorder
from ffrtmpd.scenario import load_scenarios
from ffrtmpd.store import SQLITE, BackupTargetError, NotOurs, Store, StoreError
from ffrtmpd.wire.curve import KeyFileError, KeyPair, fingerprint, make_private_folder, read_key_file

EXIT_CODES: Final[dict[type[Exception], int]] = {
    PortTaken: os.EX_UNAVAILABLE,
    ExporterError: os.EX_UNAVAILABLE,
    SettingsError: os.EX_CONFIG,
    KeyFileError: os.EX_CONFIG,
    BackupTargetError: os.EX_CANTCREAT,
    NotOurs: os.EX_DATAERR,
    StoreError: os.EX_CONFIG,
    InitError: os.EX_CONFIG,
    DoorOpen: os.EX_SOFTWARE,
}
EXAMPLES: Final = """\
examples:
  ffrtmpd init                       make keys, database and settings, and a context for you
  ffrtmpd                            run the master
  ffrtmpd --config /srv/ffrtmpd.toml check-config
  ffrtmpd run --address '*'          listen on every address, once; set listen.address to keep it
  ffrtmpd backup /backup/master.db   copy the database while the master runs
  ffrtmpd import-db /srv/old.db      take over the jobs of ffmpeg-rtmp, the Go project

exit codes: 0 stopped as asked, 2 wrong usage, 65 what is to be imported is not what it should be, 69 a port is in use,
73 a backup cannot be written there, 78 settings, key or database cannot be used, 70 a fault of the program itself
"""
INIT_EXAMPLES: Final = """\
examples:
  ffrtmpd init
  ffrtmpd init --name studio --admin anna
  FFRTMPD_HOME=/srv/ffrtmp ffrtmpd init --address '*'

Nothing that exists is changed. Run it as the user that shall run the master.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--home", type=Path, metavar="DIR", help="folder of keys and database (or $FFRTMPD_HOME)")
    common.add_argument("--config", type=Path, metavar="FILE", help="settings that win over those of the usual places")
    listen = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    listen.add_argument("--address", help="address to listen on, * for all")
    listen.add_argument("--workers-port", type=int, metavar="PORT", help="TCP port for workers, 0 for any")
    listen.add_argument("--clients-port", type=int, metavar="PORT", help="TCP port for clients, 0 for any")
    log = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    log.add_argument("--metrics-port", type=int, metavar="PORT", help="TCP port of the metrics, 0 for any")
    log.add_argument("--log-form", choices=[form.value for form in LogForm], help="how a log line looks")
    log.add_argument("--log-level", choices=[level.value for level in LogLevel], help="the least level written")

    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="ffrtmpd",
        description="The master of an ffrtmp cluster.",
        epilog=EXAMPLES,
        formatter_class=raw,
        parents=[common, listen, log],
    )
    top.add_argument("--version", action="version", version=f"ffrtmpd {__version__}")
    commands = top.add_subparsers(dest="command", metavar="run | init | check-config | backup | import-db")
    commands.add_parser("run", help="run the master (the default)", parents=[common, listen, log])
    commands.add_parser("check-config", help="say whether the settings can be used", parents=[common, listen, log])
    init = commands.add_parser(
        "init",
        help="make keys, database and settings",
        epilog=INIT_EXAMPLES,
        formatter_class=raw,
        parents=[common, listen],
        argument_default=argparse.SUPPRESS,
    )
    init.add_argument("--name", metavar="CLUSTER", help="name of the cluster, and of your context")
    init.add_argument("--admin", metavar="NAME", help="name of the first administrator: you")
    init.add_argument(
        "--first-start",
        action="store_true",
        help="what the service does before it starts: keys, a database and an administrator where there are none",
    )
    init.add_argument("--client-config", type=Path, metavar="DIR", help="folder of your context (~/.config/ffrtmp)")
    copy = commands.add_parser(
        "backup",
        help="copy the database, also of a running master",
        epilog=backup_command.EXAMPLES,
        formatter_class=raw,
        parents=[common],
        argument_default=argparse.SUPPRESS,
    )
    copy.add_argument("file", type=Path, metavar="FILE", help="the copy; a name that is not taken yet")
    bring = commands.add_parser(
        "import-db",
        help="take over the jobs of ffmpeg-rtmp, the Go project",
        epilog=import_command.EXAMPLES,
        formatter_class=raw,
        parents=[common],
        argument_default=argparse.SUPPRESS,
    )
    bring.add_argument("file", type=Path, metavar="FILE", help="its master's SQLite database; it is only read")
    bring.add_argument("--dry-run", action="store_true", help="say what would be imported, and change nothing")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = vars(parser().parse_args(arguments))
    command = _COMMANDS[options.pop("command") or "run"]
    try:
        return command(options)
    except tuple(EXIT_CODES) as error:
        print(f"ffrtmpd: {error}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))


def _home(options: dict[str, Any]) -> Path:
    home: Path | None = options.get("home")
    return current_home() if home is None else home.expanduser().absolute()


_FLAGS: Final = {
    "address": ("listen", "address"),
    "workers_port": ("listen", "workers_port"),
    "clients_port": ("listen", "clients_port"),
    "metrics_port": ("metrics", "port"),
    "log_form": ("log", "form"),
    "log_level": ("log", "level"),
    "name": ("cluster", "name"),
}


def _load(options: dict[str, Any]) -> tuple[Settings, Places]:
    home = _home(options)
    overrides: dict[str, dict[str, Any]] = {}
    for flag, (section, key) in _FLAGS.items():
        if flag in options:
            overrides.setdefault(section, {})[key] = options[flag]
    settings = load_settings(settings_files(home, options.get("config")), overrides)
    return settings, places(home, settings)


# ── init ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _init(options: dict[str, Any]) -> int:
    home = _home(options)
    _refuse_root_elsewhere(home, "init")
    if "first_start" in options:
        return _first_start(home, options)
    admin = options.get("admin") or getpass.getuser()
    check_name(admin, "--admin")
    # Before anything is written: what was asked for must make sense together with the files that are there.
    _load(options)
    chosen = {place: options[flag] for flag, place in _FLAGS.items() if flag in options}
    written = write_settings(home, chosen)
    settings, where = _load({key: value for key, value in options.items() if key in ("home", "config")})
    for (section, key), value in chosen.items():
        found = getattr(getattr(settings, section), key)
        if found != value:
            raise InitError(
                f"{section}.{key} is {found} already, not {value}: leave the flag out, change it in {written.where}, "
                "or choose another --home"
            )
    folder = options.get("client_config")
    client = Client(
        folder=client_folder(os.environ) if folder is None else folder.expanduser().absolute(),
        context=settings.cluster.name,
    )
    steps = [written, *initialise(where, settings, client, admin=admin, wall_s=time.time())]
    _tell(steps)
    return os.EX_OK


def _first_start(home: Path, options: dict[str, Any]) -> int:
    settings, where = _load(options)
    folder = options.get("client_config")
    client = Client(
        folder=home / ".config/ffrtmp" if folder is None else folder.expanduser().absolute(),
        context=settings.cluster.name,
    )
    admin = options.get("admin") or getpass.getuser()
    for step in first_start(where, settings, client, admin=admin, wall_s=time.time()):
        print(f"made  {step.what}  {step.where}")
    return os.EX_OK


def _refuse_root_elsewhere(home: Path, command: str) -> None:
    owner = other_owner(home)
    if owner is not None:
        raise SettingsError(f"{home} belongs to the user {owner}: say `sudo -u {owner} ffrtmpd {command}`")


def _tell(steps: list[Step]) -> None:
    width = max(len(step.what) for step in steps)
    for step in steps:
        print(f"{'made ' if step.made else 'there'}  {step.what:<{width}}  {step.where}")
    if not any(step.made for step in steps):
        print("\nAll of it was there; nothing was changed.")
        return
    print("\nNow run `ffrtmpd`, and in another terminal `ffrtmp ping`.")


# ── check-config ──────────────────────────────────────────────────────────────────────────────────────────────────


def _check_config(options: dict[str, Any]) -> int:
    settings, where = _load(options)
    scenarios = load_scenarios(scenario_files(where.scenario_files))
    for file in settings_files(where.home, options.get("config")):
        print(f"settings   {file}{'' if file.exists() else ' (not there)'}")
    print(f"database   {where.database}{'' if where.database.exists() else ' (not there: run ffrtmpd init)'}")
    print(f"key        {where.key_file} {fingerprint(_master_key(where).public)}")
    print(f"scenarios  {len(scenarios.names())}")
    listen = settings.listen
    print(f"workers    {endpoint(listen.address, listen.workers_port)}")
    print(f"clients    {endpoint(listen.address, listen.clients_port)}")
    print("The settings can be used.")
    return os.EX_OK


def _master_key(where: Places) -> KeyPair:
    if not where.key_file.exists():
        raise KeyFileError(f"there is no key {where.key_file}: run ffrtmpd init")
    return read_key_file(where.key_file)


# ── backup ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _backup(options: dict[str, Any]) -> int:
    _, where = _load(options)
    print(backup_command.run(where.database, options["file"]))
    return os.EX_OK


# ── import-db ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _import_db(options: dict[str, Any]) -> int:
    settings, where = _load({key: value for key, value in options.items() if key in ("home", "config")})
    _refuse_root_elsewhere(where.home, "import-db")
    report = import_command.run(
        where.database,
        load_scenarios(scenario_files(where.scenario_files)),
        options["file"],
        kept=settings.retention.seconds(),
        dry_run="dry_run" in options,
    )
    print("\n".join(report.lines(options["file"], dry_run="dry_run" in options)))
    return 1 if report.refused else os.EX_OK


# ── run ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _run(options: dict[str, Any]) -> int:
    settings, where = _load(options)
    _refuse_root_elsewhere(where.home, "run")
    log = Logger(form=settings.log.form, level=settings.log.level)
    scenarios = load_scenarios(scenario_files(where.scenario_files))
    key = _master_key(where)
    with ExitStack() as stack:
        stack.enter_context(CrashReport(log, *EXIT_CODES))
        bell = Bell()
        stack.callback(bell.close)
        stack.enter_context(bell.on_signals())
        _allow_connections()
        store = Store.open(where.database)
        stack.callback(store.close)
        if store.upgrade is not None:
            log.info("schema_changed", was=store.upgrade.was, now=store.upgrade.now, copy=str(store.upgrade.copy))
        principals = Principals(store.principals())

        context: zmq.Context[Any] = zmq.Context()
        stack.callback(context.term)
        listener = Listener(context, ZapDoor(context, principals, log=log), secret=key.secret)
        stack.callback(listener.close)
        ports = _bind(listener, settings)
        host = local_host(settings.listen.address)
        reachable = {side: endpoint(host, port) for side, port in ports.items()}
        prove_closed(context, listener.door, reachable, server_public=key.public)

        broker = Broker(
            store=store,
            principals=principals,
            scenarios=scenarios,
            settings=broker_settings(
                settings,
                version=__version__,
                server_public=key.public,
                workers_port=ports[Side.WORKERS],
                clients_port=ports[Side.CLIENTS],
            ),
        )
        metrics = MasterMetrics(version=__version__, sqlite=SQLITE)
        recorder = Recorder(broker, metrics)
        exporter = serve(settings.metrics, usual_port=PORT, collector=metrics, unready=recorder.unready, log=log)
        if exporter is not None:
            stack.callback(exporter.close)
        daemon = Daemon(
            listener=listener,
            brain=broker,
            ledger=store,
            bell=bell,
            log=log,
            recorder=recorder,
            watchdog=Watchdog(),
        )
        stack.enter_context(_Announced(where, reachable, key.public))
        log.info(
            "listening",
            cluster=settings.cluster.name,
            address=settings.listen.address,
            workers_port=ports[Side.WORKERS],
            clients_port=ports[Side.CLIENTS],
            key=fingerprint(key.public),
            version=__version__,
        )
        calm_collector()
        daemon.run()
        log.info("stopped")
    return os.EX_OK


def _allow_connections() -> None:
    """Raise the soft limit on descriptors: every peer is one, and the usual 1,024 would keep a large cluster out."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bind(listener: Listener, settings: Settings) -> dict[Side, int]:
    listen = settings.listen
    return {
        Side.WORKERS: listener.bind(Side.WORKERS, endpoint(listen.address, listen.workers_port)),
        Side.CLIENTS: listener.bind(Side.CLIENTS, endpoint(listen.address, listen.clients_port)),
    }


class _Announced:
    """Keeps a file with the running master's endpoints, for programs of this machine that start beside it."""

    def __init__(self, where: Places, reachable: dict[Side, str], server_key: str) -> None:
        self._path = where.endpoints_file
        self._says = {side.value: at for side, at in reachable.items()} | {
            "server_key": server_key,
            "pid": os.getpid(),
        }

    def __enter__(self) -> None:
        make_private_folder(self._path.parent)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._says) + "\n", encoding="utf-8")
        fresh.replace(self._path)

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


_COMMANDS: Final = {
    "run": _run,
    "init": _init,
    "check-config": _check_config,
    "backup": _backup,
    "import-db": _import_db,
}


if __name__ == "__main__":
    sys.exit(main())

"""The master's settings: what can be set, where files are looked for, and which values do not go together."""

import ipaddress
import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from ffrtmpd.base.logs import LogSection
from ffrtmpd.base.metrics_settings import MetricsSection
from ffrtmpd.base.owner import is_own
from ffrtmpd.base.service import credential
from ffrtmpd.base.settings import SettingsError, load, sample
from ffrtmpd.broker.settings import BrokerSettings, Retention, Terms
from ffrtmpd.sla import SlaSettings
from ffrtmpd.wire.schema import Range, Size
from ffrtmpd.wire.vocabulary import CLIENTS_PORT, HEARTBEAT_S, NAME, NAME_RULE, SILENT_BEATS, WORKERS_PORT, Queue

SYSTEM_FOLDER: Final = Path("/etc/ffrtmp")
SYSTEM_HOME: Final = Path("/var/lib/ffrtmp")
FILE_NAME: Final = "ffrtmpd.toml"
FOLDER_NAME: Final = "ffrtmpd.d"
SCENARIOS_NAME: Final = "scenarios.toml"
# A key that systemd hands over goes before the one in the home folder.
KEY_CREDENTIAL: Final = "ffrtmpd.master.key"
HOME_VARIABLE: Final = "FFRTMPD_HOME"
PORT: Final = Range(0, 65_535)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)
_ANYWHERE: Final = ("*", "0.0.0.0", "::")  # noqa: S104 - recognised here, bound only when an operator asks for it


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSection:
    """Names."""

    name: Annotated[str, "name of the cluster: letters, digits, dot, dash and underscore", Size(1, 64)] = "ffrtmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSection:
    """Sockets. Nothing outside this machine can reach the master before somebody asks for it here."""

    address: Annotated[str, "address to listen on; `*` for every one of this machine", Size(1, 253)] = "127.0.0.1"
    workers_port: Annotated[int, "TCP port for workers; 0 lets the system choose", PORT] = WORKERS_PORT
    clients_port: Annotated[int, "TCP port for clients; 0 lets the system choose", PORT] = CLIENTS_PORT
    advertise: Annotated[str, "host that invitations name; empty: the address, or this host's name", Size(0, 253)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSection:
    """The database."""

    path: Annotated[str, "database file, from the home folder", Size(1, 4_096)] = "master.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSection:
    """The master's own key."""

    folder: Annotated[str, "folder of master.key, from the home folder", Size(1, 4_096)] = "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSection:
    """Terms of one queue's live pushes."""

    fence_s: Annotated[float | None, "seconds for this queue, as in [sessions]; not set: the same as there"] = None
    give_away_s: Annotated[float | None, "seconds for this queue, as in [sessions]; not set: the same as there"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsSection:
    """When a silent worker loses its jobs."""

    heartbeat_s: Annotated[
        float, "seconds between heartbeats; a node that misses three is offline", Range(0.05, 60)
    ] = HEARTBEAT_S
    lost_after_s: Annotated[float, "seconds of silence after which a job that writes a file is queued anew"] = 60.0
    fence_s: Annotated[float, "seconds without the master after which a worker stops a live push by itself"] = 10.0
    kill_grace_s: Annotated[float, "seconds that stopping a live push may take", Range(0, 60)] = 2.0
    give_away_s: Annotated[float, "seconds of silence after which a live push is given to another node"] = 15.0
    live: Annotated[QueueSection, "live pushes of the queue live"] = field(default_factory=QueueSection)
    default: Annotated[QueueSection, "live pushes of the queue default"] = field(default_factory=QueueSection)
    batch: Annotated[QueueSection, "live pushes of the queue batch"] = field(default_factory=QueueSection)

    def terms(self, queue: Queue) -> Terms:
        """Return the terms of a queue: its own, and the common ones where it has none."""
        own: QueueSection = getattr(self, queue)
        return Terms(
            fence_s=self.fence_s if own.fence_s is None else own.fence_s,
            give_away_s=self.give_away_s if own.give_away_s is None else own.give_away_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetriesSection:
    """What happens after a failure that may pass."""

    back_off_s: Annotated[float, "seconds before the second attempt; doubles each time", Range(0, 3_600)] = 5.0
    back_off_max_s: Annotated[float, "the longest wait between attempts, seconds", Range(0, 86_400)] = 300.0
    loss_limit: Annotated[int, "nodes a job may lose under it before it is failed as poison", Range(1, 1_000)] = 5


KEPT: Final = Range(0, 36_500)
DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSection:
    """How long is kept what is over."""

    completed_days: Annotated[float, "days for completed jobs; 0 keeps them for ever", KEPT] = 30.0
    failed_days: Annotated[float, "days for failed jobs; 0 keeps them for ever", KEPT] = 90.0
    canceled_days: Annotated[float, "days for canceled jobs; 0 keeps them for ever", KEPT] = 30.0
    events_days: Annotated[float, "days for what happened to nodes and keys; 0 keeps it for ever", KEPT] = 365.0

    def seconds(self) -> Retention:
        """Return the same in seconds."""
        return Retention(
            completed_s=self.completed_days * DAY_S,
            failed_s=self.failed_days * DAY_S,
            canceled_s=self.canceled_days * DAY_S,
            events_s=self.events_days * DAY_S,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaSection:
    """What is promised; every finished job is judged by it."""

    wait_s: Annotated[float, "seconds that a job may wait for its node", Range(0, 1e9)] = 30.0
    process_s: Annotated[float, "seconds that a job may be worked on, pauses left out", Range(0, 1e9)] = 600.0
    exempt: Annotated[
        tuple[str, ...], "words in a scenario's name, in lower case, that take its jobs out of the count", Size(0, 64)
    ] = ("test", "debug", "benchmark")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenariosSection:
    """Scenarios of your own."""

    files: Annotated[tuple[str, ...], "more scenario files, from the home folder; later ones win", Size(0, 64)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarksSection:
    """What only measurements need."""

    null_engine: Annotated[bool, "take jobs for the engine null, which encodes nothing and makes no file"] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set."""

    cluster: Annotated[ClusterSection, "what this cluster is called"] = field(default_factory=ClusterSection)
    listen: Annotated[
        ListenSection,
        "where to listen. Only enrolled keys get in, and only this machine can knock until you set the address",
    ] = field(default_factory=ListenSection)
    store: Annotated[StoreSection, "the database"] = field(default_factory=StoreSection)
    keys: Annotated[KeysSection, "the master's own key"] = field(default_factory=KeysSection)
    sessions: Annotated[
        SessionsSection,
        "when a silent worker loses its jobs. give_away_s must cover fence_s, kill_grace_s and one heartbeat_s, "
        "in each queue",
    ] = field(default_factory=SessionsSection)
    retries: Annotated[RetriesSection, "what happens after a failure that may pass"] = field(
        default_factory=RetriesSection
    )
    retention: Annotated[
        RetentionSection,
        "how long is kept what is over. Then a job goes with its history; what was counted stays counted",
    ] = field(default_factory=RetentionSection)
    sla: Annotated[SlaSection, "what is promised; every finished job is judged by it"] = field(
        default_factory=SlaSection
    )
    metrics: Annotated[MetricsSection, "what Prometheus reads, on port 9090 unless set"] = field(
        default_factory=MetricsSection
    )
    log: Annotated[LogSection, "log lines, on standard error"] = field(default_factory=LogSection)
    scenarios: Annotated[ScenariosSection, "scenarios of your own"] = field(default_factory=ScenariosSection)
    benchmarks: Annotated[BenchmarksSection, "for measurements; leave it as it is on a cluster that works"] = field(
        default_factory=BenchmarksSection
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where this master keeps what is its own."""

    home: Path
    database: Path
    key_file: Path
    run_folder: Path
    scenario_files: tuple[Path, ...]

    @property
    def endpoints_file(self) -> Path:
        """Tells other programs of this machine which ports a running master has."""
        return self.run_folder / "endpoints.json"


def default_home(environment: Mapping[str, str], *, is_system: bool) -> Path:
    """Return the home folder when no flag names one; ``is_system``: the user is root or the service's own."""
    named = environment.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    if is_system:
        return SYSTEM_HOME
    data = environment.get("XDG_DATA_HOME")
    # The XDG rules say that a path which is not absolute is to be ignored.
    base = Path(data) if data and Path(data).is_absolute() else Path.home() / ".local/share"
    return base / "ffrtmp/master"


def settings_files(home: Path, config: Path | None, *, system: Path = SYSTEM_FOLDER) -> list[Path]:
    """Return the files that are looked for, weakest first.

    Raises:
        SettingsError: ``config`` was asked for and is not there.
    """
    files = [system / FILE_NAME, system / FOLDER_NAME, home / FILE_NAME]
    if config is not None:
        if not config.exists():
            raise SettingsError(f"there is no settings file {config}")
        files.append(config)
    return files


def load_settings(files: list[Path], overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings and check that they go together.

    Raises:
        SettingsError: the message names the key and the way out.
    """
    settings = load(Settings, files, overrides)
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    listen, sessions, retries = settings.listen, settings.sessions, settings.retries
    check_name(settings.cluster.name, "cluster.name")
    for key, host in (("address", listen.address), ("advertise", listen.advertise)):
        if host and not _is_host(host) and not (key == "address" and host == "*"):
            raise SettingsError(f"listen.{key}: {host!r} is neither an address nor a host's name; without a port")
    if listen.workers_port and listen.workers_port == listen.clients_port:
        raise SettingsError(f"listen.workers_port and listen.clients_port are both {listen.clients_port}: choose two")
    beats_s = SILENT_BEATS * sessions.heartbeat_s
    _check_silence("sessions.lost_after_s", sessions.lost_after_s, beats_s)
    _check_terms("sessions", Terms(fence_s=sessions.fence_s, give_away_s=sessions.give_away_s), sessions)
    for queue in Queue:
        _check_terms(f"sessions.{queue}", sessions.terms(queue), sessions)
    if retries.back_off_max_s < retries.back_off_s:
        raise SettingsError("retries.back_off_max_s is less than retries.back_off_s")


def _check_silence(key: str, value: float, beats_s: float) -> None:
    if value < beats_s:
        raise SettingsError(
            f"{key} = {value:g} is less than {SILENT_BEATS} heartbeats ({beats_s:g} s): "
            "one lost packet would cost a job"
        )


def _check_terms(section: str, terms: Terms, sessions: SessionsSection) -> None:
    _check_silence(f"{section}.fence_s", terms.fence_s, SILENT_BEATS * sessions.heartbeat_s)
    least_s = terms.fence_s + sessions.kill_grace_s + sessions.heartbeat_s
    if terms.give_away_s < least_s:
        raise SettingsError(
            f"{section}.give_away_s = {terms.give_away_s:g} is less than fence_s + kill_grace_s + heartbeat_s "
            f"({terms.fence_s:g} + {sessions.kill_grace_s:g} + {sessions.heartbeat_s:g} = {least_s:g} s): "
            "two nodes could push to one place at once"
        )


def check_name(name: str, what: str) -> None:
    """Refuse a name that cannot be one of a cluster or a key.

    Raises:
        SettingsError: the message begins with ``what``.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(f"{what}: {name!r} is not a name: {NAME_RULE}")


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST.fullmatch(host) is not None
    return True


def places(home: Path, settings: Settings, environment: Mapping[str, str] = os.environ) -> Places:
    """Return the paths of this master. Those in the settings are taken from the home folder.

    Raises:
        SettingsError: a scenario file is named and not there.
    """
    files = tuple(home / name for name in settings.scenarios.files)
    for path in files:
        if not path.is_file():
            raise SettingsError(f"scenarios.files: there is no file {path}")
    return Places(
        home=home,
        database=home / settings.store.path,
        key_file=credential(KEY_CREDENTIAL, environment) or home / settings.keys.folder / "master.key",
        run_folder=home / "run",
        scenario_files=files,
    )


def scenario_files(own: tuple[Path, ...], *, system: Path = SYSTEM_FOLDER) -> list[Path]:
    """Return the scenario files to read, weakest first: the shipped one, the system's, then ``own``.

    Raises:
        SettingsError: the shipped file is not where an installation puts it.
    """
    folders = [
        Path(__file__).parent.parent / "conf",
        Path(sys.prefix) / "share/ffrtmp/conf",
        Path("/usr/local/share/ffrtmp/conf"),
        Path("/usr/share/ffrtmp/conf"),
    ]
    shipped = next((folder / SCENARIOS_NAME for folder in folders if (folder / SCENARIOS_NAME).is_file()), None)
    if shipped is None:
        looked = ", ".join(str(folder) for folder in folders)
        raise SettingsError(f"{SCENARIOS_NAME} is in none of {looked}: install ffrtmp anew")
    return [shipped, system / SCENARIOS_NAME, *own]


def endpoint(host: str, port: int) -> str:
    """Return the endpoint of ``host``, which may be an IPv6 address."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def local_host(address: str) -> str:
    """Return the host by which this machine itself reaches a socket that listens on ``address``."""
    if address == "::":
        return "::1"
    return "127.0.0.1" if address in _ANYWHERE else address


def advertised_host(listen: ListenSection) -> str:
    """Return the host that invitations name."""
    if listen.advertise:
        return listen.advertise
    return socket.gethostname() if listen.address in _ANYWHERE else listen.address


def broker_settings(
    settings: Settings, *, version: str, server_public: str, workers_port: int, clients_port: int
) -> BrokerSettings:
    """Return what the broker needs to know; the ports are those that are really bound."""
    return BrokerSettings(
        cluster=settings.cluster.name,
        version=version,
        server_public=server_public,
        advertise=advertised_host(settings.listen),
        workers_port=workers_port,
        clients_port=clients_port,
        heartbeat_s=settings.sessions.heartbeat_s,
        lost_after_s=settings.sessions.lost_after_s,
        fence_s=settings.sessions.fence_s,
        give_away_s=settings.sessions.give_away_s,
        queue_terms={queue: settings.sessions.terms(queue) for queue in Queue},
        back_off_s=settings.retries.back_off_s,
        back_off_max_s=settings.retries.back_off_max_s,
        loss_limit=settings.retries.loss_limit,
        sla=SlaSettings(wait_s=settings.sla.wait_s, process_s=settings.sla.process_s, exempt=settings.sla.exempt),
        retention=settings.retention.seconds(),
        null_engine=settings.benchmarks.null_engine,
    )


SAMPLE_TITLE: Final = """Settings of the master, ffrtmpd. Every key stands here with its default: take the # away to
change one.
Read in this order, later ones winning: /etc/ffrtmp/ffrtmpd.toml, /etc/ffrtmp/ffrtmpd.d/*.toml, ffrtmpd.toml in the
home folder, the file named by --config, then flags. `ffrtmpd check-config` says whether it can be used."""


def sample_settings(chosen: Mapping[tuple[str, str], str | int] | None = None) -> str:
    """Return a documented settings file, in which the ``chosen`` (section, key) pairs are set."""
    wanted = dict(chosen or {})
    lines = []
    section = ""
    for line in sample(Settings, SAMPLE_TITLE).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        key = line.removeprefix("# ").split(" = ")[0]
        value = wanted.pop((section, key), None) if " = " in line else None
        lines.append(line if value is None else f"{key} = {_toml(value)}")
    if wanted:
        raise KeyError(f"no such settings: {sorted(wanted)}")
    return "\n".join(lines) + "\n"


def _toml(value: str | int) -> str:
    # Only names, addresses and ports are written, none of which needs an escape.
    return str(value) if isinstance(value, int) else f'"{value}"'


def current_home() -> Path:
    """Return the home folder for this process."""
    return default_home(os.environ, is_system=os.geteuid() == 0 or is_own(SYSTEM_HOME))

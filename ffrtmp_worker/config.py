"""The worker's settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from ffrtmp_worker.attempt import Limits
from ffrtmp_worker.cgroups import Bounds
from ffrtmpd.base.logs import LogSection
from ffrtmpd.base.metrics_settings import MetricsSection
from ffrtmpd.base.owner import is_own
from ffrtmpd.base.settings import SettingsError, load
from ffrtmpd.wire.messages.session import SLOTS_MAX
from ffrtmpd.wire.schema import Range, Size

SYSTEM_FILE: Final = Path("/etc/ffrtmp/worker.toml")
SYSTEM_FOLDER: Final = Path("/etc/ffrtmp/worker.d")
SYSTEM_STATE: Final = Path("/var/lib/ffrtmp-worker")
STATE_VARIABLE: Final = "FFRTMP_WORKER_STATE"
TITLE: Final = """ffrtmp-worker: settings of a worker.

Read in this order, later ones winning key by key: /etc/ffrtmp/worker.toml, /etc/ffrtmp/worker.d/*.toml,
worker.toml in the state folder (written by `ffrtmp-worker join`), the file given with --config, and flags."""
# A software encoder keeps about eight processors busy.
CORES_A_SLOT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSettings:
    """Whom the worker obeys."""

    endpoint: Annotated[str, "where the master listens for workers, such as tcp://10.0.0.5:5570", Size(0, 256)] = ""
    server_key: Annotated[str, "the master's public key", Size(0, 40)] = ""
    key: Annotated[str, "file with this worker's key pair; relative to the state folder", Size(1, 4096)] = "worker.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The node itself."""

    slots: Annotated[
        int | None, "jobs at once; nothing: one for every eight processors, at least one", Range(0, SLOTS_MAX)
    ] = None
    encoder_sessions: Annotated[
        int | None,
        "hardware encodes at once, of which some GPUs allow few; when they are taken, what may run in software does; "
        "nothing: not counted",
        Range(1, 1_024),
    ] = None
    state: Annotated[
        str | None,
        "folder for key, logs and unanswered results, not taken from the worker.toml inside it; nothing: "
        "/var/lib/ffrtmp-worker, or ~/.local/share/ffrtmp/worker for users other than root",
        Size(1, 4096),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSettings:
    """What jobs may use on this node."""

    ffmpeg: Annotated[str | None, "path of ffmpeg; nothing: the one in PATH, else imageio-ffmpeg's", Size(1, 4096)] = (
        None
    )
    ffprobe: Annotated[str | None, "path of ffprobe; nothing: the one in PATH, else PyAV", Size(1, 4096)] = None
    gstreamer_python: Annotated[
        str,
        "a Python with PyGObject and GStreamer, the second engine; where it has neither, or empty: ffmpeg alone",
        Size(0, 4096),
    ] = "/usr/bin/python3"
    scorer: Annotated[
        str | None,
        "path of an ffmpeg with libvmaf, which scores; nothing: ffmpeg above if it has it, else imageio-ffmpeg's",
        Size(1, 4096),
    ] = None
    input_roots: Annotated[
        tuple[str, ...], "folders that jobs may read; nothing: none but generated sources and URLs", Size(0, 64)
    ] = ()
    output_root: Annotated[
        str | None, "folder that jobs may write; nothing: output in the state folder", Size(1, 4096)
    ] = None
    source_cache_bytes: Annotated[int, "most that generated sources may take on disk", Range(0, 2**60)] = 4 << 30
    url_schemes: Annotated[tuple[str, ...], "schemes that URLs of jobs may have", Size(0, 16)] = (
        "http",
        "https",
        "rtmp",
        "rtmps",
        "srt",
    )
    url_hosts: Annotated[
        tuple[str, ...],
        "hosts that URLs of jobs may lead to: names with * for any part, addresses, networks such as 10.0.0.0/8; "
        "addresses that are not public only where a network or the whole name is listed",
        Size(0, 256),
    ] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What a job may take of the node, when its encoder is taken for hung, and what is kept."""

    cpu_cores: Annotated[
        float | None, "processors a job may use, such as 1.5; needs a control group; nothing: all", Range(0.01, 65_536)
    ] = None
    memory_bytes: Annotated[
        int | None,
        "most memory of a job, which fails and is tried again when it needs more; without a control group, of each "
        "of its processes; nothing: no limit",
        Range(16 << 20, 2**60),
    ] = None
    tasks: Annotated[
        int | None, "most processes and threads of a job; needs a control group; nothing: no limit", Range(8, 4_194_304)
    ] = None
    nice: Annotated[
        int, "how far jobs give way to other programs, the worker's own word to the master among them", Range(0, 19)
    ] = 5
    min_free_disk_bytes: Annotated[
        int,
        "room that outputs must leave on their disk: no file is begun and none written on with less",
        Range(0, 2**60),
    ] = 512 << 20
    stall_file_s: Annotated[
        float, "seconds without any advance of a file before its encoder is killed", Range(1, 1e6)
    ] = 60.0
    stall_live_s: Annotated[float, "the same for a push", Range(1, 1e6)] = 10.0
    push_grace_s: Annotated[float, "seconds that a push gets to end cleanly", Range(0, 600)] = 10.0
    reconnect_s: Annotated[
        float, "seconds without any media for which a push that was lost tries to connect again", Range(0, 86_400)
    ] = 60.0
    logs_bytes: Annotated[int, "most that the logs of attempts may take on disk", Range(0, 2**60)] = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySettings:
    """How joules are metered, and what they cost."""

    powercap: Annotated[str, "the kernel's tree of RAPL counters", Size(1, 4096)] = "/sys/class/powercap"
    sample_s: Annotated[float, "seconds between two looks at the meters while jobs run", Range(0.1, 10)] = 1.0
    idle_watts: Annotated[
        float | None,
        "what the processors take when nothing runs; nothing: learnt while the node is quiet",
        Range(0, 1e5),
    ] = None
    price_per_kwh: Annotated[
        float | None,
        "price of a kilowatt-hour in your currency, for the cost of a job; nothing: no cost",
        Range(0, 1e6),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenanceSettings:
    """What is told of the files of a job."""

    hash: Annotated[
        bool,
        "tell the SHA-256 of input and output; it reads both once more, minutes for giants, but no known input",
    ] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSettings:
    """What only measurements need."""

    null_engine: Annotated[bool, "offer the engine null, which encodes nothing and makes no file"] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of it."""

    master: Annotated[MasterSettings, "the master, as `ffrtmp-worker join` writes it"] = field(
        default_factory=MasterSettings
    )
    worker: Annotated[WorkerSettings, "the node"] = field(default_factory=WorkerSettings)
    media: Annotated[MediaSettings, "what jobs may use on this node"] = field(default_factory=MediaSettings)
    limits: Annotated[LimitSettings, "what a job may take, patience and room"] = field(default_factory=LimitSettings)
    energy: Annotated[EnergySettings, "energy, as docs/energy.md tells"] = field(default_factory=EnergySettings)
    provenance: Annotated[ProvenanceSettings, "what is told of the files of a job"] = field(
        default_factory=ProvenanceSettings
    )
    metrics: Annotated[MetricsSection, "what Prometheus reads, on port 9091 unless set"] = field(
        default_factory=MetricsSection
    )
    log: Annotated[LogSection, "the log on standard error"] = field(default_factory=LogSection)
    benchmarks: Annotated[BenchmarkSettings, "for measurements; leave it as it is on a node that works"] = field(
        default_factory=BenchmarkSettings
    )

    @property
    def slots(self) -> int:
        """Jobs at once."""
        given = self.worker.slots
        return max(1, (os.cpu_count() or 1) // CORES_A_SLOT) if given is None else given

    @property
    def attempt_limits(self) -> Limits:
        """Limits as the agent takes them."""
        limits = self.limits
        return Limits(
            stall_file_s=limits.stall_file_s,
            stall_live_s=limits.stall_live_s,
            push_grace_s=limits.push_grace_s,
            reconnect_s=limits.reconnect_s,
            min_free_disk_bytes=limits.min_free_disk_bytes,
        )

    @property
    def bounds(self) -> Bounds:
        """Limits of a job as control groups take them."""
        limits = self.limits
        return Bounds(cpu_cores=limits.cpu_cores, memory_bytes=limits.memory_bytes, tasks=limits.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where things lie below the state folder."""

    state: Path

    @property
    def settings_file(self) -> Path:
        """What ``join`` writes."""
        return self.state / "worker.toml"

    @property
    def spool(self) -> Path:
        """Results not answered yet."""
        return self.state / "spool"

    @property
    def logs(self) -> Path:
        """Logs of attempts."""
        return self.state / "logs"

    @property
    def partials(self) -> Path:
        """Notes about outputs begun."""
        return self.state / "partials"

    @property
    def sources(self) -> Path:
        """Generated sources."""
        return self.state / "sources"

    @property
    def output(self) -> Path:
        """Outputs, where no other folder is set."""
        return self.state / "output"

    @property
    def work(self) -> Path:
        """Working folder of children."""
        return self.state / "work"

    @property
    def proofs(self) -> Path:
        """Which encoders were proved."""
        return self.state / "encoders.json"

    @property
    def idle_power(self) -> Path:
        """What the node takes when nothing runs, as learnt."""
        return self.state / "idle_power.json"

    @property
    def gstreamer_proofs(self) -> Path:
        """Which encoders of GStreamer were proved."""
        return self.state / "gstreamer.json"

    @property
    def gstreamer_registry(self) -> Path:
        """What GStreamer keeps of its plugins."""
        return self.state / "gstreamer-registry.bin"

    @property
    def lock(self) -> Path:
        """Held by the worker that runs here."""
        return self.state / "lock"


def default_state(environment: Mapping[str, str], *, is_system: bool) -> Path:
    """Return the state folder where none is set; ``is_system``: the user is root or the service's own."""
    if STATE_VARIABLE in environment:
        return Path(environment[STATE_VARIABLE])
    if is_system:
        return SYSTEM_STATE
    data = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME", "/")) / ".local" / "share")
    return Path(data) / "ffrtmp" / "worker"


def read_settings(
    *,
    state: Path | None,
    config: Path | None,
    overrides: Mapping[str, Any] | None = None,
    system: tuple[Path, ...] = (SYSTEM_FILE, SYSTEM_FOLDER),
    environment: Mapping[str, str] = os.environ,
) -> tuple[Settings, Home]:
    """Return the settings and the folders of a worker.

    Args:
        state: from the command line.
        config: from the command line; it must exist.
        overrides: sections of keys from the command line.
        system: files and folders read first.
        environment: variables.

    Raises:
        SettingsError: a file is missing, unreadable or wrong.
    """
    if config is not None and not config.exists():
        raise SettingsError(f"no such file: {config}")
    given = () if config is None else (config,)
    if state is None:
        named = load(Settings, (*system, *given)).worker.state
        is_system = os.geteuid() == 0 or is_own(SYSTEM_STATE)
        state = Path(named) if named is not None else default_state(environment, is_system=is_system)
    home = Home(state=state.absolute())
    settings = load(Settings, (*system, home.settings_file, *given), overrides)
    return settings, home

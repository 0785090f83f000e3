from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from ffrtmp_worker import hardware
from ffrtmp_worker.hardware import LINK_SPEED_S, GpuMeter, Gpus, LinkMeter, LoadMeter, read_gpus, read_hardware
from ffrtmp_worker.tools import Tools
from ffrtmpd.wire.messages.nodes import Gpu, GpuLoad, Hardware

TOOLS = Tools(ffmpeg="/usr/bin/ffmpeg", ffmpeg_version="5.1.9", ffprobe=None, python="python3")


def _read(root: Path) -> Hardware:
    return read_hardware(TOOLS, encoders=("libx264",), gpus=Gpus(), program_version="1.0", root=root)


def _machine(root: Path, *, flags: str = "fpu sse2", chassis: str | None = None, model: str = "Model X") -> Path:
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\nmodel name\t: {model}\nflags\t\t: {flags}\n")
    if chassis is not None:
        (root / "sys/class/dmi/id").mkdir(parents=True)
        (root / "sys/class/dmi/id/chassis_type").write_text(f"{chassis}\n")
    return root


def test_this_machine_is_described() -> None:
    told = read_hardware(TOOLS, encoders=("libx264",), gpus=read_gpus(), program_version="1.0")
    assert told.hostname
    assert told.cpu_count is not None
    assert told.cpu_count >= 1
    assert told.ram_total_bytes is not None
    assert told.ram_total_bytes > 1 << 26
    assert told.kind in ("server", "desktop", "laptop", "virtual")
    assert (told.encoders, told.ffmpeg_version, told.program_version) == (("libx264",), "5.1.9", "1.0")


@pytest.mark.parametrize(
    ("flags", "chassis", "kind"),
    [
        ("fpu hypervisor", "3", "virtual"),
        ("fpu", "3", "desktop"),
        ("fpu", "10", "laptop"),
        ("fpu", "23", "server"),
        ("fpu", None, "server"),
        ("fpu", "odd", "server"),
    ],
)
def test_kind_is_guessed_from_flags_and_chassis(tmp_path: Path, flags: str, chassis: str | None, kind: str) -> None:
    told = _read(_machine(tmp_path, flags=flags, chassis=chassis))
    assert (told.kind, told.cpu_model) == (kind, "Model X")


def test_machine_that_tells_nothing_of_itself_is_a_server(tmp_path: Path) -> None:
    assert _read(tmp_path).kind == "server"


class _NVMLError(Exception):
    pass


def _nvml(*, memory: bool = True, text: type[str] | type[bytes] = str) -> SimpleNamespace:
    def refuse(*_: object) -> None:
        raise _NVMLError

    def said(words: str) -> str | bytes:
        return words if text is str else words.encode()

    return SimpleNamespace(
        NVMLError=_NVMLError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: said("550.1"),
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda _: said("Card"),
        nvmlDeviceGetMemoryInfo=(lambda _: SimpleNamespace(total=1 << 33, used=1 << 30)) if memory else refuse,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetUtilizationRates=lambda _: SimpleNamespace(gpu=63, memory=20),
        nvmlDeviceGetEncoderUtilization=lambda _: [81, 100_000],
        nvmlDeviceGetDecoderUtilization=lambda _: [7, 100_000],
        nvmlDeviceGetTemperature=lambda _, __: 66,
        nvmlDeviceGetPowerUsage=lambda _: 310_500,
    )


@pytest.mark.parametrize("text", [str, bytes])
def test_gpu_is_told_as_its_driver_names_it(monkeypatch: pytest.MonkeyPatch, text: type[str] | type[bytes]) -> None:
    monkeypatch.setattr(hardware, "pynvml", _nvml(text=text))
    assert read_gpus() == Gpus((Gpu(name="Card", memory_bytes=1 << 33, driver="550.1"),), "550.1")


def test_gpu_that_tells_no_memory_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "pynvml", _nvml(memory=False))
    assert read_gpus().gpus == (Gpu(name="Card", memory_bytes=None, driver="550.1"),)


def test_no_driver_or_no_library_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise _NVMLError

    broken = _nvml()
    broken.nvmlInit = refuse
    monkeypatch.setattr(hardware, "pynvml", broken)
    assert read_gpus() == Gpus()
    monkeypatch.setattr(hardware, "pynvml", None)
    assert read_gpus() == Gpus()


def test_gpu_is_read_in_the_units_that_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "pynvml", _nvml())
    assert GpuMeter().read() == (
        GpuLoad(
            name="Card",
            usage_percent=63.0,
            encoder_percent=81.0,
            decoder_percent=7.0,
            memory_used_bytes=1 << 30,
            temperature_celsius=66.0,
            power_watts=310.5,
        ),
    )


def test_gpu_in_instances_tells_what_it_knows_and_one_off_the_bus_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise _NVMLError

    nvml = _nvml()
    monkeypatch.setattr(hardware, "pynvml", nvml)
    meter = GpuMeter()
    nvml.nvmlDeviceGetUtilizationRates = nvml.nvmlDeviceGetEncoderUtilization = refuse
    (told,) = meter.read()
    assert (told.usage_percent, told.encoder_percent, told.power_watts) == (None, None, 310.5)
    nvml.nvmlDeviceGetName = refuse
    assert meter.read() == ()


def test_gpu_is_not_read_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "pynvml", None)
    assert GpuMeter().read() == ()


def test_load_is_of_the_time_since_the_last_reading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    times = iter([(10.0, 100.0), (10.0, 100.0), (40.0, 160.0)])
    monkeypatch.setattr(hardware, "_cpu_times", lambda: next(times))
    meter = LoadMeter(tmp_path)
    assert meter.read().cpu_load_percent is None
    assert meter.read().cpu_load_percent == 50.0


def test_power_is_told_where_it_is_metered(tmp_path: Path) -> None:
    assert LoadMeter(tmp_path).read().power_watts is None
    assert LoadMeter(tmp_path, lambda: 42.5).read().power_watts == 42.5


def test_real_load_is_within_bounds_and_a_folder_to_come_stands_for_its_parent(tmp_path: Path) -> None:
    load = LoadMeter(tmp_path / "not/yet").read()
    assert load.cpu_load_percent is None or 0 <= load.cpu_load_percent <= 100
    assert load.ram_free_bytes is not None
    assert load.ram_free_bytes > 0
    assert load.disk_free_bytes is not None
    assert load.disk_free_bytes > 0


def test_link_is_as_busy_as_its_busier_direction_and_its_speed_is_asked_for_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    links = {
        "eth0": SimpleNamespace(isup=True, speed=100),
        "eth1": SimpleNamespace(isup=False, speed=1_000),
        "lo": SimpleNamespace(isup=True, speed=0),
    }
    asked: list[str] = []

    def stats() -> dict[str, SimpleNamespace]:
        asked.append("speed")
        return links

    monkeypatch.setattr(psutil, "net_if_stats", stats)
    # Seconds, bytes sent, bytes received.
    now = [0.0, 0, 0]
    monkeypatch.setattr(hardware, "_traffic", lambda: tuple(now))
    meter = LinkMeter()
    now[:] = [2.0, 1_000_000, 2_500_000]
    assert meter.read() == pytest.approx(10.0)
    assert meter.read() is None
    now[:] = [3.0, 100_000_000, 2_500_000]
    assert meter.read() == 100.0
    assert len(asked) == 1
    links["eth0"].speed = 0
    now[0] += LINK_SPEED_S
    assert meter.read() is None
    assert len(asked) == 2

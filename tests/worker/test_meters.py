import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ffrtmp_worker import meters
from ffrtmp_worker.meters import LONGEST_S, MOST_W, Counter, find_gpus, find_meters, find_rapl
from tests.worker.powercap import Powercap, server


def no_wait(_: float) -> None:
    """No time passes."""


def rapl(tree: Powercap, **options: Any) -> meters.Rapl:
    found, problem = find_rapl(tree.root, wait=options.pop("wait", no_wait), **options)
    assert found is not None, problem
    return found


# ── a counter ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_first_look_counts_nothing() -> None:
    assert Counter().step(0, 100.0) is None


def test_counter_wraps_at_its_range() -> None:
    counter = Counter(4_000.0)
    counter.step(0, 3_990.0)
    assert counter.step(1, 20.0) == 30.0


def test_counter_without_a_range_that_falls_is_dropped_once() -> None:
    counter = Counter()
    counter.step(0, 100.0)
    assert counter.step(1, 50.0) is None
    assert counter.step(2, 80.0) == 30.0


@pytest.mark.parametrize(("seconds", "joules"), [(1, MOST_W * 1.2), (LONGEST_S + 1, 10.0), (0, 10.0), (-5, 10.0)])
def test_absurd_step_is_dropped_and_the_next_one_counts(seconds: float, joules: float) -> None:
    counter = Counter(1e6)
    counter.step(100, 500.0)
    assert counter.step(100 + seconds, 500.0 + joules) is None
    assert counter.step(101 + seconds, 500.0 + joules + 7) == 7.0


def test_counter_that_may_have_wrapped_twice_is_dropped() -> None:
    counter = Counter(10_000.0)
    counter.step(0, 0.0)
    assert counter.step(4, 100.0) == 100.0
    assert counter.step(10, 200.0) is None


def test_gap_is_never_counted() -> None:
    counter = Counter(1e6)
    counter.step(0, 10.0)
    assert counter.step(1, None) is None
    assert counter.step(2, 30.0) is None
    assert counter.step(3, 31.0) == 1.0


# ── the tree ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_packages_and_memory_are_added_and_cores_are_not(tmp_path: Path) -> None:
    tree = server(tmp_path / "powercap")
    meter = rapl(tree)
    assert (meter.domain.scope, meter.domain.method) == ("package+dram", "rapl")
    assert meter.read(0) is None
    for number, joules in {"0": 10, "0:0": 9, "0:1": 3, "1": 5, "1:0": 4, "1:1": 2}.items():
        tree.set_j(f"intel-rapl:{number}", joules)
    assert meter.read(1) == pytest.approx(20.0)
    tree.set_j("intel-rapl:0", 11)
    assert meter.read(2) == pytest.approx(21.0)


def test_zones_inside_each_other_are_found_once(tmp_path: Path) -> None:
    tree = Powercap(tmp_path / "powercap")
    tree.zone("intel-rapl/intel-rapl:0", "package-0")
    tree.zone("intel-rapl/intel-rapl:0/intel-rapl:0:0", "core")
    tree.zone("intel-rapl/intel-rapl:0/intel-rapl:0:1", "dram")
    # As /sys/class/powercap has them too.
    for number in ("intel-rapl/intel-rapl:0", "intel-rapl/intel-rapl:0/intel-rapl:0:1"):
        (tree.root / Path(number).name).symlink_to(tree.root / number)
    meter = rapl(tree)
    assert meter.domain.scope == "package+dram"
    meter.read(0)
    tree.set_j("intel-rapl/intel-rapl:0", 10)
    tree.set_j("intel-rapl/intel-rapl:0/intel-rapl:0:1", 1)
    assert meter.read(1) == pytest.approx(11.0)


def test_package_that_two_drivers_tell_of_is_counted_once(tmp_path: Path) -> None:
    tree = Powercap(tmp_path / "powercap")
    tree.zone("intel-rapl-mmio:0", "package-0", uj=10**9)
    tree.zone("intel-rapl:0", "package-0")
    meter = rapl(tree)
    meter.read(0)
    tree.set_j("intel-rapl:0", 10)
    tree.set_j("intel-rapl-mmio:0", 1_010)
    assert meter.read(1) == pytest.approx(10.0)


def test_package_that_only_the_second_driver_tells_of_counts(tmp_path: Path) -> None:
    tree = Powercap(tmp_path / "powercap")
    tree.zone("intel-rapl-mmio:0", "package-0")
    meter = rapl(tree)
    assert meter.domain.scope == "package"
    meter.read(0)
    tree.set_j("intel-rapl-mmio:0", 10)
    assert meter.read(1) == pytest.approx(10.0)


def moved(tree: Powercap, **joules: float) -> Callable[[float], None]:
    """Return what moves counters while somebody waits."""

    def wait(_: float) -> None:
        for zone, value in {"intel-rapl:0": joules["package"], "intel-rapl:1": joules["psys"]}.items():
            tree.set_j(zone, value)

    return wait


@pytest.mark.parametrize(
    ("psys", "scope"),
    [(4.0, "psys"), (0.0, "package"), (1.0, "package")],
    ids=["moves", "stands still", "less than what it holds"],
)
def test_psys_is_used_where_it_counts(tmp_path: Path, psys: float, scope: str) -> None:
    tree = Powercap(tmp_path / "powercap")
    tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:1", "psys")
    meter = rapl(tree, wait=moved(tree, package=2.0, psys=psys))
    assert meter.domain.scope == scope
    meter.read(0)
    tree.set_j("intel-rapl:0", 3.0)
    tree.set_j("intel-rapl:1", psys + 3.0)
    assert meter.read(1) == pytest.approx(3.0 if scope == "psys" else 1.0)
    # Beside a GPU's meter nobody knows whether the GPU is in it.
    assert rapl(tree, psys=False).domain.scope == "package"


def test_wrap_of_one_zone_counts(tmp_path: Path) -> None:
    tree = Powercap(tmp_path / "powercap")
    tree.zone("intel-rapl:0", "package-0", range_uj=65_532_610_987, uj=65_532_000_000)
    meter = rapl(tree)
    meter.read(0)
    tree.set("intel-rapl:0", 1_000_000)
    assert meter.read(1) == pytest.approx(1.610987)


def test_zone_that_goes_is_a_gap_and_counts_again_when_it_is_back(tmp_path: Path) -> None:
    tree = server(tmp_path / "powercap")
    meter = rapl(tree)
    meter.read(0)
    tree.set_j("intel-rapl:0", 10)
    assert meter.read(1) == pytest.approx(10.0)
    tree.remove("intel-rapl:1")
    tree.set_j("intel-rapl:0", 20)
    assert meter.read(2) is None
    tree.zone("intel-rapl:1", "package-1", uj=5_000_000)
    tree.set_j("intel-rapl:0", 30)
    assert meter.read(3) is None
    tree.set_j("intel-rapl:0", 33)
    tree.set_j("intel-rapl:1", 6)
    assert meter.read(4) == pytest.approx(14.0)


@pytest.mark.parametrize("text", ["", "much", "12.5", "9" * 100])
def test_counter_that_is_no_number_is_a_gap(tmp_path: Path, text: str) -> None:
    tree = server(tmp_path / "powercap")
    meter = rapl(tree)
    meter.read(0)
    (tree.root / "intel-rapl:0" / "energy_uj").write_text(text)
    assert meter.read(1) is None


def test_machine_without_rapl_has_no_meter_and_no_complaint(tmp_path: Path) -> None:
    assert find_rapl(tmp_path / "none") == (None, "")
    tree = Powercap(tmp_path / "powercap")
    tree.zone("dtpm:0", "soc")
    (tree.root / "intel-rapl").mkdir()
    assert find_rapl(tree.root) == (None, "")
    found = find_meters(tree.root)
    assert (found.note, found.domains) == ("none", ())


def test_counter_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    tree = server(tmp_path / "powercap")
    (tree.root / "intel-rapl:1:1" / "energy_uj").unlink()
    found, problem = find_rapl(tree.root)
    assert found is None
    assert "intel-rapl:1:1/energy_uj cannot be read" in problem


@contextmanager
def not_root() -> Iterator[None]:
    """Be nobody for a while, if root: root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_counter_for_root_only_says_how_to_permit_it(tmp_path: Path) -> None:
    tree = server(tmp_path / "powercap")
    # pytest's folders are for their owner alone.
    for folder in (tree.root, *list(tree.root.parents)[:4]):
        folder.chmod(0o755)
    for file in tree.root.glob("*/energy_uj"):
        file.chmod(0o400 if os.geteuid() == 0 else 0)
    with not_root():
        found, problem = find_rapl(tree.root)
    assert found is None
    assert "intel-rapl:0/energy_uj may be read by root only: let the worker's group read" in problem


# ── NVML ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class NVMLError(Exception):
    def __init__(self, value: int = 3) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


class Driver:
    """What pynvml says of one GPU."""

    NVMLError = NVMLError
    NVML_ERROR_NOT_FOUND = 6

    def __init__(self) -> None:
        self.millijoules = 1_000_000
        self.samples: list[SimpleNamespace] = []
        self.fails: dict[str, int] = {}
        self.seen: list[int] = []

    def _check(self, what: str) -> None:
        if what in self.fails:
            raise NVMLError(self.fails[what])

    def nvmlInit(self) -> None:  # noqa: N802
        self._check("init")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, _: int) -> bytes:  # noqa: N802
        return b"GPU-1"

    def nvmlDeviceGetTotalEnergyConsumption(self, _: int) -> int:  # noqa: N802
        self._check("energy")
        return self.millijoules

    def nvmlDeviceGetProcessUtilization(self, _: int, since_us: int) -> list[SimpleNamespace]:  # noqa: N802
        self._check("use")
        self.seen.append(since_us)
        return self.samples


def sample(pid: int, at_us: int, sm: int = 0, enc: int = 0, dec: int = 0) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, timeStamp=at_us, smUtil=sm, memUtil=99, encUtil=enc, decUtil=dec)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setattr(meters, "pynvml", made)
    return made


def test_gpu_counts_millijoules_and_tells_who_used_it(driver: Driver) -> None:
    (gpu,), problems = find_gpus()
    assert (gpu.domain.key, gpu.domain.scope, gpu.domain.method, problems) == ("nvml:GPU-1", "gpu", "nvml", ())
    assert gpu.read(0) is None
    driver.millijoules += 150_000
    assert gpu.read(1) == 150.0
    driver.samples = [sample(7, 20, sm=10, enc=30, dec=2), sample(8, 21, sm=5), sample(7, 19, sm=1)]
    assert gpu.use() == {7: 43.0, 8: 5.0}
    # What was told before is not told again.
    assert gpu.use() == {}
    assert driver.seen[-1] == 21


def test_gpu_that_nobody_uses_is_used_by_nobody(driver: Driver) -> None:
    driver.fails["use"] = Driver.NVML_ERROR_NOT_FOUND
    (gpu,), _ = find_gpus()
    assert gpu.use() == {}


def test_gpu_that_fails_later_is_a_gap(driver: Driver) -> None:
    (gpu,), _ = find_gpus()
    gpu.read(0)
    driver.fails = {"energy": 15, "use": 15}
    assert (gpu.read(1), gpu.use()) == (None, None)


@pytest.mark.parametrize(("what", "says"), [("energy", "does not tell its energy"), ("use", "who uses it")])
def test_gpu_that_cannot_tell_is_no_meter(driver: Driver, what: str, says: str) -> None:
    driver.fails[what] = 3
    gpus, (problem,) = find_gpus()
    assert gpus == ()
    assert says in problem


def test_no_driver_is_no_gpu(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.fails["init"] = 12
    assert find_gpus() == ((), ())
    monkeypatch.setattr(meters, "pynvml", None)
    assert find_gpus() == ((), ())


def test_both_meters_stand_side_by_side(driver: Driver, tmp_path: Path) -> None:
    tree = server(tmp_path / "powercap")
    assert find_meters(tree.root).note == "rapl+nvml package+dram+gpu"

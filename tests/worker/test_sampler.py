import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ffrtmp_worker.energy import Domain
from ffrtmp_worker.events import Joules
from ffrtmp_worker.meters import Meters, find_rapl
from ffrtmp_worker.sampler import IDLE_EVERY_S, Sampler
from ffrtmp_worker.usage import TICKS_A_SECOND
from ffrtmpd.base.logs import Logger
from tests.worker.powercap import Powercap
from tests.worker.test_usage import Proc

PACKAGE = "intel-rapl:0"
KEY = "rapl:package"


class Group:
    """A control group that tells what a test says."""

    def __init__(self, cpu_s: float | None = 0.0, pids: tuple[int, ...] = ()) -> None:
        self.used_s = cpu_s
        self.inside = set(pids)

    def cpu_s(self) -> float | None:
        return self.used_s

    def pids(self) -> set[int]:
        return self.inside


class Gpu:
    """A GPU whose counter and users a test sets."""

    domain = Domain(key="nvml:GPU-1", scope="gpu", method="nvml")

    def __init__(self) -> None:
        self.joules: float | None = None
        self.used: Mapping[int, float] | None = {}

    def read(self, now_s: float) -> float | None:
        assert now_s >= 0
        return self.joules

    def use(self) -> Mapping[int, float] | None:
        return self.used


class House:
    """A machine with one metered package, whose processes and counter a test moves, and the time."""

    def __init__(self, folder: Path, *, idle_w: float | None = 10.0, gpus: tuple[Gpu, ...] = ()) -> None:
        (folder / "proc").mkdir()
        self.proc = Proc(folder / "proc")
        self.tree = Powercap(folder / "powercap")
        self.tree.zone(PACKAGE, "package-0")
        self.memory = folder / "idle_power.json"
        self.log = io.StringIO()
        self.now, self.joules, self.busy_s = 0, 0.0, 0.0
        self._gpus = gpus
        self.move(joules=0, busy_s=0)
        self.sampler = self.open(idle_w)
        self.sampler.tick(0)

    def open(self, idle_w: float | None) -> Sampler:
        meter, _ = find_rapl(self.tree.root)
        assert meter is not None
        return Sampler(
            Meters(cpu=meter, gpus=self._gpus),
            idle_w=idle_w,
            memory=self.memory,
            log=Logger(stream=self.log),
            proc=self.proc.root,
        )

    def move(self, *, joules: float, busy_s: float) -> None:
        self.joules += joules
        self.busy_s += busy_s
        self.tree.set_j(PACKAGE, self.joules)
        (self.proc.root / "stat").write_text(f"cpu  {round(self.busy_s * TICKS_A_SECOND)} 0 0 0 0 0 0 0 0 0\n")

    def child(self, pid: int, cpu_s: float = 0.0) -> None:
        self.proc.put(pid, session=pid, ticks=(round(cpu_s * TICKS_A_SECOND), 0, 0, 0))

    def second(self, *, joules: float, busy_s: float, tick: bool = True) -> None:
        self.now += 1
        self.move(joules=joules, busy_s=busy_s)
        if tick:
            self.sampler.tick(self.now)

    def end(self, child: int, cpu_s: float) -> Joules | None:
        self.sampler.settle(child)
        return self.sampler.end(child, cpu_s, self.now)

    def adds_up(self) -> bool:
        return abs(self.sampler.ledger.totals[KEY].meter_j - self.joules) < 1e-6


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_job_beside_another_and_a_neighbour(house: House) -> None:
    house.child(10)
    house.sampler.begin(1, 10, None, house.now)
    house.child(10, 1.0)
    house.second(joules=30, busy_s=1)
    house.child(20)
    house.sampler.begin(2, 20, None, house.now)
    house.child(10, 2.0)
    house.child(20, 1.0)
    # Two processors of a neighbour.
    house.second(joules=90, busy_s=4)
    first = house.end(1, 2.0)
    house.child(20, 2.0)
    house.second(joules=30, busy_s=1)
    second = house.end(2, 2.0)
    assert first == Joules(marginal_j=40.0, idle_share_j=15.0, scope="package", method="rapl")
    assert second == Joules(marginal_j=40.0, idle_share_j=15.0, scope="package", method="rapl")
    total = house.sampler.ledger.totals[KEY]
    assert (total.jobs_j, total.other_j, total.idle_j) == pytest.approx((80.0, 40.0, 30.0))
    assert house.adds_up()
    assert house.sampler.ledger.joules_total() == pytest.approx({"package": 150.0})


def test_sleeping_job_gets_nothing(house: House) -> None:
    house.child(10)
    house.sampler.begin(1, 10, None, house.now)
    for _ in range(5):
        house.second(joules=50, busy_s=2)
    assert house.end(1, 0.0) == Joules(marginal_j=0.0, idle_share_j=50.0, scope="package", method="rapl")
    assert house.adds_up()


def test_what_was_used_since_the_last_look_is_told_by_its_end(house: House) -> None:
    house.child(10)
    house.sampler.begin(1, 10, None, house.now)
    house.second(joules=30, busy_s=1, tick=False)
    # Its stat was read before it was waited for; wait4 knows of a descendant that no look has seen.
    house.child(10, 0.25)
    found = house.end(1, 0.5)
    assert found is not None
    assert found.marginal_j == pytest.approx(10.0)


def test_control_group_is_believed_before_proc(house: House) -> None:
    house.child(10, 0.1)
    group = Group()
    house.sampler.begin(1, 10, group, house.now)
    group.used_s = 0.75
    house.second(joules=30, busy_s=1)
    group.used_s = None
    found = house.end(1, 0.1)
    assert found is not None
    assert found.marginal_j == pytest.approx(15.0)


def test_tick_that_comes_late_is_not_a_neighbour(house: House) -> None:
    group = Group()
    house.sampler.begin(1, 10, group, house.now)
    for turn in range(1, 11):
        # The kernel's ticks show in every other look what the group shows at once.
        group.used_s = 0.005 * turn
        house.second(joules=30, busy_s=0.01 if turn % 2 == 0 else 0)
    found = house.end(1, 0.0)
    assert found is not None
    assert found.marginal_j == pytest.approx(200.0)
    assert house.sampler.ledger.totals[KEY].other_j == pytest.approx(0.0)


def test_pause_and_resume_move_the_share_of_idling(house: House) -> None:
    house.sampler.begin(1, 10, Group(), house.now)
    house.sampler.begin(2, 20, Group(), house.now)
    house.second(joules=10, busy_s=0)
    house.sampler.pause(1, house.now, paused=True)
    house.second(joules=10, busy_s=0)
    house.sampler.pause(1, house.now, paused=False)
    house.second(joules=10, busy_s=0)
    shares = [found.idle_share_j for found in (house.end(1, 0), house.end(2, 0)) if found is not None]
    assert shares == pytest.approx([10.0, 20.0])


def test_job_while_the_meter_was_away_has_no_figure_and_the_log_tells_once(house: House) -> None:
    house.sampler.begin(1, 10, Group(), house.now)
    house.second(joules=30, busy_s=1)
    house.tree.remove(PACKAGE)
    for _ in range(5):
        house.now += 1
        house.sampler.tick(house.now)
    assert house.sampler.power_watts() is None
    assert house.end(1, 1.0) is None
    house.tree.zone(PACKAGE, "package-0")
    house.joules = 0
    house.sampler.begin(2, 20, Group(), house.now)
    for _ in range(30):
        house.second(joules=30, busy_s=1)
    assert house.end(2, 1.0) is not None
    assert house.log.getvalue().count("energy_meter_lost") == 1
    assert house.log.getvalue().count("energy_meter_back") == 1


def test_it_looks_often_while_jobs_run_and_seldom_otherwise(house: House) -> None:
    assert house.sampler.due_at() == IDLE_EVERY_S
    house.sampler.begin(1, 10, Group(), 5)
    assert house.sampler.due_at() == 6
    house.sampler.tick(5.5)
    assert house.sampler.due_at() == 6
    # Awake for something else, and nearly there.
    house.sampler.tick(5.75)
    assert house.sampler.due_at() == 6.75
    house.sampler.end(1, 0, 6)
    assert house.sampler.due_at() == 6 + IDLE_EVERY_S


def test_without_a_meter_it_never_looks(tmp_path: Path) -> None:
    # A folder that is no /proc: whoever looked would find nothing.
    sampler = Sampler(proc=tmp_path)
    assert sampler.due_at() is None
    sampler.begin(1, 10, None, 0)
    sampler.pause(1, 1, paused=True)
    sampler.tick(2)
    sampler.settle(1)
    assert (sampler.end(1, 1.0, 3), sampler.power_watts()) == (None, None)


def quiet(house: House, watts: float) -> None:
    for _ in range(4):
        house.now += 10
        house.move(joules=watts * 10, busy_s=0)
        house.sampler.tick(house.now)


def test_idle_power_is_learnt_and_kept(tmp_path: Path) -> None:
    house = House(tmp_path, idle_w=None)
    house.sampler.begin(1, 10, Group(), house.now)
    house.second(joules=30, busy_s=1, tick=False)
    unknown = house.end(1, 1.0)
    assert unknown == Joules(marginal_j=30.0, idle_share_j=None, scope="package", method="rapl, idle unknown")
    quiet(house, 20.0)
    assert json.loads(house.memory.read_text()) == {KEY: pytest.approx(20.0)}
    house.sampler = house.open(None)
    assert house.sampler.idle.of(KEY) == pytest.approx(20.0)
    house.sampler.tick(house.now)
    house.sampler.begin(1, 10, Group(), house.now)
    house.second(joules=30, busy_s=1, tick=False)
    known = house.end(1, 1.0)
    assert known is not None
    assert (known.marginal_j, known.idle_share_j) == pytest.approx((10.0, 20.0))
    assert known.method == "rapl"


def test_busy_node_and_set_power_teach_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, idle_w=None)
    for _ in range(6):
        house.now += 10
        house.move(joules=100, busy_s=1_000)
        house.sampler.tick(house.now)
    assert house.sampler.idle.of(KEY) is None
    house.sampler = house.open(15.0)
    quiet(house, 2.0)
    assert house.sampler.idle.of(KEY) == 15.0
    assert not house.memory.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"rapl:package": -1}', '{"rapl:package": "9"}', '{"rapl:psys": 9}'])
def test_memory_that_says_something_else_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "idle_power.json").write_text(text)
    assert House(tmp_path, idle_w=None).sampler.idle.of(KEY) is None


def test_memory_that_cannot_be_kept_stops_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, idle_w=None)
    house.memory.with_name("idle_power.json.new").mkdir()
    quiet(house, 20.0)
    assert house.sampler.idle.of(KEY) == pytest.approx(20.0)
    assert not house.memory.exists()


def test_power_is_the_mean_of_a_second_or_more(house: House) -> None:
    assert house.sampler.power_watts() is None
    house.sampler.begin(1, 10, Group(), house.now)
    house.second(joules=42, busy_s=1)
    assert house.sampler.power_watts() == pytest.approx(42.0)
    house.move(joules=500, busy_s=0)
    house.sampler.begin(2, 20, Group(), house.now + 0.5)
    assert house.sampler.power_watts() == pytest.approx(42.0)
    house.move(joules=0, busy_s=0)
    house.sampler.begin(3, 30, Group(), house.now + 1)
    assert house.sampler.power_watts() == pytest.approx(500.0)


def test_gpu_is_shared_by_processes_of_trees_and_groups(tmp_path: Path) -> None:
    gpu = Gpu()
    house = House(tmp_path, gpus=(gpu,))
    house.child(10)
    house.sampler.begin(1, 10, None, house.now)
    house.proc.put(11, parent=10, session=10)
    house.sampler.begin(2, 20, Group(pids=(21, 22)), house.now)
    gpu.joules, gpu.used = 100.0, {11: 30.0, 21: 10.0, 22: 20.0, 99: 40.0}
    house.second(joules=10, busy_s=0)
    first, second = house.end(1, 0), house.end(2, 0)
    assert first is not None
    assert second is not None
    assert (first.marginal_j, second.marginal_j) == pytest.approx((30.0, 30.0))
    assert (first.scope, first.method) == ("package+gpu", "rapl+nvml, idle unknown")
    total = house.sampler.ledger.totals[gpu.domain.key]
    assert (total.jobs_j, total.other_j, total.idle_j) == pytest.approx((60.0, 40.0, 0.0))


def test_gpu_that_cannot_tell_its_users_is_a_gap(tmp_path: Path) -> None:
    gpu = Gpu()
    house = House(tmp_path, gpus=(gpu,))
    house.sampler.begin(1, 10, Group(), house.now)
    gpu.joules, gpu.used = 100.0, None
    house.second(joules=10, busy_s=0)
    assert house.end(1, 0) is None

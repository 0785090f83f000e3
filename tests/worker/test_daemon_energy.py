"""Joules of real children of a real worker; the meter is a powercap tree of real files that a thread moves."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmp_worker.cgroups import Bounds
from ffrtmp_worker.hardware import LoadMeter
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.meters import Meters, find_rapl
from ffrtmp_worker.recipe import StepName
from ffrtmp_worker.sampler import Sampler
from ffrtmpd.wire.messages.measures import Energy
from ffrtmpd.wire.messages.session import Encode, Heartbeat, ProgressReport, Result
from ffrtmpd.wire.vocabulary import Codec, Outcome
from tests.worker.bench import assign, commit, pause, resume
from tests.worker.masters import ScriptedMaster
from tests.worker.powercap import Powercap
from tests.worker.test_cgroups import usable
from tests.worker.test_daemon import Hire, ScriptRecipe, hire, master, workshop

__all__ = ["hire", "master"]
WATTS, IDLE_W = 100.0, 20.0
PACKAGE, DRAM = "intel-rapl:0", "intel-rapl:0:1"
BEGIN = "import sys, time; open(sys.argv[1], 'w').write('media'); print(1, flush=True)\n"
BURNS = f"{BEGIN}\nwhile time.process_time() < 0.6: pass"
SLEEPS = f"{BEGIN}\ntime.sleep(0.6)"
FORKS = f"{BEGIN}\nimport subprocess; subprocess.run([sys.executable, '-c', sys.argv[2]], start_new_session=True)"


class Meter:
    """A package that takes 90 W and memory that takes 10 W, whatever runs."""

    def __init__(self, root: Path) -> None:
        self.tree = Powercap(root)
        self.tree.zone(PACKAGE, "package-0")
        self.tree.zone(DRAM, "dram")
        found, _ = find_rapl(root)
        assert found is not None
        self.sampler = Sampler(Meters(cpu=found), idle_w=IDLE_W, sample_s=0.1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        begun_s = time.monotonic()
        while not self._stopped.wait(0.005):
            joules = WATTS * (time.monotonic() - begun_s)
            self.tree.set_j(PACKAGE, 0.9 * joules)
            self.tree.set_j(DRAM, 0.1 * joules)

    def joules(self) -> float:
        """Return what all zones count now."""
        return sum(int((self.tree.root / zone / "energy_uj").read_text()) for zone in (PACKAGE, DRAM)) / 1e6


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[Meter]:
    with Meter(tmp_path / "powercap") as made:
        yield made


def energy_of(result: Result) -> Energy:
    assert result.outcome is Outcome.ENCODED, result.reason
    assert result.report.energy is not None
    return result.report.energy


def joules(energy: Energy) -> float:
    assert energy.joules is not None
    return energy.joules


def test_burner_pays_and_sleeper_does_not(master: ScriptedMaster, hire: Hire, meter: Meter, tmp_path: Path) -> None:
    codes = {"job-000001": BURNS, "job-000002": SLEEPS}
    hire(
        recipes=lambda told: ScriptRecipe(told, tmp_path, {StepName.ENCODE: codes[told.job_id]}),
        slots=2,
        energy=meter.sampler,
    )
    master.greet()
    for job in codes:
        master.say(assign(job))
    # Until it is answered a result is told again.
    first = master.expect(Result)
    second = master.expect(Result, lambda told: told.job_id != first.job_id)
    burner, sleeper = (energy_of(told) for told in sorted((first, second), key=lambda told: told.job_id))
    assert (burner.scope, burner.method) == ("package+dram", "rapl")
    # Both start an interpreter.
    assert joules(burner) > 3 * joules(sleeper) >= 0
    assert (sleeper.idle_share_joules or 0) > 0
    total = meter.sampler.ledger.totals["rapl:package+dram"]
    assert total.jobs_j == pytest.approx(joules(burner) + joules(sleeper), abs=1e-6)
    # Three sums of the same readings differ in the last digit.
    assert total.meter_j <= meter.joules() + 1e-6


def test_paused_burner_pays_for_nothing(master: ScriptedMaster, hire: Hire, meter: Meter, tmp_path: Path) -> None:
    go = tmp_path / "go"
    burns = f"{BEGIN}\nimport os\nwhile time.process_time() < 0.5 or not os.path.exists({str(go)!r}): pass"
    hire({StepName.ENCODE: burns}, energy=meter.sampler)
    master.greet()
    master.say(assign())
    master.expect(ProgressReport)
    master.say(pause())
    paused_j = meter.joules()
    # Whoever listens acknowledges beats.
    master.expect(Heartbeat, lambda _: meter.joules() > paused_j + 2 * WATTS)
    master.say(resume())
    go.touch()
    energy = energy_of(master.expect(Result))
    taken_j = meter.sampler.ledger.totals["rapl:package+dram"].meter_j
    # Two seconds were nobody's; the counter may be a little behind.
    assert (energy.idle_share_joules or 0) < taken_j * IDLE_W / WATTS - 1.5 * IDLE_W
    assert joules(energy) < taken_j * (1 - IDLE_W / WATTS) - 1.5 * (WATTS - IDLE_W)


@pytest.mark.parametrize("grouped", [False, True])
def test_descendants_in_a_session_of_their_own_are_paid_for(
    master: ScriptedMaster, hire: Hire, meter: Meter, *, grouped: bool
) -> None:
    limiter = Limiter(bounds=Bounds(tasks=64), cgroups=usable()) if grouped else None
    code = FORKS.replace("sys.argv[2]", repr("import time\nwhile time.process_time() < 0.6: pass"))
    hire({StepName.ENCODE: code}, limiter=limiter, energy=meter.sampler)
    master.greet()
    master.say(assign())
    result = master.expect(Result)
    # However busy the machine was: nobody had more than all its processors. What the leader used is far less.
    least_j = (WATTS - IDLE_W) * 0.6 / (os.cpu_count() or 1)
    assert joules(energy_of(result)) > 0.7 * least_j


def test_real_encode_carries_its_joules_and_the_beat_its_watts(
    master: ScriptedMaster, hire: Hire, meter: Meter, tmp_path: Path
) -> None:
    load = LoadMeter(tmp_path, meter.sampler.power_watts)
    hire(recipes=workshop(tmp_path).recipe, energy=meter.sampler)
    master.greet()
    encode = Encode(codec=Codec.H264, width=640, height=360, fps=25.0, bitrate_bps=500_000, preset="veryfast")
    master.say(replace(assign(), encode=encode, duration_s=4.0))
    result = master.expect(Result)
    energy = energy_of(result)
    assert 0 < joules(energy) <= meter.joules()
    assert (energy.scope, energy.method) == ("package+dram", "rapl")
    master.say(commit())
    total = meter.sampler.ledger.totals["rapl:package+dram"]
    assert joules(energy) == pytest.approx(total.jobs_j, abs=1e-6)
    watts = load.read().power_watts
    # Read between two moves of the counter, it is less; the exact power is for the tests of the sampler.
    assert watts is None or 0 <= watts <= 1.2 * WATTS


def test_worker_without_a_meter_tells_no_energy(master: ScriptedMaster, hire: Hire) -> None:
    hire({StepName.ENCODE: BURNS})
    master.greet()
    master.say(assign())
    result = master.expect(Result)
    assert (result.outcome, result.report.energy) == (Outcome.ENCODED, None)

"""Limits and disks of a real worker: real children, real control groups, a small file system."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmp_worker.attempt import Limits
from ffrtmp_worker.cgroups import Bounds, Group
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.recipe import StepName
from ffrtmp_worker.room import Room
from ffrtmpd.wire.messages.session import Encode, ProgressReport, Result, Started
from ffrtmpd.wire.vocabulary import Codec, FailureClass, Outcome
from tests.needs import need
from tests.worker.bench import assign
from tests.worker.masters import ScriptedMaster
from tests.worker.test_cgroups import names, usable
from tests.worker.test_daemon import Hire, ScriptRecipe, hire, master, workshop

__all__ = ["hire", "master"]
MIB = 1 << 20
EATS = "import sys; open(sys.argv[1], 'w').write('half'); held = [bytearray(1 << 20) for _ in range(4096)]"
# Writes as many MiB as it is told, and then hangs.
WRITES = "import sys, time; open(sys.argv[1], 'wb').write(b'x' * ({mib} << 20)); print(3, flush=True); time.sleep(600)"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "ffrtmp-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        need(f"leave to mount a file system: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_job_that_eats_too_much_memory_ends_with_that_reason(
    master: ScriptedMaster, hire: Hire, tmp_path: Path
) -> None:
    cgroups = usable()
    worker = hire(
        {StepName.ENCODE: EATS}, limiter=Limiter(bounds=Bounds(memory_bytes=64 * MIB), nice=5, cgroups=cgroups)
    )
    master.greet()
    master.say(assign())
    result = master.expect(Result)
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)
    assert result.reason == "encode: out of memory: it needs more than the 64 MiB of limits.memory_bytes"
    assert result.report.limits == f"{cgroups.version} memory=64MiB, nice=5"
    worker.stop()
    assert not (tmp_path / "job-000001.mp4.partial").exists()
    assert names(cgroups) == set()


def test_worker_that_stops_waits_until_its_groups_are_gone(
    master: ScriptedMaster, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroups = usable()

    # Without a first look, as if what was killed took its time to go.
    def retire(group: Group) -> None:
        cgroups._spent.append(group)

    monkeypatch.setattr(cgroups, "retire", retire)
    worker = hire({StepName.ENCODE: WRITES.format(mib=0)}, limiter=Limiter(cgroups=cgroups))
    master.greet()
    master.say(assign())
    master.expect(ProgressReport)
    assert len(names(cgroups)) == 1
    worker.stop()
    left = names(cgroups)
    cgroups.sweep()
    assert left == set()


def test_full_disk_ends_the_newest_job_and_the_other_goes_on(master: ScriptedMaster, hire: Hire, small: Path) -> None:
    def recipe(assignment: object) -> ScriptRecipe:
        assert hasattr(assignment, "job_id")
        mib = 6 if assignment.job_id == "job-000001" else 5
        return ScriptRecipe(assignment, small, {StepName.ENCODE: WRITES.format(mib=mib)})  # type: ignore[arg-type]

    worker = hire(recipes=recipe, slots=2, limits=Limits(min_free_disk_bytes=8 * MIB))
    master.greet()
    master.say(assign("job-000001"))
    master.expect(ProgressReport)
    master.say(assign("job-000002"))
    result = master.expect(Result)
    assert (result.job_id, result.outcome, result.failure_class) == (
        "job-000002",
        Outcome.FAILED,
        FailureClass.TRANSIENT,
    )
    assert (result.reason or "").startswith("disk full: 5 MiB free where the output is written, and 8 MiB")
    assert len(worker.children()) == 1
    assert (small / "job-000001.mp4.partial").stat().st_size == 6 * MIB
    assert set(worker.daemon._room._writing.values()) == {(("job-000001", 1), small)}
    worker.stop()
    assert list(small.iterdir()) == []


def test_output_that_will_not_fit_is_not_begun(master: ScriptedMaster, hire: Hire, small: Path, tmp_path: Path) -> None:
    shop = replace(workshop(tmp_path), room=Room(4 * MIB))
    shop = replace(shop, places=replace(shop.places, output_roots=(small,)))
    hire(recipes=shop.recipe)
    master.greet()
    encode = Encode(codec=Codec.H264, width=320, height=180, fps=25.0, bitrate_bps=80_000_000, preset="ultrafast")
    master.say(replace(assign(), encode=encode, duration_s=2.0))
    result = master.expect(Result)
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.TRANSIENT)
    assert result.reason == (
        "not enough room on the disk: 16 MiB free, 21.01 MiB expected, "
        "4 MiB to be kept free (limits.min_free_disk_bytes)"
    )
    assert not any(isinstance(message, Started) for message in master.heard)
    assert list(small.iterdir()) == []
    master.say(replace(assign(attempt=2), encode=replace(encode, bitrate_bps=2_000_000), duration_s=1.0))
    # The first is told again until it is answered.
    assert master.expect(Result, lambda told: told.attempt == 2).outcome is Outcome.ENCODED
    assert shop.room._claims == {}

"""Scoring in a real daemon: what the master is told, and what is left behind."""

from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmpd.wire.messages.session import Assign, Encode, ProgressReport, Result
from ffrtmpd.wire.vocabulary import Codec, FailureClass, Outcome, Phase, VmafMode
from tests.needs import libvmaf
from tests.worker.bench import assign, kill
from tests.worker.masters import ScriptedMaster
from tests.worker.test_daemon import Hire, hire, master, workshop

__all__ = ["hire", "master"]


def order(*, seconds: float = 1.0, floor: float | None = None) -> Assign:
    encode = Encode(codec=Codec.H264, width=320, height=180, fps=25.0, bitrate_bps=300_000, preset="ultrafast")
    return replace(assign(), encode=encode, duration_s=seconds, vmaf=VmafMode.FULL, vmaf_floor=floor)


@pytest.fixture
def ready(master: ScriptedMaster, hire: Hire, tmp_path: Path) -> Hire:
    hire(recipes=replace(workshop(tmp_path), scorer=libvmaf(), scoring_threads=2).recipe)
    master.greet()
    return hire


def files(folder: Path) -> list[str]:
    return [path.name for path in (folder / "out").iterdir()]


def test_output_below_the_floor_is_not_published_and_its_scores_are_told(
    master: ScriptedMaster, ready: Hire, tmp_path: Path
) -> None:
    master.say(order(floor=99.99))
    result = master.expect(Result)
    assert (result.outcome, result.failure_class) == (Outcome.FAILED, FailureClass.PERMANENT)
    quality, experience, moved = result.report.quality, result.report.experience, result.report.provenance
    assert quality is not None
    assert quality.vmaf is not None
    assert result.reason == f"VMAF {quality.vmaf:.3f} is below the floor of 99.99: not published"
    assert (quality.frames, quality.model) == (25, "vmaf_v0.6.1")
    assert quality.cpu_s
    assert experience is not None
    assert experience.score == pytest.approx(1 + (max(1.0, quality.vmaf / 20) - 1))
    assert moved is not None
    assert moved.input_bytes
    assert result.report.bandwidth_bps
    phases = [report.phase for report in master.heard if isinstance(report, ProgressReport)]
    assert phases[-1] is Phase.SCORING
    assert files(tmp_path) == []


def test_output_good_enough_is_offered_with_its_hashes(master: ScriptedMaster, ready: Hire, tmp_path: Path) -> None:
    master.say(order(floor=1.0))
    result = master.expect(Result)
    assert (result.outcome, result.reason) == (Outcome.ENCODED, None)
    assert result.report.quality is not None
    assert result.report.quality.vmaf_p1 is not None
    moved = result.report.provenance
    assert moved is not None
    assert len(moved.output_sha256 or "") == len(moved.input_sha256 or "") == 64


def test_job_killed_while_it_is_scored_leaves_nothing(master: ScriptedMaster, ready: Hire, tmp_path: Path) -> None:
    master.say(order(seconds=30.0))
    master.expect(ProgressReport, lambda report: report.phase is Phase.SCORING)
    master.say(kill())
    assert master.expect(Result).outcome is Outcome.CANCELED
    # That no process is left is seen at the end of every test with a daemon.
    assert files(tmp_path) == []

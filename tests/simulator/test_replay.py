"""A failing seed is shown, shrunk and kept."""

from pathlib import Path

import pytest

from tests.simulator.__main__ import main
from tests.simulator.mutants import MUTANTS, Mutant
from tests.simulator.plan import plan_of
from tests.simulator.replay import Failure, describe, first_failure, known_seeds, record, shrink


def mutant(name: str) -> Mutant:
    return next(mutant for mutant in MUTANTS if mutant.name == name)


def failure() -> Failure:
    found = first_failure([plan_of(seed, "wire") for seed in range(100)])
    assert found is not None
    return found


def test_failure_is_told_with_its_faults_its_end_and_the_way_to_see_it_again() -> None:
    with mutant("a worker publishes without leave").alive():
        found = failure()
        text = describe(found)
    lines = text.splitlines()
    assert lines[0].startswith(f"seed {found.plan.seed}, wire: ")
    assert str(found.plan.mishaps[0]) in text
    assert any("renames" in line for line in lines)
    assert lines[-2] == f"broken: {found.violation}"
    assert lines[-1] == f"again:  python -m tests.simulator --replay {found.plan.seed} --profile wire"


def test_shrunk_failure_breaks_the_same_rule_with_fewer_faults() -> None:
    said: list[str] = []
    with mutant("a worker publishes without leave").alive():
        found = failure()
        smaller = shrink(found, said.append)
    assert smaller.violation.rule is found.violation.rule
    assert len(smaller.plan.mishaps) + len(said) == len(found.plan.mishaps)
    assert said


def test_failing_seed_is_added_to_the_known_ones_once(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.txt"
    seeds.write_text("# known\n3 push  an old one\n")
    with mutant("a worker publishes without leave").alive():
        found = failure()
    record(found, seeds)
    record(found, seeds)
    assert known_seeds(seeds) == [(3, "push"), (found.plan.seed, "wire")]


def test_command_says_how_many_worlds_it_ran(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3", "--start", "40", "--profile", "calm"]) == 0
    assert capsys.readouterr().out.startswith("3 worlds in ")


def test_command_shows_the_first_failure_and_ends_with_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = tmp_path / "seeds.txt"
    monkeypatch.setattr("tests.simulator.replay.SEEDS", seeds)
    with mutant("attempts have the same number").alive():
        assert main(["--seeds", "50", "--profile", "wire", "--shrink"]) == 1
    out = capsys.readouterr().out
    assert "broken: the audit trail is a path" in out
    assert "again:  python -m tests.simulator --replay" in out
    assert len(known_seeds(seeds)) == 1


def test_command_replays_one_world_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--replay", "8", "--profile", "calm"]) == 0
    out = capsys.readouterr().out
    assert "SUBMIT" in out
    assert "every rule was kept" in out

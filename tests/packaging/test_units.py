"""The units: what systemd itself says about their sandboxes."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.needs import program

UNITS = Path(__file__).parents[2] / "packaging/systemd"
OVERALL = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")


@pytest.mark.parametrize(("name", "most"), [("ffrtmpd.service", 1.5), ("ffrtmp-worker.service", 2.0)])
def test_what_a_service_may_do_is_bounded(name: str, most: float) -> None:
    analyze = program("systemd-analyze")
    done = subprocess.run(
        [analyze, "security", "--offline=true", str(UNITS / name)], capture_output=True, text=True, check=True
    )
    found = OVERALL.search(done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) <= most, done.stdout


def settings(name: str) -> dict[str, str]:
    lines = (UNITS / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_stop_of_a_worker_is_a_matter_between_it_and_its_encoders() -> None:
    worker = settings("ffrtmp-worker.service")
    assert worker["KillMode"] == "mixed"
    assert worker["OOMPolicy"] == "continue"
    assert worker["Delegate"] == "yes"


@pytest.mark.parametrize("name", ["ffrtmpd.service", "ffrtmp-worker.service"])
def test_systemd_knows_whether_a_daemon_turns_and_does_not_repeat_what_cannot_work(name: str) -> None:
    service = settings(name)
    assert service["Type"] == "notify"
    assert service["WatchdogSec"] == "60s"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"].split() == ["2", "78"]

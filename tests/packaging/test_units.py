"""What can be said of units and packages without building any; systemd itself judges the sandboxes."""

import re
import subprocess
from pathlib import Path

import pytest

from ffrtmpd import __version__
from tests.needs import program

PACKAGING = Path(__file__).parents[2] / "packaging"
UNITS = PACKAGING / "systemd"
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
    # Nor does it give up what may work later, or stop an administrator who restarts it five times in a row.
    assert service["StartLimitIntervalSec"] == "0"
    assert service["RestartPreventExitStatus"].split() == ["2", "78"]


def test_changelog_tells_of_this_version() -> None:
    newest = (PACKAGING / "debian/changelog").read_text(encoding="utf-8").splitlines()[0]
    assert newest.startswith(f"ffrtmp ({__version__}) ")


@pytest.mark.parametrize("name", ["ffrtmpd.toml", "worker.toml"])
def test_conffile_says_nothing_that_a_later_release_would_change(name: str) -> None:
    # dpkg asks about a conffile only where both the administrator and a release have changed it.
    lines = (PACKAGING / "etc" / name).read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("#") for line in lines)
    assert f"/usr/share/ffrtmp/conf/{name}" in lines[0]

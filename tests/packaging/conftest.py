"""Packages of this tree, and machines to try them on."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.needs import need, program
from tests.packaging.machine import Machine, booted, is_offered

ROOT = Path(__file__).parents[2]
OLD_VERSION = "0.0.9"
NAMES = ("python3-ffrtmp", "ffrtmp-master", "ffrtmp-worker", "ffrtmp")


@dataclass(frozen=True, slots=True)
class Build:
    """What a build made. ``debs`` are in the order of NAMES."""

    folder: Path

    @property
    def debs(self) -> list[Path]:
        return [next(self.folder.glob(f"{name}_*_all.deb")) for name in NAMES]

    @property
    def changes(self) -> Path:
        return next(self.folder.glob("*.changes"))

    @property
    def version(self) -> str:
        return self.changes.name.split("_")[1]


def build(folder: Path, *arguments: str) -> Build:
    program("dpkg-buildpackage")
    lacking = subprocess.run(
        ["dpkg-checkbuilddeps", str(ROOT / "packaging/debian/control")], capture_output=True, text=True, check=False
    )
    if lacking.returncode != 0:
        need(lacking.stderr.strip())
    done = subprocess.run(
        [sys.executable, str(ROOT / "packaging/build_deb.py"), "--output", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6_000:]
    return Build(folder)


@pytest.fixture(scope="session")
def new_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return the packages of this tree."""
    return build(tmp_path_factory.mktemp("new"))


@pytest.fixture(scope="session")
def old_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return packages that are taken for an earlier release."""
    return build(tmp_path_factory.mktemp("old"), "--version", OLD_VERSION)


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, old_build: Build
) -> Iterator[Machine]:
    """Give a Debian that has never seen ffrtmp, booted."""
    # The oldest Debian that is promised is a must; the next one is tried where it can be had.
    if request.param != "bookworm" and not is_offered(request.param):
        pytest.skip(f"this machine's mirror does not answer for {request.param}")
    with booted(request.param, tmp_path_factory.mktemp("machine")) as running:
        running.ok("apt-get", "update", timeout_s=300)
        yield running


def paths_of_ffrtmp(machine: Machine) -> list[str]:
    """Return every path on the machine's disk with ffrtmp in its name."""
    return machine.ok("find", "/", "-xdev", "-path", "/proc", "-prune", "-o", "-name", "*ffrtmp*", "-print").split()

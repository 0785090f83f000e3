"""What systemd is told by the installed daemons, and what they take from it."""

import select
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import PATIENCE_S, Cluster, Program, cluster

pytestmark = pytest.mark.e2e


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path / "cluster") as running:
        yield running


class Manager:
    """Hears what a service manager hears."""

    def __init__(self, path: Path) -> None:
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(str(path))
        # A tenth of a second: a turn that is due a hundred times in the patience of a test.
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}

    def next(self) -> str:
        assert select.select([self._ear], [], [], PATIENCE_S)[0], "nothing was said"
        return self._ear.recv(64).decode()

    def stopping(self) -> None:
        """Hear what is said until the daemon stops."""
        while (said := self.next()) != "STOPPING=1":
            assert said == "WATCHDOG=1"

    def close(self) -> None:
        self._ear.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def lives_as_told(manager: Manager, program: Program) -> None:
    assert manager.next() == "READY=1"
    # With nothing to do, each of these is a turn that came because it was due.
    assert [manager.next() for _ in range(5)] == ["WATCHDOG=1"] * 5
    assert program.stop() == 0
    manager.stopping()


def test_master_says_that_it_is_ready_turns_and_stops(lone: Cluster, manager: Manager) -> None:
    lone.env |= manager.environment
    lives_as_told(manager, lone.start_master())


def test_worker_says_that_it_is_ready_turns_and_stops(lone: Cluster, manager: Manager) -> None:
    lone.start_master()
    lone.enrol("w1")
    lone.env |= manager.environment
    # Without a master that beats: what turns it has are those that are due.
    assert lone.master is not None
    lone.master.stop()
    lives_as_told(manager, lone.launch_worker("w1"))


def test_worker_takes_its_key_from_systemd(lone: Cluster, tmp_path: Path) -> None:
    lone.start_master()
    lone.enrol("w1")
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    shutil.move(lone.state("w1") / "worker.key", folder / "ffrtmp-worker.key")
    lone.env["CREDENTIALS_DIRECTORY"] = str(folder)
    lone.start_worker("w1")

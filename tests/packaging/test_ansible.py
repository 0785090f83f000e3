"""The example for Ansible: a master and a worker out of packages, and a second run that changes nothing."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmpd.wire.curve import INVITATION_PREFIX
from tests.packaging.conftest import Build
from tests.packaging.machine import INSTALL_S, Machine, booted
from tests.ports import free_port

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ansible"
# Both are the one machine that there is.
INVENTORY = """\
[master]
media-master ansible_connection=local

[workers]
worker-1 ansible_connection=local ffrtmp_slots=3
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, new_build: Build) -> Iterator[Machine]:
    """Give a Debian with its own Ansible, the example and the packages, booted. Its tests go on from each other."""
    with booted("bookworm", tmp_path_factory.mktemp("machine")) as running:
        running.ok("apt-get", "update", timeout_s=INSTALL_S)
        wanted = ("ansible-core", "python3-apt", "sudo")
        running.ok("apt-get", "install", "-y", "--no-install-recommends", *wanted, timeout_s=INSTALL_S)
        shutil.copytree(new_build.folder, running.root / "srv/dist")
        shutil.copytree(EXAMPLE, running.root / "srv/ansible")
        (running.root / "srv/ansible/inventory.ini").write_text(INVENTORY)
        yield running


@pytest.fixture(scope="module")
def play() -> tuple[str, ...]:
    """Return the command that runs the playbook. Other programs of the machine under test have the usual ports."""
    given = {
        "ffrtmp_packages": "/srv/dist",
        "ffrtmp_advertise": "127.0.0.1",
        "ffrtmp_address": "127.0.0.1",
        "ffrtmp_workers_port": free_port(),
        "ffrtmp_clients_port": free_port(),
    }
    words = " ".join(f"{name}={value}" for name, value in given.items())
    return ("env", "--chdir=/srv/ansible", "ansible-playbook", "--extra-vars", words, "site.yml")


def changes(told: str) -> dict[str, tuple[str, str]]:
    """Return how many tasks changed something and how many failed, by machine."""
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) .*failed=(\d+)", told, re.MULTILINE)
    return {name: (changed, failed) for name, changed, failed in found}


def test_playbook_is_understood(machine: Machine, play: tuple[str, ...]) -> None:
    assert "playbook: site.yml" in machine.ok(*play, "--syntax-check")


def test_playbook_makes_a_cluster_that_works(machine: Machine, play: tuple[str, ...]) -> None:
    told = machine.ok(*play, timeout_s=INSTALL_S)
    assert {failed for _, failed in changes(told).values()} == {"0"}, told
    # The line with which a worker joins is a key.
    assert INVITATION_PREFIX not in told
    submit = ("ffrtmp", "jobs", "submit", "480p30-h264", "--duration", "1", "--wait")
    assert "completed" in machine.ok(*submit, user="ffrtmp", timeout_s=INSTALL_S)
    nodes = machine.ok("ffrtmp", "nodes", "list", "-o", "jsonl", user="ffrtmp")
    assert re.search(r'"node_id": ?"worker-1".*"slots": ?3', nodes), nodes
    for unit in ("ffrtmpd.service", "ffrtmp-worker.service"):
        assert machine.unit(unit, "ActiveState", "UnitFileState") == {
            "ActiveState": "active",
            "UnitFileState": "enabled",
        }


def test_second_run_changes_nothing(machine: Machine, play: tuple[str, ...]) -> None:
    told = machine.ok(*play, timeout_s=INSTALL_S)
    assert changes(told) == {"media-master": ("0", "0"), "worker-1": ("0", "0")}, told


def test_changed_setting_reaches_the_worker(machine: Machine, play: tuple[str, ...]) -> None:
    inventory = machine.root / "srv/ansible/inventory.ini"
    inventory.write_text(INVENTORY.replace("ffrtmp_slots=3", "ffrtmp_slots=2"))
    machine.ok(*play, timeout_s=INSTALL_S)
    submit = ("ffrtmp", "jobs", "submit", "480p30-h264", "--duration", "1", "--wait")
    assert "completed" in machine.ok(*submit, user="ffrtmp", timeout_s=INSTALL_S)
    nodes = machine.ok("ffrtmp", "nodes", "list", "-o", "jsonl", user="ffrtmp")
    assert re.search(r'"slots": ?2', nodes), nodes

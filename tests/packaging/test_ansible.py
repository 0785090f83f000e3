"""The example for Ansible: a master and a worker out of packages, and a second run that changes nothing."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.packaging.chroots import MODULES, Chroot, debian

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[2]
EXAMPLE = HERE / "docs" / "examples" / "ansible"
INVENTORY = """\
[master]
media-master ansible_connection=local

[workers]
worker-1 ansible_connection=local ffrtmp_slots=3
"""
# There is no systemd in a chroot: what it would do is done below.
GIVEN = "--extra-vars 'ffrtmp_packages=/srv/dist ffrtmp_advertise=127.0.0.1 ffrtmp_services=false'"
# What the units do, on a network of its own.
SCRIPT = f"""\
set -eu
cd /srv/ansible
ansible-playbook {GIVEN} site.yml --limit master
sudo -u ffrtmp -H ffrtmpd init --first-start
sudo -u ffrtmp -H ffrtmpd run >/srv/master.log 2>&1 &
tries=0
until sudo -u ffrtmp -H ffrtmp ping >/dev/null 2>&1; do
    tries=$((tries + 1))
    test "$tries" -lt 600
    sleep 0.1
done
ansible-playbook {GIVEN} site.yml
sudo -u ffrtmp-worker -H ffrtmp-worker run >/srv/worker.log 2>&1 &
sudo -u ffrtmp -H ffrtmp jobs submit 480p30-h264 --duration 2s --wait
echo SECOND
ansible-playbook {GIVEN} site.yml
echo NODES
sudo -u ffrtmp -H ffrtmp nodes list -o jsonl
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroot]:
    """Make a Debian with Ansible and what the packages need, the example, and the packages."""
    needs.program("dpkg-buildpackage")
    folder = tmp_path_factory.mktemp("ansible")
    built = subprocess.run(
        [sys.executable, HERE / "packaging/build_deb.py", "--output", folder / "dist"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=600,
    )
    assert built.returncode == 0, built.stdout
    made = debian(folder / "root", [*MODULES, "ansible-core", "ffmpeg", "python3-apt", "sudo", "systemd"])
    shutil.copytree(folder / "dist", made.path / "srv/dist")
    shutil.copytree(EXAMPLE, made.path / "srv/ansible")
    (made.path / "srv/ansible/inventory.ini").write_text(INVENTORY)
    # On a network of its own nobody else tells sudo who this is.
    (made.path / "etc/hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
    yield made
    shutil.rmtree(folder / "root")


def test_playbook_is_understood(root: Chroot) -> None:
    told = root.run("sh", "-c", "cd /srv/ansible && ansible-playbook --syntax-check site.yml")
    assert "playbook: site.yml" in told


def test_playbook_makes_a_cluster_that_works_and_leaves_it_alone_then(root: Chroot) -> None:
    told = root.run("sh", "-c", SCRIPT, alone=True, timeout_s=900)
    first, second = told.split("SECOND\n")
    assert "failed=0" in first, told
    recap, nodes = second.split("NODES\n")
    assert re.findall(r"(\S+) +: ok=\d+ +changed=(\d+) .*failed=(\d+)", recap) == [
        ("media-master", "0", "0"),
        ("worker-1", "0", "0"),
    ], told
    assert re.search(r'"node_id": ?"worker-1"', nodes), told
    assert re.search(r'"slots": ?3', nodes), told

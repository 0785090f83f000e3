"""The rpms: built, looked at, and on a Debian with rpm installed, at work under systemd, updated, and erased."""

import os
import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import setuptools

from ffrtmpd import __version__
from tests import needs
from tests.packaging.conftest import paths_of_ffrtmp
from tests.packaging.machine import INSTALL_S, Machine, booted, wait_until
from tests.ports import free_port

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[2]
RPM = HERE / "packaging" / "rpm"
NAMES = ("ffrtmp", "ffrtmp-master", "ffrtmp-worker", "python3-ffrtmp")
BUILD_S = 300


def said(*argv: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in argv],
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=BUILD_S,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def built_at(folder: Path) -> Path:
    needs.program("rpmbuild")
    said(RPM / "build", folder, SOURCE_DATE_EPOCH="1767225600")
    return folder


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the packages and return them by name."""
    folder = built_at(tmp_path_factory.mktemp("rpms"))
    return {name: folder / f"{name}-{__version__}-1.noarch.rpm" for name in NAMES}


def asked(package: Path, *question: str) -> list[str]:
    return said("rpm", "--query", "--package", *question, package).split("\n")[:-1]


# ── what is in them ───────────────────────────────────────────────────────────────────────────────────────────────


def test_every_package_is_built_and_for_any_machine(packages: dict[str, Path]) -> None:
    folder = packages["ffrtmp"].parent
    made = {path.name for path in folder.glob("*.rpm")}
    assert made == {path.name for path in packages.values()} | {f"ffrtmp-{__version__}-1.src.rpm"}
    for package in packages.values():
        assert asked(package, "--queryformat", "%{ARCH} %{LICENSE}\n") == ["noarch MIT"]


def test_same_sources_make_the_same_packages(packages: dict[str, Path], tmp_path: Path) -> None:
    again = built_at(tmp_path)
    for package in packages.values():
        assert (again / package.name).read_bytes() == package.read_bytes(), package.name


def test_rpmlint_has_nothing_to_say_that_is_not_explained(packages: dict[str, Path]) -> None:
    rpmlint = needs.program("rpmlint")
    source = packages["ffrtmp"].with_name(f"ffrtmp-{__version__}-1.src.rpm")
    told = said(rpmlint, "--config", RPM / "rpmlint.toml", *packages.values(), source, RPM / "ffrtmp.spec")
    assert "0 errors, 0 warnings" in told, told


def test_modules_are_private_and_of_no_python_version(packages: dict[str, Path]) -> None:
    files = asked(packages["python3-ffrtmp"], "--list")
    modules = {name for name in files if name.endswith(".py")}
    expected = {
        f"/usr/share/ffrtmp/lib/{path.relative_to(HERE)}"
        for package in ("ffrtmpd", "ffrtmp_worker", "ffrtmp_tui")
        for path in (HERE / package).rglob("*.py")
    }
    assert modules == expected
    for package in packages.values():
        for name in asked(package, "--list"):
            assert not re.search(r"python3\.\d|site-packages|dist-packages|__pycache__|\.pyc$|/tests", name), name


def test_modules_that_are_needed_are_those_of_setup(packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, list[str]] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **words: told.update(words))
    runpy.run_path(str(HERE / "setup.py"))
    wanted = {requirement.replace(">=", ") >= ") for requirement in told["install_requires"]}
    needed = {line for package in packages.values() for line in asked(package, "--requires")}
    assert {line.removeprefix("python3dist(") for line in needed if line.startswith("python3dist(")} == wanted
    assert "python3 >= 3.11" in needed


def test_manual_samples_and_completion_are_there(packages: dict[str, Path]) -> None:
    files = {name for package in packages.values() for name in asked(package, "--list")}
    for page in (HERE / "docs" / "man").iterdir():
        assert f"/usr/share/man/man{page.suffix[1:]}/{page.name}.gz" in files
    for sample in ("scenarios.toml", "ffrtmpd.toml", "worker.toml"):
        assert f"/usr/share/ffrtmp/conf/{sample}" in files
    for place in ("bash-completion/completions/ffrtmp", "zsh/site-functions/_ffrtmp"):
        assert f"/usr/share/{place}" in files


def test_settings_of_the_administrator_are_kept_over_updates(packages: dict[str, Path]) -> None:
    for name, file in (("ffrtmp-master", "ffrtmpd.toml"), ("ffrtmp-worker", "worker.toml")):
        kept = [f"/etc/ffrtmp/{file}", f"/etc/ufw/applications.d/{name}"]
        assert asked(packages[name], "--configfiles") == kept


def test_units_users_and_firewall_of_each_are_with_it(packages: dict[str, Path]) -> None:
    master, worker = (set(asked(packages[f"ffrtmp-{which}"], "--list")) for which in ("master", "worker"))
    assert not master & worker
    for file in (HERE / "packaging").glob("systemd/*"):
        assert f"/usr/lib/systemd/system/{file.name}" in (master if file.name.startswith("ffrtmpd") else worker)
    for kind in ("sysusers.d", "tmpfiles.d"):
        assert f"/usr/lib/{kind}/ffrtmp-master.conf" in master
        assert f"/usr/lib/{kind}/ffrtmp-worker.conf" in worker
    assert "/usr/lib/firewalld/services/ffrtmp-master.xml" in master
    assert "/usr/share/ffrtmp/firewall/ffrtmp-master.nft" in master
    assert "/usr/lib/firewalld/services/ffrtmp-worker-metrics.xml" in worker


# ── installed ─────────────────────────────────────────────────────────────────────────────────────────────────────

# Debian's names of the modules that the packages need, and of what is tried with them.
NEEDED = (
    "ffmpeg",
    "firewalld",
    "nftables",
    "python3-msgpack",
    "python3-peewee",
    "python3-prometheus-client",
    "python3-psutil",
    "python3-urwid",
    "python3-zmq",
    "rpm",
    "ufw",
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Give a Debian with rpm that has what the packages need, booted. Its tests go on from each other."""
    with booted("bookworm", tmp_path_factory.mktemp("machine")) as running:
        # Its network is this machine's: no firewall may start there.
        policy = running.root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        running.ok("apt-get", "update", timeout_s=INSTALL_S)
        running.ok("apt-get", "install", "-y", "--no-install-recommends", *NEEDED, timeout_s=INSTALL_S)
        yield running


def rpm(machine: Machine, *words: str) -> str:
    # Debian's rpm wants to be sure that it is meant.
    return machine.ok("rpm", "--force-debian", *words, timeout_s=INSTALL_S)


def put(machine: Machine, packages: dict[str, Path]) -> list[str]:
    for package in packages.values():
        shutil.copy(package, machine.root / "root")
    return [f"/root/{package.name}" for package in packages.values()]


def is_active(machine: Machine, unit: str) -> bool:
    return machine.unit(unit, "ActiveState") == {"ActiveState": "active"}


def test_packages_install_and_are_as_packaged(machine: Machine, packages: dict[str, Path]) -> None:
    # What they need is there under Debian's names.
    rpm(machine, "--install", "--nodeps", *put(machine, packages))
    assert rpm(machine, "--verify", "--nodeps", *NAMES) == ""


def test_programs_run_and_tell_their_version(machine: Machine) -> None:
    for program in ("ffrtmp", "ffrtmpd", "ffrtmp-worker"):
        assert machine.ok(program, "--version") == f"{program} {__version__}\n"


def test_modules_are_compiled_by_the_python_that_is_there(machine: Machine) -> None:
    library = machine.root / "usr/share/ffrtmp/lib"
    sources = {path.relative_to(library) for path in library.rglob("*.py")}
    compiled = {
        path.parent.parent.relative_to(library) / f"{path.name.split('.')[0]}.py" for path in library.rglob("*.pyc")
    }
    assert compiled == sources


def test_users_and_their_folders_are_made(machine: Machine) -> None:
    for user in ("ffrtmp", "ffrtmp-worker"):
        assert machine.ok("stat", "--format", "%U %G %a", f"/var/lib/{user}") == f"{user} {user} 700\n"
        assert "nologin" in machine.ok("getent", "passwd", user)


def test_demo_of_the_installed_programs_does_its_work(machine: Machine) -> None:
    told = machine.ok("ffrtmp", "demo", "--jobs", "480p30-h264", timeout_s=INSTALL_S)
    assert re.search(r"job-000005 .* completed .* h264 854x480, 30 fps, 120 frames", told), told


def test_master_and_worker_do_a_job_under_systemd(machine: Machine) -> None:
    settings = machine.root / "etc/ffrtmp"
    (settings / "ffrtmpd.d").mkdir()
    (settings / "worker.d").mkdir()
    # Other programs of the machine under test have the usual ports.
    (settings / "ffrtmpd.d/ports.toml").write_text(
        f"[listen]\nworkers_port = {free_port()}\nclients_port = {free_port()}\n[metrics]\nport = {free_port()}\n"
    )
    (settings / "worker.d/ports.toml").write_text(f"[metrics]\nport = {free_port()}\n")
    machine.ok("systemctl", "start", "ffrtmpd.service", timeout_s=INSTALL_S)
    machine.ok("systemctl", "start", "ffrtmp-worker.path")
    line = machine.ok("ffrtmp", "keys", "invite", "w1", "--role", "worker", "-q", user="ffrtmp").strip()
    machine.ok("ffrtmp-worker", "join", line)
    submit = ("ffrtmp", "jobs", "submit", "480p30-h264", "--duration", "1", "--wait")
    assert "completed" in machine.ok(*submit, user="ffrtmp", timeout_s=INSTALL_S)


def test_firewalls_take_their_files(machine: Machine) -> None:
    for service, port in (("ffrtmp-master", "5570/tcp"), ("ffrtmp-worker-metrics", "9091/tcp")):
        assert port in machine.ok("firewall-offline-cmd", f"--info-service={service}")
    (machine.root / "root/rules.nft").write_text(
        "table inet filter {\n  chain input {\n    type filter hook input priority filter; policy drop;\n"
        '    include "/usr/share/ffrtmp/firewall/*.nft"\n  }\n}\n'
    )
    machine.ok("nft", "--check", "--file", "/root/rules.nft")
    for profile, ports in (("ffrtmp-master", "5570,5571/tcp"), ("ffrtmp-worker-metrics", "9091/tcp")):
        assert ports in machine.ok("ufw", "app", "info", profile)


def test_update_keeps_settings_and_state_and_what_the_worker_does(machine: Machine, packages: dict[str, Path]) -> None:
    edited = machine.root / "etc/ffrtmp/ffrtmpd.toml"
    edited.write_text(edited.read_text() + "# by hand\n")
    key = (machine.root / "var/lib/ffrtmp/keys/master.key").read_bytes()
    worker, master = (machine.unit(unit, "MainPID") for unit in ("ffrtmp-worker.service", "ffrtmpd.service"))
    rpm(machine, "--upgrade", "--nodeps", "--force", *put(machine, packages))
    assert edited.read_text().endswith("# by hand\n")
    assert (machine.root / "var/lib/ffrtmp/keys/master.key").read_bytes() == key
    assert machine.unit("ffrtmp-worker.service", "MainPID") == worker
    wait_until(lambda: is_active(machine, "ffrtmpd.service"), dump=machine.journal)
    assert machine.unit("ffrtmpd.service", "MainPID") != master
    assert "job-000001" in machine.ok("ffrtmp", "jobs", "list", user="ffrtmp")


def test_erased_packages_leave_settings_and_state(machine: Machine) -> None:
    rpm(machine, "--erase", "--nodeps", *NAMES)
    assert not {"ffrtmpd", "ffrtmp-worker", "ffmpeg"} & set(machine.programs())
    left = {path for path in paths_of_ffrtmp(machine) if not path.startswith(("/root/", "/tmp/"))}
    assert {path for path in left if not path.startswith(("/var/lib/ffrtmp", "/etc/ffrtmp"))} == set()
    assert (machine.root / "var/lib/ffrtmp/master.db").exists()
    # What was edited stays, under the name that rpm gives it.
    assert list((machine.root / "etc/ffrtmp").glob("ffrtmpd.toml.rpmsave"))

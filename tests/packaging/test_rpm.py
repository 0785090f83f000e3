"""The rpms: built, looked at, installed in a chroot, run, and erased."""

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
from tests.packaging.chroots import MODULES, Chroot, debian

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[2]
RPM = HERE / "packaging" / "rpm"
NAMES = ("ffrtmp", "ffrtmp-master", "ffrtmp-worker", "python3-ffrtmp")
BUILD_S = 300
# What rpm keeps for itself in the chroot.
_OWN = re.compile(r"/(root/\.rpmdb|var/lib/rpm|usr/lib/sysimage/rpm)(/|$)")


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


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroot]:
    """Make a chroot with what the packages need, from Debian."""
    path = tmp_path_factory.mktemp("chroot") / "root"
    yield debian(path, [*MODULES, "ffmpeg", "firewalld", "nftables", "systemd", "ufw"])
    shutil.rmtree(path)


def rpm(root: Chroot, *words: str | Path) -> str:
    # Scripts of packages need /proc. Debian's rpm wants to be sure that it is meant.
    inside = 'mount -t proc proc "$1/proc" && shift && exec rpm --force-debian "$@"'
    return said("unshare", "--mount", "sh", "-c", inside, "sh", root.path, "--root", root.path, *words)


def tree(root: Chroot) -> set[str]:
    names = (f"/{path.relative_to(root.path)}" for path in root.path.rglob("*"))
    return {name for name in names if not _OWN.match(name)}


@pytest.fixture(scope="module")
def before(root: Chroot) -> set[str]:
    """Return what was there before."""
    return tree(root)


@pytest.fixture(scope="module")
def installed(root: Chroot, before: set[str], packages: dict[str, Path]) -> Chroot:
    """Install all four; what they need is there under Debian's names."""
    assert before
    rpm(root, "--install", "--nodeps", *packages.values())
    return root


def test_installed_files_are_as_packaged(installed: Chroot) -> None:
    assert rpm(installed, "--verify", "--nodeps", *NAMES) == ""


def test_programs_run_and_tell_their_version(installed: Chroot) -> None:
    for program in ("ffrtmp", "ffrtmpd", "ffrtmp-worker"):
        assert installed.run(program, "--version") == f"{program} {__version__}\n"


def test_modules_are_compiled_by_the_python_that_is_there(installed: Chroot) -> None:
    library = installed.path / "usr/share/ffrtmp/lib"
    sources = {path.relative_to(library) for path in library.rglob("*.py")}
    compiled = {
        path.parent.parent.relative_to(library) / f"{path.name.split('.')[0]}.py" for path in library.rglob("*.pyc")
    }
    assert compiled == sources


def test_users_and_their_folders_are_made(installed: Chroot) -> None:
    for user in ("ffrtmp", "ffrtmp-worker"):
        assert installed.run("stat", "--format", "%U %G %a", f"/var/lib/{user}") == f"{user} {user} 700\n"
        assert "nologin" in installed.run("getent", "passwd", user)


def test_cluster_of_the_installed_programs_does_its_work(installed: Chroot) -> None:
    told = installed.run("ffrtmp", "demo", "--jobs", "480p30-h264")
    assert re.search(r"job-000005 .* completed .* h264 854x480, 30 fps, 120 frames", told), told


def test_master_starts_with_what_the_package_brings(installed: Chroot) -> None:
    as_ffrtmp = ("setpriv", "--reuid=ffrtmp", "--regid=ffrtmp", "--clear-groups", "env", "HOME=/var/lib/ffrtmp")
    # As its unit does.
    installed.run(*as_ffrtmp, "ffrtmpd", "--home", "/var/lib/ffrtmp", "init", "--first-start")
    told = installed.run(*as_ffrtmp, "ffrtmpd", "--home", "/var/lib/ffrtmp", "check-config")
    scenarios = re.search(r"^scenarios +(\d+)$", told, re.MULTILINE)
    assert scenarios is not None, told
    assert int(scenarios[1]) > 0


def test_firewalls_take_their_files(installed: Chroot) -> None:
    for service, port in (("ffrtmp-master", "5570/tcp"), ("ffrtmp-worker-metrics", "9091/tcp")):
        assert port in installed.run("firewall-offline-cmd", f"--info-service={service}")
    rules = installed.path / "root/rules.nft"
    rules.write_text(
        "table inet filter {\n  chain input {\n    type filter hook input priority filter; policy drop;\n"
        '    include "/usr/share/ffrtmp/firewall/*.nft"\n  }\n}\n'
    )
    installed.run("nft", "--check", "--file", "/root/rules.nft")
    rules.unlink()
    for profile, ports in (("ffrtmp-master", "5570,5571/tcp"), ("ffrtmp-worker-metrics", "9091/tcp")):
        assert ports in installed.run("ufw", "app", "info", profile)


def test_update_keeps_what_the_master_has(installed: Chroot, packages: dict[str, Path]) -> None:
    kept = installed.path / "var/lib/ffrtmp/kept"
    kept.write_text("kept")
    rpm(installed, "--upgrade", "--nodeps", "--force", *packages.values())
    assert kept.read_text() == "kept"
    assert installed.run("ffrtmp", "--version") == f"ffrtmp {__version__}\n"


def test_erased_packages_leave_only_what_the_programs_kept(installed: Chroot, before: set[str]) -> None:
    """The last test of this file: afterwards nothing is installed."""
    rpm(installed, "--erase", "--nodeps", *NAMES)
    left = {name for name in tree(installed) - before if "ffrtmp" in name}
    assert {name for name in left if not name.startswith(("/var/lib/ffrtmp", "/root/", "/tmp/"))} == set()
    assert (installed.path / "var/lib/ffrtmp/kept").exists()

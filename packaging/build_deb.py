#!/usr/bin/env python3
"""Builds the Debian packages: copies the tree, puts debian/ where Debian wants it, and brings the results to dist/.

Needs dpkg-dev and the Build-Depends of packaging/debian/control. Nothing is written into the tree but dist/.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What a build needs; tests/ and .ci/ are of no use to one.
PARTS = ("LICENSE", "README.md", "setup.py", "pyproject.toml", "conf", "docs", "ffrtmpd", "ffrtmp_worker", "ffrtmp_tui")
# By the names under which debhelper looks for them.
UNITS = {
    "systemd/ffrtmpd.service": "ffrtmp-master.ffrtmpd.service",
    "systemd/ffrtmp-worker.service": "ffrtmp-worker.service",
    "systemd/ffrtmp-worker.path": "ffrtmp-worker.path",
    "sysusers.d/ffrtmp-master.conf": "ffrtmp-master.sysusers",
    "sysusers.d/ffrtmp-worker.conf": "ffrtmp-worker.sysusers",
    "tmpfiles.d/ffrtmp-master.conf": "ffrtmp-master.tmpfiles",
    "tmpfiles.d/ffrtmp-worker.conf": "ffrtmp-worker.tmpfiles",
    "udev/60-ffrtmp-worker.rules": "ffrtmp-worker.udev",
}
VERSION_FILE = "ffrtmpd/__init__.py"
VERSION_LINE = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
CHANGELOG_HEAD = re.compile(r"^ffrtmp \((\S+)\)", re.MULTILINE)


def build_tree(folder: Path, version: str | None) -> str:
    """Fill ``folder`` with a source tree for dpkg-buildpackage; return its version."""
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in (*PARTS, "packaging"):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=skip)
        else:
            shutil.copy2(source, folder / part)
    debian = folder / "debian"
    shutil.copytree(folder / "packaging/debian", debian)
    for source, name in UNITS.items():
        shutil.copy2(folder / "packaging" / source, debian / name)
    if version is not None:
        _rename(folder, version)
    text = (folder / VERSION_FILE).read_text(encoding="utf-8")
    (said,) = VERSION_LINE.findall(text)
    newest = CHANGELOG_HEAD.findall((debian / "changelog").read_text(encoding="utf-8"))[0]
    if said != newest:
        sys.exit(f"{VERSION_FILE} says {said} and packaging/debian/changelog {newest}: write an entry for {said}")
    return said


def _rename(folder: Path, version: str) -> None:
    """Give the tree another version, as tests of upgrades need it."""
    path = folder / VERSION_FILE
    path.write_text(VERSION_LINE.sub(f'__version__ = "{version}"', path.read_text(encoding="utf-8")), encoding="utf-8")
    changelog = folder / "debian/changelog"
    changelog.write_text(CHANGELOG_HEAD.sub(f"ffrtmp ({version})", changelog.read_text(encoding="utf-8"), count=1))


def main() -> int:
    """Build, and name what was built."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the packages (dist/)")
    parser.add_argument("--version", help="another version than the tree's, to try upgrades")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ffrtmp-deb-") as work:
        tree = Path(work, "ffrtmp")
        tree.mkdir()
        build_tree(tree, options.version)
        # Debian's Python builds, not one of the user's.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_"))}
        environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
        command = ["dpkg-buildpackage", "--no-sign", "--build=full"]
        built = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            sys.stderr.write(built.stdout + built.stderr)
            return built.returncode
        for path in sorted(Path(work).iterdir()):
            if path.is_file():
                shutil.copy2(path, options.output / path.name)
                print(options.output / path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())

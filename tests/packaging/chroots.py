"""A Debian of its own in a folder, in which packages are installed and run."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests import needs

# What Debian 12 has of the modules that the programs import.
MODULES = (
    "python3",
    "python3-msgpack",
    "python3-peewee",
    "python3-prometheus-client",
    "python3-psutil",
    "python3-urwid",
    "python3-zmq",
)
SUITE = "bookworm"
# A mirror may be slow.
MAKE_S = 1_800
RUN_S = 600


class Chroot:
    """A folder that programs take for the whole system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *argv: str, timeout_s: float = RUN_S, alone: bool = False) -> str:
        """Run a command in it and return what it said; one that fails is an error."""
        done = self.try_run(*argv, timeout_s=timeout_s, alone=alone)
        assert done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def try_run(self, *argv: str, timeout_s: float = RUN_S, alone: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in it, with /proc and /dev; all it started is gone when it ends.

        Args:
            argv: the command.
            timeout_s: seconds it may take.
            alone: on a network of its own, on which every port is free and nobody else is.
        """
        # A mount namespace of its own: nothing stays mounted, whatever happens here.
        inside = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$@"'
        spaces = ["--mount", "--pid", "--fork", "--kill-child"]
        if alone:
            spaces.append("--net")
            inside = f"ip link set lo up && {inside}"
        return subprocess.run(
            ["unshare", *spaces, "sh", "-c", inside, "sh", str(self.path), *argv],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"},
            cwd="/",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=timeout_s,
        )


def debian(path: Path, packages: Sequence[str]) -> Chroot:
    """Make a Debian 12 with ``packages`` at ``path``, without services that start."""
    debootstrap = needs.program("debootstrap")
    if os.geteuid() != 0:
        needs.need("only root makes a chroot")
    made = subprocess.run(
        [debootstrap, "--variant=minbase", SUITE, str(path)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=MAKE_S,
    )
    if made.returncode != 0:
        needs.need(f"no Debian can be had from its mirror: {made.stdout[-400:]}")
    policy = path / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    root = Chroot(path)
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends")
    root.run(*apt, "install", *packages, timeout_s=MAKE_S)
    return root

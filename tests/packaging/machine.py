"""A Debian of its own below a folder, with systemd as its first process, from debootstrap and name spaces.

It shares this machine's network. ``/proc/sys`` and ``/sys`` are read-only in it, so that it changes no setting of the
kernel; its control groups lie below one that is removed with it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ffrtmp_worker.cgroups import remove
from tests.e2e import cluster
from tests.needs import need, program

T = TypeVar("T")

PATIENCE_S = 90.0
INSTALL_S = 900.0
# A short pause between two looks: the condition ends the wait, not the pause.
NO_DIALOGUE = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
BOOT = """
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for name in null zero full random urandom tty; do cp -a "/dev/$name" "$root/dev/"; done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
cd "$root"
mkdir -p mnt/old
pivot_root . mnt/old
umount -l /mnt/old
# As a container's manager has it: what a service is given is mounted beside it and must come through.
mount --make-rshared /
exec env -i container=ffrtmp-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target
"""


def wait_until(condition: Callable[[], T | None], *, dump: Callable[[], str], patience_s: float = PATIENCE_S) -> T:
    """Wait as other tests of real daemons do, with the patience that a machine takes."""
    return cluster.wait_until(condition, dump=dump, patience_s=patience_s)


def mirror() -> str:
    """Return where this machine's apt gets Debian from."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    own = Path("/etc/os-release").read_text(encoding="utf-8")
    for uri, codename in zip(told[::2], told[1::2], strict=True):
        if f"VERSION_CODENAME={codename}\n" in own:
            return uri
    return need("apt of this machine has no Debian mirror")


def is_offered(suite: str) -> bool:
    """Tell whether this machine's mirror has a suite."""
    url = f"{mirror().rstrip('/')}/dists/{suite}/Release"
    handlers = urllib.request.ProxyHandler({name.removesuffix("_proxy"): url for name, url in proxies().items()})
    try:
        with urllib.request.build_opener(handlers).open(url, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def proxies() -> dict[str, str]:
    """Return the proxies of this machine's apt as variables."""
    told = subprocess.run(
        ["apt-config", "shell", "http_proxy", "Acquire::http::Proxy", "https_proxy", "Acquire::https::Proxy"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = dict(line.split("=", 1) for line in told.splitlines())
    own = {name: os.environ[name] for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ}
    return own | {name: value.strip("'") for name, value in found.items()}


def debootstrap(suite: str, root: Path) -> None:
    """Make the least Debian that boots."""
    if os.geteuid() != 0:
        need("only root can make a Debian")
    command = [program("debootstrap"), "--variant=minbase", "--include=systemd", suite, str(root), mirror()]
    environment = {**os.environ, **proxies(), "PATH": NO_DIALOGUE["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode != 0:
        need(f"no Debian {suite} from this machine's mirror: {done.stdout[-300:]}{done.stderr[-300:]}")
    # A machine that is thrown away needs no fsync for each file.
    (root / "etc/dpkg/dpkg.cfg.d/no-sync").write_text("force-unsafe-io\n")


class Machine:
    """One that runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._log = root.parent / f"{root.name}.log"
        self._group = _own_group() / f"ffrtmp-test-{os.getpid()}-{root.name}"
        self._environment = NO_DIALOGUE | proxies()
        self._unshare: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self) -> None:
        """Start systemd and wait until it has started everything."""
        self._group.mkdir()
        unshare = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--cgroup"]
        # The control group is entered before it becomes the root of a name space.
        script = 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"'
        # It must not outlive a run of tests that was killed.
        argv = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", script, "sh", str(self._group)]
        argv += [*unshare, "bash", "-c", BOOT, "boot", str(self.root)]
        with self._log.open("wb") as log:
            self._unshare = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        number = self._unshare.pid
        children = Path(f"/proc/{number}/task/{number}/children")

        def is_up() -> bool:
            if self._unshare is None or self._unshare.poll() is not None:
                need(f"systemd does not start in a name space here: {self._log.read_text(errors='replace')}")
            told = children.read_text(encoding="ascii").split()
            self._init = int(told[0]) if told else 0
            return bool(told) and self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

        wait_until(is_up, dump=lambda: self._log.read_text(errors="replace"))

    def run(self, *argv: str, user: str = "", timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run a program in it and return how it ended."""
        environment = dict(self._environment)
        become: Sequence[str] = ()
        if user:
            environment["HOME"] = self.home_of(user)
            become = ("setpriv", "--reuid", user, "--regid", user, "--init-groups")
        enter = ["nsenter", "--target", str(self._init), "--all", "--wd=/"]
        return subprocess.run(
            [*enter, *become, *argv],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def ok(self, *argv: str, user: str = "", timeout_s: float = PATIENCE_S) -> str:
        """Run a program that must succeed and return what it printed."""
        done = self.run(*argv, user=user, timeout_s=timeout_s)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.journal()}"
        return done.stdout

    def home_of(self, user: str) -> str:
        """Return a user's home folder."""
        lines = (self.root / "etc/passwd").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[5] for line in lines if line.startswith(f"{user}:"))

    def install(self, *packages: Path, again: bool = False) -> str:
        """Install packages, and what they need from the mirror; a question would be an error. Return what was said."""
        folder = self.root / "root"
        for path in packages:
            shutil.copy2(path, folder)
        names = [f"/root/{path.name}" for path in packages]
        options = ["-y", "--no-install-recommends", *(["--allow-downgrades"] if again else [])]
        said = self.ok("apt-get", "install", *options, *names, timeout_s=INSTALL_S)
        self.run("apt-get", "clean")
        for path in packages:
            (folder / path.name).unlink()
        return said

    def unit(self, name: str, *properties: str) -> dict[str, str]:
        """Return what systemd says of a unit."""
        told = self.ok("systemctl", "show", name, *(f"--property={one}" for one in properties))
        return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)

    def programs(self) -> list[str]:
        """Return the names of the programs that run, cut to 15 characters as the kernel does."""
        return self.ok("sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null || true").splitlines()

    def journal(self, *arguments: str) -> str:
        """Return the journal, as far as there is one."""
        return self.run("journalctl", "--no-pager", "--quiet", "--boot", "--lines=60", *arguments).stdout

    def halt(self) -> None:
        """End every process of it, and let go of what it had from this machine."""
        unshare, self._unshare = self._unshare, None
        if unshare is not None:
            if self._init:
                with contextlib.suppress(ProcessLookupError):
                    # The first process of a name space takes all others with it.
                    os.kill(self._init, signal.SIGKILL)
            else:
                unshare.kill()
            unshare.wait(PATIENCE_S)
        for folder, _, _ in os.walk(self._group, topdown=False):
            wait_until(lambda path=Path(folder): remove(path), dump=lambda: str(self._group))  # type: ignore[misc]


def _own_group() -> Path:
    """Return this process's group of the unified hierarchy."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            paths = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
            own = next(path[3:] for path in paths if path.startswith("0::"))
            return Path(before.split()[4]) / own.lstrip("/")
    return need("a cgroup v2 hierarchy")


@contextlib.contextmanager
def booted(suite: str, folder: Path) -> Iterator[Machine]:
    """Give a machine that is gone at the end, whatever happened."""
    root = folder / suite
    debootstrap(suite, root)
    machine = Machine(root)
    try:
        machine.boot()
        yield machine
    finally:
        machine.halt()
        shutil.rmtree(root, ignore_errors=True)

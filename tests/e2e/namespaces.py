"""A network of its own for a worker, at the end of a cable: the kernel's TCP, routes and addresses, cut for real.

Needs root and iproute2. ``tests.e2e.relay`` shows what can be shown without.
"""

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.relay import Way
from tests.needs import need, program

ESTABLISHED = "01"


def ip(*words: str) -> None:
    """Run ``ip``.

    Raises:
        subprocess.CalledProcessError: it failed; its error output says why.
    """
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Cable:
    """A namespace and a pair of interfaces. ``near`` is the address of this machine, ``far`` that of the worker.

    Both ends have addresses of a range that is kept for tests of networks (RFC 2544), and names that nobody else has.
    """

    def __init__(self) -> None:
        self._number = random.SystemRandom().randrange(1 << 14)
        name = f"{os.getpid():x}-{self._number:x}"
        self.namespace = f"ffrtmp-test-{name}"
        # An interface's name has 15 characters at most.
        self._here, self._there = f"fh{name}"[:15], f"ft{name}"[:15]
        self.near, self.far, self._spare = (self._address(last) for last in (1, 2, 3))
        self._cut: list[tuple[str, ...]] = []

    def _address(self, last: int) -> str:
        # Of 198.18.0.0/15 the network of eight addresses with this number.
        high, low = divmod(self._number << 3, 1 << 8)
        second, third = divmod(high, 1 << 8)
        return f"198.{18 + second}.{third}.{low + last}"

    @property
    def inside(self) -> list[str]:
        """What begins a command line that shall run in the namespace; the process keeps its number."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}"]

    def lay(self) -> None:
        """Make both ends."""
        ip("netns", "add", self.namespace)
        ip("link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self.namespace)
        # Eight addresses: room for a second one of the worker.
        ip("address", "add", f"{self.near}/29", "dev", self._here)
        ip("link", "set", self._here, "up")
        self._inside("address", "add", f"{self.far}/29", "dev", self._there)
        self._inside("link", "set", "lo", "up")
        self.plug()

    def _inside(self, *words: str) -> None:
        ip("-n", self.namespace, *words)

    def pull(self) -> None:
        """Let the worker's end lose its link."""
        self._inside("link", "set", self._there, "down")

    def plug(self) -> None:
        """Give the link back."""
        self._inside("link", "set", self._there, "up")

    def swallow(self, way: Way) -> None:
        """Let every packet in one direction vanish; the link stays."""
        route = ("blackhole", f"{self.near if way is Way.UP else self.far}/32")
        where = ("-n", self.namespace) if way is Way.UP else ()
        ip(*where, "route", "add", *route)
        self._cut.append((*where, "route", "del", *route))

    def heal(self) -> None:
        """Let everything pass again."""
        while self._cut:
            ip(*self._cut.pop())
        self.plug()

    def renumber(self) -> None:
        """Give the worker's end another address in place of its own: connections of the old one are dead for good."""
        # In this order: with the first address of a network the kernel drops the others too.
        self._inside("address", "del", f"{self.far}/29", "dev", self._there)
        self._inside("address", "add", f"{self._spare}/29", "dev", self._there)
        self.far, self._spare = self._spare, self.far

    def remove(self) -> None:
        """Remove everything, whatever there is of it."""
        leftovers = [*self._cut, ("link", "del", self._here), ("netns", "del", self.namespace)]
        for words in leftovers:
            subprocess.run(["ip", *words], check=False, capture_output=True)


@contextmanager
def cable() -> Iterator[Cable]:
    """Give a cable that is removed at the end, whatever happened."""
    program("ip")
    program("nsenter")
    laid = Cable()
    try:
        try:
            laid.lay()
        except subprocess.CalledProcessError as error:
            need(f"network namespaces: {error.stderr.strip()}")
        yield laid
    finally:
        laid.remove()


def established(port: int, remote: str) -> int:
    """Return how many connections from ``remote`` to a port of this machine the kernel believes to be alive."""
    wanted = "".join(f"{int(part):02X}" for part in reversed(remote.split(".")))
    found = 0
    # A socket that takes both kinds of address is in the second table, with the old kind at the end of the new.
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, peer, state, *_ = line.split()
            matches = local.endswith(f":{port:04X}") and peer.partition(":")[0].endswith(wanted)
            found += matches and state == ESTABLISHED
    return found

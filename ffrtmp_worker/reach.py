"""Which hosts and addresses the URL of a job may lead to. Pure.

A name is not enough: who owns a name decides what address it has, and may choose one inside this network. So the name
must be listed, and each address is looked at too when it is known.
"""

import fnmatch
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SETTING: Final = "media.url_hosts"
# IPv4 inside IPv6 (RFC 6052): a gateway would lead on to the address within.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that URLs may name: names with ``*`` for any part, addresses, and networks such as ``10.0.0.0/8``.

    An address that is not public (loopback, private, link-local such as a cloud's metadata service, multicast,
    reserved) is allowed only where it lies in a listed network, or where the host is listed in full, without ``*``.
    """

    listed: tuple[str, ...] = ("*",)

    def refuse_name(self, host: str) -> str | None:
        """Return why a URL may not name ``host``, None if it may as far as the name alone tells."""
        host = host.lower()
        address = literal(host)
        if address is not None and self._in_network(address):
            return None
        if not any(fnmatch.fnmatchcase(host, pattern) for pattern in self._patterns()):
            return f"the host {host} is not among those that jobs may reach ({SETTING})"
        return None

    def refuse_address(self, host: str, address: Address) -> str | None:
        """Return why ``host``, whose name passed, may not be reached at ``address``; None if it may."""
        if is_public(address) or self._in_network(address) or host.lower() in self._patterns():
            return None
        named = str(address) if literal(host) is not None else f"{host} is {address}, which"
        return f"{named} is not a public address; to allow it, list it in {SETTING}"

    def _patterns(self) -> tuple[str, ...]:
        return tuple(entry.lower() for entry in self.listed)

    def _in_network(self, address: Address) -> bool:
        networks = (network for entry in self.listed if (network := _network(entry)) is not None)
        return any(address.version == network.version and address in network for network in networks)


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the open internet, as IANA's registries have it."""
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast


def literal(host: str) -> Address | None:
    """Return the address that a host is by itself; None for a name.

    The C library also takes ``127.1``, ``0x7f000001`` and ``2130706433``, and so does this.
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def bad_entries(listed: Iterable[str]) -> list[str]:
    """Return the entries that look like networks and are none, such as ``10.0.0.1/8``."""
    return [entry for entry in listed if "/" in entry and _network(entry) is None]


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry) if "/" in entry else None
    except ValueError:
        return None


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour

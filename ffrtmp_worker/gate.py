"""Looks at the addresses of a host and then becomes the program that connects to it.

For RTMP and SRT, which pass through no proxy. The look-up may take long, so it is done in the child. A name whose
address changes between this look and the program's own is not caught: docs/security.md says what helps.
``python -P gate.py HOST PROGRAM ARGUMENT...``
"""

import ipaddress
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    # Run by path: the package is wherever this file is.
    sys.path.append(str(Path(__file__).parents[1]))

from ffrtmp_worker.places import FILE_PREFIX, host_of, scheme_of
from ffrtmp_worker.reach import Hosts

HOSTS_VARIABLE: Final = "FFRTMP_URL_HOSTS"
_GATED: Final = frozenset({"rtmp", "rtmps", "srt", "udp", "tcp"})


def gate(python: str, source: str) -> tuple[str, ...]:
    """Return what to put before a command that reads ``source``: nothing where nothing needs a look."""
    if source.startswith(FILE_PREFIX) or scheme_of(source) not in _GATED:
        return ()
    return (python, "-P", __file__, host_of(source))


def allow(hosts: Hosts) -> dict[str, str]:
    """Return the variable that tells the gate which hosts may be reached; without it, public ones."""
    return {HOSTS_VARIABLE: json.dumps(hosts.listed)}


def refusal(host: str, environment: Mapping[str, str]) -> str | None:
    """Return why no connection to ``host`` is made, None if it may be. Blocks for the look-up."""
    listed = environment.get(HOSTS_VARIABLE)
    hosts = Hosts() if listed is None else Hosts(tuple(json.loads(listed)))
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        return f"Failed to resolve hostname {host}: {error}"
    reasons = [hosts.refuse_name(host)]
    # Which of them the program takes is its own choice.
    reasons += [hosts.refuse_address(host, ipaddress.ip_address(place[4][0])) for place in found]
    return next((reason for reason in reasons if reason is not None), None)


def main() -> int:
    """Become the program, or say why not in the words of FFmpeg's log."""
    host, *argv = sys.argv[1:]
    why = refusal(host, os.environ)
    if why is None:
        os.execv(argv[0], argv)  # noqa: S606 - the arguments are a list made by this worker
    print(f"[error] {why}", file=sys.stderr)  # noqa: T201 - this is a program
    return 1


if __name__ == "__main__":
    sys.exit(main())

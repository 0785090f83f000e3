"""A port that a program of a test may listen on a moment later."""

import os
import random
import socket

# Below the ports that the kernel gives to connections (32768 on, by default): one of those can be taken
# by anybody's connection between the look and the bind.
FIRST, LAST = 12_000, 32_000
LANES = 8
# Who asks for two before it listens at the first gets two.
_given: set[int] = set()


def free_port(lane: str | None = None) -> int:
    """Return a port of 127.0.0.1 that nobody listens on, each once.

    Test processes beside each other look at different ones.

    Args:
        lane: which process of the run this is, as pytest-xdist names it; taken from the environment by default.
    """
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0") if lane is None else lane
    number = int("".join(filter(str.isdigit, name)) or 0) % LANES
    ports = list(range(FIRST + number, LAST, LANES))
    random.shuffle(ports)
    for port in ports:
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise OSError(f"no port of {FIRST} to {LAST} is free")

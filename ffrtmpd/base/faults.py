"""Points at which a test lets a daemon die or stand still.

``FFRTMP_FAULT=send.COMMIT:kill`` ends the process with SIGKILL just before it sends its first COMMIT; ``:stop`` stops
it there with SIGSTOP. Points: ``send.TYPE`` and ``receive.TYPE`` of any message, before it leaves and before anything
follows from it, and ``rename``, before a worker gives an output its name. At the point of one message of a turn of the
master, or of one in a batch, none of them has left. Whoever can set the variable owns the process anyway. Without it a
point costs one empty call.
"""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Final

VARIABLE: Final = "FFRTMP_FAULT"
_HOW: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

Point = Callable[..., None]


def point_for(environment: Mapping[str, str], strike: Callable[[signal.Signals], None]) -> Point:
    """Return the function to call at each point with the parts of its name.

    Raises:
        ValueError: the variable names no way to fail.
    """
    wanted = environment.get(VARIABLE)
    if not wanted:
        return _pass
    name, _, how = wanted.partition(":")
    if how not in _HOW:
        raise ValueError(f"{VARIABLE}={wanted}: expected NAME:kill or NAME:stop")

    def fail_there(*parts: str) -> None:
        nonlocal name
        if name and ".".join(parts) == name:
            # Once: a process that was stopped goes on afterwards.
            name = ""
            strike(_HOW[how])

    return fail_there


def _pass(*_: str) -> None:
    """Do nothing."""


def _strike(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


point: Final = point_for(os.environ, _strike)

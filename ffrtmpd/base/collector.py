"""When Python's garbage collector looks through a daemon."""

import gc
from typing import Final

# Messages and rows go by themselves when a turn is over; what only the collector finds is rare. With Python's own
# thresholds it looks through all of a large cluster every few seconds, and the turn waits for up to 80 ms.
COLLECT: Final = (10_000, 50, 100)


def calm_collector() -> None:
    """Let the garbage collector look seldom, and never at what the start has made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)

"""ffrtmp's first lines: what must be set before the rest of the program is imported."""

import gc
from collections.abc import Sequence
from typing import Final

# Objects that a one-shot command makes, nearly all of them classes and functions that it keeps, are fewer.
_COLLECT_EVERY: Final = 100_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    # Looking for garbage where there is none took a seventh of such a command's time, half of that at its exit.
    gc.set_threshold(_COLLECT_EVERY)
    try:
        from ffrtmp_tui.dispatch import run_here

        return run_here(argv)
    finally:
        gc.freeze()

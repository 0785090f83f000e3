"""Showing a long text through the user's pager."""

import contextlib
import os
import subprocess


def page(command: str, text: str) -> bool:
    """Show ``text``; return False if there is no such pager. One who leaves it early is no error."""
    # Colours pass, lines are cut and not folded, and what fits after all is left on the screen: as git has it.
    environ = {"LESS": "FRSX", "LV": "-c", **os.environ}
    try:
        pager = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=environ)  # noqa: S602 - the user's own
    except OSError:
        return False
    with contextlib.suppress(BrokenPipeError):
        pager.communicate(text.encode("utf-8", "replace"))
    # What a shell reports for a command that it cannot find, or may not run.
    return pager.returncode not in (126, 127)

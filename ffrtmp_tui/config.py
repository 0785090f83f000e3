"""`ffrtmp config`: settings for this host."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final, NoReturn

from ffrtmp_tui.command import Noun, Verb
from ffrtmp_tui.failures import Exit, Failure
from ffrtmp_tui.run import Run

WORKER: Final = "ffrtmp-worker"


def recommend(run: Run) -> NoReturn:
    """Hand over to the worker's own command: what this host can do, only the programs that do it can tell."""
    # In a virtual environment that is not active it lies beside this program.
    program = shutil.which(WORKER) or shutil.which(WORKER, path=str(Path(sys.executable).parent))
    if program is None:
        raise Failure(
            Exit.FAILED,
            f"{WORKER} is not installed on this host, and it is what measures",
            code="unavailable",
            hint="install the worker here, or run the command on a host that encodes",
        )
    form = "json" if run.form in ("json", "jsonl") else "toml"
    run.terminal.say("encoding for a few seconds ...")
    run.terminal.out.flush()
    os.execv(program, [WORKER, "recommend", "--output", form])  # noqa: S606 - its own program, with words of ours


NOUN: Final = Noun(
    name="config",
    help="settings for this host",
    verbs=(
        Verb(
            name="recommend",
            help="measure this host for a few seconds and propose settings of its worker",
            run=recommend,
            examples=(
                ("ffrtmp config recommend > worker.toml", "settings with the reason for each"),
                ("ffrtmp config recommend -o json", "the figures too, for scripts"),
            ),
        ),
    ),
)

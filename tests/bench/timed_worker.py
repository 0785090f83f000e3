"""``ffrtmp-worker`` as it is, but it notes on a board when a null job begins and when its result is recorded.

``python -m tests.bench.timed_worker BOARD ARGUMENTS...``: the arguments are those of ``ffrtmp-worker``.
"""

import sys
from pathlib import Path

from ffrtmp_worker import agent, main, wiring
from ffrtmp_worker.recipe import Recipe
from ffrtmp_worker.steps import Workshop
from ffrtmp_worker.tally import Tally
from ffrtmpd.wire.messages.session import Assign, Result
from ffrtmpd.wire.vocabulary import Sla
from tests.bench.board import Board


def instrument(board: Board) -> None:
    """Put the board's notes where the worker asks for a recipe and counts a result."""

    class TimedTally(Tally):
        def recorded(self, result: Result, sla: Sla | None) -> None:
            board.recorded()
            super().recorded(result, sla)

    class TimedWorkshop(Workshop):
        def recipe(self, assign: Assign) -> Recipe:
            board.begun(assign.job_id)
            return super().recipe(assign)

    vars(agent)["Tally"] = TimedTally
    vars(wiring)["Workshop"] = TimedWorkshop


if __name__ == "__main__":
    instrument(Board(Path(sys.argv[1])))
    sys.exit(main.main(sys.argv[2:]))

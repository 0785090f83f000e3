"""Whether a finished job was served as promised. Pure."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ffrtmpd.store import JobRow
from ffrtmpd.wire.vocabulary import FailureClass, JobState, Sla

# Thousands of jobs have the same few scenarios.
REMEMBERED: Final = 1_024
# Asked of each job, and in Python 3.11 a member of an enumeration takes 70 ns to look up.
_COMPLETED: Final = JobState.COMPLETED
_COMPLIANT, _VIOLATION = Sla.COMPLIANT, Sla.VIOLATION


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaSettings:
    """What is promised, in seconds, and the words in a scenario's name that take its jobs out of the count."""

    wait_s: float = 30.0
    process_s: float = 600.0
    exempt: tuple[str, ...] = ("test", "debug", "benchmark")


def judge(row: JobRow, promised: SlaSettings, *, loss_limit: int) -> Sla | None:
    """Return how a job was served; None while it is not finished, was canceled, or is not counted.

    Faults of the platform violate the promise, faults of the input or the user do not. A job that was lost with its
    nodes too often (``loss_limit``) counts as the platform's fault.
    """
    state = row.state
    if state is _COMPLETED:
        kept = row.waited_s <= promised.wait_s and row.processed_s <= promised.process_s
    elif state is JobState.FAILED:
        kept = row.failure_class is FailureClass.PERMANENT and row.losses < loss_limit
    else:
        return None
    if _is_exempt(row.scenario, promised.exempt):
        return None
    return _COMPLIANT if kept else _VIOLATION


@lru_cache(maxsize=REMEMBERED)
def _is_exempt(scenario: str, words: tuple[str, ...]) -> bool:
    name = scenario.lower()
    return any(word in name for word in words)

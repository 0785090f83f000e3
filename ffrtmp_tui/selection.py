"""Which jobs are meant: ids, sequence numbers, ``1,3,5-8``, ``last``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmp_tui.link import new_id
from ffrtmp_tui.run import Run
from ffrtmpd.wire.messages.jobs import JobList, ListJobs

LAST: Final = "last"
MOST: Final = 10_000
_RANGE: Final = re.compile(r"(\d+)-(\d+)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Jobs by id or number, each once, in the order given; ``by_range`` when a range named some of them."""

    jobs: tuple[str, ...]
    by_range: bool


def expand(words: Sequence[str]) -> Selection:
    """Return what ``words`` select; ``last`` is left for the master to say.

    Raises:
        Failure: an empty part, a range that runs backwards, or too many jobs.
    """
    jobs: dict[str, None] = {}
    by_range = False
    for part in (part.strip() for word in words for part in word.split(",")):
        if not part:
            raise usage("a job is missing between two commas", "write 1,3,5-8")
        found = _RANGE.match(part)
        if not found:
            jobs[part] = None
            continue
        first, final = int(found[1]), int(found[2])
        if first > final:
            raise usage(f"the range {part} runs backwards")
        if final - first >= MOST:
            raise usage(f"the range {part} selects more than {MOST} jobs")
        by_range = True
        jobs.update((str(number), None) for number in range(first, final + 1))
    if len(jobs) > MOST:
        raise usage(f"more than {MOST} jobs are selected")
    return Selection(jobs=tuple(jobs), by_range=by_range)


def select(run: Run, words: Sequence[str]) -> Selection:
    """Return what ``words`` select, ``last`` replaced by the newest job's id.

    Raises:
        Failure: as `expand`, or there is no job yet.
    """
    selection = expand(words)
    if LAST not in selection.jobs:
        return selection
    newest = run.ask(ListJobs(request_id=new_id(), limit=1), JobList).jobs
    if not newest:
        raise Failure(Exit.NOT_FOUND, "there is no job yet", code="not_found", hint="see `ffrtmp jobs submit --help`")
    jobs = dict.fromkeys(newest[0].job_id if job == LAST else job for job in selection.jobs)
    return Selection(jobs=tuple(jobs), by_range=selection.by_range)


def select_one(run: Run, word: str) -> str:
    """Return the one job that ``word`` selects.

    Raises:
        Failure: as `select`, or it selects several.
    """
    jobs = select(run, [word]).jobs
    if len(jobs) != 1:
        raise usage(f"{word!r} selects {len(jobs)} jobs, and this takes one")
    return jobs[0]

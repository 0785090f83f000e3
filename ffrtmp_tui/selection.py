"""Which jobs are meant: ids, sequence numbers, ``1,3,5-8``, ``last``, or all that fit a filter."""

from collections.abc import Sequence
from typing import Final

from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmp_tui.link import new_id
from ffrtmp_tui.run import Run
from ffrtmpd.wire.messages.jobs import JobList, ListJobs
from ffrtmpd.wire.record import record
from ffrtmpd.wire.vocabulary import JobState

LAST: Final = "last"
MOST: Final = 100_000


@record
class Selection:
    """Jobs by id or number, each once, in the order given; ``by_range`` when a range or a filter named some of them."""

    jobs: tuple[str, ...]
    by_range: bool


def expand(words: Sequence[str]) -> Selection:
    """Return what ``words`` select; ``last`` is left for the master to say.

    Raises:
        Failure: an empty part, a range that runs backwards, or too many jobs.
    """
    # By what each is known as: a job has several names, and is acted on once.
    jobs: dict[str, str] = {}
    by_range = False
    for part in (part.strip() for word in words for part in word.split(",")):
        if not part:
            raise usage("a job is missing between two commas", "write 1,3,5-8")
        begin, _, end = part.partition("-")
        if not (begin.isdecimal() and end.isdecimal()):
            jobs.setdefault(_known_as(part), part)
            continue
        first, final = int(begin), int(end)
        if first > final:
            raise usage(f"the range {part} runs backwards")
        if final - first >= MOST:
            raise usage(f"the range {part} selects more than {MOST} jobs")
        by_range = True
        for number in range(first, final + 1):
            jobs.setdefault(str(number), str(number))
    if len(jobs) > MOST:
        raise usage(f"more than {MOST} jobs are selected")
    return Selection(jobs=tuple(jobs.values()), by_range=by_range)


def _known_as(word: str) -> str:
    """Return what every name of the same job is turned into: its number without leading zeros."""
    number = word.removeprefix("job-")
    return number.lstrip("0") if number.isdecimal() else word


def job_id(word: str) -> str:
    """Return the id of a job that exists and that ``word`` names by id or by number."""
    return f"job-{int(word.removeprefix('job-')):06d}"


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
    jobs: dict[str, str] = {}
    for job in selection.jobs:
        name = newest[0].job_id if job == LAST else job
        jobs.setdefault(_known_as(name), name)
    return Selection(jobs=tuple(jobs.values()), by_range=selection.by_range)


def matching(run: Run, filters: Sequence[str], states: Sequence[JobState]) -> Selection:
    """Return every job that fits ``filters``, oldest first; ``states`` are meant where they name none.

    Raises:
        Failure: a filter has no term or makes no sense, or no job fits, or too many do.
    """
    from ffrtmp_tui.filters import job_filter, require_terms

    require_terms(filters, "state", states)
    fields = {"states": tuple(states), **job_filter(filters, run.wall())}
    found: list[str] = []
    cursor: str | None = None
    while True:
        request = ListJobs(request_id=new_id(), ids_only=True, cursor=cursor, oldest_first=True, **fields)
        reply = run.ask(request, JobList)
        found += reply.ids
        cursor = reply.next
        if len(found) > MOST:
            raise usage(f"more than {MOST} jobs fit {' '.join(filters)!r}", "narrow the filter, such as with age:<1h")
        if cursor is None:
            break
    if not found:
        raise Failure(
            Exit.NOT_FOUND, f"no job fits {' '.join(filters)!r}", code="not_found", hint="see `ffrtmp jobs list`"
        )
    return Selection(jobs=tuple(found), by_range=True)


def chosen(run: Run, states: Sequence[JobState]) -> Selection:
    """Return what the command's ids or its filter select; ``states`` as in `matching`.

    Raises:
        Failure: as `select` and `matching`, or neither or both are given.
    """
    if run.args.filter and run.args.job:
        raise usage("ids and --filter are given", "say either")
    if run.args.filter:
        return matching(run, run.args.filter, states)
    if not run.args.job:
        raise usage("no job is named: required: ID or --filter", "`last` is the newest one")
    return select(run, run.args.job)


def select_one(run: Run, word: str) -> str:
    """Return the one job that ``word`` selects.

    Raises:
        Failure: as `select`, or it selects several.
    """
    jobs = select(run, [word]).jobs
    if len(jobs) != 1:
        raise usage(f"{word!r} selects {len(jobs)} jobs, and this takes one")
    return jobs[0]


def say_if_no_node(run: Run, name: str) -> None:
    """Say that no node has this name; what one that was removed has left behind is listed all the same."""
    from ffrtmp_tui.link import Refused
    from ffrtmpd.wire.messages.nodes import DescribeNode, NodeReply

    try:
        run.ask(DescribeNode(request_id=new_id(), node_id=name), NodeReply)
    except Refused as refused:
        if refused.exit_code is not Exit.NOT_FOUND:
            raise
        run.terminal.say(f"there is {refused.message}; see `ffrtmp nodes list`")

"""`ffrtmp events`: what happened to jobs, nodes and keys, in the order in which the master recorded it."""

from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.failures import Exit
from ffrtmp_tui.fit import ABSENT, Column
from ffrtmp_tui.forms import CUSTOM
from ffrtmp_tui.link import new_id
from ffrtmp_tui.render import jsonl_text
from ffrtmp_tui.run import Run
from ffrtmp_tui.selection import say_if_no_node, select_one
from ffrtmp_tui.terminal import clean
from ffrtmpd.wire.messages.jobs import PAGE_MAX
from ffrtmpd.wire.messages.overview import Event, EventList, Events

# As in `follow`.
POLL_S: Final = 10.0
_DEFAULT: Final = 50


def about(event: Event) -> str | None:
    """Return what an event is about: its job, its node, or neither."""
    return event.job_id or event.node_id


EVENT_COLUMNS: Final = (
    Column(title="At", name="at", get=lambda event: event.at, show=units.time_text, brief=units.moment_brief),
    Column(title="About", name="", get=about),
    Column(title="Event", name="event", get=lambda event: event.event),
    Column(title="State", name="to_state", get=lambda event: event.to_state),
    Column(title="Node ID", name="node_id", get=lambda event: event.node_id, rank=2),
    Column(title="Who", name="who", get=lambda event: event.who, least=8, rank=1),
    Column(title="Why", name="why", get=lambda event: event.why, least=16),
    Column(title="", name="job_id", get=lambda event: event.job_id),
    Column(title="", name="from_state", get=lambda event: event.from_state),
    Column(title="Attempt", name="attempt", get=lambda event: event.attempt or None, wide=True, right=True),
    Column(title="Number", name="number", get=lambda event: event.number, wide=True, right=True),
)


def show(run: Run) -> int:
    """Show the last events, and with ``--follow`` those to come."""
    args = run.args
    if args.job:
        args.job = select_one(run, args.job)
    reply = _ask(run, None, args.limit)
    if not reply.events:
        _tell_wrong_names(run)
    if not args.follow:
        run.show_list("events", reply.events, EVENT_COLUMNS, name_of=_name, extra={"cursor": reply.cursor})
        return Exit.OK
    form = run.form
    if form == "csv" or form.startswith(CUSTOM):
        run.terminal.write(run.listed([], EVENT_COLUMNS))
    while True:
        for event in reply.events:
            run.terminal.write(_line(event, form, run))
        run.terminal.out.flush()
        reply = _ask(run, reply.cursor, PAGE_MAX)
        if reply.reset:
            run.terminal.say("the master has another history now; these are its last events")


def _tell_wrong_names(run: Run) -> None:
    """Tell why there are no events where that is because there is no such job or node.

    Raises:
        Refused: no such job.
    """
    if run.args.job:
        from ffrtmp_tui.follow import status

        status(run, run.args.job)
    if run.args.node:
        say_if_no_node(run, run.args.node)


def _ask(run: Run, since: int | None, limit: int) -> EventList:
    wait_s = 0.0 if since is None else POLL_S
    request = Events(
        request_id=new_id(), since=since, job=run.args.job, node_id=run.args.node, limit=limit, wait_s=wait_s
    )
    return run.ask(request, EventList, wait_s=wait_s, patient=since is not None)


def _name(event: Event) -> str:
    return about(event) or str(event.number)


def _line(event: Event, form: str, run: Run) -> str:
    """Return one event as a line of its own: what comes next is not known, so nothing is aligned to it."""
    if form in ("json", "jsonl"):
        return jsonl_text([event])
    if form == "name":
        return f"{_name(event)}\n"
    if form not in ("table", "wide"):
        return run.listed([event], EVENT_COLUMNS).partition("\n")[2]
    change = event.event if event.to_state is None else f"{event.event} > {event.to_state}"
    parts = [units.time_text(event.at), f"{about(event) or ABSENT:<12}", f"{change:<24}", event.who]
    if event.job_id and event.node_id:
        parts.append(f"on {event.node_id}")
    if event.why:
        parts.append(f"({event.why})")
    return run.terminal.paint(event.to_state or "", clean("  ".join(parts))) + "\n"


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= PAGE_MAX:
        raise ValueError(f"{text!r} is no whole number from 1 to {PAGE_MAX}")
    return int(text)


NOUN: Final = Noun(
    name="events",
    help="show what happened to jobs, nodes and keys",
    verbs=(
        Verb(
            name="",
            help="show the last events, oldest first, and with --follow go on as they happen",
            run=show,
            arguments=(
                Argument(names=("--follow",), help="go on until interrupted, one line an event", flag=True),
                Argument(names=("--job",), metavar="ID", help="only of this job", kind="job"),
                Argument(names=("--node",), metavar="NODE", help="only of this node and its jobs", kind="node"),
                Argument(
                    names=("--limit",),
                    metavar="N",
                    convert=_count,
                    default=_DEFAULT,
                    help=f"the last N, {_DEFAULT} unless said",
                ),
            ),
            examples=(
                ("ffrtmp events --follow", "watch the cluster"),
                ("ffrtmp events --node worker-1", "what became of a node"),
                ("ffrtmp events --follow -o jsonl", "for a script, one object a line"),
            ),
        ),
    ),
)

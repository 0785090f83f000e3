"""`ffrtmp context`: the clusters known here, and which one is meant."""

from typing import Final

from ffrtmp_tui import contexts
from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.failures import Exit, Failure, did_you_mean
from ffrtmp_tui.fit import Column
from ffrtmp_tui.run import Run
from ffrtmpd.wire.record import record


@record
class Known:
    """A context as it is listed; ``source`` is the file that has it."""

    name: str
    master: str | None
    current: bool
    source: str


COLUMNS: Final = (
    Column(title="", name="current", get=lambda known: known.current),
    Column(title="Current", name="", get=lambda known: "*" if known.current else None),
    Column(title="Context", name="name", get=lambda known: known.name),
    Column(title="Master", name="master", get=lambda known: known.master),
    Column(title="File", name="source", get=lambda known: known.source, least=12, rank=1),
)


def list_contexts(run: Run) -> int:
    """Show every context: the user's, then those of the host that no context of the user's hides."""
    rows = _known(run)
    run.show_list("contexts", rows, COLUMNS, name_of=lambda known: known.name)
    if not rows and run.form in ("table", "wide"):
        run.terminal.say(f"none yet: {contexts.HOW_TO_JOIN}")
    return Exit.OK


def use(run: Run) -> int:
    """Make a context the current one."""
    name = str(run.args.name)
    known = [row.name for row in _known(run)]
    if name not in known:
        raise Failure(
            Exit.NOT_FOUND,
            f"there is no context {name!r}{did_you_mean(name, known)}",
            code="not_found",
            hint=f"known: {', '.join(known)}" if known else contexts.HOW_TO_JOIN,
        )
    contexts.use(contexts.config_folder(run.environ), name)
    (row,) = (row for row in _known(run) if row.name == name)
    run.show_one(
        {"context": row},
        name=name,
        people=lambda: f"{run.terminal.tick} Context {name} is the current one\n",
        columns=COLUMNS,
        row=row,
    )
    other = run.environ.get("FFRTMP_CONTEXT")
    if other and other != name:
        run.terminal.say(f"FFRTMP_CONTEXT is {other} and goes before it")
    return Exit.OK


def _known(run: Run) -> list[Known]:
    found: dict[str, Known] = {}
    documents = contexts.documents(run.environ, run.system_file or contexts.SYSTEM_FILE)
    wanted = run.args.context or run.environ.get("FFRTMP_CONTEXT") or contexts.current(documents)
    for path, document in documents:
        for name, table in document.get("contexts", {}).items():
            master = table.get("master") if isinstance(table, dict) else None
            shown = master if isinstance(master, str) else None
            found.setdefault(name, Known(name=name, master=shown, current=name == wanted, source=str(path)))
    return sorted(found.values(), key=lambda known: known.name)


NOUN: Final = Noun(
    name="context",
    help="list the clusters known here, and choose one",
    verbs=(
        Verb(
            name="list",
            help="list the contexts: a master, and the key to speak to it with",
            run=list_contexts,
            examples=(("ffrtmp context list", "which clusters are known here"),),
        ),
        Verb(
            name="use",
            help="make a context the one that is used where none is named",
            run=use,
            arguments=(Argument(names=("name",), metavar="NAME", help="context", kind="context"),),
            examples=(("ffrtmp context use staging", "from now on"),),
        ),
    ),
)

"""What can stand where the cursor is, from the tables of the commands, and for ids from the master itself."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from ffrtmp_tui.command import GLOBAL, NOUNS, Argument, Noun, Verb
from ffrtmp_tui.failures import Failure
from ffrtmpd.wire.vocabulary import ENGINES, JobState, NodeSortKey, NodeStatus, Priority, Queue, SortKey

# One who has pressed a key waits no longer.
TRY_S: Final = 0.7
JOBS_SHOWN: Final = 200
# Said in place of words: the shell completes names of files.
FILES: Final = ":files"

Word = tuple[str, str]

_VALUES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "job filter": {
        "state": tuple(JobState),
        "queue": tuple(Queue),
        "priority": tuple(Priority),
        "engine": tuple(ENGINES),
        "node": (),
        "label": (),
        "age": ("<1h", "<1d", ">1h", ">1d"),
        "scenario": (),
    },
    "node filter": {
        "status": tuple(NodeStatus),
        "engine": tuple(ENGINES),
        "gpu": ("yes", "no"),
        "encoder": (),
        "name": (),
    },
}
_ORDERS: Final[Mapping[str, tuple[str, ...]]] = {"job order": tuple(SortKey), "node order": tuple(NodeSortKey)}
_LISTS: Final[Mapping[str, tuple[str, ...]]] = {"states": tuple(JobState), "queues": tuple(Queue)}
# Of the jobs there are, those that a verb can do something with.
_STATES: Final[Mapping[str, tuple[JobState, ...]]] = {
    "cancel": tuple(JobState)[:5],
    "wait": tuple(JobState)[:5],
    "pause": (JobState.PENDING, JobState.QUEUED, JobState.PROCESSING),
    "resume": (JobState.PAUSED,),
    "retry": (JobState.FAILED, JobState.CANCELED),
}


class _Line:
    """A command line as far as it is written; ``waiting`` is an option whose value comes next."""

    def __init__(self) -> None:
        self.noun: Noun | None = None
        self.verb: Verb | None = None
        self.waiting: Argument | None = None
        self.positionals = 0
        self.options: dict[str, str] = {}
        self.strange = False

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """Every argument that can come now."""
        return (*(self.verb.arguments if self.verb else ()), *GLOBAL)


def complete(words: Sequence[str], environ: Mapping[str, str], system_file: Path | None = None) -> list[str]:
    """Return what can stand in place of the last of ``words``: a word and what it means, with a tab between them.

    Nothing that goes wrong is told: where ids cannot be had, there are none.
    """
    *done, partial = words or [""]
    line = _read(done)
    if line.strange:
        return []
    head = ""
    if line.waiting is not None:
        found: Iterable[Word] = _values(line.waiting, partial, line, environ, system_file)
    elif partial.startswith("-"):
        name, sign, value = partial.partition("=")
        option = _option(line, name)
        if sign and option is not None and not option.flag:
            head = f"{name}="
            found = _values(option, value, line, environ, system_file)
        else:
            found = _options(line)
    elif line.noun is None:
        found = [*((name, text) for name, (_, text) in NOUNS.items()), ("help", "show how a command is used")]
    elif line.verb is None:
        found = [(verb.name, verb.help) for verb in line.noun.verbs]
    else:
        found = _positional(line, partial, environ, system_file)
    shown = [(head + word, text) for word, text in found]
    if any(word.endswith(FILES) for word, _ in shown):
        return [FILES]
    return [f"{word}\t{text}" for word, text in shown if word.startswith(partial)]


def _read(words: Sequence[str]) -> _Line:
    line = _Line()
    for word in words:
        if line.waiting is not None:
            line.options[line.waiting.names[-1]] = word
            line.waiting = None
        elif word.startswith("-") and word != "-":
            name, sign, value = word.partition("=")
            option = _option(line, name)
            if option is not None and not option.flag:
                if sign:
                    line.options[option.names[-1]] = value
                else:
                    line.waiting = option
        elif line.noun is None:
            if word == "help":
                continue
            if word not in NOUNS:
                line.strange = True
                return line
            noun: Noun = import_module(NOUNS[word][0]).NOUN
            line.noun = noun
            line.verb = None if noun.verbs[0].name else noun.verbs[0]
        elif line.verb is None:
            line.verb = next((verb for verb in line.noun.verbs if verb.name == word), None)
            line.strange = line.verb is None
        else:
            line.positionals += 1
    return line


def _option(line: _Line, name: str) -> Argument | None:
    return next((argument for argument in line.arguments if name in argument.names and name.startswith("-")), None)


def _options(line: _Line) -> list[Word]:
    return [
        (name, argument.help)
        for argument in line.arguments
        for name in argument.names
        if name.startswith("--") or (argument.names[0].startswith("-") and len(argument.names) == 1)
    ] + [("--help", "show how it is used")]


def _positional(line: _Line, partial: str, environ: Mapping[str, str], system_file: Path | None) -> Iterable[Word]:
    places = [argument for argument in line.arguments if not argument.names[0].startswith("-")]
    if line.positionals < len(places):
        return _values(places[line.positionals], partial, line, environ, system_file)
    if places and places[-1].many:
        return _values(places[-1], partial, line, environ, system_file)
    return _options(line)


def _values(
    argument: Argument, partial: str, line: _Line, environ: Mapping[str, str], system_file: Path | None
) -> Iterable[Word]:
    kind = argument.kind
    if argument.choices:
        opened = [argument.open_choice] if argument.open_choice else []
        return [(word, "") for word in (*argument.choices, *opened)]
    if kind in _LISTS:
        head = partial[: partial.rfind(",") + 1]
        return [(head + word, "") for word in _LISTS[kind]]
    if kind in _ORDERS:
        return [(key + way, text) for key in _ORDERS[kind] for way, text in (("", ""), (":desc", "greatest first"))]
    if kind in _VALUES:
        key, sign, _ = partial.partition(":")
        if sign:
            return [(f"{key}:{value}", "") for value in _VALUES[kind].get(key, ())]
        return [(f"{key}:", "") for key in _VALUES[kind]]
    if kind == "file":
        return [(FILES, "")]
    try:
        if kind == "context":
            return _contexts(environ, system_file)
        return _live(kind, line, environ, system_file)
    except (Failure, OSError):
        return []


def _contexts(environ: Mapping[str, str], system_file: Path | None) -> list[Word]:
    from ffrtmp_tui import contexts

    documents = contexts.documents(environ, system_file or contexts.SYSTEM_FILE)
    return sorted({(name, "") for _, document in documents for name in document.get("contexts", {})})


def _live(kind: str, line: _Line, environ: Mapping[str, str], system_file: Path | None) -> list[Word]:
    if kind not in ("job", "node", "scenario"):
        return []
    from ffrtmp_tui import contexts
    from ffrtmp_tui.link import Link, new_id
    from ffrtmpd.wire.messages.inquiries import ListScenarios, ScenarioList
    from ffrtmpd.wire.messages.jobs import JobList, ListJobs
    from ffrtmpd.wire.messages.nodes import ListNodes, NodeList

    context = contexts.resolve(
        environ,
        context=line.options.get("--context"),
        master=line.options.get("--master"),
        system=system_file or contexts.SYSTEM_FILE,
    )
    with Link(context.master, context.server_key, context.key_pair(), tries_s=(TRY_S,)) as link:
        if kind == "node":
            nodes = link.ask(ListNodes(request_id=new_id()), NodeList).nodes
            return [(node.node_id, str(node.status)) for node in nodes]
        if kind == "scenario":
            known = link.ask(ListScenarios(request_id=new_id()), ScenarioList).scenarios
            return [(view.name, f"{view.width}x{view.height} {view.codec}") for view in known]
        states = _STATES.get(line.verb.name, ()) if line.verb else ()
        jobs = link.ask(ListJobs(request_id=new_id(), states=states, limit=JOBS_SHOWN), JobList).jobs
        return [("last", "the newest job"), *((job.job_id, f"{job.scenario} {job.state}") for job in jobs)]

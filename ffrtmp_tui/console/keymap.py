"""Every key and every command word as a table: handling, help, footer and documentation are made from it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Page(StrEnum):
    """What the main pane shows."""

    JOBS = "jobs"
    NODES = "nodes"
    QUEUES = "queues"
    EVENTS = "events"


ANYWHERE: Final = frozenset(Page)
_LISTS: Final = frozenset({Page.JOBS, Page.NODES})
_JOBS: Final = frozenset({Page.JOBS})
_NODES: Final = frozenset({Page.NODES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One binding: the keys as urwid names them, what they do, where, and what the help says.

    ``label`` is the word beside the key at the bottom of the screen, nothing for keys that do not stand there.
    """

    keys: tuple[str, ...]
    action: str
    help: str
    where: frozenset[Page] = ANYWHERE
    label: str = ""


KEYS: Final = (
    Key(keys=("1",), action="page_jobs", help="show the jobs"),
    Key(keys=("2",), action="page_nodes", help="show the nodes"),
    Key(keys=("3",), action="page_queues", help="show the queues"),
    Key(keys=("4",), action="page_events", help="show what happened"),
    Key(keys=("tab",), action="next_page", help="show the next page"),
    Key(keys=("down", "j"), action="down", help="one line down"),
    Key(keys=("up", "k"), action="up", help="one line up"),
    Key(keys=("page down", "ctrl f"), action="page_down", help="ten lines down"),
    Key(keys=("page up", "ctrl b"), action="page_up", help="ten lines up"),
    Key(keys=("home", "g"), action="first", help="to the first line"),
    Key(keys=("end", "G"), action="last", help="to the last line that is here; more lines are fetched"),
    Key(keys=(" ",), action="mark", help="mark the job, or take its mark away", where=_JOBS, label="mark"),
    Key(keys=("V",), action="range", help="begin a range of marks; again: end it", where=_JOBS),
    Key(keys=("*",), action="mark_all", help="mark every job that the filter matches", where=_JOBS),
    Key(keys=("c",), action="cancel", help="cancel the marked jobs, or the selected one", where=_JOBS, label="cancel"),
    Key(keys=("p",), action="pause", help="pause them", where=_JOBS, label="pause"),
    Key(keys=("r",), action="resume", help="resume them", where=_JOBS, label="resume"),
    Key(keys=("t",), action="retry", help="queue failed or canceled jobs again", where=_JOBS),
    Key(
        keys=("e",),
        action="explain",
        help="why the job is where it is, and each node's answer",
        where=_JOBS,
        label="explain",
    ),
    Key(keys=("l",), action="log", help="the job's log over the whole screen, and back", where=_JOBS, label="log"),
    Key(keys=("n",), action="submit", help="submit a job", where=_JOBS),
    Key(keys=("f",), action="log_search", help="find a text in the log", where=_JOBS),
    Key(keys=("D",), action="drain", help="give the node no more jobs", where=_NODES, label="drain"),
    Key(keys=("U",), action="undrain", help="let the node take jobs again", where=_NODES, label="undrain"),
    Key(keys=("enter",), action="node_jobs", help="the jobs of the node", where=_NODES, label="jobs"),
    Key(keys=("s",), action="sort", help="sort by the next column", where=_LISTS, label="sort"),
    Key(keys=("S",), action="turn", help="turn the order around", where=_LISTS),
    Key(keys=("/",), action="filter", help="filter: text, or field:value", where=_LISTS, label="filter"),
    Key(keys=(":",), action="command", help="type a command; tab completes it", label="cmd"),
    Key(keys=("esc",), action="back", help="close what is open; then marks, then the filter"),
    Key(keys=("z",), action="freeze", help="hold the screen still, and go on"),
    Key(keys=("R",), action="read_only", help="refuse every action, and allow them again"),
    Key(keys=("T",), action="theme", help="the next theme"),
    Key(keys=("?",), action="help", help="this help"),
    Key(keys=("q", "ctrl c"), action="quit", help="leave", label="quit"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A command of the ``:`` line; ``takes`` names its argument, nothing for commands without one."""

    name: str
    action: str
    help: str
    takes: str = ""


WORDS: Final = (
    Word(name="cancel", action="cancel", help="cancel the marked jobs, or the selected one"),
    Word(name="pause", action="pause", help="pause them"),
    Word(name="resume", action="resume", help="resume them"),
    Word(name="retry", action="retry", help="queue failed or canceled jobs again"),
    Word(name="submit", action="submit", help="submit a job"),
    Word(name="drain", action="drain", help="give the selected node no more jobs"),
    Word(name="undrain", action="undrain", help="let the selected node take jobs again"),
    Word(name="jobs", action="page_jobs", help="show the jobs"),
    Word(name="nodes", action="page_nodes", help="show the nodes"),
    Word(name="queues", action="page_queues", help="show the queues"),
    Word(name="events", action="page_events", help="show what happened"),
    Word(name="filter", action="set_filter", help="filter the jobs or nodes", takes="TEXT"),
    Word(name="sort", action="set_sort", help="sort by this", takes="FIELD"),
    Word(name="job", action="goto_job", help="select this job, wherever it stands", takes="ID"),
    Word(name="theme", action="set_theme", help="change the colours", takes="NAME"),
    Word(name="help", action="help", help="the keys and commands"),
    Word(name="quit", action="quit", help="leave"),
)


def bindings(page: Page) -> dict[str, str]:
    """Return key to action on a page."""
    return {name: key.action for key in KEYS if page in key.where for name in key.keys}


def shown_key(name: str) -> str:
    """Return a key as people write it."""
    return {" ": "spc", "page down": "PgDn", "page up": "PgUp"}.get(name, name)


def help_lines() -> list[str]:
    """Return the help text, one line a key and a command."""
    lines = ["Keys", ""]
    for key in KEYS:
        names = " ".join(shown_key(name) for name in key.keys)
        where = "" if key.where == ANYWHERE else f" ({', '.join(sorted(key.where))})"
        lines.append(f"  {names:<14} {key.help}{where}")
    lines += ["", "Commands", ""]
    lines += [f"  :{' '.join((word.name, word.takes)):<13} {word.help}" for word in WORDS]
    return lines

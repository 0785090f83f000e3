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
    HISTORY = "history"


# The log over the whole screen has keys of its own.
LOG: Final = "log"
ANYWHERE: Final = frozenset({*map(str, Page), LOG})
_LISTS: Final = frozenset({Page.JOBS, Page.HISTORY, Page.NODES})
_OF_JOBS: Final = frozenset({Page.JOBS, Page.HISTORY})
_JOBS: Final = frozenset({Page.JOBS})
_NODES: Final = frozenset({Page.NODES})
_LOG: Final = frozenset({LOG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One binding: the keys as urwid names them, what they do, where, and what the help says.

    ``label`` is the word beside the key at the bottom of the screen, nothing for keys that do not stand there;
    ``spare``: it stands there only where there is room to spare.
    """

    keys: tuple[str, ...]
    action: str
    help: str
    where: frozenset[str] = ANYWHERE
    label: str = ""
    spare: bool = False


KEYS: Final = (
    Key(keys=("1",), action="page_jobs", help="show the jobs"),
    Key(keys=("2",), action="page_nodes", help="show the nodes"),
    Key(keys=("3",), action="page_queues", help="show the queues"),
    Key(keys=("4",), action="page_events", help="show what happened"),
    Key(keys=("5",), action="page_history", help="show the jobs that ended, the last one first"),
    Key(keys=("tab",), action="next_page", help="show the next page"),
    Key(keys=("down", "j"), action="down", help="one line down"),
    Key(keys=("up", "k"), action="up", help="one line up"),
    Key(keys=("page down", "ctrl f"), action="page_down", help="ten lines down"),
    Key(keys=("page up", "ctrl b"), action="page_up", help="ten lines up"),
    Key(keys=("home", "g"), action="first", help="to the first line"),
    Key(keys=("end", "G"), action="last", help="to the last line that is here; more lines are fetched"),
    Key(keys=(" ",), action="mark", help="mark the job, or take its mark away", where=_OF_JOBS, label="mark"),
    Key(
        keys=("V",),
        action="range",
        help="begin a range of marks; again: end it",
        where=_OF_JOBS,
        label="range",
        spare=True,
    ),
    Key(keys=("*",), action="mark_all", help="mark every job that the filter matches", where=_OF_JOBS),
    Key(keys=("c",), action="cancel", help="cancel the marked jobs, or the selected one", where=_JOBS, label="cancel"),
    Key(keys=("p",), action="pause", help="pause them", where=_JOBS, label="pause"),
    Key(keys=("r",), action="resume", help="resume them", where=_JOBS, label="resume"),
    Key(
        keys=("t",),
        action="retry",
        help="queue failed or canceled jobs again",
        where=_OF_JOBS,
        label="retry",
        spare=True,
    ),
    Key(keys=("l",), action="log", help="the job's log over the whole screen, and back", where=_OF_JOBS, label="log"),
    Key(keys=("l",), action="log", help="back to the page", where=_LOG, label="back"),
    Key(
        keys=("e",),
        action="explain",
        help="why the job is where it is, and each node's answer",
        where=_OF_JOBS,
        label="explain",
    ),
    Key(keys=("n",), action="submit", help="submit a job", where=_JOBS, label="new", spare=True),
    Key(keys=("f",), action="log_search", help="find a text in the job's log", where=_OF_JOBS),
    Key(keys=("/",), action="log_search", help="find a text", where=_LOG, label="find"),
    Key(keys=("n",), action="log_next", help="the next line with the text", where=_LOG, label="next"),
    Key(keys=("N",), action="log_before", help="the line with the text before this one", where=_LOG, label="before"),
    Key(
        keys=("w",),
        action="log_wrap",
        help="fold long lines of the log, or cut them",
        where=_OF_JOBS | _LOG,
        label="wrap",
        spare=True,
    ),
    Key(keys=("t",), action="log_times", help="when each line was first seen", where=_LOG, label="times"),
    Key(keys=("D",), action="drain", help="give the node no more jobs", where=_NODES, label="drain"),
    Key(keys=("U",), action="undrain", help="let the node take jobs again", where=_NODES, label="undrain"),
    Key(keys=("enter",), action="node_jobs", help="the jobs of the node", where=_NODES, label="jobs"),
    Key(
        keys=("y",),
        action="yank",
        help="copy the id, or those marked, to the terminal's clipboard",
        where=_LISTS | _LOG,
        label="yank-id",
        spare=True,
    ),
    Key(keys=("s",), action="sort", help="sort by the next column", where=_LISTS, label="sort"),
    Key(keys=("S",), action="turn", help="turn the order around", where=_LISTS),
    Key(
        keys=("/",),
        action="filter",
        help="filter: text, or field:value; tab completes it",
        where=_LISTS,
        label="filter",
    ),
    Key(keys=(":",), action="command", help="type a command; tab completes it", label="cmd"),
    Key(
        keys=("esc",),
        action="back",
        help="stop what is under way, or close what is open; then marks, then the filter",
    ),
    Key(
        keys=("R",), action="read_only", help="refuse every action, and allow them again", label="read-only", spare=True
    ),
    Key(keys=("T",), action="theme", help="the next theme", label="theme", spare=True),
    Key(keys=("z",), action="freeze", help="hold the screen still, and go on", label="freeze", spare=True),
    Key(keys=("?",), action="help", help="this help", label="help", spare=True),
    Key(keys=("q", "ctrl c"), action="quit", help="leave", label="quit"),
)


# What is about rows of the page that is shown, and never about those of another.
ON_ROWS: Final = frozenset({"cancel", "pause", "resume", "retry", "drain", "undrain"})
MOVES: Final = frozenset({"down", "up", "page_down", "page_up", "first", "last"})


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
    Word(name="history", action="page_history", help="show the jobs that ended"),
    Word(name="log", action="log", help="the selected job's log over the whole screen, and back"),
    Word(name="filter", action="set_filter", help="filter the jobs, the history or the nodes", takes="TEXT"),
    Word(name="sort", action="set_sort", help="sort by this", takes="FIELD"),
    Word(name="job", action="goto_job", help="select this job, wherever it stands", takes="ID"),
    Word(name="theme", action="set_theme", help="change the colours", takes="NAME"),
    Word(name="help", action="help", help="the keys and commands"),
    Word(name="quit", action="quit", help="leave"),
)


def bindings(place: str) -> dict[str, str]:
    """Return key to action on a page, or in the log."""
    return {name: key.action for key in KEYS if place in key.where for name in key.keys}


def pages_of(action: str) -> list[Page]:
    """Return the pages on which a key does ``action``, the first first; all for what no key does."""
    where = {place for key in KEYS if key.action == action for place in key.where}
    return [page for page in Page if page in where or not where]


def footer(place: str, room: int) -> list[Key]:
    """Return the keys that stand at the bottom, as many of the spare ones as fit into ``room`` cells."""
    keys = [key for key in KEYS if key.label and place in key.where]
    left = room - sum(_cells(key) for key in keys if not key.spare)
    shown = []
    for key in keys:
        if key.spare:
            if left < _cells(key):
                continue
            left -= _cells(key)
        shown.append(key)
    return shown


def _cells(key: Key) -> int:
    return len(shown_key(key.keys[0])) + len(key.label) + 2


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

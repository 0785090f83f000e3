"""What a command is: nouns with verbs with arguments, as tables from which parser, help and manuals are made."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ffrtmp_tui import units
from ffrtmp_tui.failures import did_you_mean, usage
from ffrtmp_tui.forms import CUSTOM, FORMS
from ffrtmp_tui.terminal import columns
from ffrtmpd.wire.record import record

if TYPE_CHECKING:
    from ffrtmp_tui.run import Run


@record
class Argument:
    """One argument of a verb.

    ``names`` is ``("--flag", "-f")`` or ``("job",)`` for a positional one. ``many`` collects a list, ``flag`` takes no
    value, ``optional`` lets a positional be left out. ``convert`` raises ValueError on bad text. ``dest`` is the
    attribute that holds the value, where the name itself will not do. ``open_choice`` begins texts that are taken
    beside the ``choices``. ``kind`` says what completes it: a ``job``, ``node``, ``scenario``, ``context`` or ``file``,
    ``states`` or ``queues`` with commas, or the keys of a ``job filter``, ``job order``, ``node filter`` or
    ``node order``. ``local`` is a file of this machine, opened by its name whatever bytes that has; all else must be
    UTF-8, as the messages to a master are.
    """

    names: tuple[str, ...]
    help: str
    metavar: str | None = None
    convert: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    default: Any = None
    flag: bool = False
    many: bool = False
    optional: bool = False
    dest: str | None = None
    open_choice: str | None = None
    kind: str = ""
    local: bool = False


@record
class Verb:
    """What can be done with a noun. ``examples`` are pairs of a command and what it does."""

    name: str
    help: str
    run: "Callable[[Run], int]"
    arguments: tuple[Argument, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()


@record
class Noun:
    """A group of verbs; a word that stands by itself has one verb with an empty name."""

    name: str
    help: str
    verbs: tuple[Verb, ...]


# A noun's module is imported only when the noun is used; its help stands here, so that `ffrtmp --help` imports none.
NOUNS: Final[dict[str, tuple[str, str]]] = {
    "jobs": ("ffrtmp_tui.jobs", "submit, list, watch, cancel, pause, resume and retry jobs; read their logs"),
    "nodes": ("ffrtmp_tui.nodes", "list, describe, drain and remove the nodes that encode"),
    "queues": ("ffrtmp_tui.queues", "show how the queues stand"),
    "events": ("ffrtmp_tui.happenings", "show what happened to jobs, nodes and keys, and go on as it happens"),
    "keys": ("ffrtmp_tui.keys", "invite machines and people, list and revoke their keys"),
    "scenarios": ("ffrtmp_tui.scenarios", "list what can be encoded by name, and what a name means"),
    "context": ("ffrtmp_tui.context", "list the clusters known here, and choose one"),
    "config": ("ffrtmp_tui.config", "propose settings for this host"),
    "ping": ("ffrtmp_tui.ping", "ask the master who it is and who you are"),
    "console": ("ffrtmp_tui.console.command", "watch and steer the cluster on the full screen"),
    "join": ("ffrtmp_tui.join", "use an invitation: make a key of your own and enrol it"),
    "backup": ("ffrtmp_tui.backup", "tell how the master's database is copied"),
    "completion": ("ffrtmp_tui.completion", "print what completes commands in bash, zsh or fish"),
    "demo": ("ffrtmp_tui.demo", "run a whole cluster on this machine for a few seconds"),
}

GLOBAL: Final = (
    Argument(
        names=("-o", "--output", "--format"),
        help=f"form of the output: {', '.join(FORMS)}, or {CUSTOM}[TITLE:]FIELD,... "
        "[FFRTMP_OUTPUT, `output` of the context]",
        metavar="FORM",
        choices=FORMS,
        open_choice=CUSTOM,
        dest="form",
    ),
    Argument(names=("-q", "--quiet"), help="ids only; the same as -o name", flag=True),
    Argument(names=("--master",), metavar="ADDRESS", help="address of the master [FFRTMP_MASTER]"),
    Argument(names=("--context",), metavar="NAME", help="context to use [FFRTMP_CONTEXT]", kind="context"),
    Argument(names=("--no-color",), help="no colours [NO_COLOR]", flag=True),
)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Knows the width: argparse, which formats a usage even where none is shown, would import `shutil` to learn it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns() - 2)


class _Parser(argparse.ArgumentParser):
    """Raises what `main` reports instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        raise usage(message, f"see `{self.prog} --help`")


def parser_for(noun: Noun, verb: Verb) -> argparse.ArgumentParser:
    """Return the parser of one verb."""
    words = ["ffrtmp", noun.name, *([verb.name] if verb.name else [])]
    parser = _Parser(
        prog=" ".join(words),
        description=verb.help[0].upper() + verb.help[1:] + ".",
        epilog=_epilog(verb),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    taken = {name for argument in verb.arguments for name in argument.names}
    for argument in verb.arguments:
        _add(parser, argument)
    group = parser.add_argument_group("for every command")
    for argument in GLOBAL:
        names = tuple(name for name in argument.names if name not in taken)
        if names:
            _add(group, argument, names)
    return parser


def parse(noun: Noun, verb: Verb, words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of a verb, and the verb's name as ``verb_word``.

    Raises:
        Failure: they do not fit.
    """
    parser = parser_for(noun, verb)
    # Options between the words of a list are read in two goes, for which a usage is formatted first.
    mixed = any(argument.many or argument.optional for argument in verb.arguments if argument.names[0][0] != "-")
    read = parser.parse_known_intermixed_args if mixed else parser.parse_known_args
    found, rest = read(list(words))
    if rest:
        known = [name for argument in (*verb.arguments, *GLOBAL) for name in argument.names if name.startswith("-")]
        raise usage(
            f"{parser.prog} does not take {rest[0]!r}{did_you_mean(rest[0], known)}", f"see `{parser.prog} --help`"
        )
    found.verb_word = verb.name
    return found


def _epilog(verb: Verb) -> str:
    if not verb.examples:
        return ""
    lines = ["examples:"]
    for command, meaning in verb.examples:
        lines += [f"  # {meaning}", f"  {command}"]
    return "\n".join(lines)


def _add(parser: Any, argument: Argument, names: tuple[str, ...] | None = None) -> None:
    names = names or argument.names
    text = argument.help.replace("%", "%%")
    if argument.flag:
        parser.add_argument(*names, action="store_true", help=text)
        return
    options: dict[str, Any] = {"help": text, "type": _converter(argument)}
    if argument.choices:
        options["metavar"] = argument.metavar or "{" + ",".join(argument.choices) + "}"
    elif argument.metavar:
        options["metavar"] = argument.metavar
    if names[0].startswith("-"):
        options["default"] = argument.default
        if argument.many:
            options["action"] = "append"
        if argument.dest:
            options["dest"] = argument.dest
    elif argument.many:
        options["nargs"] = "*" if argument.optional else "+"
    elif argument.optional:
        options["nargs"] = "?"
    parser.add_argument(*names, **options)


def _converter(argument: Argument) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        is_open = argument.open_choice is not None and text.startswith(argument.open_choice)
        if argument.choices and text not in argument.choices and not is_open:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not one of {', '.join(argument.choices)}{did_you_mean(text, argument.choices)}"
            )
        try:
            return argument.convert(text if argument.local else units.utf8(text))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert

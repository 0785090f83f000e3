"""The man pages of the two daemons, from their parsers. Pure."""

import argparse
import re
from collections.abc import Iterator

from ffrtmp_worker.main import parser as worker_parser
from ffrtmpd.main import parser as master_parser

_CODES = re.compile(r"^exit codes: ", re.MULTILINE)
MASTER_FILES = (
    ("/etc/ffrtmp/ffrtmpd.toml, /etc/ffrtmp/ffrtmpd.d/*.toml", "settings; later ones win"),
    ("/etc/ffrtmp/scenarios.toml", "scenarios of your own"),
    ("/usr/share/ffrtmp/conf/ffrtmpd.toml", "every setting with its default"),
    ("/var/lib/ffrtmp", "the master's key and database; the home folder of root and of the user ffrtmp"),
    ("/etc/credstore/ffrtmpd.master.key", "a key that the service uses in place of the one in the home folder"),
)
WORKER_FILES = (
    ("/etc/ffrtmp/worker.toml, /etc/ffrtmp/worker.d/*.toml", "settings; later ones win"),
    ("/usr/share/ffrtmp/conf/worker.toml", "every setting with its default"),
    ("/var/lib/ffrtmp-worker", "key, logs, outputs; the state folder of root and of the user ffrtmp-worker"),
    ("/etc/credstore/ffrtmp-worker.key", "a key that the service uses in place of the one in the state folder"),
)


def pages() -> dict[str, str]:
    """Return the man pages by the names of their files."""
    return {
        "ffrtmpd.8": _page(master_parser(), "the master of a video transcoding cluster", MASTER_FILES),
        "ffrtmp-worker.8": _page(worker_parser(), "a worker of a video transcoding cluster", WORKER_FILES),
    }


def _page(parser: argparse.ArgumentParser, about: str, files: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(['.\\" Made from the parser of the program; do not edit.', *_lines(parser, about, files), ""])


def _lines(parser: argparse.ArgumentParser, about: str, files: tuple[tuple[str, str], ...]) -> Iterator[str]:
    name = parser.prog
    yield f'.TH "{_text(name.upper())}" 8 "" "ffrtmp" "System Administration"'
    # Long words leave nothing to stretch.
    yield ".ad l"
    yield from ('.SH "NAME"', f"{_text(name)} \\- {_text(about)}")
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    helps = {choice.dest: choice.help or "" for choice in commands._choices_actions}  # noqa: SLF001
    yield '.SH "SYNOPSIS"'
    for command, sub in commands.choices.items():
        words = [action.metavar or action.dest for action in sub._actions if not action.option_strings]  # noqa: SLF001
        yield _text(" ".join([name, command, *map(str, words), "[options]"]))
        yield ".br"
    yield '.SH "COMMANDS"'
    shared = {action.dest for action in parser._actions}  # noqa: SLF001
    for command, sub in commands.choices.items():
        yield from _item(command, f"{helps[command]}.")
        own = [action for action in sub._actions if action.dest not in shared]  # noqa: SLF001
        if own:
            yield ".RS"
            for action in own:
                yield from _item(_spelled(action), action.help or "")
            yield ".RE"
    yield '.SH "OPTIONS"'
    for action in parser._actions:  # noqa: SLF001
        if action.option_strings:
            yield from _item(_spelled(action), action.help or "")
    yield '.SH "FILES"'
    for path, text in files:
        yield from _item(path, text)
    examples, codes = _CODES.split(parser.epilog or "", maxsplit=1)
    yield from ('.SH "EXIT STATUS"', _text(" ".join(codes.split()) + "."))
    yield from ('.SH "EXAMPLES"', ".nf")
    yield from (_text(line.strip()) for line in examples.splitlines()[1:] if line.strip())
    yield from (".fi", '.SH "SEE ALSO"', "\\fBffrtmp\\fR(1), /usr/share/doc/python3\\-ffrtmp/install.md.gz")


def _spelled(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    one_of = "{" + ",".join(map(str, action.choices or ())) + "}"
    value = action.metavar or (one_of if action.choices else action.dest.upper())
    return f"{names} {value}".strip()


def _item(head: str, text: str) -> Iterator[str]:
    yield from (".TP", f"\\fB{_text(head)}\\fR", _text(text))


def _text(text: str) -> str:
    """Return ``text`` so that roff shows it as it is."""
    shown = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    shown = shown.replace("~", "\\(ti").replace("^", "\\(ha").replace('"', "\\(dq")
    return f"\\&{shown}" if shown.startswith(".") else shown

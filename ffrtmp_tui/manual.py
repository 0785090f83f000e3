"""The manual, as man pages and as a page of Markdown, from the tables that parser and help are made from. Pure."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Final

from ffrtmp_tui.command import GLOBAL, NOUNS, Argument, Noun, Verb

EXITS: Final = (
    ("0", "ok"),
    ("1", "failed"),
    ("2", "wrong usage"),
    ("3", "not found"),
    ("4", "not allowed"),
    ("5", "conflict"),
    ("6", "the master cannot be reached"),
    ("7", "what was waited for did not happen in time"),
    ("8", "part of a bulk failed"),
    ("10", "a job failed"),
    ("11", "a job was canceled"),
    ("130", "interrupted"),
)
ENVIRONMENT: Final = (
    ("FFRTMP_MASTER", "address of the master, such as tcp://host:5571; FFMPEG_RTMP_MASTER is read too"),
    ("FFRTMP_CONTEXT", "context to use"),
    ("FFRTMP_OUTPUT", "form of the output"),
    ("FFRTMP_PAGER, PAGER", "shows lists that are longer than the screen; empty or cat: nothing does"),
    ("FFRTMP_CONFIG_DIR", "folder of contexts, ~/.config/ffrtmp unless said"),
    ("NO_COLOR", "no colours"),
)
FILES: Final = (
    (
        "~/.config/ffrtmp/config.toml",
        "the user's contexts: tables contexts.NAME of master, server_key, key and, if need be, output: a form",
    ),
    ("/etc/ffrtmp/client.toml", "the host's contexts, used where the user has none of the name"),
)
_PRECEDENCE: Final = (
    "What a flag says goes before the environment, that before the user's context, and that before /etc."
)
_ABOUT: Final = (
    "ffrtmp is the commands of a video transcoding cluster: it asks the master over an encrypted connection and prints "
    "what it answers. Data goes to standard output, everything else to standard error."
)


def nouns() -> list[Noun]:
    """Return every command, in the order of the overview."""
    return [import_module(module).NOUN for module, _ in NOUNS.values()]


def synopsis(noun: Noun, verb: Verb) -> str:
    """Return how a verb is written, such as ``ffrtmp jobs status ID [--follow]``."""
    words = ["ffrtmp", noun.name, *([verb.name] if verb.name else [])]
    for argument in verb.arguments:
        if argument.names[0].startswith("-"):
            continue
        name = argument.metavar or argument.names[0].upper()
        text = f"{name} ..." if argument.many else name
        words.append(f"[{text}]" if argument.optional else text)
    if any(argument.names[0].startswith("-") for argument in verb.arguments):
        words.append("[options]")
    return " ".join(words)


def spelled(argument: Argument) -> str:
    """Return how an argument is written, such as ``-f, --file FILE``."""
    if not argument.names[0].startswith("-"):
        return argument.metavar or argument.names[0].upper()
    names = ", ".join(sorted(argument.names, key=lambda name: name.startswith("--")))
    if argument.flag:
        return names
    fallback = "{" + ",".join(argument.choices) + "}" if argument.choices else argument.names[-1].strip("-").upper()
    return f"{names} {argument.metavar or fallback}"


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────────────────────


def markdown() -> str:
    """Return every command as Markdown."""
    lines: list[str] = []
    for noun in nouns():
        lines += [f"## ffrtmp {noun.name}", "", _sentence(noun.help), ""]
        for verb in noun.verbs:
            if verb.name:
                lines += [f"### {noun.name} {verb.name}", "", _sentence(verb.help), ""]
            lines += [f"`{synopsis(noun, verb)}`", ""]
            if verb.arguments:
                lines += ["| argument | meaning |", "| --- | --- |"]
                lines += [f"| `{_cell(spelled(a))}` | {_cell(_escaped(a.help))} |" for a in verb.arguments]
                lines.append("")
            lines += ["```sh", *(f"{command}  # {meaning}" for command, meaning in verb.examples), "```", ""]
    lines += ["## For every command", "", "| option | meaning |", "| --- | --- |"]
    lines += [f"| `{_cell(spelled(argument))}` | {_cell(_escaped(argument.help))} |" for argument in GLOBAL]
    lines += ["", "| variable | meaning |", "| --- | --- |"]
    lines += [f"| `{name}` | {_cell(_escaped(text))} |" for name, text in ENVIRONMENT]
    lines += ["", _PRECEDENCE, "", "| exit code | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {text} |" for code, text in EXITS]
    return "\n".join([*lines, ""])


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")


# ── man pages ─────────────────────────────────────────────────────────────────────────────────────────────────────


def pages() -> dict[str, str]:
    """Return the man pages by the names of their files: one of the program, and one a command."""
    found = {"ffrtmp.1": _roff(_program())}
    for noun in nouns():
        found[f"ffrtmp-{noun.name}.1"] = _roff(_page(noun))
    return found


def _program() -> Iterator[str]:
    yield _title("ffrtmp")
    yield from _section("NAME", [f"ffrtmp \\- {_text('the commands of a video transcoding cluster')}"])
    yield from _section("SYNOPSIS", [f"{_bold('ffrtmp')} COMMAND [VERB] [arguments]"])
    yield from _section("DESCRIPTION", [_text(_ABOUT)])
    yield from _section("COMMANDS", [])
    for noun in nouns():
        yield from _item(_bold(f"ffrtmp-{noun.name}") + "(1)", noun.help)
    yield from _common()


def _page(noun: Noun) -> Iterator[str]:
    yield _title(f"ffrtmp-{noun.name}")
    yield from _section("NAME", [f"{_text(f'ffrtmp-{noun.name}')} \\- {_text(noun.help)}"])
    yield from _section("SYNOPSIS", [])
    for verb in noun.verbs:
        yield _text(synopsis(noun, verb))
        yield ".br"
    yield from _section("DESCRIPTION", [])
    for verb in noun.verbs:
        if verb.name:
            yield f'.SS "{_text(f"{noun.name} {verb.name}")}"'
        yield _text(_sentence(verb.help))
        for argument in verb.arguments:
            yield from _item(_bold(spelled(argument)), argument.help)
    yield from _common()
    yield from _section("EXAMPLES", [])
    for verb in noun.verbs:
        for command, meaning in verb.examples:
            yield from _item(_bold(command), meaning)
    yield from _section("SEE ALSO", [f"{_bold('ffrtmp')}(1)"])


def _common() -> Iterator[str]:
    yield from _section("OPTIONS OF EVERY COMMAND", [])
    for argument in GLOBAL:
        yield from _item(_bold(spelled(argument)), argument.help)
    for title, entries in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES), ("EXIT STATUS", EXITS)):
        yield from _section(title, [])
        for name, meaning in entries:
            yield from _item(_bold(name), meaning)
        if title == "FILES":
            yield ".P"
            yield _text(_PRECEDENCE)


def _title(name: str) -> str:
    return f'.TH {name.upper().replace("-", chr(92) + "-")} 1 "" "ffrtmp" "User Commands"'


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f'.SH "{title}"'
    yield from lines


def _item(head: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield head
    yield _text(text)


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _text(text: str) -> str:
    """Return ``text`` so that roff shows it as it is."""
    shown = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    shown = shown.replace("~", "\\(ti").replace("^", "\\(ha").replace('"', "\\(dq").replace("…", "...")
    # A dot at the beginning of a line would be a request.
    return f"\\&{shown}" if shown.startswith(".") else shown


def _roff(lines: Iterable[str]) -> str:
    return "\n".join(['.\\" Made from the tables of the program; do not edit.', *lines, ""])

"""ffrtmp: finds the noun and the verb, runs it, and turns whatever happens into one line and an exit code."""

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, TextIO

from ffrtmp_tui.command import GLOBAL, NOUNS, Noun, Verb, parse
from ffrtmp_tui.failures import Exit, Failure, did_you_mean, usage
from ffrtmp_tui.forms import CUSTOM, FORMS, wanted_form
from ffrtmp_tui.run import Run
from ffrtmp_tui.terminal import Terminal, clean, mend_streams, real_terminal, silence_output

if TYPE_CHECKING:
    from pathlib import Path

# What the shells ask; see `completion`.
COMPLETE: Final = "__complete"
_VALUED: Final = frozenset(name for argument in GLOBAL if not argument.flag for name in argument.names)
_HELP: Final = ("-h", "--help")


def run_here(argv: Sequence[str] | None = None) -> int:
    """Run the command line in this process's own surroundings; return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    mend_streams()
    terminal = real_terminal(os.environ, no_colour="--no-color" in words)
    try:
        code = run_command(words, terminal=terminal, environ=os.environ, stdin=sys.stdin)
        # Here and not at the interpreter's exit, where a reader that has gone would leave a complaint.
        sys.stdout.flush()
    except BrokenPipeError:
        silence_output()
        return Exit.BROKEN_PIPE
    except OSError as error:
        what = "cannot write the output" if error.filename is None else f"cannot use {error.filename}"
        silence_output()
        try:
            terminal.say(f"error: {clean(what)}: {error.strerror or error}")
        except OSError:
            silence_output()
        return Exit.FAILED
    return code


def run_command(
    words: Sequence[str],
    *,
    terminal: Terminal,
    environ: Mapping[str, str],
    stdin: TextIO,
    system_file: "Path | None" = None,
) -> int:
    """Run one command against the given surroundings; return its exit code.

    Raises:
        BrokenPipeError: nobody reads the output any more.
    """
    run: Run | None = None
    if words and words[0] == COMPLETE:
        from ffrtmp_tui.complete import complete

        for line in complete(words[1:], environ, system_file):
            terminal.write(line)
        return Exit.OK
    try:
        if not words and terminal.out_shows and stdin.isatty() and _knows_a_master(environ, system_file):
            words = ["console"]
        found = find(words, terminal)
        if found is None:
            return Exit.OK
        noun, verb, rest = found
        arguments = parse(noun, verb, rest)
        run = Run(args=arguments, terminal=terminal, environ=environ, stdin=stdin, system_file=system_file)
        code = verb.run(run)
        terminal.out.flush()
    except Failure as failure:
        report(failure, terminal, as_json=_wants_json(run, words, environ, system_file))
        return failure.exit_code
    except KeyboardInterrupt:
        terminal.say("interrupted")
        return Exit.INTERRUPTED
    except SystemExit as ended:
        # argparse has printed a help text.
        return ended.code if isinstance(ended.code, int) else Exit.OK
    finally:
        if run is not None:
            run.close()
    return code


def find(words: Sequence[str], terminal: Terminal) -> tuple[Noun, Verb, list[str]] | None:
    """Return noun, verb and the other words; None when a text was asked for and has been written.

    Raises:
        Failure: there is no such noun or verb.
    """
    places = _command_places(words)
    if not places:
        if "--version" in words or "-V" in words:
            from ffrtmpd import __version__

            terminal.write(f"ffrtmp {__version__}")
            return None
        unknown = [
            word
            for word in words
            if word.startswith("-") and word not in (*_HELP, *_VALUED, "-q", "--quiet", "--no-color")
        ]
        if unknown:
            raise usage(f"ffrtmp does not take {unknown[0]!r} without a command", "see `ffrtmp --help`")
        terminal.write(overview())
        return None
    name = words[places[0]]
    if name == "help":
        return find([*(words[at] for at in places[1:3]), "--help"], terminal)
    if name not in NOUNS:
        raise usage(f"there is no command {name!r}{did_you_mean(name, tuple(NOUNS))}", "see `ffrtmp --help`")
    noun: Noun = import_module(NOUNS[name][0]).NOUN
    if not noun.verbs[0].name:
        return noun, noun.verbs[0], _without(words, places[:1])
    verbs = {verb.name: verb for verb in noun.verbs}
    if len(places) == 1:
        if not any(word in _HELP for word in words):
            raise usage(f"ffrtmp {name} needs one of {', '.join(verbs)}", f"see `ffrtmp {name} --help`")
        terminal.write(noun_help(noun))
        return None
    word = words[places[1]]
    if word not in verbs:
        raise usage(
            f"ffrtmp {name} has no {word!r}{did_you_mean(word, tuple(verbs))}",
            f"it has {', '.join(verbs)}; see `ffrtmp {name} --help`",
        )
    return noun, verbs[word], _without(words, places[:2])


def overview() -> str:
    """Return the help of the whole program."""
    room = max(len(name) for name in NOUNS)
    commands = "\n".join(f"  {name:<{room}}  {text}" for name, (_, text) in NOUNS.items())
    return (
        "usage: ffrtmp COMMAND [VERB] [arguments]\n\n"
        "The commands of an ffrtmp cluster.\n\n"
        f"commands:\n{commands}\n\n"
        "examples:\n"
        "  # a whole cluster on this machine, for a few seconds\n"
        "  ffrtmp demo\n"
        "  # encode a file and watch it\n"
        "  ffrtmp jobs submit 1080p30-h264 --input talk.mov --follow\n"
        "  # what runs where, for a script\n"
        "  ffrtmp jobs list --state processing -o json\n\n"
        "`ffrtmp COMMAND --help` and `ffrtmp COMMAND VERB --help` say more; `ffrtmp --version` prints the version.\n"
        "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 master not reachable,\n"
        "7 wait timed out, 8 part of a bulk failed, 10 job failed, 11 job canceled.\n"
    )


def noun_help(noun: Noun) -> str:
    """Return the help of a noun: its verbs, and an example of each."""
    room = max(len(verb.name) for verb in noun.verbs)
    verbs = "\n".join(f"  {verb.name:<{room}}  {verb.help}" for verb in noun.verbs)
    examples = "\n".join(f"  # {meaning}\n  {command}" for verb in noun.verbs for command, meaning in verb.examples[:1])
    return (
        f"usage: ffrtmp {noun.name} VERB [arguments]\n\n{noun.help[0].upper()}{noun.help[1:]}.\n\n"
        f"verbs:\n{verbs}\n\nexamples:\n{examples}\n\n`ffrtmp {noun.name} VERB --help` says more.\n"
    )


def report(failure: Failure, terminal: Terminal, *, as_json: bool) -> None:
    """Say what went wrong: one line and a hint, or JSON."""
    if as_json:
        import json

        terminal.say(json.dumps({"error": failure.as_plain()}, ensure_ascii=False))
        return
    terminal.say(f"error: {clean(failure.message)}")
    if failure.hint:
        terminal.say(f"hint: {clean(failure.hint)}")


def _knows_a_master(environ: Mapping[str, str], system_file: "Path | None") -> bool:
    """Tell whether there is a master to show; who has none yet is shown the help."""
    from ffrtmp_tui import contexts

    try:
        contexts.resolve(environ, system=system_file or contexts.SYSTEM_FILE)
    except Failure:
        return False
    return True


def _command_places(words: Sequence[str]) -> list[int]:
    """Return where the words stand that are neither options nor the values of options for every command."""
    places = []
    skip = False
    for at, word in enumerate(words):
        if skip:
            skip = False
        elif word in _VALUED:
            skip = True
        elif not word.startswith("-"):
            places.append(at)
    return places


def _without(words: Sequence[str], places: Sequence[int]) -> list[str]:
    return [word for at, word in enumerate(words) if at not in places]


def _wants_json(run: Run | None, words: Sequence[str], environ: Mapping[str, str], system_file: "Path | None") -> bool:
    """Tell whether errors shall be JSON too, also when the arguments were too wrong to be read."""
    try:
        form = wanted_form(_glimpsed(words), environ, system_file) if run is None else run.form
    except Failure:
        return False
    return form in ("json", "jsonl")


def _glimpsed(words: Sequence[str]) -> Namespace:
    """Return as much of the arguments as counts for the form of an error."""
    found = Namespace(form=None, quiet=False, context=None)
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, sign, value = word.partition("=")
        if word.startswith("-o") and len(word) > 2:
            name, value = "-o", word[2:]
        elif not sign:
            value = after
        # A verb may have an --output that is a file.
        if name in GLOBAL[0].names and (value in FORMS or value.startswith(CUSTOM)):
            found.form = value
        elif name == "--context":
            found.context = value
        elif name in ("-q", "--quiet"):
            found.quiet = True
    return found

"""Finding the command, saying what is wrong, and starting fast."""

import io
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from ffrtmp_tui.command import NOUNS, Noun, parser_for
from ffrtmp_tui.terminal import real_terminal
from ffrtmpd import __version__
from ffrtmpd.wire.curve import new_key_pair
from tests.tui.commands import Shell

NOUN_TABLES: list[Noun] = [import_module(module).NOUN for module, _ in NOUNS.values()]


def test_help_of_the_program_names_every_command_and_exit_code(shell: Shell) -> None:
    for words in ([], ["--help"], ["help"]):
        ended = shell(*words)
        assert ended.code == 0
        assert all(f"  {name} " in ended.out for name in NOUNS)
        assert "10 job failed, 11 job canceled" in ended.out


def test_version_is_written(shell: Shell) -> None:
    assert shell("--version").out == f"ffrtmp {__version__}\n"


@pytest.mark.parametrize("noun", NOUN_TABLES, ids=lambda noun: noun.name)
def test_every_verb_has_help_with_examples_that_parse(
    noun: Noun, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    if noun.verbs[0].name:
        assert shell(noun.name, "--help").out.startswith(f"usage: ffrtmp {noun.name} VERB")
    for verb in noun.verbs:
        words = [noun.name, *([verb.name] if verb.name else [])]
        assert shell(*words, "--help").code == 0
        text = capsys.readouterr().out
        assert text.startswith(f"usage: ffrtmp {' '.join(words)}")
        assert "examples:" in text
        assert verb.examples
        parser = parser_for(noun, verb)
        for command, _ in verb.examples:
            rest = command.partition(" >")[0].split()[1 + len(words) :]
            assert parser.parse_known_intermixed_args(rest)[1] == []


def test_help_word_is_the_help_flag(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell("help", "jobs").out.startswith("usage: ffrtmp jobs VERB")
    assert shell("help", "jobs", "list").code == 0
    assert capsys.readouterr().out.startswith("usage: ffrtmp jobs list")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jbos"], "there is no command 'jbos', did you mean 'jobs'?"),
        (["jobs", "lst"], "ffrtmp jobs has no 'lst', did you mean 'list'?"),
        (["jobs"], "ffrtmp jobs needs one of submit, list"),
        (["--colour"], "does not take '--colour' without a command"),
        (["jobs", "list", "--stat", "queued"], "does not take '--stat', did you mean '--state'?"),
        (["jobs", "list", "--state", "quued"], "did you mean 'queued'?"),
        (["jobs", "list", "--limit", "0"], "no whole number from 1 on"),
        (["jobs", "list", "-o", "jason"], "'jason' is not one of table"),
        (["jobs", "status"], "required: ID"),
        (["jobs", "status", "1,2"], "selects 2 jobs"),
        (["jobs", "submit"], "no scenario"),
        (["jobs", "submit", "a", "--scenario", "b"], "said twice"),
        (["jobs", "submit", "a", "--duration", "soon"], "no duration"),
        (["jobs", "submit", "a", "--bitrate", "5m"], "no bit rate"),
        (["jobs", "submit", "a", "--duration", "99999h"], "duration_s"),
        (["jobs", "submit", "a", "--label", "x"], "no label"),
        (["jobs", "submit", "a", "--label", "x=1", "--label", "x=2"], "'x' is said twice: '1' and '2'"),
        (["jobs", "submit", "a", "--not-before", "x"], "--not-before: 'x' is no time"),
        (["jobs", "submit", "a", "--idempotency-key", "short"], "8 to 128 characters"),
        (["keys", "invite", "a b"], "is not a name: 1 to 64"),
        (["keys", "invite", ".a"], "is not a name: 1 to 64"),
        (["join", "word"], "not an invitation"),
        (["ping"], "no master is known here"),
        (["ping", "--master", "https://h:8080"], "no master is known here"),
    ],
)
def test_wrong_command_is_told_and_ends_with_2(shell: Shell, words: list[str], said: str) -> None:
    ended = shell(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("jobs", "submit", "720p-h264", "--input", "/srv/caf\udce9.mov"), "--input"),
        (("jobs", "submit", "720p-h264", "--label", "show=\udce9"), "--label"),
        (("jobs", "submit", "\udce9"), "scenario"),
        (("jobs", "list", "--filter", "\udce9"), "--filter"),
        (("jobs", "list", "--node", "\udce9"), "--node"),
        (("jobs", "status", "\udce9"), "ID"),
        (("nodes", "describe", "\udce9"), "NODE"),
        (("events", "--node", "\udce9"), "--node"),
        (("ping", "--master", "\udce9"), "--master"),
    ],
)
def test_argument_that_is_no_utf8_is_named(shell: Shell, words: tuple[str, ...], named: str) -> None:
    for form in ("table", "json"):
        ended = shell(*words, "-o", form)
        assert (ended.code, ended.out) == (2, "")
        assert f"argument {named}" in ended.err
        assert "is not text in UTF-8" in ended.err


def test_key_of_a_manifest_that_is_no_utf8_is_told(shell: Shell) -> None:
    shell.environ["FFRTMP_OUTPUT"] = "json"
    lines = '{"scenario": "720p-h264", "key": "key-number-\\ud800"}'
    told = shell("jobs", "submit", "-f", "-", "--dry-run", stdin=lines).json
    assert told["jobs"][0]["problem"]["message"] == r"idempotency_key: 'key-number-\ud800' is not text in UTF-8"


def test_manifest_is_opened_whatever_bytes_its_name_has(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.csv"
    path.write_text("scenario\n720p-h264\n")
    assert shell("jobs", "submit", "-f", str(path), "--dry-run").code == 0


def test_error_as_json_has_code_message_and_hint(shell: Shell) -> None:
    ended = shell("-o", "json", "jobs", "lst")
    assert ended.code == 2
    assert ended.err.startswith('{"error": {"code": "usage", "message": "ffrtmp jobs has no ')
    assert '"retryable": false' in ended.err
    shell.environ["FFRTMP_OUTPUT"] = "json"
    assert shell("ping").err.startswith('{"error": {"code": "no_context"')
    assert shell("-o", "table", "ping").err.startswith("error: ")


def test_form_from_the_environment_is_checked(shell: Shell) -> None:
    shell.environ["FFRTMP_OUTPUT"] = "jsn"
    ended = shell("jobs", "submit", "720p-h264", "--dry-run")
    assert ended.code == 2
    assert "FFRTMP_OUTPUT: 'jsn'" in ended.err


def test_interrupt_ends_with_130(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("ffrtmp_tui.submit.submit_jobs", interrupted)
    ended = shell("jobs", "submit", "720p-h264")
    assert (ended.code, ended.err) == (130, "interrupted\n")


def test_reader_that_goes_away_is_no_traceback() -> None:
    script = (
        "import os, sys; from ffrtmp_tui.cli import main; os.close(1); r, w = os.pipe(); os.close(r); os.dup2(w, 1);"
        "sys.exit(main(['--help']))"
    )
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (141, b"")


def in_shell(tail: str, *words: str, encoding: str = "utf-8") -> "subprocess.CompletedProcess[str]":
    """Run a command as a shell does with ``tail`` behind it; ``encoding`` is that of its streams."""
    script = "import sys; from ffrtmp_tui.cli import main; sys.exit(main(sys.argv[1:]))"
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {tail}', "sh", sys.executable, "-c", script, *words],
        env={**environ, "PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": encoding},
        capture_output=True,
        encoding=encoding,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("words", [("--help",), ("completion", "bash"), ("jobs", "submit", "720p-h264", "--dry-run")])
def test_output_that_cannot_be_written_is_one_line_and_ends_with_1(words: tuple[str, ...]) -> None:
    ended = in_shell("> /dev/full", *words)
    assert (ended.returncode, ended.stderr) == (1, "error: cannot write the output: No space left on device\n")
    assert in_shell("> /dev/full 2> /dev/full", *words).returncode == 1


def test_closed_streams_lead_nowhere() -> None:
    dry = ("jobs", "submit", "720p-h264", "--dry-run", "-q")
    ended = in_shell(">&-", *dry)
    assert (ended.returncode, ended.stderr) == (0, "1 of 1 jobs could be submitted; nothing was\n")
    ended = in_shell("2>&-", *dry)
    assert (ended.returncode, ended.stdout) == (0, "720p-h264\n")
    ended = in_shell("<&-", "jobs", "submit", "-f", "-")
    assert (ended.returncode, ended.stderr) == (2, "error: standard input holds no job\n")
    assert in_shell("<&- >&- 2>&-", *dry).returncode == 0


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_the_encoding_of_the_output_lacks_is_escaped_and_json_stays_json(encoding: str) -> None:
    words = ("jobs", "submit", "720p-h264", "--input", "/srv/né/中/\N{CLAPPER BOARD}.mov", "--dry-run")
    assert r"/\u4e2d/\ud83c\udfac.mov" in in_shell("", *words, encoding=encoding).stdout
    ended = in_shell("", *words, "-o", "json", encoding=encoding)
    assert json.loads(ended.stdout)["jobs"][0]["spec"]["input"] == words[4]


@pytest.mark.parametrize(
    ("environ", "flag", "coloured"),
    [({}, False, True), ({"NO_COLOR": "1"}, False, False), ({}, True, False), ({"TERM": "dumb"}, False, False)],
)
def test_colours_are_for_a_screen_that_nobody_forbade(
    environ: dict[str, str], flag: bool, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Screen(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Screen())
    assert real_terminal(environ, no_colour=flag).colour is coloured
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert not real_terminal(environ, no_colour=flag).colour


@pytest.mark.parametrize("words", [["jobs", "status", "1"], ["nodes", "list"], ["ping"]])
def test_one_shot_command_loads_nothing_heavy(shell: Shell, words: list[str]) -> None:
    script = (
        "import sys; before = set(sys.modules); from ffrtmp_tui.cli import main; main(sys.argv[1:]);"
        "heavy = {'urwid', 'pathlib', 'peewee', 'rich', 'asyncio', 'sqlite3', 'subprocess', 'csv', 'dataclasses',"
        "'inspect', 'ffrtmpd.store', 'ffrtmpd.wire.catalogue', 'ffrtmpd.wire.messages.session', 'ffrtmp_tui.demo',"
        "'ffrtmp_tui.submit'};"
        "found = sorted(heavy & set(sys.modules) - before); sys.exit(f'loaded {found}' if found else 0)"
    )
    # Nothing listens on port 1: the command has loaded all that it needs by the time it says so.
    shell.add(
        "x",
        master="tcp://127.0.0.1:1",
        server_key="rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
        pair=new_key_pair(),
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**shell.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert "connection refused" in done.stderr

"""Completion: what can stand where the cursor is, in the tables and in real shells."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ffrtmp_tui.command import NOUNS
from ffrtmp_tui.complete import FILES, complete
from ffrtmp_tui.completion import SCRIPTS
from tests.needs import program
from tests.tui.commands import Shell
from tests.tui.masters import RealMaster
from tests.tui.nodes import Node

ROOT = Path(__file__).parents[2]


def words(line: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return what completes a line, without what it means."""
    return [entry.partition("\t")[0] for entry in complete(line.split(" ")[1:], environ or {}, Path("/nowhere"))]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ffrtmp ", [*NOUNS, "help"]),
        ("ffrtmp jo", ["jobs", "join"]),
        ("ffrtmp help qu", ["queues"]),
        ("ffrtmp -o json que", ["queues"]),
        ("ffrtmp jobs st", ["status"]),
        ("ffrtmp jobs list --sta", ["--state"]),
        ("ffrtmp jobs list --state pend", ["pending"]),
        ("ffrtmp jobs list --state queued,pen", ["queued,pending"]),
        ("ffrtmp jobs list -o js", ["json", "jsonl"]),
        ("ffrtmp jobs list --output=cu", ["--output=custom-columns="]),
        ("ffrtmp jobs list --filter st", ["state:"]),
        ("ffrtmp jobs list --filter queue:l", ["queue:live"]),
        ("ffrtmp jobs list --sort vm", ["vmaf", "vmaf:desc"]),
        ("ffrtmp jobs submit --codec h", ["h264", "h265"]),
        ("ffrtmp jobs submit -f x", [FILES]),
        ("ffrtmp nodes list --filter gpu:", ["gpu:yes", "gpu:no"]),
        ("ffrtmp completion ", ["bash", "zsh", "fish"]),
        ("ffrtmp events --fo", ["--follow", "--format"]),
        ("ffrtmp nonsense ", []),
        ("ffrtmp jobs nonsense ", []),
        ("ffrtmp jobs status ", []),
    ],
)
def test_tables_complete_a_line(line: str, expected: list[str]) -> None:
    assert words(line) == expected


def test_ids_come_from_the_master(shell: Shell, master: RealMaster) -> None:
    for _ in range(2):
        shell("jobs", "submit", "720p30-h264")
    shell("jobs", "cancel", "1")
    environ = shell.environ
    assert words("ffrtmp jobs status ", environ) == ["last", "job-000002", "job-000001"]
    assert words("ffrtmp jobs cancel job-", environ) == ["job-000002"]
    assert words("ffrtmp jobs cancel 1 job-", environ) == ["job-000002"]
    assert words("ffrtmp jobs retry job-", environ) == ["job-000001"]
    assert "1080p30-h264" in words("ffrtmp scenarios show 1080p", environ)
    assert words("ffrtmp context use e", environ) == ["eve"]
    with Node(master):
        assert words("ffrtmp nodes drain ", environ) == ["node-1"]
        assert words("ffrtmp jobs list --node n", environ) == ["node-1"]
    entry = complete(["jobs", "retry", "job-"], environ)
    assert entry == ["job-000001\t720p30-h264 canceled"]
    assert shell("__complete", "jobs", "retry", "job-").out == "job-000001\t720p30-h264 canceled\n"
    assert words("ffrtmp --context nobody jobs status ", environ) == []


def test_master_that_is_not_there_completes_nothing_and_says_nothing(shell: Shell, master: RealMaster) -> None:
    shell.environ["FFRTMP_MASTER"] = "tcp://127.0.0.1:1"
    ended = shell("__complete", "jobs", "status", "")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


SHIPPED = {"bash": "ffrtmp", "zsh": "_ffrtmp", "fish": "ffrtmp.fish"}


def test_scripts_are_printed_and_shipped_as_they_are(shell: Shell) -> None:
    for name, file in SHIPPED.items():
        assert shell("completion", name).out == SCRIPTS[name] == (ROOT / "conf/completion" / file).read_text()


def with_ffrtmp(folder: Path) -> dict[str, str]:
    """Put this program on the path as ``ffrtmp``."""
    program = folder / "ffrtmp"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m ffrtmp_tui "$@"\n')
    program.chmod(0o755)
    # Where fish puts what it would leave in /tmp.
    return {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ffrtmp jobs li", "list"),
        ("ffrtmp jobs list --filter state:fa", "failed"),
        ("ffrtmp jobs list --output=wi", "wide"),
        ("ffrtmp completion ", "bash zsh fish"),
    ],
)
def test_bash_puts_back_what_it_took_apart(line: str, expected: str, tmp_path: Path) -> None:
    script = f'{SCRIPTS["bash"]}\nCOMP_LINE="$1"; COMP_POINT=${{#1}}; _ffrtmp; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", line], env=with_ffrtmp(tmp_path), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (f"{expected}\n", "")


def test_fish_completes(tmp_path: Path) -> None:
    script = f'{SCRIPTS["fish"]}\ncomplete -C "ffrtmp jobs list --filter state:fa"'
    done = subprocess.run(
        [program("fish"), "--no-config", "-c", script],
        env=with_ffrtmp(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "state:failed\n"


def test_zsh_can_read_the_script(tmp_path: Path) -> None:
    subprocess.run([program("zsh"), "-n", ROOT / "conf/completion/_ffrtmp"], check=True)


# ── ids of a real master, at the TAB key of a real shell ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bash", ["--norc", "--noprofile", "-i"]),
        ("zsh", ["-f", "-i"]),
        ("fish", ["--no-config", "-i"]),
    ],
)
def test_tab_completes_ids_as_the_master_knows_them(
    name: str, words: list[str], shell: Shell, master: RealMaster, tmp_path: Path
) -> None:
    pytest.importorskip("pyte")
    from tests.console.pty import Terminal

    for _ in range(2):
        assert shell("jobs", "submit", "720p30-h264").code == 0
    assert shell("jobs", "cancel", "2").code == 0
    # A shell wants a terminal that controls it.
    takes = "import fcntl, os, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    starts = f"{takes}os.execvp({program(name)!r}, {[name, *words]!r})"
    environ = {**shell.environ, **with_ffrtmp(tmp_path), "PS1": "$ "}
    load = {"zsh": "autoload -Uz compinit; compinit -u -D; source"}.get(name, "source")
    with Node(master), Terminal(starts, environ=environ, size=(100, 30), program="-c") as terminal:
        terminal.type(f"{load} {ROOT / 'conf/completion' / SHIPPED[name]}; echo rea''dy\n")
        terminal.shows("ready")
        # Of the jobs there are, the one that can be canceled; and the one node.
        for line, expected in (
            ("jobs cancel job-", "jobs cancel job-000001"),
            ("nodes drain no", "nodes drain node-1"),
        ):
            terminal.type(f"ffrtmp {line}\t")
            terminal.shows(f"ffrtmp {expected}")
            terminal.type("\x15")
        terminal.type("exit\n")
        terminal.ends()

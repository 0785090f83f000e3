"""The console on a terminal, in front of a real master: start, sizes, colours, absence, and the terminal afterwards."""

import base64
import itertools
import re
import select
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pyte")

from ffrtmp_tui.console.client import ThreadClient
from ffrtmp_tui.console.state import Ask, Lane
from ffrtmp_tui.failures import Failure
from ffrtmp_tui.link import Link, new_id
from ffrtmpd.wire.messages.common import Ping, Pong
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit, Submitted
from ffrtmpd.wire.vocabulary import Role
from tests.console.pty import Terminal
from tests.console.test_widths import PATHS
from tests.tui.commands import Shell
from tests.tui.masters import RealMaster, ScriptedMaster

pytestmark = pytest.mark.e2e


def started() -> RealMaster:
    """Return a master that serves forty jobs."""
    master = RealMaster({"root": Role.ADMIN})
    master.begin()
    with Link(master.endpoint, master.key.public, master.pairs["root"]) as link:
        jobs = tuple(Submission(key=f"key-{n:08d}", spec=JobSpec(scenario="720p30-h264")) for n in range(40))
        link.ask(Submit(request_id=new_id(), jobs=jobs), Submitted)
    return master


@pytest.fixture
def master() -> Iterator[RealMaster]:
    running = started()
    yield running
    running.end()


@pytest.fixture
def environ(master: RealMaster, tmp_path: Path) -> dict[str, str]:
    shell = Shell(tmp_path)
    shell.add("prod", master=master.endpoint, server_key=master.key.public, pair=master.pairs["root"])
    return shell.environ


def unsaid(terminal: Terminal) -> list[str]:
    """Return what the terminal was left in: other modes, the other screen, no cursor, a mouse or a paste reported."""
    left = [] if termios.tcgetattr(terminal.slave) == terminal.before else ["modes"]
    pairs = {"screen": (b"?1049l", b"?1049h"), "cursor": (b"?25h", b"?25l"), "mouse": (b"?1000l", b"?1000h")}
    pairs["paste"] = (b"?2004l", b"?2004h")
    return left + [name for name, (off, on) in pairs.items() if terminal.raw.rfind(off) < terminal.raw.rfind(on)]


def test_plain_ffrtmp_shows_the_jobs_and_q_gives_the_terminal_back(environ: dict[str, str]) -> None:
    with Terminal(environ=environ) as terminal:
        terminal.shows(">job-000040")
        terminal.shows("ONLINE")
        terminal.type("q")
        assert terminal.ends() == 0
        assert unsaid(terminal) == []


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}])
def test_any_letters_in_a_path_are_drawn(master: RealMaster, environ: dict[str, str], locale: dict[str, str]) -> None:
    with Link(master.endpoint, master.key.public, master.pairs["root"]) as link:
        for number, path in enumerate(PATHS.values()):
            job = Submission(key=f"path-{number:08d}", spec=JobSpec(scenario="720p30-h264", input=path))
            link.ask(Submit(request_id=new_id(), jobs=(job,)), Submitted)
    with Terminal("console", environ={**environ, **locale}, size=(160, 45)) as terminal:
        for number in (43, 42, 41):
            terminal.shows(f">job-{number:06d}")
            terminal.shows(f"JOB job-{number:06d}")
            terminal.shows("input   /srv/")
            terminal.type("j")
        terminal.type("q")
        assert terminal.ends() == 0


def test_a_job_is_canceled_by_keys(environ: dict[str, str]) -> None:
    with Terminal("console", environ=environ) as terminal:
        terminal.shows(">job-000040")
        terminal.type("jc")
        terminal.shows("! cancel job-000039 on")
        terminal.type("y")
        terminal.shows("cancel job-000039: 1 done")
        terminal.type("/state:canceled\r")
        terminal.shows("1/1")
        # A screen arrives in pieces, from its top.
        terminal.until(lambda: "job-000038" not in terminal.text())
        terminal.type("q")
        assert terminal.ends() == 0


def test_what_is_pasted_is_text(environ: dict[str, str]) -> None:
    with Terminal("console", environ=environ) as terminal:
        terminal.shows(">job-000040")
        assert b"\x1b[?2004h" in terminal.raw
        terminal.type("\x1b[200~clip.mov\r\x1b[201~")
        terminal.shows("only where text is typed")
        assert ">job-000040" in terminal.text()
        terminal.type("n\x1b[B\x1b[200~/srv/in/clip.mov\r\x1b[201~")
        terminal.shows("--input /srv/in/clip.mov")
        terminal.type("\x1b")
        terminal.until(lambda: "submit a job" not in terminal.text())
        terminal.type("q")
        assert terminal.ends() == 0
        assert unsaid(terminal) == []


def test_id_is_put_on_the_terminal_s_clipboard(environ: dict[str, str]) -> None:
    with Terminal("console", environ=environ) as terminal:
        terminal.shows(">job-000040")
        terminal.type("y")
        terminal.shows("copied job-000040")
        assert b"\x1b]52;c;" + base64.b64encode(b"job-000040") + b"\x07" in terminal.raw
        terminal.type("q")
        assert terminal.ends() == 0


def test_themes_of_a_file_are_used_and_walked_through(environ: dict[str, str], tmp_path: Path) -> None:
    themes = tmp_path / "themes.toml"
    themes.write_text('[sea.selected]\nfg_high = "#123456"\n')
    words = ("console", "--themes", str(themes), "--theme", "sea")
    with Terminal(*words, environ={**environ, "COLORTERM": "truecolor"}) as terminal:
        terminal.shows(">job-000040")
        terminal.until(lambda: b"38;2;18;52;86" in terminal.raw)
        terminal.type("T")
        terminal.shows("theme dark")
        terminal.type("T")
        terminal.shows("theme light")
        terminal.type("q")
        assert terminal.ends() == 0


def test_many_jobs_are_canceled_by_their_count(environ: dict[str, str]) -> None:
    with Terminal("console", environ=environ) as terminal:
        terminal.shows(">job-000040")
        terminal.type("*")
        terminal.shows("40 marked")
        terminal.type("c")
        terminal.shows("type 40 to confirm")
        terminal.type("40\r")
        terminal.shows("cancel 40 jobs: 40 done")
        # On the narrow page of the history the reason is cut.
        terminal.shows("cancel asked")
        terminal.type("5")
        terminal.shows("<5>History")
        terminal.shows(">job-000040 720p30-h264  canceled")
        terminal.type("q")
        assert terminal.ends() == 0


def test_arrows_are_not_taken_for_esc_however_fast_they_come(environ: dict[str, str]) -> None:
    with Terminal("console", environ=environ) as terminal:
        terminal.shows(">job-000040")
        terminal.type("c")
        terminal.shows("! cancel job-000040 on")
        terminal.type("\x1b")
        terminal.until(lambda: "! cancel" not in terminal.text())
        terminal.type("\x1b[B" * 20)
        terminal.shows(">job-000020")
        terminal.type("\x1b2")
        terminal.shows("<2>Nodes")
        terminal.type("q")
        assert terminal.ends() == 0


def test_ctrl_c_leaves_what_is_typed_and_then_the_console(environ: dict[str, str]) -> None:
    with Terminal("console", environ=environ) as terminal:
        terminal.shows(">job-000040")
        terminal.type("c")
        terminal.shows("! cancel job-000040 on")
        # As the terminal driver does at Ctrl-C for the program that it controls.
        terminal.process.send_signal(signal.SIGINT)
        terminal.until(lambda: "! cancel" not in terminal.text())
        terminal.type("j")
        terminal.shows(">job-000039")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ends() == 0
        assert unsaid(terminal) == []


def test_a_storm_of_sizes_ends_in_a_whole_screen(environ: dict[str, str]) -> None:
    with Terminal("console", environ=environ) as terminal:
        terminal.shows(">job-000040")
        for columns, rows in itertools.islice(itertools.cycle([(160, 45), (40, 5), (80, 24), (200, 60), (12, 1)]), 40):
            terminal.resize(columns, rows)
            terminal.read(0.0)
        terminal.resize(160, 45)
        terminal.shows("-- queues --")
        terminal.resize(80, 24)
        terminal.until(lambda: terminal.screen.display[-1].startswith("spc mark"))
        terminal.type("q")
        assert terminal.ends() == 0


def colours(raw: bytes) -> set[str]:
    """Return what kinds of colours a terminal was told: 16, 256, true; not the default one."""
    found = set()
    for sequence in re.findall(rb"\x1b\[([0-9;]*)m", raw):
        text = sequence.decode()
        found |= {kind for kind, sign in (("256", "8;5;"), ("true", "8;2;")) if sign in text}
        plain = re.sub(r"[34]8;(5;\d+|2;\d+;\d+;\d+)", "", text).split(";")
        found |= {"16" for part in plain if re.fullmatch(r"([34]|9|10)[0-7]", part)}
    return found


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"TERM": "xterm"}, {"16"}),
        ({"TERM": "xterm-256color"}, {"256"}),
        ({"COLORTERM": "truecolor"}, {"true"}),
        ({"NO_COLOR": "1"}, set()),
    ],
)
def test_colours_are_those_of_the_terminal(environ: dict[str, str], extra: dict[str, str], expected: set[str]) -> None:
    with Terminal("console", environ={**environ, **extra}) as terminal:
        terminal.shows(">job-000040")
        terminal.type("q")
        terminal.ends()
        # The basic ones are within the 256 and need no other writing.
        assert colours(terminal.raw) - ({"16"} if len(expected) and "16" not in expected else set()) == expected


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_a_sane_terminal(environ: dict[str, str], how: signal.Signals) -> None:
    with Terminal("console", environ=environ) as terminal:
        terminal.shows(">job-000040")
        terminal.process.send_signal(how)
        terminal.ends()
        assert unsaid(terminal) == []
        assert terminal.process.returncode == (0 if how is signal.SIGINT else 128 + how)


def test_a_crash_leaves_a_sane_terminal_and_says_what_happened(environ: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "crash.py"
    program.write_text(
        "import sys\n"
        "from ffrtmp_tui.cli import main\n"
        "from ffrtmp_tui.console.model import Console\n"
        "def _do_down(self): raise ZeroDivisionError('on purpose')\n"
        "Console._do_down = _do_down\n"
        "sys.exit(main(['console']))\n"
    )
    with Terminal(environ=environ, program=str(program)) as terminal:
        terminal.shows(">job-000040")
        terminal.type("j")
        assert terminal.ends() == 1
        assert unsaid(terminal) == []
        assert "on purpose" in terminal.text()


def test_a_master_that_stops_answering_and_comes_back(tmp_path: Path) -> None:
    quiet = [False]

    def answer(request: object) -> Pong | None:
        # The other questions get no answer either way; what counts is whether the master is seen.
        if quiet[0] or not isinstance(request, Ping):
            return None
        return Pong(
            request_id=request.request_id,
            version="1",
            cluster="prod",
            epoch=1,
            uptime_s=1.0,
            principal="ana",
            role="operator",
            workers_port=1,
        )

    with ScriptedMaster(answer) as scripted:
        shell = Shell(tmp_path)
        shell.add("x", master=scripted.endpoint, server_key=scripted.key.public, pair=scripted.own)
        with Terminal("console", environ=shell.environ) as terminal:
            terminal.shows("ffrtmp prod")
            quiet[0] = True
            terminal.shows("OFFLINE")
            terminal.shows("does not answer")
            terminal.type("c")
            quiet[0] = False
            terminal.shows("ONLINE")
            terminal.type("q")
            assert terminal.ends() == 0


def test_rows_stay_while_the_master_is_gone(tmp_path: Path) -> None:
    master = started()
    try:
        shell = Shell(tmp_path)
        shell.add("prod", master=master.endpoint, server_key=master.key.public, pair=master.pairs["root"])
        terminal = Terminal("console", environ=shell.environ)
    except BaseException:
        master.end()
        raise
    with terminal:
        try:
            terminal.shows(">job-000040")
        finally:
            master.end()
        terminal.shows("OFFLINE")
        assert ">job-000040" in terminal.text()
        terminal.type("c")
        terminal.shows("actions are off")
        terminal.type("q")
        assert terminal.ends() == 0


def test_the_console_needs_a_terminal(shell_without: Shell) -> None:
    ended = shell_without("console")
    assert ended.code == 2
    assert "needs a terminal" in ended.err


@pytest.fixture
def shell_without(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "config")


def test_threads_carry_questions_and_end(master: RealMaster) -> None:
    own = master.pairs["root"]
    client = ThreadClient(lambda tries_s: Link(master.endpoint, master.key.public, own, tries_s=tries_s))
    ask = Ask(tag="ping", lane=Lane.READ, request=Ping(request_id=new_id()), expected=Pong)
    client.send(ask)
    assert select.select([client.fileno()], [], [], 20.0)[0]
    ((same, reply),) = client.receive()
    assert same is ask
    assert not isinstance(reply, Failure)
    assert reply.request_id == ask.request.request_id
    client.close()
    assert client.join(20.0)

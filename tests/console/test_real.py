"""The console on a terminal in front of real daemons: a master, a worker, and encodes that really run."""

import itertools
import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

pytest.importorskip("pyte")

from ffrtmp_worker.tools import ToolError, find_tools
from tests.console.pty import Terminal
from tests.console.test_terminal_runs import colours, unsaid
from tests.e2e.cluster import Cluster, cluster
from tests.needs import need

pytestmark = pytest.mark.e2e

SMALL = ("480p30-h264", "--preset", "ultrafast")
LONG = (*SMALL, "--duration", "7200")
# Not due before tomorrow, it stands still for as long as a test looks at it.
HELD = ("480p30-h264", "--queue", "batch", "--not-before", "+1d")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a master, a worker of two slots, and jobs in several states."""
    try:
        find_tools()
    except ToolError as error:
        need(str(error))
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        running.start_master()
        running.worker("w1", slots=2)
        running.ok("jobs", "submit", *SMALL, "--duration", "1", "--wait")
        running.submit(*HELD)
        running.ok("jobs", "cancel", running.submit(*HELD))
        yield running


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Cluster]:
    """Give a master of one test's own, without workers."""
    with cluster(tmp_path) as running:
        running.start_master()
        yield running


def console(
    house: Cluster, *words: str, size: tuple[int, int] = (80, 24), extra: Mapping[str, str] | None = None
) -> Terminal:
    environ = {name: value for name, value in house.env.items() if name != "NO_COLOR"}
    return Terminal("console", *words, environ={**environ, **(extra or {})}, size=size)


def leave(terminal: Terminal) -> None:
    terminal.type("q")
    assert terminal.ends() == 0
    assert unsaid(terminal) == []


def header(terminal: Terminal) -> str:
    return str(terminal.screen.display[0])


def row_of(terminal: Terminal, job_id: str) -> str:
    """Return the line of a job in the list, empty if it is not on the screen."""
    return next((line for line in terminal.screen.display if line[1:].startswith(f"{job_id} ")), "")


def age_s(terminal: Terminal) -> float:
    """Return how old the header says that what is shown is; 0 if it does not."""
    found = re.search(r"(?:ONLINE|OFFLINE) (?:(\d+)m)?([\d.]+)s", header(terminal))
    return 60.0 * float(found[1] or 0) + float(found[2]) if found else 0.0


# ── colours and sizes ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"TERM": "xterm"}, {"16"}),
        ({"TERM": "xterm-256color"}, {"256"}),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, {"true"}),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, set()),
    ],
)
def test_states_are_words_at_every_depth_of_colour(
    house: Cluster, extra: Mapping[str, str], expected: set[str]
) -> None:
    with console(house, extra=extra) as terminal:
        for word in ("completed", "canceled", "pending"):
            terminal.shows(word)
        leave(terminal)
        # The basic ones are within the 256 and need no other writing.
        basic = {"16"} if expected and "16" not in expected else set()
        assert colours(terminal.raw) - basic == expected


def test_a_storm_of_sizes_ends_in_a_whole_screen_of_each(house: Cluster) -> None:
    job = house.submit(*LONG)
    sizes = [(20, 5), (300, 80), (80, 24), (160, 45), (21, 6), (299, 79), (40, 12), (139, 34), (140, 35), (79, 23)]
    with console(house) as terminal:
        terminal.until(lambda: "processing" in row_of(terminal, job))
        for columns, rows in itertools.islice(itertools.cycle(sizes), 60):
            terminal.resize(columns, rows)
            terminal.read(0.0)
        for columns, rows in sizes:
            terminal.resize(columns, rows)
            # A screen arrives in pieces, over what was there before.
            terminal.until(lambda: header(terminal).startswith(("ffrtmp test ", "test ")) and job in terminal.text())
            if columns >= 80 and rows >= 24:
                terminal.until(lambda: terminal.screen.display[-1].startswith("spc mark"))
        terminal.resize(300, 80)
        terminal.shows("-- queues --")
        leave(terminal)
    house.ok("jobs", "cancel", job)


# ── a master that dies ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_killed_master_freezes_the_rows_and_its_return_is_found(lone: Cluster) -> None:
    jobs = [lone.submit(*HELD) for _ in range(3)]
    with console(lone) as terminal:
        terminal.shows(f">{jobs[-1]}")
        terminal.shows("ONLINE")
        assert lone.master is not None
        lone.master.process.kill()
        lone.master.process.wait()
        terminal.until(lambda: "OFFLINE" in header(terminal))
        assert all(row_of(terminal, job) for job in jobs)
        first_s = age_s(terminal)
        terminal.until(lambda: age_s(terminal) > first_s + 1.0)
        # Nothing can be done, and that is said.
        terminal.type("c")
        terminal.shows("actions are off")
        assert all(row_of(terminal, job) for job in jobs)
        # It moves on what it knows.
        terminal.type("j")
        terminal.shows(f">{jobs[1]}")
        lone.start_master()
        terminal.until(lambda: "ONLINE" in header(terminal))
        # What happened meanwhile, and what happens from now on, is there; the selection stays.
        late = lone.submit(*HELD)
        terminal.until(lambda: row_of(terminal, late) != "")
        assert f">{jobs[1]}" in terminal.text()
        terminal.type("  c")
        terminal.shows("cancel 2 jobs on test; type 2 to confirm")
        terminal.type("2\r")
        terminal.shows("cancel 2 jobs: 2 done")
        leave(terminal)
    assert {job["job_id"] for job in lone.json("jobs", "list", "--state", "canceled")["jobs"]} == {jobs[1], jobs[0]}


# ── many jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hundred_thousand_jobs_are_walked_filtered_and_steered(lone: Cluster) -> None:
    lines = (
        json.dumps({"scenario": "1080p30-h264" if n % 1_000 else "4K60-h265", "queue": "batch"}) for n in range(100_000)
    )
    ids = lone.ffrtmp("jobs", "submit", "-f", "-", "-q", stdin="\n".join(lines)).stdout.split()
    assert (ids[0], ids[-1]) == ("job-000001", "job-100000")
    with console(lone) as terminal:
        terminal.shows(">job-100000")
        terminal.shows("100000")
        terminal.type("jjj")
        terminal.shows(">job-099997")
        terminal.type("\x06\x06")
        terminal.shows(">job-099977")
        terminal.type("/4K60\rg")
        terminal.shows(">job-099001")
        terminal.type("j")
        terminal.shows(">job-098001")
        terminal.type("c")
        terminal.shows("cancel job-098001 on")
        terminal.type("y")
        terminal.until(lambda: "canceled" in row_of(terminal, "job-098001"))
        leave(terminal)
    assert lone.job("job-098001")["state"] == "canceled"


# ── real jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_of_a_job_that_runs_is_followed(house: Cluster) -> None:
    job = house.submit(*LONG)
    with console(house, size=(160, 45)) as terminal:
        terminal.until(lambda: "processing" in row_of(terminal, job))
        terminal.type("l")
        # What ffmpeg says of the file that it writes.
        terminal.shows("libx264")
        terminal.shows(f"{job}.mp4")
        terminal.type("l")
        terminal.until(lambda: row_of(terminal, job) != "")
        leave(terminal)
    house.ok("jobs", "cancel", job)


def test_the_history_has_what_a_job_took_and_its_log_is_searched(house: Cluster) -> None:
    house.ok("jobs", "submit", *SMALL, "--duration", "1", "--wait")
    done = str(house.json("jobs", "list", "--state", "completed", "--limit", "1")["jobs"][0]["job_id"])
    with console(house, size=(160, 45)) as terminal:
        terminal.shows("ONLINE")
        terminal.type("5")
        terminal.shows("<5>History")
        terminal.type("/state:completed\r")
        terminal.until(lambda: re.search(rf">[0-9:]+ +{done} .* completed +[0-9.]+s", terminal.text()) is not None)
        # The log is on the node, as ffmpeg wrote it.
        terminal.shows("libx264")
        terminal.type("f")
        terminal.shows(f"log {done}")
        terminal.type("LIBX264\r")
        terminal.until(lambda: re.search(r"/LIBX264 [1-9]\d*/\d+", terminal.text()) is not None)
        terminal.type("N")
        terminal.type("ll")
        terminal.type("1")
        terminal.shows("<1>Jobs")
        leave(terminal)


def test_a_bulk_that_is_under_way_is_stopped(lone: Cluster) -> None:
    lines = "\n".join(json.dumps({"scenario": "480p30-h264", "queue": "batch"}) for _ in range(20_000))
    lone.ffrtmp("jobs", "submit", "-f", "-", "-q", stdin=lines)
    with console(lone) as terminal:
        terminal.shows(">job-020000")
        terminal.type("*")
        terminal.shows("20000 marked")
        terminal.type("c")
        terminal.shows("type 20000 to confirm")
        terminal.type("20000\r")
        terminal.until(lambda: re.search(r"[1-9]\d* of 20000", terminal.text()) is not None)
        terminal.type("\x1b")
        terminal.shows("not sent: stopped")
        found = re.search(r"(\d+) done, (\d+) not sent", terminal.text())
        assert found is not None
        leave(terminal)
    canceled, left = int(found[1]), int(found[2])
    assert canceled + left == 20_000
    assert left > 0
    assert lone.json("jobs", "list", "--state", "canceled", "--limit", "1")["total"] == canceled


def test_marked_jobs_are_canceled_when_their_count_is_typed_and_their_encoders_end(house: Cluster) -> None:
    jobs = [house.submit(*LONG) for _ in range(2)]
    for job in jobs:
        house.wait_for(job, "processing")
    with console(house) as terminal:
        for job in jobs:
            terminal.until(lambda job=job: "processing" in row_of(terminal, job))  # type: ignore[misc]
        terminal.type("  c")
        terminal.shows("cancel 2 jobs on test; type 2 to confirm")
        terminal.shows(f"= ffrtmp jobs cancel {int(jobs[0][4:])}-{int(jobs[1][4:])} --yes")
        # Any other count does nothing.
        terminal.type("3\r")
        terminal.shows("type 2, or Esc")
        assert all(house.job(job)["state"] == "processing" for job in jobs)
        terminal.type("\x7f2\r")
        terminal.shows("cancel 2 jobs: 2 done")
        for job in jobs:
            terminal.until(lambda job=job: "canceled" in row_of(terminal, job))  # type: ignore[misc]
        leave(terminal)
    for job in jobs:
        assert house.job(job)["state"] == "canceled"
        assert [line for line in house.children() if job in line] == []


def test_a_job_is_paused_and_resumed_by_keys(house: Cluster) -> None:
    job = house.submit(*LONG)
    with console(house) as terminal:
        terminal.until(lambda: "processing" in row_of(terminal, job))
        for key, state in (("p", "paused"), ("r", "processing")):
            terminal.type(key)
            terminal.shows(f"{job} on")
            terminal.type("y")
            terminal.until(lambda state=state: state in row_of(terminal, job))  # type: ignore[misc]
        leave(terminal)
    assert house.job(job)["state"] == "processing"
    house.ok("jobs", "cancel", job)


def test_a_job_filled_into_the_form_is_encoded_to_its_file(house: Cluster) -> None:
    with console(house, size=(100, 30)) as terminal:
        terminal.shows("ONLINE")
        terminal.type("n")
        terminal.shows("scenario")
        # A mistake is told before anything is sent.
        terminal.type("480p30-h\r")
        terminal.until(lambda: "no such scenario" in terminal.text() or "480p30-h'" in terminal.text())
        terminal.type("264")
        # Down to the duration: input, output, queue, priority, duration.
        terminal.type("\x1b[B" * 5 + "1\r")
        terminal.shows("submitted job-")
        found = re.search(r"submitted (job-\d+)", terminal.text())
        assert found is not None
        job = found[1]
        terminal.until(lambda: "completed" in row_of(terminal, job))
        leave(terminal)
    made = house.job(job)
    assert made["state"] == "completed"
    assert Path(made["output"]).stat().st_size > 0


# ── who may only look ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_viewer_sees_and_cannot_act(house: Cluster) -> None:
    line = house.ok("keys", "invite", "eve", "--role", "viewer", "-q").strip()
    house.ok("join", line, "--context", "eve")
    job = house.submit(*HELD)
    with console(house, "--context", "eve") as terminal:
        terminal.shows(f">{job}")
        terminal.until(lambda: " RO " in header(terminal))
        for key in "cprtn":
            terminal.type(key)
            terminal.shows("a viewer may not change anything")
            assert "to confirm" not in terminal.text()
            terminal.type("\x1b")
            terminal.until(lambda: "a viewer may not" not in terminal.text())
        leave(terminal)
    assert house.job(job)["state"] == "pending"


# ── the terminal afterwards ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_jobs_run_leaves_a_sane_terminal(house: Cluster, how: signal.Signals) -> None:
    job = house.submit(*LONG)
    with console(house, size=(160, 45)) as terminal:
        terminal.until(lambda: "processing" in row_of(terminal, job))
        # In the middle of a question too.
        terminal.type("c")
        terminal.shows(f"cancel {job} on")
        terminal.process.send_signal(how)
        terminal.ends()
        assert terminal.process.returncode == 128 + how
        assert unsaid(terminal) == []
    assert house.job(job)["state"] == "processing"
    house.ok("jobs", "cancel", job)


def test_an_exception_inside_leaves_a_sane_terminal_and_is_told(house: Cluster, tmp_path: Path) -> None:
    program = tmp_path / "crash.py"
    program.write_text(
        "import sys\n"
        "from ffrtmp_tui.cli import main\n"
        "from ffrtmp_tui.console import app\n"
        "def broken(*_): raise ZeroDivisionError('on purpose')\n"
        "real = app.App._answers\n"
        "def answers(self):\n"
        "    app.screen = broken if self._console.state.jobs.rows else app.screen\n"
        "    real(self)\n"
        "app.App._answers = answers\n"
        "sys.exit(main(['console']))\n"
    )
    with Terminal(environ={**os.environ, **house.env}, program=str(program)) as terminal:
        assert terminal.ends() == 1
        assert unsaid(terminal) == []
        assert "on purpose" in terminal.text()


# ── a worker that dies ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_killed_worker_is_seen_to_go_and_its_job_goes_back(lone: Cluster) -> None:
    lone.worker("w1")
    job = lone.submit(*LONG)
    with console(lone, size=(160, 45)) as terminal:
        terminal.until(lambda: "processing" in row_of(terminal, job))
        lone.workers["w1"].process.kill()
        lone.workers["w1"].process.wait()
        terminal.until(lambda: re.search(r"w1 +OFF|w1 +offline", terminal.text()) is not None)
        lone.start_worker("w1")
        terminal.until(lambda: "processing" in row_of(terminal, job) and "2/3" in terminal.text())
        leave(terminal)
    lone.ok("jobs", "cancel", job)

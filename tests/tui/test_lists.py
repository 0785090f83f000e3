"""Lists, queues, events and bulk acts against a real master."""

import io
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from ffrtmp_tui.dispatch import run_command
from ffrtmp_tui.terminal import Terminal, pager_of
from tests.tui.commands import Shell
from tests.tui.masters import RealMaster
from tests.tui.nodes import Node

pytestmark = pytest.mark.usefixtures("master")


@pytest.fixture
def jobs(shell: Shell, master: RealMaster) -> None:
    for words in (
        "720p30-h264 --queue live --label show=a",
        "1080p30-h265 --priority high",
        "1080p60-h264 --queue batch --label show=a",
        "720p30-h264 --queue batch --engine gstreamer",
    ):
        assert shell("jobs", "submit", *words.split()).code == 0
    assert shell("jobs", "cancel", "2").code == 0


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--filter queue:batch", [4, 3]),
        ("--filter state:queued --filter 1080p", [3]),
        ("--state queued --filter label:show=a --oldest", [1, 3]),
        ("--filter engine:gstreamer", [4]),
        ("--filter age:<1h --limit 2", [4, 3]),
        ("--filter age:>1h", []),
        ("--filter age:>1h --filter age:>0s", []),
        ("--queue live,batch --filter queue:batch", [4, 3]),
        ("--sort queue", [1, 2, 4, 3]),
        ("--sort queue:desc --limit 3", [4, 3, 2]),
        ("--sort created", [1, 2, 3, 4]),
        ("--sort finished --all", [2, 4, 3, 1]),
    ],
)
def test_jobs_are_filtered_and_sorted_by_the_master(shell: Shell, words: str, expected: list[int]) -> None:
    ended = shell("jobs", "list", *words.split(), "-q")
    assert (ended.code, ended.out) == (0, "".join(f"job-{number:06d}\n" for number in expected))


@pytest.mark.usefixtures("jobs")
def test_window_says_what_it_leaves_out_in_every_form(shell: Shell) -> None:
    for form in ("table", "wide", "csv", "jsonl", "name", "custom-columns=state"):
        ended = shell("jobs", "list", "--limit", "2", "-o", form)
        assert ended.err == "2 of 4 jobs; --all shows every one\n", form
        # No index answers this: what was not looked at may fit as well.
        ended = shell("jobs", "list", "--limit", "1", "--filter", "h264", "-o", form)
        assert ended.err == "1 of at least 1 jobs; --all shows every one\n", form
        assert shell("jobs", "list", "--all", "--filter", "h264", "-o", form).err == "", form
    told = shell("jobs", "list", "--limit", "1", "--filter", "h264", "-o", "json")
    assert (told.err, told.json["total"], told.json["partial"]) == ("", 1, True)
    told = shell("jobs", "list", "--filter", "h264", "-o", "json")
    assert (told.json["total"], told.json["partial"], told.json["next"]) == (3, False, None)


@pytest.mark.usefixtures("jobs")
def test_columns_of_ones_own_are_paths_into_the_json(shell: Shell) -> None:
    ended = shell(
        "jobs", "list", "--state", "canceled", "-o", "custom-columns=ID:job_id,state,progress.percent,AGE:.losses"
    )
    assert ended.out == "ID          STATE     PROGRESS.PERCENT  AGE\njob-000002  canceled  -                 0\n"
    assert shell("jobs", "status", "2", "-o", "custom-columns=scenario").out == "SCENARIO\n1080p30-h265\n"
    for form, said in (
        ("custom-columns=stte", "did you mean 'state'"),
        ("custom-columns=", "missing its name"),
        ("custom-columns", "not one of"),
    ):
        ended = shell("jobs", "list", "-o", form)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err


@pytest.mark.usefixtures("jobs")
def test_queues_are_counted(shell: Shell) -> None:
    told = shell("queues", "-o", "json").json
    assert [queue["queue"] for queue in told["queues"]] == ["live", "default", "batch"]
    assert told["queues"][2]["states"]["queued"] == 2
    assert told["queues"][2]["oldest_job"] == "job-000003"
    assert told["queues"][1]["states"] == {**dict.fromkeys(told["queues"][1]["states"], 0), "canceled": 1}
    lines = shell("queues").out.splitlines()
    assert lines[0].startswith("Queue    Pending  Queued")
    assert lines[2].split()[6] == "-"
    # Nothing ended, so that nothing is known of waits.
    assert told["queues"][0]["wait_p95_s"] is None
    assert shell("queues", "-o", "custom-columns=Q:queue,P95:wait_p95_s").out.splitlines()[1].split() == ["live", "-"]
    assert shell("queues", "-q").out == "live\ndefault\nbatch\n"


@pytest.mark.usefixtures("jobs")
def test_events_are_shown_for_all_or_for_one(shell: Shell, master: RealMaster) -> None:
    with Node(master):
        pass
    told = shell("events", "-o", "json").json
    assert [event["event"] for event in told["events"]][:5] == ["submit"] * 4 + ["cancel"]
    assert told["cursor"] >= told["events"][-1]["number"]
    assert [event["event"] for event in shell("events", "--job", "2", "-o", "json").json["events"]] == [
        "submit",
        "cancel",
    ]
    assert shell("events", "--node", "node-1", "-o", "json").json["events"][0]["event"] == "node_online"
    assert len(shell("events", "--limit", "2").out.splitlines()) == 3
    assert shell("events", "--limit", "0").code == 2


@pytest.mark.usefixtures("jobs")
def test_list_that_is_empty_because_of_a_wrong_name_says_so(shell: Shell, master: RealMaster) -> None:
    for words in ("jobs list --node nope", "jobs list --filter node:nope", "events --node nope"):
        ended = shell(*words.split(), "-q")
        assert (ended.code, ended.out, ended.err) == (0, "", "there is no node 'nope'; see `ffrtmp nodes list`\n")
        assert shell(*words.split(), "-o", "json").json["version"] == 1
    for words in ("events --job nope", "events --job 99", "events --job 99 --follow"):
        ended = shell(*words.split())
        assert (ended.code, ended.out) == (3, "")
        assert "error: no job " in ended.err
    with Node(master):
        pass
    # One that is known and has nothing to show is no mistake.
    assert shell("jobs", "list", "--node", "node-1", "--state", "failed").err == ""


def test_jobs_of_a_removed_node_are_listed_without_a_word(shell: Shell, master: RealMaster) -> None:
    with Node(master) as node:
        shell("jobs", "submit", "720p30-h264")
        held = node.run()
        shell("jobs", "cancel", "1")
        node.stop(held)
        node.leave()
        while shell("nodes", "remove", "node-1").code != 0:
            pass
    ended = shell("jobs", "list", "--node", "node-1", "-q")
    assert (ended.code, ended.out, ended.err) == (0, "job-000001\n", "")
    assert shell("events", "--node", "node-1").err == ""


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            "table",
            [
                r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  job-000001    submit > queued           root",
                r".*  job-000001    cancel > canceled         root  \(cancel asked\)",
            ],
        ),
        ("csv", ["at,event,to_state,.*,number", r"[\d.]+,submit,queued,.*,1", r"[\d.]+,cancel,canceled,.*,2"]),
        ("custom-columns=event,job_id", ["EVENT +JOB_ID", "submit +job-000001", "cancel +job-000001"]),
        ("jsonl", [r'\{"number": 1, .*"event": "submit".*\}', r'\{"number": 2, .*"event": "cancel".*\}']),
        ("name", ["job-000001", "job-000001"]),
    ],
)
def test_events_are_followed_until_interrupted(shell: Shell, form: str, expected: list[str]) -> None:
    script = "import sys; from ffrtmp_tui.cli import main; sys.exit(main(sys.argv[1:]))"
    follower = subprocess.Popen(
        [sys.executable, "-c", script, "events", "--follow", "-o", form],
        env={**shell.environ, "PYTHONPATH": ":".join(sys.path), "TZ": "UTC"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    try:
        shell("jobs", "submit", "720p30-h264")
        shell("jobs", "cancel", "1")
        lines = [follower.stdout.readline().rstrip("\n") for _ in expected]
    finally:
        follower.terminate()
        follower.wait()
        follower.stdout.close()
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line


# ── acting on what a filter selects ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("jobs")
def test_jobs_that_fit_a_filter_are_acted_on_when_it_is_meant(shell: Shell) -> None:
    ended = shell("jobs", "cancel", "--filter", "queue:batch")
    assert (ended.code, ended.out) == (2, "")
    assert "this would cancel 2 jobs of root" in ended.err
    ended = shell("jobs", "cancel", "--filter", "queue:batch", "--yes", "-q")
    assert (ended.code, ended.out) == (0, "job-000003\njob-000004\n")
    # What is canceled already is not meant by it.
    ended = shell("jobs", "cancel", "--filter", "queue:batch", "--yes")
    assert (ended.code, ended.out) == (3, "")
    assert shell("jobs", "retry", "--filter", "label:show=a", "--yes", "-q").out == "job-000003\n"
    assert shell("jobs", "cancel", "1", "--filter", "queue:live", "--yes").code == 2
    assert "required: ID or --filter" in shell("jobs", "cancel").err
    assert shell("jobs", "wait", "--filter", "state:canceled").code == 11


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    "words",
    [
        ("cancel", "--filter", ""),
        ("cancel", "--filter", " "),
        ("cancel", "--filter", "queue:live", "--filter", ""),
        ("retry", "--filter", "\t"),
        ("wait", "--filter", ""),
    ],
)
def test_filter_that_says_nothing_is_not_taken_for_every_job(shell: Shell, words: tuple[str, ...]) -> None:
    ended = shell("jobs", *words, *([] if words[0] == "wait" else ["--yes"]))
    assert (ended.code, ended.out) == (2, "")
    assert "has no term" in ended.err
    every = "failed,canceled" if words[0] == "retry" else "pending,queued,assigned,processing,paused"
    assert f"If all are meant, say state:{every}\n" in ended.err
    assert shell("jobs", "list", "--state", "canceled", "-q").out == "job-000002\n"


@pytest.mark.usefixtures("jobs")
def test_terms_that_exclude_each_other_select_nothing(shell: Shell) -> None:
    for words in (("--filter", "label:show=b label:show=a"), ("--filter", "state:queued", "--filter", "state:paused")):
        ended = shell("jobs", "cancel", *words, "--yes")
        assert (ended.code, ended.out) == (2, "")
    assert shell("jobs", "list", "--queue", "live", "--filter", "queue:batch").code == 2
    assert shell("jobs", "list", "--node", "").code == 2
    assert shell("jobs", "list", "--state", "canceled", "-q").out == "job-000002\n"


@pytest.mark.usefixtures("jobs")
def test_job_named_twice_is_acted_on_once(shell: Shell) -> None:
    ended = shell("jobs", "cancel", "4", "job-000004", "last", "-q")
    assert (ended.code, ended.out, ended.err) == (0, "job-000004\n", "")


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(("typed", "code", "left"), [("no\n", 1, 2), ("yes\n", 0, 0)])
def test_question_names_count_and_cluster(shell: Shell, typed: str, code: int, left: int) -> None:
    out, err = io.StringIO(), io.StringIO()
    ended = run_command(
        ["jobs", "cancel", "--filter", "queue:batch"],
        terminal=Terminal(out=out, err=err, out_shows=True, err_shows=True),
        environ=shell.environ,
        stdin=Keyboard(typed),
    )
    assert ended == code
    assert "Cancel 2 jobs of root? Type yes to go on: " in err.getvalue()
    assert shell("jobs", "list", "--filter", "queue:batch state:queued", "-o", "json").json["total"] == left


# ── nodes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_node_is_named_by_a_beginning_but_removed_by_its_name_alone(shell: Shell, master: RealMaster) -> None:
    with Node(master) as node:
        assert shell("nodes", "describe", "NO", "-q").out == "node-1\n"
        assert shell("nodes", "drain", "n", "-q").out == "node-1\n"
        assert shell("nodes", "list", "--filter", "status:draining", "-q").out == "node-1\n"
        assert shell("nodes", "list", "--filter", "status:active node", "-q").out == ""
        assert shell("nodes", "list", "--sort", "load:desc", "--limit", "1", "-q").out == "node-1\n"
        assert shell("nodes", "undrain", "node").code == 0
        assert shell("nodes", "describe", "ode").code == 3
        node.leave()
    assert shell("nodes", "remove", "node").code == 3


def test_scenario_is_shown_known_or_not(shell: Shell) -> None:
    told = shell("scenarios", "show", "1440p50-av1", "-o", "json").json["scenario"]
    assert (told["width"], told["height"], told["fps"], told["codec"]) == (2560, 1440, 50.0, "av1")
    assert "Size:      1920x1080\n" in shell("scenarios", "show", "1080p30-h264").out
    ended = shell("scenarios", "show", "1080p30-h263")
    assert (ended.code, ended.out) == (2, "")
    assert "did you mean" in ended.err


def test_backup_tells_what_to_type(shell: Shell) -> None:
    assert "  ffrtmpd backup /backup/" in shell("backup").out
    assert shell("backup", "-o", "json").json["command"] == "ffrtmpd backup FILE"


# ── the pager ─────────────────────────────────────────────────────────────────────────────────────────────────────


def on_a_screen(shell: Shell, *words: str, pager: str) -> str:
    """Run a command on a terminal of ten lines and return what it shows."""
    script = "import sys; from ffrtmp_tui.cli import main; sys.exit(main(sys.argv[1:]))"
    ours, theirs = pty.openpty()
    environ = {**shell.environ, "PYTHONPATH": ":".join(sys.path), "FFRTMP_PAGER": pager, "TERM": "xterm"}
    running = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        env={**environ, "LINES": "10", "COLUMNS": "200", "PATH": os.environ["PATH"]},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 30.0)[0]:
        try:
            piece = os.read(ours, 65_536)
        except OSError:
            # The other end is closed.
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert running.wait(30) == 0
    return shown.decode()


def test_long_list_goes_through_the_pager_on_a_screen_only(shell: Shell) -> None:
    for _ in range(12):
        shell("jobs", "submit", "720p30-h264")
    paged = on_a_screen(shell, "jobs", "list", pager="sed 's/^/> /'")
    assert paged.startswith("> Job ID")
    assert "> job-000001" in paged
    assert not on_a_screen(shell, "jobs", "list", "--limit", "2", pager="sed 's/^/> /'").startswith(">")
    # One that is not there must not take the list with it.
    assert "job-000001" in on_a_screen(shell, "jobs", "list", pager="no-such-pager")


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, "less"),
        ({"PAGER": "most"}, "most"),
        ({"PAGER": "most", "FFRTMP_PAGER": "less -N"}, "less -N"),
        ({"PAGER": "cat"}, None),
        ({"PAGER": "most", "FFRTMP_PAGER": ""}, None),
        ({"TERM": "dumb"}, None),
    ],
)
def test_pager_is_the_users(environ: dict[str, str], wanted: str | None, tmp_path: Path) -> None:
    assert pager_of(environ) == wanted

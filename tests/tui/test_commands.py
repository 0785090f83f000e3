"""The commands against a real master: its answers, its refusals, and the exit codes they end with."""

import json
from pathlib import Path

import pytest

from ffrtmp_tui.link import Link, new_id
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit, Submitted
from tests.tui.commands import Shell
from tests.tui.masters import RealMaster

pytestmark = pytest.mark.usefixtures("master")


def test_ping_says_who_the_master_and_who_the_asker_is(shell: Shell, master: RealMaster) -> None:
    told = shell("ping", "-o", "json").json
    assert told["version"] == 1
    assert (told["principal"], told["role"], told["master"]) == ("root", "admin", master.endpoint)
    shell.environ["FFRTMP_CONTEXT"] = "eve"
    assert "Role:          viewer\n" in shell("ping").out


def test_job_is_submitted_listed_shown_and_canceled(shell: Shell) -> None:
    ended = shell("jobs", "submit", "720p30-h264", "--queue", "live", "--duration", "00:01:30", "--label", "show=a")
    assert (ended.code, ended.out) == (0, "✓ Job job-000001 submitted successfully (queued)\n")
    assert shell("jobs", "list", "-q").out == "job-000001\n"
    told = shell("jobs", "status", "last", "-o", "json").json
    assert told["spec"]["duration_s"] == 90.0
    assert told["spec"]["labels"] == {"show": "a"}
    assert told["job"]["node_id"] is None
    assert shell("jobs", "status", "1").out.startswith("Job ID:       job-000001\nScenario:     720p30-h264\n")
    ended = shell("jobs", "cancel", "job-000001")
    assert (ended.code, ended.out) == (0, "✓ Job job-000001 canceled successfully\n")


def test_every_option_of_submit_reaches_the_master(shell: Shell, tmp_path: Path) -> None:
    words = (
        "jobs submit --scenario 720p30-h264 --input /in.mov --output rtmp://h/live/k --queue batch --priority low "
        "--duration 2m --bitrate 800k --codec h265 --preset fast --encoder libx265 --engine ffmpeg --timeout 1h "
        "--max-attempts 5 --not-before 4000000000 --label a=1 --label b=2 -o json"
    )
    assert shell(*words.split()).code == 0
    assert shell("jobs", "status", "1", "-o", "json").json["spec"] == {
        "scenario": "720p30-h264",
        "input": "/in.mov",
        "output": "rtmp://h/live/k",
        "output_mode": "rtmp",
        "queue": "batch",
        "priority": "low",
        "duration_s": 120.0,
        "bitrate_bps": 800_000,
        "codec": "h265",
        "preset": "fast",
        "encoder": "libx265",
        "engine": "ffmpeg",
        "require_gpu": False,
        "timeout_s": 3_600.0,
        "max_attempts": 5,
        "not_before": 4_000_000_000.0,
        "labels": {"a": "1", "b": "2"},
    }


def test_same_key_makes_one_job_and_other_content_under_it_is_a_conflict(shell: Shell) -> None:
    words = ("jobs", "submit", "720p30-h264", "--idempotency-key", "night-2026")
    assert shell(*words).code == 0
    assert shell(*words).out.startswith("✓ Job job-000001 ")
    assert shell("jobs", "list", "-o", "json").json["total"] == 1
    assert shell(*words, "--duration", "5").code == 5


def test_submit_repeated_after_a_lost_reply_makes_one_job(shell: Shell, master: RealMaster) -> None:
    request = Submit(request_id=new_id(), jobs=(Submission(key=new_id(), spec=JobSpec(scenario="720p30-h264")),))
    for _ in range(2):
        with Link(master.endpoint, master.key.public, master.pairs["ana"]) as link:
            assert link.ask(request, Submitted).results[0].job_id == "job-000001"
    assert shell("jobs", "list", "-o", "json").json["total"] == 1


def test_unknown_scenario_ends_with_2_and_unknown_job_with_3(shell: Shell) -> None:
    ended = shell("jobs", "submit", "720p30-h266", "-o", "json")
    assert ended.code == 2
    assert json.loads(ended.err)["error"]["code"] == "unknown_scenario"
    for words in (("status", "9"), ("cancel", "9"), ("wait", "9"), ("logs", "9"), ("status", "last")):
        assert shell("jobs", *words).code == 3, words
    assert shell("nodes", "describe", "nobody").code == 3


def test_viewer_reads_and_does_nothing_else(shell: Shell) -> None:
    shell("jobs", "submit", "720p30-h264")
    shell.environ["FFRTMP_CONTEXT"] = "eve"
    for words in ("jobs list", "jobs status 1", "nodes list", "scenarios list", "ping"):
        assert shell(*words.split()).code == 0, words
    for words in (
        "jobs submit 720p30-h264",
        "jobs cancel 1",
        "jobs pause 1",
        "keys list",
        "keys invite a --role admin",
    ):
        ended = shell(*words.split())
        assert (ended.code, ended.out) == (4, ""), words


def test_worker_key_is_refused_on_the_clients_port(shell: Shell) -> None:
    shell.environ["FFRTMP_CONTEXT"] = "node-1"
    ended = shell("ping", "-o", "json")
    assert ended.code == 4
    assert json.loads(ended.err)["error"]["code"] == "key_refused"


def test_revoked_key_is_refused_at_its_next_command(shell: Shell) -> None:
    assert shell("--context", "eve", "ping").code == 0
    ended = shell("keys", "revoke", "eve")
    assert ended.out.startswith("✓ Key eve (")
    assert shell("--context", "eve", "ping").code == 4
    listed = shell("keys", "list", "--revoked", "-o", "json").json["keys"]
    assert [key["revoked_at"] is not None for key in listed if key["name"] == "eve"] == [True]


def test_pause_holds_a_waiting_job_and_resume_and_retry_bring_it_back(shell: Shell) -> None:
    shell("jobs", "submit", "720p30-h264")
    assert shell("jobs", "pause", "1").out == "✓ Job job-000001 paused successfully\n"
    assert shell("jobs", "pause", "1").code == 5
    assert shell("jobs", "resume", "1").out == "✓ Job job-000001 resumed successfully\n"
    assert shell("jobs", "cancel", "1", "-q").out == "job-000001\n"
    assert shell("jobs", "retry", "1", "-o", "json").json["jobs"][0]["state"] == "queued"


def test_bulk_that_fails_in_part_ends_with_8_and_one_that_fails_wholly_with_its_own(shell: Shell) -> None:
    shell("jobs", "submit", "720p30-h264")
    ended = shell("jobs", "cancel", "1,7")
    assert ended.code == 8
    assert ended.out == "✓ Job job-000001 canceled successfully\n"
    assert ended.err.startswith("error: 7: ")
    assert shell("jobs", "cancel", "8,9").code == 3
    told = shell("jobs", "cancel", "1,9", "-o", "json")
    assert told.code == 8
    assert [problem["code"] for problem in told.json["errors"]] == ["conflict", "not_found"]


def test_range_asks_first_and_wants_yes_where_nobody_can_answer(shell: Shell) -> None:
    for _ in range(3):
        shell("jobs", "submit", "720p30-h264")
    ended = shell("jobs", "cancel", "1-3")
    assert ended.code == 2
    assert "--yes" in ended.err
    assert shell("jobs", "list", "--state", "canceled", "-q").out == ""
    assert shell("jobs", "cancel", "1-3", "--yes", "-q").out == "job-000001\njob-000002\njob-000003\n"


def test_manifest_is_submitted_with_a_result_for_each_line(shell: Shell) -> None:
    text = "scenario,queue\n720p30-h264,live\n720p30-h264,lve\nnothing,\n480p30-vp9,\n"
    ended = shell("jobs", "submit", "-f", "-", "--queue", "batch", stdin=text)
    assert ended.code == 8
    lines = ended.out.splitlines()
    assert lines[0].split() == ["Manifest", "Job", "ID", "Status", "Problem"]
    assert lines[1].split() == ["line", "2", "job-000001", "queued", "-"]
    assert "did you mean 'live'" in lines[2]
    assert lines[4].split() == ["line", "5", "job-000002", "queued", "-"]
    queues = {job["job_id"]: job["queue"] for job in shell("jobs", "list", "-o", "json").json["jobs"]}
    assert queues == {"job-000001": "live", "job-000002": "batch"}


def test_manifest_of_thousands_is_taken_in_several_requests_and_ids_come_in_order(shell: Shell) -> None:
    text = "\n".join('{"scenario": "720p30-h264"}' for _ in range(1_200))
    ended = shell("jobs", "submit", "-f", "-", "-q", stdin=text)
    assert ended.code == 0
    assert ended.out.split() == [f"job-{number:06d}" for number in range(1, 1_201)]
    again = shell("jobs", "list", "--all", "--oldest", "-q")
    assert again.out == ended.out
    some = shell("jobs", "list", "--limit", "1100", "-o", "json").json
    assert (len(some["jobs"]), some["total"], some["next"] is None) == (1_100, 1_200, False)
    assert "100 of 1200 jobs; --all shows every one" in shell("jobs", "list").err


def test_same_manifest_under_the_same_key_makes_the_same_jobs(shell: Shell) -> None:
    text = "scenario\n720p30-h264\n480p30-h264\n"
    words = ("jobs", "submit", "-f", "-", "--idempotency-key", "night-2026", "-q")
    assert shell(*words, stdin=text).out == shell(*words, stdin=text).out == "job-000001\njob-000002\n"


def test_dry_run_shows_and_submits_nothing(shell: Shell) -> None:
    ended = shell("jobs", "submit", "-f", "-", "--dry-run", "-o", "json", stdin="scenario,codec\n720p-h264,av1\na,b\n")
    assert ended.code == 8
    first, second = ended.json["jobs"]
    assert first["spec"]["codec"] == "av1"
    assert second["problem"]["code"] == "invalid_argument"
    assert shell("jobs", "list", "-o", "json").json["total"] == 0


def test_list_is_filtered_and_sorted_by_the_master(shell: Shell) -> None:
    for queue in ("live", "batch", "default"):
        shell("jobs", "submit", "720p30-h264", "--queue", queue)
    shell("jobs", "pause", "2")
    assert shell("jobs", "list", "-q").out.split() == ["job-000003", "job-000002", "job-000001"]
    assert shell("jobs", "list", "-q", "--oldest", "--limit", "2").out.split() == ["job-000001", "job-000002"]
    assert shell("jobs", "list", "-q", "--queue", "live,default").out.split() == ["job-000003", "job-000001"]
    assert shell("jobs", "list", "-q", "--state", "paused").out.split() == ["job-000002"]
    assert shell("jobs", "list", "-q", "--node", "node-9").out == ""
    assert len(shell("jobs", "list", "-o", "jsonl").out.splitlines()) == 3
    assert shell("jobs", "list", "-o", "csv").out.startswith("job_id,scenario,state,")


def test_waiting_for_a_canceled_job_ends_with_11_and_too_long_a_wait_with_7(shell: Shell) -> None:
    shell("jobs", "submit", "720p30-h264")
    assert shell("jobs", "wait", "1", "--timeout", "100ms").code == 7
    assert shell("jobs", "submit", "720p30-h264", "--wait", "--wait-timeout", "100ms").code == 7
    shell("jobs", "cancel", "1")
    assert shell("jobs", "wait", "1").code == 11
    assert shell("jobs", "wait", "1", "--for", "canceled").code == 0
    assert shell("jobs", "wait", "1", "--for", "queued").code == 0
    assert shell("jobs", "wait", "1", "--for", "completed").code == 11
    assert shell("jobs", "status", "1", "--follow").code == 11
    assert shell("jobs", "status", "1").code == 0


def test_scenarios_and_nodes_are_listed_in_every_form(shell: Shell) -> None:
    assert "720p30-h264" in shell("scenarios", "list", "-q").out.split()
    assert shell("scenarios", "list").out.startswith("Scenario ")
    assert shell("scenarios", "list", "-o", "json").json["scenarios"][0]["codec"]
    assert shell("nodes", "list", "-o", "json").json["version"] == 1
    assert shell("nodes", "list", "-o", "csv").out.startswith("node_id,address,type,status,cpu,")


def test_unreachable_master_ends_with_6(shell: Shell) -> None:
    ended = shell("ping", "--master", "127.0.0.1:1", "-o", "json")
    assert ended.code == 6
    assert json.loads(ended.err)["error"] == {
        "code": "unreachable",
        "message": "nothing listens at tcp://127.0.0.1:1: connection refused",
        "hint": "is ffrtmpd running there, and is this its clients port?",
        "retryable": True,
    }


def test_invited_person_joins_with_a_key_of_their_own(shell: Shell, tmp_path: Path) -> None:
    invited = shell("keys", "invite", "bob", "--role", "operator", "--valid", "10m")
    assert "ffrtmp join LINE" in invited.err
    bob = Shell(tmp_path / "bob")
    ended = bob("join", invited.out.strip())
    assert (ended.code, ended.out) == (0, "✓ Joined ffrtmp as bob (operator), context ffrtmp\n")
    assert bob("ping", "-o", "json").json["principal"] == "bob"
    assert bob("jobs", "submit", "720p30-h264").code == 0
    assert sorted(path.name for path in (tmp_path / "bob" / "keys").iterdir()) == ["ffrtmp.key"]


def test_second_cluster_joined_keeps_the_first_current_and_never_overwrites(shell: Shell, tmp_path: Path) -> None:
    bob = Shell(tmp_path / "bob")
    lines = [shell("keys", "invite", f"bob{n}", "--role", "viewer", "-o", "name").out.strip() for n in range(3)]
    assert bob("join", lines[0]).code == 0
    second = bob("join", lines[1], "-o", "json").json
    assert (second["context"], second["current"]) == ("ffrtmp-bob1", False)
    assert bob("ping", "-o", "json").json["principal"] == "bob0"
    assert bob("--context", "ffrtmp-bob1", "ping", "-o", "json").json["principal"] == "bob1"
    assert bob("join", lines[2], "--context", "ffrtmp").code == 5
    assert bob("join", lines[2], "--context", "mine").code == 0


def test_used_invitation_and_one_for_a_worker_are_refused_with_the_way_out(shell: Shell, tmp_path: Path) -> None:
    worker = shell("keys", "invite", "node-2", "-q").out.strip()
    ended = shell("join", worker)
    assert ended.code == 2
    assert "ffrtmp-worker join" in ended.err
    person = shell("keys", "invite", "cy", "--role", "viewer", "-q").out.strip()
    shell("keys", "revoke", "cy")
    ended = Shell(tmp_path / "cy")("join", person)
    assert ended.code == 4
    assert "not good any more" in ended.err

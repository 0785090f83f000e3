"""The commands against a real master: its answers, its refusals, and the exit codes they end with."""

import json
from pathlib import Path

import pytest

from ffrtmp_tui.link import Link, new_id
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit, Submitted
from tests.tui.commands import Shell
from tests.tui.masters import RealMaster
from tests.tui.nodes import Node

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
    assert ended.err == "waits: no_worker (no connected node can encode it)\n"
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
        "vmaf": "off",
        "vmaf_floor": None,
        "psnr": False,
        "ssim": False,
        "verify": "probe",
        "timeout_s": 3_600.0,
        "max_attempts": 5,
        "not_before": 4_000_000_000.0,
        "labels": {"a": "1", "b": "2"},
    }


def test_scores_are_asked_for_of_files_alone(shell: Shell) -> None:
    words = ("jobs", "submit", "720p30-h264", "--vmaf", "sample", "--vmaf-floor", "80", "--psnr", "--ssim")
    assert shell(*words).code == 0
    spec = shell("jobs", "status", "1", "-o", "json").json["spec"]
    assert [spec[name] for name in ("vmaf", "vmaf_floor", "psnr", "ssim")] == ["sample", 80.0, True, True]
    ended = shell(*words, "--output", "rtmp://h/live/k")
    assert (ended.code, ended.err.splitlines()[0]) == (
        2,
        "error: a push is not scored: nothing of it is kept that could be compared with its source",
    )
    assert shell("jobs", "submit", "720p30-h264", "--vmaf-floor", "101").code == 2


def test_whole_decode_is_asked_for_of_files_alone(shell: Shell) -> None:
    words = ("jobs", "submit", "720p30-h264", "--verify", "decode")
    assert shell(*words).code == 0
    assert shell("jobs", "status", "1", "-o", "json").json["spec"]["verify"] == "decode"
    ended = shell(*words, "--output", "rtmp://h/live/k")
    assert (ended.code, ended.err.splitlines()[0]) == (2, "error: a push is not decoded: nothing of it is kept")
    assert shell("jobs", "submit", "720p30-h264", "--verify", "twice").code == 2


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


def test_client_sent_to_the_port_of_the_workers_is_told_of_the_other(shell: Shell, master: RealMaster) -> None:
    ended = shell("ping", "--master", master.workers_endpoint)
    assert ended.code == 4
    assert "hint: clients connect to the clients port, 5571 unless changed" in ended.err


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
    assert lines[0].split() == ["Manifest", "Job", "ID", "Status", "Waits", "Problem"]
    assert lines[1].split() == ["line", "2", "job-000001", "queued", "no_worker", "-"]
    assert "did you mean 'live'" in lines[2]
    assert lines[4].split() == ["line", "5", "job-000002", "queued", "no_worker", "-"]
    queues = {job["job_id"]: job["queue"] for job in shell("jobs", "list", "-o", "json").json["jobs"]}
    assert queues == {"job-000001": "live", "job-000002": "batch"}


def test_manifest_of_one_job_that_cannot_be_names_its_line(shell: Shell) -> None:
    ended = shell("jobs", "submit", "-f", "-", stdin="scenario,wat\n720p30-h264,1\n")
    assert (ended.code, ended.out, ended.err) == (2, "", "error: line 2: unknown field 'wat'\n")
    ended = shell("jobs", "submit", "-f", "-", stdin='[{"scenario": "nothing"}]')
    assert ended.code == 2
    assert ended.err.startswith("error: job 1: 'nothing': no such scenario")


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


# ── with a node ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_job_that_no_node_can_run_is_told_at_submit_and_in_the_list(shell: Shell, master: RealMaster) -> None:
    with Node(master):
        ended = shell("jobs", "submit", "720p30-h264", "--require-gpu")
        assert ended.out == "✓ Job job-000001 submitted successfully (queued)\n"
        assert ended.err == "waits: gpu_required (no connected node has a GPU that encodes it)\n"
        told = shell("jobs", "submit", "720p30-h264", "--require-gpu", "-o", "json")
        assert told.json["jobs"][0]["reason"] == "gpu_required"
        text = "scenario,require_gpu\n720p30-h264,true\n720p30-h264,false\n480p30-h264,true\n"
        bulk = shell("jobs", "submit", "-f", "-", "-q", stdin=text)
        assert bulk.err == "waits: 2 jobs: gpu_required (no connected node has a GPU that encodes it)\n"
        head, *rows = shell("jobs", "list", "--oldest").out.splitlines()
        assert head.split()[-1] == "Reason"
        assert [row.split()[-1] for row in rows] == [
            "gpu_required",
            "gpu_required",
            "gpu_required",
            "-",
            "gpu_required",
        ]


def test_explain_names_the_place_and_what_each_node_says(shell: Shell, master: RealMaster) -> None:
    with Node(master) as node:
        shell("jobs", "submit", "720p30-h264")
        node.run()
        shell("jobs", "submit", "720p30-h264", "--require-gpu")
        shell("jobs", "submit", "720p30-h264")
        assert shell("jobs", "explain", "1").out == "job-000001 is processing: node-1 runs it: encoding.\n"
        assert shell("jobs", "explain", "2").out == (
            "job-000002 is queued: it waits: no connected node has a GPU that encodes it.\n"
            "Place in the order of work: 1. Needs: engine auto, codec h264, encoder gpu.\n"
            "\n"
            "Node ID  Answer\n"
            "node-1   has no GPU that encodes it\n"
        )
        assert shell("jobs", "explain", "3").out.endswith("\nnode-1   has no free slot\n")
        told = shell("jobs", "explain", "last", "-o", "json").json
        assert (told["job"]["job_id"], told["place"]) == ("job-000003", 2)
        assert told["nodes"] == [{"node_id": "node-1", "why": "no_free_slot"}]
        assert shell("jobs", "explain", "9").code == 3


def test_resumed_job_whose_slot_was_given_away_waits_for_it_and_says_so(shell: Shell, master: RealMaster) -> None:
    with Node(master) as node:
        shell("jobs", "submit", "720p30-h264")
        first = node.run()
        assert shell("jobs", "pause", "1").out == "✓ Job job-000001 paused successfully\n"
        frozen = node.freeze(first)
        shell("jobs", "submit", "720p30-h264")
        second = node.run(frozen)
        waits = "resumes when node-1 has a free slot"
        ended = shell("jobs", "resume", "1")
        assert (ended.code, ended.out) == (0, f"✓ Job job-000001 {waits}\n")
        assert shell("jobs", "explain", "1").out == f"job-000001 is paused: {waits}.\n"
        job = shell("jobs", "list", "--state", "paused", "-o", "json").json["jobs"][0]
        assert (job["job_id"], job["reason"]) == ("job-000001", waits)
        assert shell("jobs", "cancel", "2").code == 0
        node.stop(second)
        node.thaw(first)
        assert shell("jobs", "wait", "1", "--for", "processing", "--timeout", "10s").code == 0


def test_drained_node_takes_no_job_until_it_is_undrained(shell: Shell, master: RealMaster) -> None:
    with Node(master) as node:
        assert shell("nodes", "drain", "node-1").out == "✓ Node node-1 is draining with 0 active jobs\n"
        shell("jobs", "submit", "720p30-h264")
        assert shell("jobs", "explain", "1").out.endswith("\nnode-1   is being drained\n")
        assert shell("nodes", "list", "-o", "json").json["nodes"][0]["status"] == "draining"
        assert shell("nodes", "undrain", "node-1").out == "✓ Node node-1 takes jobs again\n"
        assert node.run().job_id == "job-000001"
        told = shell("nodes", "drain", "node-1", "--deadline", "30m").out
        assert told.startswith("✓ Node node-1 is draining with 1 active job; what it still runs at 20")
        assert shell("nodes", "drain", "node-1", "-q").out == "node-1\n"
    assert shell("nodes", "drain", "nobody").code == 3


def test_node_is_removed_only_when_it_is_gone_and_its_key_with_it(shell: Shell, master: RealMaster) -> None:
    with Node(master) as node:
        ended = shell("nodes", "remove", "node-1")
        assert (ended.code, ended.out) == (5, "")
        assert "stop its worker" in ended.err
        node.leave()
        # Said on another connection: the request can overtake the goodbye.
        while shell("nodes", "describe", "node-1", "-o", "json").json["node"]["status"] != "offline":
            pass
    ended = shell("nodes", "remove", "node-1")
    assert (ended.code, ended.out) == (0, "✓ Node node-1 removed; its key is refused from now on\n")
    assert shell("nodes", "list", "-q").out == ""
    revoked = shell("keys", "list", "--revoked", "-o", "json").json["keys"]
    assert [key["revoked_at"] is not None for key in revoked if key["name"] == "node-1"] == [True]


def test_lists_on_a_narrow_screen_fit_it_and_piped_ones_are_whole(
    shell: Shell, master: RealMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with Node(master) as node:
        shell("jobs", "submit", "1080p30-h264", "--output", "/srv/" + "long/" * 30 + "a.mp4")
        node.run()
        shell("jobs", "submit", "1080p30-h264", "--require-gpu")
        for words in (
            "jobs list",
            "nodes list",
            "jobs status 1",
            "jobs status 2",
            "nodes describe node-1",
            "keys list",
        ):
            shown = shell(*words.split(), screen=True).out.partition("\nCommand:\n")[0]
            assert max(len(line) for line in shown.splitlines()) <= 80, words
        assert "Created At           Reason\n" in shell("jobs", "list").out
        assert "long/" * 30 in shell("jobs", "status", "1").out
        assert len(shell("jobs", "list", "-o", "wide", screen=True).out.splitlines()[0]) > 80

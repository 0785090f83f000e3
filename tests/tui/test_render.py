"""Every form of the output, letter by letter."""

import io
from dataclasses import replace

from ffrtmp_tui.job_view import JOB_COLUMNS, fields, status_text
from ffrtmp_tui.node_view import NODE_COLUMNS
from ffrtmp_tui.render import boxed, csv_text, json_text, jsonl_text, plain, sheet, table
from ffrtmp_tui.terminal import Terminal, clean, clean_lines
from ffrtmpd.wire.messages.jobs import Progress, Status
from ffrtmpd.wire.vocabulary import JobState
from tests.tui.samples import BARE_NODE, DONE, NODE, RUNNING, job, status_of

REQUEST = Status(request_id="r", job="1")


def terminal(*, screen: bool) -> Terminal:
    return Terminal(out=io.StringIO(), err=io.StringIO(), out_shows=screen, err_shows=screen)


def test_jobs_as_a_table_are_aligned_and_show_a_dash_for_the_unknown() -> None:
    assert table(JOB_COLUMNS, [DONE, RUNNING, job()]) == (
        "Job ID      Scenario      Status      Queue    Priority  Progress  Node ID   Created At\n"
        "job-000124  4K60-h264     completed   live     high        100.0%  worker-1  2023-11-14 22:13:20\n"
        "job-000125  1080p30-h265  processing  batch    low          45.2%  worker-2  2023-11-14 22:13:20\n"
        "job-000123  720p30-h264   queued      default  medium           -  -         2023-11-14 22:13:20\n"
    )


def test_wide_table_has_the_figures_too() -> None:
    head, row = table(JOB_COLUMNS, [RUNNING], wide=True).splitlines()
    assert head.split("  ")[-1] == "Reason"
    assert "encoding  71   x1.18  02:31  2/3" in row


def test_empty_table_has_its_titles() -> None:
    assert table(JOB_COLUMNS, []).startswith("Job ID  Scenario  Status")


def test_nodes_as_a_table_have_every_column_people_know() -> None:
    assert table(NODE_COLUMNS, [NODE, BARE_NODE]) == (
        "Node ID   Address   Type    Status   CPU             CPU Load  GPU        GPU Capabilities"
        "  Total RAM  Free RAM  Active Job\n"
        "worker-1  10.0.0.7  server  busy     32 x EPYC 7302     58.2%  RTX A4000  h264_nvenc      "
        "   64.0 GiB  31.0 GiB  job-000124,job-000125\n"
        "worker-2  -         -       offline  -                      -  -          -               "
        "          -         -  -\n"
    )


def test_csv_has_every_column_raw_and_nothing_for_the_unknown() -> None:
    head, done, waiting = csv_text(JOB_COLUMNS, [DONE, job()]).splitlines()
    assert head == (
        "job_id,scenario,state,queue,priority,percent,node_id,created_at,phase,fps,speed,eta_s,attempt,max_attempts,"
        "started_at,"
        "finished_at,vmaf,qoe,energy_j,sla,output,reason"
    )
    assert done == (
        "job-000124,4K60-h264,completed,live,high,100.0,worker-1,1700000000.0,,71.25,1.18,0.0,1,3,1700000002.0,"
        "1700000131.5,,,,compliant,/srv/out/job-000124.mp4,"
    )
    assert waiting == "job-000123,720p30-h264,queued,default,medium,,,1700000000.0,,,,,0,3,,,,,,,,"


def test_json_has_a_version_and_null_for_the_unknown() -> None:
    text = json_text({"jobs": [plain(job())]})
    assert text.startswith('{\n  "version": 1,\n  "jobs": [\n    {\n      "job_id": "job-000123",\n')
    assert '"node_id": null' in text
    assert text.endswith("}\n")


def test_jsonl_is_one_object_a_line() -> None:
    first, second = jsonl_text([DONE, job()]).splitlines()
    assert first.startswith('{"job_id": "job-000124", "scenario": "4K60-h264", "state": "completed"')
    assert '"progress": null' in second


def test_box_is_drawn_in_both_alphabets() -> None:
    assert boxed(("A", "Bé"), [("1", "x")]) == "┌───┬────┐\n│ A │ Bé │\n├───┼────┤\n│ 1 │ x  │\n└───┴────┘\n"
    assert boxed(("A", "B"), [("1", "x")], unicode=False) == ("+---+---+\n| A | B |\n+---+---+\n| 1 | x |\n+---+---+\n")


def test_sheet_without_a_screen_is_plain_lines() -> None:
    assert sheet([("Job ID", "job-1"), ("Node", None)], box=False, unicode=True) == "Job ID:  job-1\nNode:    -\n"


def test_status_of_a_finished_job_shows_output_timings_command_and_history() -> None:
    assert status_text(status_of(DONE, REQUEST, full=True), terminal(screen=False), wide=False) == (
        "Job ID:       job-000124\n"
        "Scenario:     4K60-h264\n"
        "Status:       completed\n"
        "Queue:        live\n"
        "Priority:     high\n"
        "Progress:     100.0%\n"
        "Node ID:      worker-1\n"
        "Created At:   2023-11-14 22:13:20\n"
        "Started At:   2023-11-14 22:13:22\n"
        "Finished At:  2023-11-14 22:15:31\n"
        "Attempt:      1 of 3\n"
        "Exit Code:    0\n"
        "Labels:       show=a\n"
        "Input:        /srv/a b.mov\n"
        "Output:       /srv/out/job-000124.mp4\n"
        "Encoder:      libx264 ffmpeg\n"
        "Video:        h264 3840x2160, 60 fps, 300 frames, 5.00 s, 1.27 MB\n"
        "Audio:        aac, 48000 Hz, 2 channels\n"
        "File:         mov,mp4, 2.03 Mb/s, probed by ffprobe\n"
        "Encode Time:  2m10s\n"
        "CPU Time:     4m00s\n"
        "Limits:       cgroup-v2 cpu=4 memory=2GiB, nice=5\n"
        "Waited:       2.00 s\n"
        "SLA:          compliant\n"
        "Total Time:   2m12s\n"
        "\n"
        "Command:\n"
        "  ffmpeg -i 'file:/srv/a b.mov' out.mp4\n"
        "\n"
        "History:\n"
        "At                   From    To         Event   Who     Attempt  Why\n"
        "2023-11-14 22:13:20  -       queued     submit  ana     0        -\n"
        "2023-11-14 22:13:22  queued  completed  start   master  1        -\n"
    )


def test_status_on_a_screen_is_boxed() -> None:
    text = status_text(status_of(RUNNING, REQUEST), terminal(screen=True), wide=False)
    lines = text.splitlines()
    assert lines[0].startswith("┌─")
    assert "│ Live figures │ 71 fps  x1.18  ETA 02:31 │" in lines
    assert len({len(line) for line in lines}) == 1


def test_push_shows_what_its_audience_had_until_its_report_does() -> None:
    so_far = Progress(fps=30.0, speed=1.0, reconnects=1, stall_s=4.2, real_time_ratio=0.98349)
    text = status_text(status_of(replace(RUNNING, progress=so_far), REQUEST), terminal(screen=False), wide=False)
    assert "Live figures:  30 fps  x1.00\n" in text
    assert "Push:          real time x0.983  stalled 4.20 s  lost 1 time\n" in text
    done = replace(DONE, progress=so_far)
    assert "Push:" not in status_text(status_of(done, REQUEST), terminal(screen=False), wide=False)
    assert "Push:" not in status_text(status_of(RUNNING, REQUEST), terminal(screen=False), wide=False)


def test_log_is_shown_of_a_failed_job_or_when_asked_for() -> None:
    reply = status_of(DONE, REQUEST, full=True)
    failed = status_of(job(JobState.FAILED), REQUEST, full=True)
    assert "End of the log:\n  frame=300\n" in status_text(failed, terminal(screen=False), wide=False)
    assert "End of the log:" not in status_text(reply, terminal(screen=False), wide=False)
    assert "End of the log:" in status_text(reply, terminal(screen=False), wide=True)


def test_fields_nobody_measured_are_left_out_beyond_the_common_ones() -> None:
    titles = [title for title, _ in fields(status_of(job(), REQUEST))]
    assert titles[:8] == ["Job ID", "Scenario", "Status", "Queue", "Priority", "Progress", "Node ID", "Created At"]
    assert "Video" not in titles
    assert "Waited" not in titles


def test_text_from_afar_cannot_move_the_cursor() -> None:
    assert clean("a\x1b[2Jb\n") == "a\N{REPLACEMENT CHARACTER}[2Jb "
    assert clean_lines("one\rtwo\r\n\x07") == "one\ntwo\n\N{REPLACEMENT CHARACTER}"
    assert "\x1b" not in sheet([("Reason", "\x1b[31m")], box=True, unicode=True)


def test_colour_is_of_the_state_and_only_where_wanted() -> None:
    painted = Terminal(out=io.StringIO(), err=io.StringIO(), colour=True)
    assert "\x1b[32mcompleted\x1b[0m" in table(JOB_COLUMNS, [DONE], paint=painted.paint)
    assert "\x1b" not in table(JOB_COLUMNS, [DONE], paint=terminal(screen=True).paint)

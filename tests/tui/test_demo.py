"""The demo: what it submits, that its processes always end, and the whole of it once."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmp_tui import demo_cluster
from ffrtmp_tui.demo import acts, find_ffmpeg
from ffrtmp_tui.demo_cluster import DemoCluster, Process, free_port, is_taken, remembered, start_ticks, stop_processes
from ffrtmp_tui.failures import Failure
from ffrtmp_tui.manifest import spec
from ffrtmpd.wire.vocabulary import OutputMode, Queue
from tests.needs import need
from tests.tui.commands import Shell

STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
POLITE = "import signal, sys; print('up', flush=True); signal.pause()"


def start(script: str) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    return child


def record(child: "subprocess.Popen[bytes]", name: str = "x") -> Process:
    started = start_ticks(child.pid)
    assert started is not None
    return Process(name=name, pid=child.pid, started=started)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DemoCluster]:
    made = DemoCluster(tmp_path, os.environ)
    yield made
    made.stop()


def test_jobs_of_the_demo_are_valid_and_cover_the_queues() -> None:
    specs = [spec(act.fields, {}, now_s=0) for act in acts(["480p30-vp9"], Path("/a/b.mov"), "rtmp://h/live/demo")]
    assert {entry.queue for entry in specs} == {Queue.LIVE, Queue.DEFAULT, Queue.BATCH}
    assert [entry.output_mode for entry in specs].count(OutputMode.RTMP) == 1
    assert specs[-2].input == "/a/b.mov"
    assert specs[-1].scenario == "480p30-vp9"


def test_without_an_ingest_the_live_job_writes_a_file() -> None:
    assert all(spec(act.fields, {}, now_s=0).output_mode is OutputMode.FILE for act in acts([], None, None))


def test_processes_are_asked_first_and_forced_when_they_will_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_cluster, "STOP_S", 2.0)
    polite, stubborn = start(POLITE), start(STUBBORN)
    stop_processes([record(polite), record(stubborn, "master")])
    assert polite.wait(30) == -signal.SIGTERM
    assert stubborn.wait(30) == -signal.SIGKILL
    for child in (polite, stubborn):
        assert child.stdout is not None
        child.stdout.close()


def test_another_process_under_a_remembered_number_is_left_alone() -> None:
    child = start(POLITE)
    stop_processes([Process(name="x", pid=child.pid, started=1)])
    assert child.poll() is None
    child.kill()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def test_process_that_is_gone_is_passed_over() -> None:
    child = start(POLITE)
    gone = record(child)
    child.kill()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()
    stop_processes([gone])
    assert start_ticks(child.pid) is None


def test_process_that_ends_too_early_is_told_with_its_last_line(cluster: DemoCluster) -> None:
    cluster.start("worker-1", sys.executable, "-c", "import sys; print('no room'); sys.exit(3)")
    with pytest.raises(Failure, match="worker-1 ended with exit code 3: no room"):
        cluster.wait_until(lambda: False, "it works", "worker-1")


def test_processes_of_a_demo_are_remembered_until_it_is_stopped(cluster: DemoCluster) -> None:
    cluster.start("worker-1", sys.executable, "-c", "import signal; signal.pause()")
    (process,) = remembered(cluster.folder)
    assert process.name == "worker-1"
    assert cluster.is_running("worker-1")
    cluster.stop()
    assert start_ticks(process.pid) is None


def test_demo_knows_no_other_cluster(tmp_path: Path) -> None:
    environ = {"FFRTMP_MASTER": "x", "FFRTMPD_HOME": "y", "FFMPEG_RTMP_MASTER": "z", "PATH": os.environ["PATH"]}
    told = DemoCluster(tmp_path, environ).command("-c", "import os; print([v for v in os.environ if 'RTMP' in v])")
    assert told == "['FFRTMP_CONFIG_DIR']\n"


@pytest.mark.e2e
def test_context_of_a_demo_leads_to_its_master_and_needs_nothing_beside(shell: Shell, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(path for path in sys.path if path)}
    demo = DemoCluster(tmp_path / "demo", environ)
    try:
        demo.start_master()
        shell.environ["FFRTMP_CONFIG_DIR"] = str(demo.client)
        assert shell("ping", "-o", "json").json["master"] == demo.master
        assert stat.S_IMODE((demo.client / "config.toml").stat().st_mode) == 0o600
    finally:
        demo.stop()


def test_taken_port_is_told_from_a_free_one() -> None:
    port = free_port()
    assert not is_taken(port)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        assert is_taken(port)


def test_wrong_demo_is_a_usage_error(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "full").write_text("x")
    for words in (("--stop", str(tmp_path)), ("--dir", str(tmp_path)), ("--input", str(tmp_path / "none"))):
        assert shell("demo", *words).code == 2, words


@pytest.mark.e2e
def test_scenario_that_cannot_be_is_refused_before_a_worker_is_started(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    shell.environ["PATH"] = os.environ["PATH"]
    shell.environ["PYTHONPATH"] = ":".join(path for path in sys.path if path)
    ended = shell("demo", "--dir", str(folder), "--jobs", "nope")
    assert (ended.code, ended.out) == (2, "")
    assert "error: 'nope': no such scenario" in ended.err
    assert [process.name for process in remembered(folder)] == ["master"]


@pytest.mark.e2e
def test_whole_demo_encodes_everything_and_leaves_only_its_folder(shell: Shell, tmp_path: Path) -> None:
    if find_ffmpeg() is None:
        need("ffmpeg is not installed")
    folder = tmp_path / "demo"
    shell.environ["PATH"] = os.environ["PATH"]
    shell.environ["PYTHONPATH"] = ":".join(path for path in sys.path if path)
    ended = shell("demo", "--dir", str(folder), "-o", "json")
    assert ended.code == 0, ended.err
    jobs = ended.json["jobs"]
    assert [job["job"]["state"] for job in jobs] == ["completed"] * 4
    codecs = [job["report"]["media"]["video"]["codec"] for job in jobs if job["report"]["media"]]
    assert codecs == ["h264", "hevc", "h264"]
    assert all(start_ticks(process.pid) != process.started for process in remembered(folder))

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmp_worker.main import main
from ffrtmpd import __version__
from ffrtmpd.wire.curve import new_key_pair, read_key_file, write_key_file
from ffrtmpd.wire.messages.session import Bye, Hello
from tests.worker.masters import ScriptedMaster
from tests.worker.media import make_source
from tests.worker.powercap import server
from tests.worker.test_cgroups import usable


def joined(state: Path, master: ScriptedMaster) -> None:
    write_key_file(state / "worker.key", new_key_pair())
    (state / "worker.toml").write_text(
        f'[master]\nendpoint = "{master.endpoint}"\nserver_key = "{master.key.public}"\nkey = "worker.key"\n'
    )


@pytest.fixture
def master() -> Iterator[ScriptedMaster]:
    made = ScriptedMaster()
    made.open()
    yield made
    made.end()


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"ffrtmp-worker {__version__}\n"


def test_wrong_usage_ends_with_two() -> None:
    with pytest.raises(SystemExit) as end:
        main(["dance"])
    assert end.value.code == 2


def test_worker_that_has_not_joined_says_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--state", str(tmp_path)]) == os.EX_CONFIG
    assert "ffrtmp keys invite" in capsys.readouterr().err


def test_key_that_others_can_read_is_refused(
    tmp_path: Path, master: ScriptedMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    joined(tmp_path / "s", master)
    (tmp_path / "s" / "worker.key").chmod(0o644)
    assert main(["--state", str(tmp_path / "s")]) == os.EX_CONFIG
    assert "chmod 600" in capsys.readouterr().err


def test_second_worker_in_a_state_folder_is_refused(
    tmp_path: Path, master: ScriptedMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    joined(tmp_path / "s", master)
    with (tmp_path / "s" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(["run", "--state", str(tmp_path / "s")]) == os.EX_CONFIG
    assert "another worker runs" in capsys.readouterr().err


def test_wrong_setting_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--state", str(tmp_path), "--slots", "-1"]) == os.EX_CONFIG
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "worker.slots" in said


def test_check_says_what_the_machine_can_do(
    tmp_path: Path, master: ScriptedMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    joined(tmp_path / "s", master)
    assert main(["check", "--state", str(tmp_path / "s"), "--input-root", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "libx264" in said
    assert master.endpoint in said
    assert str(tmp_path) in said


def test_check_of_a_machine_that_may_not_start_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--state", str(tmp_path)]) == os.EX_CONFIG
    assert "has not joined" in capsys.readouterr().out


def test_missing_ffmpeg_is_said_with_the_way_out(
    tmp_path: Path, master: ScriptedMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    joined(tmp_path / "s", master)
    config = tmp_path / "c.toml"
    config.write_text('[media]\nffmpeg = "/nonexistent/ffmpeg"\n')
    assert main(["run", "--state", str(tmp_path / "s"), "--config", str(config)]) == os.EX_CONFIG
    assert "/nonexistent/ffmpeg" in capsys.readouterr().err


def test_worker_runs_in_the_foreground_and_leaves_at_sigterm(tmp_path: Path, master: ScriptedMaster) -> None:
    joined(tmp_path / "s", master)
    with (tmp_path / "s" / "worker.toml").open("a") as settings:
        settings.write("[worker]\nencoder_sessions = 2\n")
    argv = [sys.executable, "-m", "ffrtmp_worker.main", "run", "--state", str(tmp_path / "s"), "--slots", "3"]
    argv += ["--log-form", "json"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=env, cwd=Path(__file__).parents[2]) as worker:
        try:
            hello = master.expect(Hello)
            assert (hello.slots, hello.hardware.encoder_sessions) == (3, 2)
            assert "libx264" in hello.hardware.encoders
            master.welcome()
            worker.send_signal(signal.SIGTERM)
            master.expect(Bye)
            assert worker.wait(20) == 0
        finally:
            worker.kill()
        assert worker.stderr is not None
        lines = worker.stderr.read().splitlines()
    assert '"event": "started"' in lines[0]
    assert '"event": "stopped"' in lines[-1]


def test_probe_says_what_is_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = make_source(tmp_path, seconds=0.4)
    assert main(["probe", str(clip), "--state", str(tmp_path / "s")]) == 0
    media = json.loads(capsys.readouterr().out)
    assert media["video"]["codec"] == "h264"
    assert media["size_bytes"] == clip.stat().st_size


def test_probe_of_what_is_no_media_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.mp4").write_text("nothing")
    assert main(["probe", str(tmp_path / "x.mp4"), "--state", str(tmp_path / "s")]) == os.EX_DATAERR
    assert main(["probe", str(tmp_path / "none.mp4"), "--state", str(tmp_path / "s")]) == os.EX_CONFIG
    assert capsys.readouterr().err.count("\n") == 2


def test_check_tells_the_limits_that_jobs_will_be_under(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[limits]\nmemory_bytes = 1073741824\nnice = 3\n")
    main(["check", "--state", str(tmp_path / "s"), "--config", str(config)])
    (limits,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("limits ")]
    assert "memory=1GiB" in limits
    assert "nice=3" in limits


def test_check_tells_what_is_metered_and_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[energy]\npowercap = "{tmp_path}/powercap"\n')
    tree = server(tmp_path / "powercap")

    def rows() -> list[str]:
        main(["check", "--state", str(tmp_path / "s"), "--config", str(config)])
        said = capsys.readouterr().out.splitlines()
        return [line for line in said if line.startswith(("energy ", "unmetered "))]

    assert rows()[0].split() == ["energy", "rapl", "package+dram"]
    (tree.root / "intel-rapl:0" / "energy_uj").unlink()
    first, second = rows()
    assert first.split() == ["energy", "none"]
    assert "cannot be read" in second


def test_worker_removes_what_a_killed_life_left_in_its_groups(tmp_path: Path, master: ScriptedMaster) -> None:
    parents = usable()._parents
    joined(tmp_path / "s", master)
    argv = [sys.executable, "-m", "ffrtmp_worker.main", "run", "--state", str(tmp_path / "s")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def run() -> list[str]:
        """Run it until it has greeted, kill it, and return what it said at its start."""
        with subprocess.Popen(
            argv, stderr=subprocess.PIPE, text=True, env=env, cwd=Path(__file__).parents[2]
        ) as worker:
            master.expect(Hello)
            worker.kill()
            assert worker.stderr is not None
            return worker.stderr.readline().split()

    fields = dict(word.partition("=")[::2] for word in run())
    assert "groups_removed" not in fields
    key = read_key_file(tmp_path / "s" / "worker.key").public
    mark = hashlib.sha256(f"{key}:{(tmp_path / 's').resolve()}".encode()).hexdigest()[:16]
    left = subprocess.Popen(["sleep", "600"])
    for parent in set(parents.values()):
        (parent / f"ffrtmp-{mark}.77").mkdir()
        (parent / f"ffrtmp-{mark}.77" / "cgroup.procs").write_text(str(left.pid))
    try:
        assert "groups_removed=1" in run()
        assert left.wait(10) == -signal.SIGKILL
        assert not any((parent / f"ffrtmp-{mark}.77").exists() for parent in parents.values())
    finally:
        left.kill()
        left.wait()

"""Advice for a host: the arithmetic, and a real look at this one."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ffrtmp_worker.config import Settings
from ffrtmp_worker.main import main
from ffrtmp_worker.recommend import Trial, advise
from ffrtmpd.base.settings import load

GIB = 2**30


def trial(*, busy: float, seconds: float = 2.0, memory_bytes: int = 200 << 20) -> Trial:
    return Trial(encoder="libx264", seconds=seconds, cpu_s=busy * seconds, memory_bytes=memory_bytes)


@pytest.mark.parametrize(
    ("busy", "cpu_count", "ram_bytes", "slots"),
    [
        (7.5, 32, 64 * GIB, 4),
        (1.9, 2, 8 * GIB, 1),
        (3.0, 2, 8 * GIB, 1),
        # Hardware encoding leaves the processors alone.
        (0.25, 8, 64 * GIB, 32),
        # 4 slots by processor; 0.8 of 2 GiB holds two encodes of 4K.
        (2.0, 8, 2 * GIB, 2),
    ],
)
def test_slots_follow_from_processors_and_memory(busy: float, cpu_count: int, ram_bytes: int, slots: int) -> None:
    assert advise(trial(busy=busy), cpu_count=cpu_count, ram_bytes=ram_bytes).slots == slots


def test_streams_leave_headroom() -> None:
    # 4 s of media cost 6 processor seconds: 1.5 for each second; 0.8 of 16 processors carry 8 streams.
    assert advise(trial(busy=3.0), cpu_count=16, ram_bytes=64 * GIB).streams == 8


def test_this_host_is_measured_and_the_advice_is_a_settings_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", "--state", str(tmp_path / "state")]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "worker.toml"
    file.write_text(text)
    settings = load(Settings, [file])
    assert settings.worker.slots == tomllib.loads(text)["worker"]["slots"] >= 1
    assert settings.limits.memory_bytes is not None
    assert main(["recommend", "--state", str(tmp_path / "state"), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trial"]["cpu_s"] > 0
    assert told["trial"]["memory_bytes"] > 1 << 20
    assert told["advice"]["slots"] >= 1


def test_command_of_operators_hands_over_to_the_worker(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("ffrtmp")
    environment = {
        **os.environ,
        # The worker lies beside it, as in a virtual environment that is not active.
        "PATH": "/usr/bin:/bin",
        "FFRTMP_WORKER_STATE": str(tmp_path / "state"),
    }
    told = subprocess.run(
        [program, "config", "recommend", "-o", "json"], env=environment, capture_output=True, check=True
    )
    assert json.loads(told.stdout)["advice"]["slots"] >= 1


def test_command_of_operators_without_a_worker_says_where_to_run_it(tmp_path: Path) -> None:
    # An interpreter that nothing is installed beside.
    python = tmp_path / "python"
    python.symlink_to(Path(sys.executable).resolve())
    program = "import sys; from ffrtmp_tui.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PATH": "/nonexistent", "PYTHONPATH": ":".join(path for path in sys.path if path)}
    lonely = subprocess.run(
        [python, "-c", program, "config", "recommend"], env=environment, capture_output=True, check=False
    )
    assert (lonely.returncode, lonely.stdout) == (1, b"")
    assert b"hint: install the worker here" in lonely.stderr

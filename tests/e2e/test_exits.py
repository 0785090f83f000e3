"""Every exit code, by a real run of the installed command against real daemons."""

import signal
import subprocess
from pathlib import Path

import pytest

from ffrtmp_tui.failures import Exit
from ffrtmp_tui.manual import EXITS
from tests.e2e.cluster import BIN, PATIENCE_S, Cluster, cluster

pytestmark = pytest.mark.e2e


def codes(house: Cluster, *runs: str, stdin: str = "") -> list[int]:
    """Return how each of the command lines ended."""
    return [house.ffrtmp(*line.split(), stdin=stdin).returncode for line in runs]


def test_each_exit_code_is_that_of_its_case(tmp_path: Path) -> None:
    seen: set[int] = set()

    def ends(expected: int, *lines: str, stdin: str = "") -> None:
        assert codes(house, *lines, stdin=stdin) == [expected] * len(lines), f"{lines}\n{house.dump()}"
        seen.add(expected)

    with cluster(tmp_path / "cluster") as house:
        house.start_master()
        ends(7, "jobs submit 480p30-h264 --wait --wait-timeout 0.1", "jobs wait 1 --timeout 0.1")
        house.ok("jobs", "cancel", "1")
        house.worker("w1")
        ends(0, "ping", "jobs submit 480p30-h264 --duration 1 --preset ultrafast --wait", "jobs wait last")
        # It has ended and never was what is waited for.
        ends(1, "jobs wait last --for paused")
        ends(2, "jobs submit", "jobs frobnicate", "jobs list --sort colour", "jobs submit 1p-h999", "jobs cancel 1-9")
        ends(3, "jobs status 999", "nodes describe nobody", "jobs cancel --filter queue:batch --yes")
        line = house.ok("keys", "invite", "eve", "--role", "viewer", "-q").strip()
        house.ok("join", line, "--context", "eve")
        ends(4, "jobs submit 480p30-h264 --context eve", "keys list --context eve", "nodes drain w1 --context eve")
        key = "--idempotency-key night-2026"
        house.ok("jobs", "submit", "480p30-h264", "--not-before", "+1h", *key.split())
        ends(5, f"jobs submit 720p30-h264 {key}", "jobs cancel 1", "nodes undrain w1", "nodes remove w1")
        ends(6, "ping --master tcp://127.0.0.1:1", "jobs list --master tcp://127.0.0.1:1")
        ends(8, "jobs cancel 3,999", "nodes drain w1 nobody")
        ends(8, "jobs submit -f -", stdin="scenario,not_before\n480p30-h264,+1h\nnothing,\n")
        house.ok("nodes", "undrain", "w1")
        ends(
            10, "jobs submit 480p30-h264 --input /nonexistent.mp4 --wait", "jobs wait last", "jobs status last --follow"
        )
        ends(11, "jobs wait 1", "jobs wait 1 --for completed")
        follower = subprocess.Popen(
            [BIN / "ffrtmp", "events", "--follow"], env=house.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert follower.stdout is not None
        assert follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        follower.stdout.close()
        seen.add(follower.wait(PATIENCE_S))
    assert seen == {int(code) for code, _ in EXITS}
    assert seen | {Exit.BROKEN_PIPE} == set(Exit)

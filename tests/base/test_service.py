"""Signals and systemd."""

import math
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmpd.base.service import STOP_SIGNALS, Bell, Watchdog, credential, notify


@pytest.fixture
def bell() -> Iterator[Bell]:
    made = Bell()
    yield made
    made.close()


def rings(bell: Bell, within_s: float = 0.0) -> bool:
    return bool(select.select([bell], [], [], within_s)[0])


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_stop_signal_rings_the_bell(bell: Bell, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with bell.on_signals():
        assert not rings(bell)
        os.kill(os.getpid(), number)
        assert rings(bell, 10.0)
    assert signal.getsignal(number) == before


def test_bell_may_be_rung_without_end(bell: Bell) -> None:
    for _ in range(10_000):
        bell.stop()
    assert rings(bell)


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        name = f"@ffrtmp-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
        ear.bind("\0" + name[1:] if abstract else name)
        ear.settimeout(10)
        notify("READY=1", {"NOTIFY_SOCKET": name})
        assert ear.recv(64) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_to_tell_is_no_fault(environment: dict[str, str]) -> None:
    notify("READY=1", environment)


# ── the watchdog ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(ear: socket.socket) -> list[bytes]:
    found = []
    while select.select([ear], [], [], 0)[0]:
        found.append(ear.recv(64))
    return found


def test_watchdog_is_told_twice_in_its_time_and_no_oftener(tmp_path: Path, ear: socket.socket) -> None:
    watchdog = Watchdog({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "10000000"})
    watchdog.turned(100.0)
    assert heard(ear) == [b"WATCHDOG=1"]
    assert watchdog.due_s() == 105.0
    watchdog.turned(104.9)
    assert heard(ear) == []
    watchdog.turned(105.0)
    assert heard(ear) == [b"WATCHDOG=1"]
    assert watchdog.due_s() == 110.0


@pytest.mark.parametrize(
    "asked", [{}, {"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
def test_watchdog_that_is_not_for_this_process_is_never_due(
    tmp_path: Path, ear: socket.socket, asked: dict[str, str]
) -> None:
    watchdog = Watchdog({"NOTIFY_SOCKET": str(tmp_path / "notify"), **asked})
    assert watchdog.due_s() == math.inf
    watchdog.turned(1e9)
    assert heard(ear) == []


def test_credential_is_the_file_that_systemd_hands_over(tmp_path: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert credential("some.key", environment) is None
    (tmp_path / "some.key").write_text("x")
    assert credential("some.key", environment) == tmp_path / "some.key"
    assert credential("some.key", {}) is None

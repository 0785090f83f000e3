"""Signals and systemd."""

import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmpd.base.service import STOP_SIGNALS, Bell, notify


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

"""Fixtures of the commands' tests."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ffrtmp_tui.link import Link
from ffrtmpd.wire.vocabulary import Role
from tests.tui.commands import Shell
from tests.tui.masters import Answer, RealMaster, ScriptedMaster

ROLES = {"root": Role.ADMIN, "ana": Role.OPERATOR, "eve": Role.VIEWER, "node-1": Role.WORKER}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write times as UTC, whatever the machine's zone."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A user without any context."""
    return Shell(tmp_path / "config")


@pytest.fixture
def master(shell: Shell) -> Iterator[RealMaster]:
    """A real master; the shell has a context for each of its keys and is root."""
    with RealMaster(ROLES) as running:
        for name in ("node-1", "eve", "ana", "root"):
            shell.add(name, master=running.endpoint, server_key=running.key.public, pair=running.pairs[name])
        yield running


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on a silent master after two tries of 1.5 s: time enough for a machine that is busy."""
    defaults = Link.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "tries_s", (1.5, 1.5))


@pytest.fixture
def scripted(shell: Shell) -> Iterator[Callable[[Answer], ScriptedMaster]]:
    """Start a master that answers as told; the shell knows it."""
    begun: list[ScriptedMaster] = []

    def start(answer: Answer) -> ScriptedMaster:
        running = ScriptedMaster(answer)
        running.begin()
        begun.append(running)
        shell.add("scripted", master=running.endpoint, server_key=running.key.public, pair=running.own)
        return running

    yield start
    for running in begun:
        running.end()

"""Fixtures of the console's tests."""

import time
from collections.abc import Iterator

import pytest

from tests.console.cluster import busy_house, quiet_house
from tests.console.desk import Desk
from tests.master.house import House


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write times as UTC, whatever the machine's zone."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def house() -> House:
    return quiet_house()


@pytest.fixture
def busy() -> House:
    return busy_house()


@pytest.fixture
def desk(busy: House) -> Desk:
    """A console that has heard of all of it."""
    desk = Desk(busy)
    desk.wait(1.0)
    return desk

"""How the master waits: it looks for a moment after an answer, and sleeps else."""

from collections.abc import Iterator
from typing import Any

import pytest

from ffrtmpd import daemon
from tests.e2e.cluster import wait_until
from tests.master.daemon_kit import Master, new_master, ping


@pytest.fixture
def master() -> Iterator[Master]:
    with new_master() as made:
        yield made


def test_after_an_answer_the_next_request_is_looked_for_and_then_the_master_sleeps(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "LOOK_S", 0.01)
    monkeypatch.setattr(daemon, "ALERT_S", 0.01)
    waits_ms: list[int | None] = []
    poll = master.daemon._poller.poll

    def noted(timeout_ms: int | None = None) -> list[tuple[Any, int]]:
        waits_ms.append(timeout_ms)
        return poll(timeout_ms)

    monkeypatch.setattr(master.daemon._poller, "poll", noted)
    client = master.client()
    master.start()
    wait_until(lambda: bool(waits_ms), dump=lambda: f"{waits_ms}")
    assert ping(client)
    # Until something was answered, every wait was a sleep.
    assert waits_ms[0] is None
    wait_until(lambda: waits_ms[-1] is None and 0 in waits_ms, dump=lambda: f"{waits_ms}")
    looked = len(waits_ms)
    # A wait that is over by itself, and nobody was answered: no look.
    master.bell.wake()
    wait_until(lambda: len(waits_ms) > looked, dump=lambda: f"{waits_ms}")
    assert set(waits_ms[looked:]) == {None}

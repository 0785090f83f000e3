import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store import Store, parse_job_ref
from ffrtmpd.store.records import job_id
from ffrtmpd.wire.schema import INT_MAX
from ffrtmpd.wire.vocabulary import JobState, Priority, Queue
from tests.master.store_kit import added, new_job, processing, turn


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store.open(None)
    yield opened
    opened.close()


# ── windows and figures ───────────────────────────────────────────────────────────────────────────────────────────


def fill(store: Store) -> None:
    """Nine jobs, one in each cell; the first of each queue runs on w1, the second is canceled."""
    for number, (queue, priority) in enumerate(itertools.product(Queue, Priority), start=1):
        job = new_job(f"key-000{number}", queue=queue, priority=priority)
        if number % 3 == 1:
            processing(store, job)
        else:
            row = added(store, job)
            if number % 3 == 2:
                with turn(store):
                    store.apply(row.seq, JobEvent.CANCEL, at=1.0, who="bob")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"oldest_first": True}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"limit": 2}, [9, 8]),
        ({"limit": 2, "before_seq": 8}, [7, 6]),
        ({"limit": 2, "after_seq": 2, "oldest_first": True}, [3, 4]),
        ({"after_seq": 2, "before_seq": 5}, [4, 3]),
        ({"states": [JobState.PROCESSING]}, [7, 4, 1]),
        ({"states": [JobState.PROCESSING, JobState.CANCELED], "limit": 3}, [8, 7, 5]),
        ({"queues": [Queue.LIVE]}, [3, 2, 1]),
        ({"queues": [Queue.LIVE, Queue.LIVE]}, [3, 2, 1]),
        ({"states": [JobState.QUEUED], "queues": [Queue.LIVE, Queue.BATCH], "oldest_first": True}, [3, 9]),
        ({"node_id": "w1"}, [7, 4, 1]),
        ({"node_id": "w1", "queues": [Queue.DEFAULT]}, [4]),
        ({"node_id": "w1", "oldest_first": True, "after_seq": 1, "limit": 1}, [4]),
        ({"node_id": "w2"}, []),
    ],
)
def test_window_shows_what_was_asked_for(store: Store, filters: dict[str, Any], expected: list[int]) -> None:
    fill(store)
    assert [row.seq for row in store.jobs(**filters)] == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, 9),
        ({"states": [JobState.PROCESSING]}, 3),
        ({"queues": [Queue.LIVE]}, 3),
        ({"states": [JobState.QUEUED, JobState.CANCELED], "queues": [Queue.BATCH]}, 2),
        ({"node_id": "w1"}, 3),
        ({"node_id": "w1", "states": [JobState.PROCESSING], "queues": [Queue.LIVE]}, 1),
        ({"node_id": "w1", "states": [JobState.QUEUED]}, 0),
    ],
)
def test_count_tells_how_many_match(store: Store, filters: dict[str, Any], expected: int) -> None:
    fill(store)
    assert store.count(**filters) == expected


def test_one_job_in_each_cell_counts_three_a_queue_and_three_a_priority(store: Store) -> None:
    for number, (queue, priority) in enumerate(itertools.product(Queue, Priority)):
        added(store, new_job(f"key-000{number}", queue=queue, priority=priority))
    counts = store.counts()
    assert sum(counts.values()) == store.count(states=[JobState.QUEUED]) == 9
    for queue in Queue:
        assert sum(number for cell, number in counts.items() if cell[1] is queue) == 3
    for priority in Priority:
        assert sum(number for cell, number in counts.items() if cell[2] is priority) == 3


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "seq"),
    [
        ("job-000123", 123),
        ("job-123", 123),
        ("123", 123),
        ("000123", 123),
        (str(INT_MAX), INT_MAX),
        (f"job-{INT_MAX}", INT_MAX),
        (job_id(1_234_567), 1_234_567),
    ],
)
def test_job_reference_names_its_job(text: str, seq: int) -> None:
    assert parse_job_ref(text) == seq


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "job-",
        "job-000000",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "1_000",
        "0x1f",
        " 1",
        "1 ",
        "1\n",
        "job-1\n",
        "JOB-1",
        "job 1",
        "job--1",
        "job-job-1",
        "job-1a",
        "job-12%",
        "١٢٣",
        "１２３",
        "²",
        str(INT_MAX + 1),
        "1" * 64,
    ],
)
def test_anything_else_names_no_job(text: str) -> None:
    assert parse_job_ref(text) is None

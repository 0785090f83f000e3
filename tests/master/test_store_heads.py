"""The windows on the queues: whatever comes and goes, they show what the disk would."""

from bisect import insort
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store import Head, Store, heads
from ffrtmpd.store.heads import Heads
from tests.master.store_kit import added, new_job, turn

Change = tuple[bool, int, int]


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store.open(None)
    yield opened
    opened.close()


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(1, 60)), max_size=120),
    limits=st.lists(st.integers(1, 12), min_size=1, max_size=5),
)
def test_window_is_the_first_part_of_the_queue(changes: list[Change], limits: list[int]) -> None:
    queue: list[Head] = []
    with pytest.MonkeyPatch.context() as patch:
        # Small, so that a window is often only a part of the queue.
        patch.setattr(heads, "READ", 4)
        patch.setattr(heads, "KEPT", 6)
        windows = Heads(lambda _, limit: queue[:limit])
        for number, (comes, rank, seq) in enumerate(changes):
            if comes and all(seq != other for _, other in queue):
                insort(queue, Head(rank, seq))
                windows.entered("any", Head(rank, seq))
            elif not comes and queue:
                windows.left("any", queue.pop(seq % len(queue)))
            limit = limits[number % len(limits)]
            assert windows.first("any", limit) == queue[:limit]


def test_a_turn_undone_is_forgotten_by_the_windows(store: Store) -> None:
    row = added(store)
    assert store.head("libx264") is not None
    store.begin()
    store.add(new_job("key-0002", rank=0), at=1.0)
    store.apply(row.seq, JobEvent.CANCEL, at=1.0, who="bob")
    assert [head.seq for head in store.heads("libx264", 9)] == [row.seq + 1]
    store.rollback()
    assert [head.seq for head in store.heads("libx264", 9)] == [row.seq]


def test_many_queued_jobs_are_served_in_order_through_the_windows(store: Store) -> None:
    count = 2 * heads.KEPT + 5
    with turn(store):
        for number in range(count):
            store.add(new_job(f"key-{number:04}", rank=number % 3), at=1.0)
    served = []
    with turn(store):
        while (head := store.head("libx264")) is not None:
            served.append((head.rank, head.seq))
            store.apply(head.seq, JobEvent.CANCEL, at=2.0, who="bob")
    assert served == sorted((number % 3, number + 1) for number in range(count))

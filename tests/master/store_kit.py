"""What the tests of the store share."""

from collections.abc import Iterator
from contextlib import contextmanager

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store import JobRow, NewJob, Order, Store
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import Encode
from ffrtmpd.wire.vocabulary import Codec, JobState, Priority, Queue

TOKEN = b"t" * 16
ENCODE = Encode(codec=Codec.H264, width=1280, height=720, fps=30.0, bitrate_bps=2_500_000)


def new_job(
    key: str = "key-0001",
    *,
    scenario: str = "720p30-h264",
    requires: str = "libx264",
    rank: int = 4,
    queue: Queue = Queue.DEFAULT,
    priority: Priority = Priority.MEDIUM,
    state: JobState = JobState.QUEUED,
    due_at: float | None = None,
    show: str = "été",
) -> NewJob:
    spec = JobSpec(scenario=scenario, queue=queue, priority=priority, labels={"show": show})
    return NewJob(
        key=key,
        order=Order(spec=spec, encode=ENCODE, requires=requires, rank=rank),
        who="bob",
        state=state,
        due_at=due_at,
    )


@contextmanager
def turn(store: Store) -> Iterator[None]:
    store.begin()
    try:
        yield
    except BaseException:
        store.rollback()
        raise
    store.commit()


def added(store: Store, job: NewJob | None = None, at: float = 100.0) -> JobRow:
    with turn(store):
        row, new = store.add(job or new_job(), at)
    assert new
    return row


def processing(store: Store, job: NewJob | None = None, node_id: str = "w1") -> JobRow:
    row = added(store, job)
    with turn(store):
        row = store.apply(row.seq, JobEvent.ASSIGN, at=101.0, who="master", node_id=node_id, token=TOKEN)
        return store.apply(row.seq, JobEvent.START, at=102.0, who=node_id, expect_attempt=row.attempt)

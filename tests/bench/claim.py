"""What it costs to give the next job away, with ten thousand, a hundred thousand and a million in the queue."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.placement import rank_of, requires_of
from ffrtmpd.store import NewJob, Order, Store
from ffrtmpd.wire.messages.jobs import JobSpec
from ffrtmpd.wire.messages.session import TOKEN_BYTES, Encode
from ffrtmpd.wire.vocabulary import Codec
from tests.bench.measure import Aim, Row, in_turns
from tests.bench.plan import Plan

ROUNDS = 9
QUEUED = (10_000, 100_000, 1_000_000)
CLAIMS = 500
A_TURN = 50
RANKS = 9
SPEC = JobSpec(scenario="720p30-h264")
ENCODE = Encode(codec=Codec.H264, width=1_280, height=720, fps=30.0, bitrate_bps=3_000_000)
REQUIRES = requires_of(SPEC, Codec.H264)


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Claim from three queues in turns, each in a file of its own."""
    yield from measure(folder, QUEUED[:2] if plan.quick else QUEUED, plan.rounds(ROUNDS))


def measure(folder: Path, sizes: tuple[int, ...], rounds: int) -> Iterator[Row]:
    folder.mkdir()
    with ExitStack() as stack:
        takes = []
        for queued in sizes:
            store = filled(folder / f"{queued}.db", queued)
            stack.callback(store.close)
            takes.append(partial(_claims, store, f"{queued:,}"))
        found = in_turns(rounds, *takes)
    least = found[f"{sizes[0]:,}"]
    for queued in sizes:
        values = found[f"{queued:,}"]
        what = f"processor time of a claim, {queued:,} queued"
        if queued == sizes[0]:
            yield Row(what=what, unit="µs", values=values)
        else:
            yield Row(what=what, unit="µs", values=values, base=least, aim=Aim(most=1.2))


def filled(path: Path, queued: int) -> Store:
    """Return a store with so many jobs of one class and of all ranks. All but one are copies made by SQLite alone."""
    store = Store.open(path)
    store.begin()
    rank = rank_of(SPEC.queue, SPEC.priority)
    new = NewJob(key="original", order=Order(spec=SPEC, encode=ENCODE, requires=REQUIRES, rank=rank), who="bench")
    store.add(new, at=time.time())
    store.commit()
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = OFF")
        names = [name for _, name, *_ in file.execute("PRAGMA table_info(jobs)") if name != "seq"]
        changed = {"key": "'copy-' || n", "rank": f"n % {RANKS}"}
        values = ", ".join(changed.get(name, name) for name in names)
        file.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "  # noqa: S608
            f"INSERT INTO jobs ({', '.join(names)}) SELECT {values} FROM numbers, jobs WHERE key = 'original'",
            (queued - 1,),
        )
    return Store.open(path)


def _claims(store: Store, name: str) -> Mapping[str, float]:
    """Claim as dispatch does, several a turn. Processor time, for the disk and other programs have their own pace."""
    begun_s = time.thread_time()
    for _ in range(CLAIMS // A_TURN):
        store.begin()
        for _ in range(A_TURN):
            head = store.head(REQUIRES)
            assert head is not None
            row = store.job(head.seq)
            assert row is not None
            store.apply(
                row.seq,
                JobEvent.ASSIGN,
                at=time.time(),
                who="bench",
                expect_attempt=row.attempt,
                node_id="node-1",
                token=b"t" * TOKEN_BYTES,
            )
        store.commit()
    return {name: (time.thread_time() - begun_s) / CLAIMS * 1e6}

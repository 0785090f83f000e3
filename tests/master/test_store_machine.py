"""Any series of turns: the store agrees with a model of it held in memory."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ffrtmpd.lifecycle import TRANSITIONS, IllegalTransition, JobEvent
from ffrtmpd.store import JobRow, KeyConflict, StaleAttempt, Store
from ffrtmpd.wire.vocabulary import TERMINAL_STATES, JobState, Priority, Queue
from tests.master.store_kit import TOKEN, new_job

LIVE = {JobState.ASSIGNED, JobState.PROCESSING}


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store.open(None)
        self.now = 0.0
        self.rows: dict[int, JobRow] = {}
        self.trails: dict[int, list[JobState]] = {}
        self.kept: tuple[dict[int, JobRow], dict[int, list[JobState]]] = ({}, {})

    @initialize()
    def first_turn(self) -> None:
        self.store.begin()

    def teardown(self) -> None:
        self.store.close()

    @rule(
        number=st.integers(0, 30),
        rank=st.integers(0, 3),
        queue=st.sampled_from(Queue),
        priority=st.sampled_from(Priority),
        waits=st.booleans(),
    )
    def submit(self, number: int, rank: int, queue: Queue, priority: Priority, waits: bool) -> None:
        state = JobState.PENDING if waits else JobState.QUEUED
        job = new_job(f"key-{number:04}", rank=rank, queue=queue, priority=priority, state=state)
        known = [row for row in self.rows.values() if row.key == job.key]
        if known and known[0].spec != job.order.spec:
            with pytest.raises(KeyConflict):
                self.store.add(job, self.now)
            return
        row, new = self.store.add(job, self.now)
        assert new is not bool(known)
        if new:
            self.rows[row.seq] = row
            self.trails[row.seq] = [state]
        else:
            assert row == known[0]

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), event=st.sampled_from(JobEvent), stale=st.sampled_from([False, False, False, True]))
    def happen(self, data: st.DataObject, event: JobEvent, stale: bool) -> None:
        seq = data.draw(st.sampled_from(sorted(self.rows)))
        before = self.rows[seq]
        changes: dict[str, Any] = {}
        if event is JobEvent.ASSIGN:
            changes = {"node_id": "w1", "token": TOKEN}
        elif event is JobEvent.REQUEUE and before.state is not JobState.PAUSED and data.draw(st.booleans()):
            changes = {"lost_node": before.node_id, "lost_token": before.token}
        self.now += 1.0
        expected = before.attempt + stale
        try:
            after = self.store.apply(seq, event, at=self.now, who="bob", expect_attempt=expected, **changes)
        except StaleAttempt:
            assert stale
        except IllegalTransition:
            wrong_kind = {
                JobEvent.RELEASE: before.node_id is not None,
                JobEvent.RESUME: before.node_id is None,
                JobEvent.ADOPT: before.lost_node is None,
            }
            assert wrong_kind.get(event) or (before.state, event) not in TRANSITIONS
        else:
            assert after.state is TRANSITIONS[before.state, event]
            self.rows[seq] = after
            self.trails[seq] = [*self.trails[seq], after.state]

    @rule()
    def commit(self) -> None:
        self.store.commit()
        self.kept = dict(self.rows), dict(self.trails)
        self.store.begin()

    @rule()
    def roll_back(self) -> None:
        self.store.rollback()
        self.rows, self.trails = dict(self.kept[0]), dict(self.kept[1])
        self.store.begin()

    @invariant()
    def rows_and_trails_agree(self) -> None:
        assert self.store.jobs(oldest_first=True) == [self.rows[seq] for seq in sorted(self.rows)]
        for seq, trail in self.trails.items():
            history = self.store.history(seq)
            assert [entry.to_state for entry in history] == trail
            assert [entry.from_state for entry in history] == [None, *trail[:-1]]

    @invariant()
    def figures_agree(self) -> None:
        counted: dict[tuple[JobState, Queue, Priority], int] = {}
        for row in self.rows.values():
            cell = row.state, row.queue, row.priority
            counted[cell] = counted.get(cell, 0) + 1
        assert self.store.counts() == counted

    @invariant()
    def head_is_the_least(self) -> None:
        queued = sorted((row.rank, row.seq) for row in self.rows.values() if row.state is JobState.QUEUED)
        assert [(head.rank, head.seq) for head in self.store.heads("libx264", 50)] == queued

    @invariant()
    def columns_fit_the_state(self) -> None:
        for row in self.rows.values():
            assert (row.finished_at is not None) == (row.state in TERMINAL_STATES)
            if row.state in LIVE:
                assert (row.node_id, row.token) == ("w1", TOKEN)
            if row.state in (JobState.PENDING, JobState.QUEUED):
                assert (row.node_id, row.token, row.phase, row.progress) == (None,) * 4
            assert (row.phase is not None) <= (row.state in (JobState.PROCESSING, JobState.PAUSED))


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True, database=None
)

"""Lists as the master filters, sorts and cuts them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from ffrtmpd.lifecycle import JobEvent
from ffrtmpd.store import LOOK_MAX, Search, Store, ended, search
from ffrtmpd.wire.messages.acts import Cancel
from ffrtmpd.wire.messages.jobs import IDS_MAX, JobList, JobSpec, ListJobs, Progress
from ffrtmpd.wire.messages.nodes import ListNodes, Load, NodeList
from ffrtmpd.wire.messages.session import ProgressReport
from ffrtmpd.wire.schema import INT_MAX
from ffrtmpd.wire.vocabulary import (
    TERMINAL_STATES,
    Engine,
    ErrorCode,
    FailureClass,
    JobState,
    NodeSortKey,
    NodeStatus,
    Priority,
    Queue,
    SortKey,
)
from tests.master.house import CPU, GPU, House
from tests.master.store_kit import new_job, turn

SPEC = JobSpec(scenario="720p30-h264")


def listed(house: House, **fields: Any) -> JobList:
    reply = house.ask(ListJobs(request_id="l", **fields), by="eyes")
    assert isinstance(reply, JobList), reply
    return reply


def numbers(reply: JobList) -> list[int]:
    return [int(job.job_id.removeprefix("job-")) for job in reply.jobs]


@pytest.fixture
def house() -> House:
    """Five jobs, ten seconds apart."""
    opened = House()
    for fields in (
        {"queue": Queue.LIVE, "priority": Priority.LOW, "labels": {"show": "a", "odd name": 'x"y'}},
        {"scenario": "1080p30-hevc", "priority": Priority.HIGH, "engine": Engine.GSTREAMER},
        {"scenario": "4K60-av1", "queue": Queue.BATCH, "labels": {"show": "b"}},
        {"scenario": "1080p60-h264", "labels": {"show": "a"}},
        {"priority": Priority.HIGH, "engine": Engine.FFMPEG},
    ):
        opened.submit(dataclasses.replace(SPEC, **fields))
        opened.wait(10.0)
    opened.ask(Cancel(request_id="x", job="3"))
    return opened


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"priorities": (Priority.HIGH,)}, [5, 2]),
        ({"priorities": (Priority.HIGH, Priority.LOW), "queues": (Queue.LIVE,)}, [1]),
        ({"text": "1080P"}, [4, 2]),
        ({"text": "%"}, []),
        ({"text": "h264", "oldest_first": True}, [1, 4, 5]),
        ({"engines": (Engine.AUTO,)}, [4, 3, 1]),
        ({"engines": (Engine.GSTREAMER, Engine.FFMPEG)}, [5, 2]),
        ({"labels": {"show": "a"}}, [4, 1]),
        ({"labels": {"show": "a", "odd name": 'x"y'}}, [1]),
        ({"labels": {"show": "c"}}, []),
        ({"states": (JobState.CANCELED,), "labels": {"show": "b"}}, [3]),
        ({"states": (JobState.QUEUED,), "text": "av1"}, []),
        ({"sort": SortKey.PRIORITY}, [5, 2, 4, 3, 1]),
        ({"sort": SortKey.PRIORITY, "descending": True}, [1, 4, 3, 5, 2]),
        ({"sort": SortKey.QUEUE}, [1, 5, 4, 2, 3]),
        ({"sort": SortKey.STATE}, [5, 4, 2, 1, 3]),
        ({"sort": SortKey.SCENARIO, "text": "p"}, [2, 4, 5, 1]),
        ({"sort": SortKey.FINISHED}, [3, 5, 4, 2, 1]),
        ({"sort": SortKey.VMAF}, [5, 4, 3, 2, 1]),
    ],
)
def test_list_holds_what_was_asked_for_in_that_order(house: House, fields: dict[str, Any], expected: list[int]) -> None:
    reply = listed(house, **fields)
    assert numbers(reply) == expected
    assert (reply.total, reply.partial, reply.next) == (len(expected), False, None)


@pytest.mark.parametrize(("first", "last", "expected"), [(15, None, [5, 4, 3]), (None, 15, [2, 1]), (10, 30, [3, 2])])
def test_age_is_a_bound_on_the_time_of_submit(
    house: House, first: int | None, last: int | None, expected: list[int]
) -> None:
    begun = house.job("1").created_at
    reply = listed(
        house,
        created_after=None if first is None else begun + first,
        created_before=None if last is None else begun + last,
    )
    assert numbers(reply) == expected
    assert reply.total == len(expected)


def walked(house: House, *, windows: int, **fields: Any) -> list[int]:
    """Return the numbers of the jobs in at most so many windows of one."""
    found, cursor = [], None
    for _ in range(windows):
        reply = listed(house, limit=1, cursor=cursor, **fields)
        found += numbers(reply)
        cursor = reply.next
        if cursor is None:
            break
    return found


@pytest.mark.parametrize("fields", [{"labels": {"show": "a"}}, {"text": "h264"}, {"sort": SortKey.SCENARIO}, {}])
def test_windows_of_one_job_add_up_to_the_whole_list(house: House, fields: dict[str, Any]) -> None:
    whole = numbers(listed(house, **fields))
    assert walked(house, windows=10, **fields) == whole


def test_ids_alone_come_in_windows_of_thousands() -> None:
    house = House()
    for _ in range(5):
        house.submit(*[SPEC] * 900)
    house.submit(dataclasses.replace(SPEC, scenario="1080p30-hevc"))
    first = listed(house, ids_only=True, limit=1, sort=SortKey.SCENARIO)
    assert (len(first.ids), first.jobs, first.total) == (IDS_MAX, (), 4_501)
    rest = listed(house, ids_only=True, cursor=first.next)
    assert (len(rest.ids), rest.next) == (501, None)
    assert [*first.ids, *rest.ids] == [f"job-{number:06d}" for number in range(4_501, 0, -1)]
    assert listed(house, ids_only=True, text="1080").ids == ("job-004501",)


@pytest.mark.parametrize("cursor", ["x", "-1", "99999999", "²"])
def test_cursor_of_a_sorted_list_that_nobody_gave_out_is_refused(house: House, cursor: str) -> None:
    problem = house.refused(ListJobs(request_id="l", sort=SortKey.STATE, cursor=cursor))
    assert problem.code is ErrorCode.INVALID_ARGUMENT


def test_jobs_are_sorted_by_what_their_encodes_say(house: House) -> None:
    worker = house.worker("w1", slots=2)
    first, second = worker.assigned()
    for job, percent in ((first, 20.0), (second, 60.0)):
        worker.start(job)
        worker.say(ProgressReport(**worker._about(job), progress=Progress(percent=percent)))
    running = {"states": (JobState.PROCESSING,)}
    assert [job.job_id for job in listed(house, sort=SortKey.PROGRESS, **running).jobs] == [first, second]
    falling = listed(house, sort=SortKey.PROGRESS, descending=True)
    assert [job.job_id for job in falling.jobs][:2] == [second, first]
    assert len(falling.jobs) == 5


def test_jobs_that_ended_are_sorted_by_their_end_and_windows_of_one_add_up(house: House) -> None:
    worker = house.worker("w1")
    house.wait(5.0)
    # Three that end in the same moment: the newest stands first, whichever way the list is turned.
    house.ask(Cancel(request_id="x", job="2"))
    house.ask(Cancel(request_id="x", job="4"))
    worker.fail("job-000001", FailureClass.PERMANENT, "no such codec")
    ended = {"states": tuple(TERMINAL_STATES), "sort": SortKey.FINISHED}
    for fields, expected in (
        ({"descending": True}, [4, 2, 1, 3]),
        ({}, [3, 4, 2, 1]),
        ({"text": "1080P", "descending": True}, [4, 2]),
        ({"labels": {"show": "b"}}, [3]),
        ({"queues": (Queue.BATCH, Queue.LIVE)}, [3, 1]),
        ({"node_id": "w1"}, [1]),
        ({"created_before": house.job("2").created_at + 1, "descending": True}, [2, 1]),
        ({"states": (JobState.FAILED,)}, [1]),
    ):
        asked = {**ended, **fields}
        whole = listed(house, **asked)
        assert numbers(whole) == expected
        assert (whole.total, whole.partial, whole.next) == (len(expected), False, None)
        assert walked(house, windows=9, **asked) == expected


@pytest.mark.parametrize("cursor", ["x", "1", "1.5,", "-1,4", "nan,3", "1e9,3"])
def test_cursor_of_ended_jobs_that_nobody_gave_out_is_refused(house: House, cursor: str) -> None:
    asked = ListJobs(request_id="l", sort=SortKey.FINISHED, states=(JobState.FAILED,), cursor=cursor)
    assert house.refused(asked).code is ErrorCode.INVALID_ARGUMENT


# ── many jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def many() -> Iterator[Store]:
    """As many jobs as a search looks at, and a few more; the second one alone has another label."""
    store = Store.open(None)
    with turn(store):
        for number in range(LOOK_MAX + 50):
            job = new_job(f"key-{number:08d}", show="rare" if number == 1 else "été")
            store.add(job, float(number))
    yield store
    store.close()


def test_search_stops_where_it_has_looked_at_enough_and_goes_on_from_there(many: Store) -> None:
    rare = Search(labels={"show": "rare"})
    found = many.search(rare, limit=5, bounds=(None, None))
    assert found.seqs == []
    assert found.edge is not None
    found = many.search(rare, limit=5, bounds=(None, found.edge))
    assert (found.seqs, found.edge) == ([2], None)
    found = many.search(rare, limit=5, bounds=(None, None), oldest_first=True)
    assert found.seqs == [2]
    assert found.edge is not None


def test_time_of_submit_is_found_among_many(many: Store) -> None:
    wanted = Search(created_after=9_990.0, created_before=9_995.0)
    assert many.search(wanted, limit=9, bounds=(None, None)).seqs == [9_995, 9_994, 9_993, 9_992, 9_991]
    assert many.count_matches(wanted) == 5
    assert many.count_matches(dataclasses.replace(wanted, priorities=(Priority.HIGH,))) == 0
    assert many.count_matches(Search(created_after=1e9)) == 0


def test_ends_of_jobs_are_read_from_their_index(many: Store) -> None:
    for sql, sign in ((ended.LAST_OF, "<"), (ended.FIRST_OF, ">")):
        plan = [row[3] for row in many._turn.read(f"EXPLAIN QUERY PLAN {sql}", ("failed", 1.0, 1.0, 1, 10))]
        assert plan[0] == f"SEARCH jobs USING COVERING INDEX jobs_finished (state=? AND finished_at{sign}?)"


def test_walk_along_the_ends_stops_where_it_has_looked_at_enough() -> None:
    store = Store.open(None)
    with turn(store):
        for number in range(LOOK_MAX + 50):
            job = new_job(f"key-{number:08d}", show="rare" if number == 1 else "été")
            row, _ = store.add(job, 0.0)
            store.apply(row.seq, JobEvent.CANCEL, at=float(number), who="bob")
    rare = Search(states=tuple(TERMINAL_STATES), labels={"show": "rare"})
    found = store.ended(rare, limit=5, edge=None, descending=True)
    assert found.jobs == []
    assert found.edge is not None
    assert [job.seq for job in store.ended(rare, limit=5, edge=found.edge, descending=True).jobs] == [2]
    store.close()


def test_statements_of_a_search_read_no_whole_table(many: Store) -> None:
    plans = [
        [row[3] for row in many._turn.read(f"EXPLAIN QUERY PLAN {sql}", values)]
        for sql, values in (
            (search._OF_THESE, ("[1]",)),
            (search._FROM, (1,)),
            (search._COUNT_OF, ("queued", "default", 0, INT_MAX, None, None)),
            (search._COUNT_OF_NODE, ("w1", "queued", "default", 0, INT_MAX)),
        )
    ]
    assert [plan[0] for plan in plans] == [
        "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH jobs USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH jobs USING COVERING INDEX jobs_state (state=? AND queue=? AND seq>? AND seq<?)",
        "SEARCH jobs USING COVERING INDEX jobs_node (node_id=? AND state=? AND queue=? AND seq>? AND seq<?)",
    ]


# ── nodes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def nodes() -> House:
    opened = House()
    opened.worker("a1", slots=2, encoders=CPU).beat(load=Load(cpu_load_percent=90.0))
    opened.worker("b2", slots=4, encoders=GPU).beat(load=Load(cpu_load_percent=10.0))
    opened.worker("c3", slots=1, encoders=CPU).lose_connection()
    return opened


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["a1", "b2", "c3"]),
        ({"descending": True}, ["c3", "b2", "a1"]),
        ({"statuses": (NodeStatus.OFFLINE,)}, ["c3"]),
        ({"text": "B"}, ["b2"]),
        ({"text": "10.0.0"}, ["a1", "b2", "c3"]),
        ({"encoder": "h264_nvenc"}, ["b2"]),
        ({"engine": Engine.GSTREAMER}, []),
        ({"gpu": True}, []),
        ({"sort": NodeSortKey.LOAD}, ["b2", "a1", "c3"]),
        ({"sort": NodeSortKey.LOAD, "descending": True}, ["a1", "b2", "c3"]),
        ({"sort": NodeSortKey.FREE_SLOTS, "descending": True}, ["b2", "a1", "c3"]),
        ({"sort": NodeSortKey.STATUS}, ["a1", "b2", "c3"]),
        ({"sort": NodeSortKey.POWER}, ["a1", "b2", "c3"]),
    ],
)
def test_nodes_are_filtered_and_sorted(nodes: House, fields: dict[str, Any], expected: list[str]) -> None:
    reply = nodes.ask(ListNodes(request_id="n", **fields), by="eyes")
    assert isinstance(reply, NodeList)
    assert ([node.node_id for node in reply.nodes], reply.total, reply.next) == (expected, len(expected), None)
    found, cursor = [], None
    for _ in range(9):
        reply = nodes.ask(ListNodes(request_id="n", limit=1, cursor=cursor, **fields), by="eyes")
        assert isinstance(reply, NodeList)
        found += [node.node_id for node in reply.nodes]
        cursor = reply.next
        if cursor is None:
            break
    assert found == expected


def test_cursor_of_sorted_nodes_that_nobody_gave_out_is_refused(nodes: House) -> None:
    problem = nodes.refused(ListNodes(request_id="n", sort=NodeSortKey.LOAD, cursor="b2"))
    assert problem.code is ErrorCode.INVALID_ARGUMENT

"""One act on many jobs and nodes: which are meant, the question before, and what is told when only some could be."""

import json
from collections.abc import Callable, Iterator

import pytest

from ffrtmpd.wire.messages.acts import ACT_MAX, Acted, ActedOnJobs, ActOnJobs, ActResult, Cancel
from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.vocabulary import JobState, Role
from tests.tui.commands import Shell
from tests.tui.masters import Answer, RealMaster, ScriptedMaster
from tests.tui.nodes import Node
from tests.tui.samples import job

NODES = ("rack-1a", "rack-1b", "rack-2a")


@pytest.fixture
def racks(shell: Shell) -> Iterator[RealMaster]:
    """A real master that has seen three nodes; the shell is its administrator."""
    with RealMaster({"ops": Role.ADMIN, **dict.fromkeys(NODES, Role.WORKER)}) as master:
        shell.add("ops", master=master.endpoint, server_key=master.key.public, pair=master.pairs["ops"])
        for name in NODES:
            with Node(master, name) as node:
                node.leave()
        # Said on other connections: a request can overtake the goodbyes.
        while set(statuses(shell).values()) != {"offline"}:
            pass
        yield master


def statuses(shell: Shell) -> dict[str, str]:
    return {node["node_id"]: node["status"] for node in shell("nodes", "list", "-o", "json").json["nodes"]}


def test_nodes_are_drained_by_a_list_and_by_a_filter_and_brought_back(shell: Shell, racks: RealMaster) -> None:
    with Node(racks, "rack-1a"), Node(racks, "rack-1b"), Node(racks, "rack-2a"):
        ended = shell("nodes", "drain", "rack-1a,rack-2", "rack-1a")
        assert (ended.code, ended.out) == (
            0,
            "✓ Node rack-1a is draining with 0 active jobs\n✓ Node rack-2a is draining with 0 active jobs\n",
        )
        assert shell("nodes", "list", "--filter", "status:draining", "-q").out == "rack-1a\nrack-2a\n"
        ended = shell("nodes", "undrain", "--filter", "rack")
        assert (ended.code, ended.out) == (2, "")
        assert "this would undrain 2 nodes of ops" in ended.err
        # Which of them drain is known: the others are not meant.
        assert shell("nodes", "undrain", "--filter", "rack", "--yes", "-q").out == "rack-1a\nrack-2a\n"
        ended = shell("nodes", "undrain", "--filter", "rack", "--yes")
        assert (ended.code, ended.out) == (3, "")
        told = shell("nodes", "drain", "--filter", "rack-1", "--yes", "-o", "json").json
        assert [node["status"] for node in told["nodes"]] == ["draining", "draining"]
        assert told["errors"] == []


def test_nodes_that_cannot_all_be_acted_on_end_with_8(shell: Shell, racks: RealMaster) -> None:
    with Node(racks, "rack-1a"):
        assert shell("nodes", "drain", "rack-1a").code == 0
        told = shell("nodes", "undrain", "rack-1a,rack-1b,nobody", "-o", "json")
        assert told.code == 8
        assert [node["node_id"] for node in told.json["nodes"]] == ["rack-1a"]
        assert [(error["node"], error["code"]) for error in told.json["errors"]] == [
            ("rack-1b", "conflict"),
            ("nobody", "not_found"),
        ]
        assert shell("nodes", "undrain", "rack-1a", "rack-1b").code == 5
        # A beginning is no name where what is done cannot be undone; and who is here is not meant by a filter.
        ended = shell("nodes", "remove", "rack-1b", "rack-2")
        assert (ended.code, ended.out) == (8, "✓ Node rack-1b removed; its key is refused from now on\n")
        assert shell("nodes", "remove", "--filter", "rack", "--yes", "-q").out == "rack-2a\n"
    assert list(statuses(shell)) == ["rack-1a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("drain", "no node is named"),
        ("drain rack-1a --filter rack", "say either"),
        ("drain rack-1a,,rack-1b", "missing between two commas"),
        ("drain rack", "begins the names of several"),
        ("drain --filter rack --filter colour:red --yes", "has no 'colour'"),
        ("drain --filter= --yes", "If all are meant, say status:active,busy"),
        ("undrain --filter= --yes", "If all are meant, say status:draining"),
        ("remove --filter rack --filter= --yes", "If all are meant, say status:offline"),
    ],
)
def test_nodes_meant_without_sense_are_a_usage_error(shell: Shell, racks: RealMaster, words: str, said: str) -> None:
    ended = shell("nodes", *words.split())
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.usefixtures("hasty")
def test_master_that_goes_away_in_the_middle_leaves_what_was_done_told(
    shell: Shell, scripted: Callable[[Answer], ScriptedMaster]
) -> None:
    def answer(request: Request) -> Reply | None:
        if isinstance(request, Cancel) and request.job in ("1", "2"):
            return Acted(request_id=request.request_id, job=job(number=int(request.job)))
        return None

    master = scripted(answer)
    ended = shell("jobs", "cancel", "1,2,3,4,5", "-o", "json")
    assert ended.code == 8
    told = json.loads(ended.out)
    assert [job["job_id"] for job in told["jobs"]] == ["job-000001", "job-000002"]
    assert [(error["job"], error["code"]) for error in told["errors"]] == [
        ("3", "unreachable"),
        ("4", "unreachable"),
        ("5", "unreachable"),
    ]
    # Nor is it asked for each of those that are left.
    assert {request.job for _, request in master.heard if isinstance(request, Cancel)} == {"1", "2", "3"}


# ── many jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("master")
def test_thousands_of_jobs_are_acted_on_and_each_is_told(shell: Shell) -> None:
    lines = "\n".join('{"scenario": "720p30-h264"}' for _ in range(4_500))
    assert shell("jobs", "submit", "-f", "-", "-q", stdin=lines).code == 0
    every = [f"job-{number:06d}" for number in range(1, 4_501)]
    assert shell("jobs", "cancel", "3", "-q").out == "job-000003\n"
    ended = shell("jobs", "pause", "--filter", "720p state:queued", "--yes")
    assert ended.code == 0
    assert ended.out.splitlines() == [f"✓ Job {job} paused successfully" for job in every if job != every[2]]
    ended = shell("jobs", "cancel", "1-4500", "--yes", "-q")
    assert (ended.code, ended.out.split()) == (8, [job for job in every if job != every[2]])
    assert ended.err.splitlines()[-1] == "error: 3: cannot cancel job-000003: it is canceled"
    assert shell("jobs", "list", "--state", "canceled", "--limit", "1", "-o", "json").json["total"] == 4_500


@pytest.mark.usefixtures("hasty")
def test_master_that_goes_away_between_two_requests_of_a_bulk_is_told_for_what_is_left(
    shell: Shell, scripted: Callable[[Answer], ScriptedMaster]
) -> None:
    def answer(request: Request) -> Reply | None:
        if isinstance(request, ActOnJobs) and request.jobs[0] == "1":
            results = tuple(ActResult(job=word, state=JobState.CANCELED) for word in request.jobs)
            return ActedOnJobs(request_id=request.request_id, results=results)
        return None

    master = scripted(answer)
    ended = shell("jobs", "cancel", f"1-{2 * ACT_MAX + 1}", "--yes")
    assert ended.code == 8
    assert ended.out.splitlines() == [f"✓ Job job-{n:06d} canceled successfully" for n in range(1, ACT_MAX + 1)]
    told = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(told) == ACT_MAX + 1
    assert {request.jobs[0] for _, request in master.heard if isinstance(request, ActOnJobs)} == {"1", f"{ACT_MAX + 1}"}
    # Not even begun, it is the failure that it is.
    assert shell("jobs", "cancel", "2,3").code == 6

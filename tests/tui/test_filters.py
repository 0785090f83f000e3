"""What a filter and an order say."""

from typing import Any

import pytest

from ffrtmp_tui.failures import Exit, Failure
from ffrtmp_tui.filters import job_filter, job_order, merged, node_filter, node_order
from ffrtmpd.wire.vocabulary import Engine, JobState, NodeSortKey, NodeStatus, Priority, Queue, SortKey

NOW_S = 100_000.0


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], {}),
        (["state:queued"], {"states": (JobState.QUEUED,)}),
        (["state=queued,failed", "state:failed,paused"], {"states": (JobState.FAILED,)}),
        (
            ["queue:live  priority:high"],
            {"queues": (Queue.LIVE,), "priorities": (Priority.HIGH,)},
        ),
        (["node:w1 hevc"], {"node_id": "w1", "text": "hevc"}),
        (["engine:gstreamer"], {"engines": (Engine.GSTREAMER,)}),
        (["label:show=a label:url=http://x"], {"labels": {"show": "a", "url": "http://x"}}),
        (["age:<1h"], {"created_after": NOW_S - 3_600}),
        (["age:>1d"], {"created_before": NOW_S - 86_400}),
        (["age:>9999d"], {"created_before": 0.0}),
        (["age:>10m age:>0s"], {"created_before": NOW_S - 600}),
        (["age:>0s", "age:>10m"], {"created_before": NOW_S - 600}),
        (["age:<1d age:<1h age:>1m"], {"created_after": NOW_S - 3_600, "created_before": NOW_S - 60}),
        (["node:w1 node:w1 label:show=a label:show=a"], {"node_id": "w1", "labels": {"show": "a"}}),
    ],
)
def test_filter_of_jobs_is_read(texts: list[str], expected: dict[str, Any]) -> None:
    assert job_filter(texts, NOW_S) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sate:queued", "did you mean 'state'"),
        ("state:quued", "did you mean 'queued'"),
        ("state:", "has no value"),
        ("age:1h", "age:<1h for what is younger"),
        ("age:<soon", "no duration"),
        ("label:x", "no label"),
        ("node:a node:b", "says node once"),
        ("a b", "says scenario once"),
        ("state:queued state:failed", "write state:queued,failed for either"),
        ("label:show=a1 label:show=a2", "no job has both label:show=a1 and label:show=a2"),
        ("age:<1h age:>1d", "no job is of an age"),
        ("age:>1h age:<1h", "no job is of an age"),
    ],
)
def test_filter_without_sense_is_a_usage_error(text: str, said: str) -> None:
    with pytest.raises(Failure) as raised:
        job_filter([text], NOW_S)
    assert raised.value.exit_code == Exit.USAGE
    assert said in f"{raised.value.message} {raised.value.hint}"


def test_filter_of_nodes_is_read() -> None:
    assert node_filter(["status:busy,offline gpu:no", "engine:ffmpeg encoder:libx264 10.0"]) == {
        "statuses": (NodeStatus.BUSY, NodeStatus.OFFLINE),
        "gpu": False,
        "engine": Engine.FFMPEG,
        "encoder": "libx264",
        "text": "10.0",
    }
    for text in ("gpu:maybe", "state:busy", "engine:x", "gpu:yes gpu:no", "engine:ffmpeg engine:gstreamer"):
        with pytest.raises(Failure):
            node_filter([text])


def test_order_is_read() -> None:
    assert job_order("vmaf:desc") == {"sort": SortKey.VMAF, "descending": True}
    assert job_order("created") == {"oldest_first": True}
    assert job_order("created:desc") == {"oldest_first": False}
    assert node_order("load") == {"sort": NodeSortKey.LOAD, "descending": False}
    for text in ("vmf", "vmaf:up", ""):
        with pytest.raises(ValueError, match=r"not one of|write"):
            job_order(text)


def test_what_two_sources_say_must_both_hold() -> None:
    live_or_batch, batch = {"queues": (Queue.LIVE, Queue.BATCH)}, {"queues": (Queue.BATCH,)}
    assert merged(live_or_batch, {**batch, "limit": 3}) == {"queues": (Queue.BATCH,), "limit": 3}
    with pytest.raises(Failure, match="nothing fits both queue:live and queue:batch"):
        merged({"queues": (Queue.LIVE,)}, batch)
    with pytest.raises(Failure, match="said twice"):
        merged({"node_id": "a"}, {"node_id": "b"})

"""Limits of a job through the real programs: what the settings ask for is in force, told, and enforced."""

import re

import pytest

from tests.e2e.cluster import Cluster
from tests.worker.test_cgroups import usable

pytestmark = pytest.mark.e2e


def test_job_within_its_limits_completes_and_tells_them(lone: Cluster) -> None:
    version = usable().version
    lone.worker("w1", settings="[limits]\ncpu_cores = 1.5\nmemory_bytes = 2147483648\ntasks = 256\nnice = 4\n")
    job = lone.submit("480p30-h264", "--duration", "1")
    lone.wait_for(job, "completed")
    told = f"{version} cpu=1.5 memory=2GiB tasks=256, nice=4"
    assert lone.json("jobs", "status", job)["report"]["limits"] == told
    assert re.search(rf"^Limits: +{re.escape(told)}$", lone.ok("jobs", "status", job), re.MULTILINE)


def test_encoder_that_needs_more_memory_than_allowed_fails_with_that_reason(lone: Cluster) -> None:
    usable()
    lone.worker("w1", settings="[limits]\nmemory_bytes = 67108864\n")
    job = lone.submit("4K30-h264", "--duration", "1", "--max-attempts", "1")
    failed = lone.wait_for(job, "failed")
    assert "out of memory: it needs more than the 64 MiB of limits.memory_bytes" in failed["reason"]


def test_disk_without_room_is_the_reason_why_nothing_is_begun(lone: Cluster) -> None:
    lone.worker("w1", settings=f"[limits]\nmin_free_disk_bytes = {1 << 60}\n")
    job = lone.submit("480p30-h264", "--duration", "1", "--max-attempts", "1")
    failed = lone.wait_for(job, "failed")
    assert "not enough room on the disk" in failed["reason"]
    assert list(lone.media.iterdir()) == []

"""Scores through the real programs: from the submit to the sheet, and a floor that holds."""

import hashlib
import json

import pytest

from tests.e2e.cluster import Cluster
from tests.needs import libvmaf

pytestmark = pytest.mark.e2e


def test_scored_job_tells_what_the_score_command_tells(house: Cluster) -> None:
    libvmaf()
    source, output = house.media / "film.mp4", house.media / "scored.mp4"
    house.wait_for(house.submit("480p30-h264", "--duration", "1", "--output", str(source)), "completed")
    words = ("--vmaf", "full", "--psnr", "--ssim", "--bitrate", "300k")
    job = house.submit("480p30-h264", "--input", str(source), "--output", str(output), *words)
    house.wait_for(job, "completed")
    report = house.json("jobs", "status", job)["report"]
    quality = report["quality"]
    assert quality["frames"] == 30
    assert report["provenance"]["output_sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert report["provenance"]["input_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert report["experience"]["score"] == pytest.approx(max(1.0, quality["vmaf"] / 20))
    again = house.run("ffrtmp-worker", "score", str(source), str(output), "--psnr", "--ssim", "-o", "json")
    told = json.loads(again.stdout)
    for name in ("vmaf", "vmaf_harmonic_mean", "vmaf_min", "vmaf_p1", "psnr_db", "ssim", "model", "frames"):
        assert told[name] == quality[name], name
    assert "VMAF" in house.ok("jobs", "status", job)


def test_floor_that_is_not_reached_publishes_nothing_and_is_not_tried_again(house: Cluster) -> None:
    libvmaf()
    output = house.media / "never.mp4"
    job = house.submit("480p30-h264", "--duration", "1", "--output", str(output), "--vmaf-floor", "99.9")
    ended = house.wait_for(job, "failed", "completed")
    assert (ended["state"], ended["attempt"]) == ("failed", 1)
    vmaf = house.json("jobs", "status", job)["report"]["quality"]["vmaf"]
    assert ended["reason"] == f"VMAF {vmaf:.3f} is below the floor of 99.9: not published"
    assert list(house.media.glob("never.mp4*")) == []

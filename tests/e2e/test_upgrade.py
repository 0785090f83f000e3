"""What came from elsewhere: the jobs of the Go project, and a database that an earlier schema left."""

from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster
from tests.master.old_project_kit import job, node, old_database
from tests.master.schema_kit import restored

pytestmark = pytest.mark.e2e


def test_jobs_of_the_go_project_are_imported_and_done(lone: Cluster, tmp_path: Path) -> None:
    early = lone.submit("480p30-h264", "--duration", "1", "--preset", "ultrafast")
    parameters = {"duration": 1, "preset": "ultrafast", "bitrate": "500k", "crf": 23}
    jobs = (
        job(1, "completed", scenario="480p30-h264", completed_at="2026-01-01 12:00:00+00:00"),
        job(2, "pending", scenario="480p30-h264", parameters=parameters),
        job(3, "running", scenario="480p30-h264", parameters=parameters, node_id="node-enc-1"),
        job(4, "paused", scenario="480p30-h264", parameters=parameters),
    )
    file = old_database(tmp_path / "old.db", "last", jobs, (node("enc-1", "last"),))
    assert lone.master is not None
    refused = lone.run("ffrtmpd", "import-db", "--home", str(lone.home), str(file))
    assert (refused.returncode, "another ffrtmpd" in refused.stderr) == (78, True)
    lone.master.stop()
    done = lone.run("ffrtmpd", "import-db", "--home", str(lone.home), str(file))
    assert done.returncode == 0, done.stderr
    assert "imported 4 jobs" in done.stdout
    lone.start_master()
    lone.worker("enc-1")
    found = {entry["job_id"]: entry for entry in lone.json("jobs", "list")["jobs"]}
    assert len(found) == 5
    for job_id in (early, "job-000003", "job-000004"):
        lone.wait_for(job_id, "completed")
    assert lone.json("jobs", "status", "job-000005")["job"]["state"] == "paused"
    lone.ok("jobs", "resume", "job-000005")
    lone.wait_for("job-000005", "completed")


def test_master_starts_with_the_database_of_the_first_schema(lone: Cluster) -> None:
    assert lone.master is not None
    lone.master.stop()
    database = lone.home / "master.db"
    database.unlink()
    restored(1, database)
    assert lone.run("ffrtmpd", "init", "--home", str(lone.home), "--admin", "tester").returncode == 0
    # Its jobs ended when Unix time began.
    lone.configure_master("[retention]\ncompleted_days = 0\nfailed_days = 0\ncanceled_days = 0\n")
    lone.start_master()
    jobs = lone.json("jobs", "list")["jobs"]
    assert {"completed", "failed", "canceled", "queued"} <= {entry["state"] for entry in jobs}

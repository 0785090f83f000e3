"""``ffrtmpd backup`` beside a running master, and what a restored master makes of workers that know better."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ffrtmpd.store import Store
from tests.e2e.cluster import BIN, QUICK, Cluster, wait_until
from tests.e2e.witness import done_once, encoder_of

pytestmark = pytest.mark.e2e

CLIP = ("480p30-h264", "--duration", "1", "--preset", "ultrafast")


def back_up(house: Cluster, target: Path) -> None:
    done = house.run("ffrtmpd", "backup", "--home", str(house.home), str(target))
    assert done.returncode == 0, done.stderr
    assert str(target) in done.stdout


def restore(house: Cluster, copy: Path) -> None:
    """Stop the master, put the copy in place, start the master: as docs/operations.md says."""
    assert house.master is not None
    house.master.stop()
    for name in ("master.db-wal", "master.db-shm"):
        (house.home / name).unlink(missing_ok=True)
    shutil.copy2(copy, house.home / "master.db")
    house.start_master()


def test_copy_of_a_busy_master_is_whole_and_has_all_that_was_answered(lone: Cluster, tmp_path: Path) -> None:
    before = [lone.submit("720p30-h264") for _ in range(3)]
    loop = f"for i in $(seq 8); do {BIN}/ffrtmp jobs submit 720p30-h264 -q || exit 1; done"
    with subprocess.Popen(["sh", "-c", loop], env=lone.env, stdout=subprocess.PIPE, text=True) as busy:
        for number in range(3):
            back_up(lone, tmp_path / f"copy-{number}.db")
        printed, _ = busy.communicate(timeout=60)
    assert busy.returncode == 0
    after = printed.split()
    assert len(after) == 8
    for number in range(3):
        store = Store.open(tmp_path / f"copy-{number}.db")
        found = sorted(row.job_id for row in store.jobs())
        store.close()
        # A moment between two submits: what was answered before it is there, and nothing out of order.
        assert found == [*before, *after][: len(found)]
        assert len(found) >= len(before)


def test_restored_master_goes_on_where_the_copy_was_made(lone: Cluster, tmp_path: Path) -> None:
    output = lone.media / "again.mp4"
    early = lone.submit(*CLIP, "--output", str(output))
    copy = tmp_path / "copy.db"
    back_up(lone, copy)
    late = lone.submit(*CLIP)
    lone.worker("w1")
    lone.wait_for(early, "completed")
    lone.wait_for(late, "completed")
    lone.workers["w1"].stop()
    output.unlink()
    restore(lone, copy)
    # What was submitted after the copy is gone with all else that happened since, the worker's key included.
    assert [job["job_id"] for job in lone.json("jobs", "list")["jobs"]] == [early]
    lone.worker("w2")
    done_once(lone, early, output, frames=30, attempt=1)


def test_run_begun_after_the_copy_is_stale_and_never_confused_with_the_new_one(lone: Cluster, tmp_path: Path) -> None:
    lone.configure_master(QUICK)
    lone.worker("w1")
    lone.ok("nodes", "drain", "w1")
    output = lone.media / "out.mp4"
    job = lone.submit("720p30-h264", "--duration", "12", "--preset", "ultrafast", "--output", str(output))
    copy = tmp_path / "copy.db"
    back_up(lone, copy)
    lone.ok("nodes", "undrain", "w1")
    wait_until(lambda: encoder_of(lone, job), dump=lone.dump)
    old = encoder_of(lone, job)
    restore(lone, copy)
    # The copy knows of no attempt: it gives out number 1 again, with another token, to the node that runs number 1.
    lone.ok("nodes", "undrain", "w1")
    wait_until(lambda: encoder_of(lone, job) and not set(encoder_of(lone, job)) & set(old), dump=lone.dump)
    done_once(lone, job, output, frames=360, attempt=1)
    assert lone.workers["w1"].text().count("attempt_begun") == 2


def test_copy_is_never_written_over_a_file_or_without_room(lone: Cluster, tmp_path: Path) -> None:
    taken = tmp_path / "precious.db"
    taken.write_text("precious")
    for target, word in ((taken, "exists"), (tmp_path, "folder"), (tmp_path / "no" / "x.db", "No such file")):
        done = lone.run("ffrtmpd", "backup", "--home", str(lone.home), str(target))
        assert (done.returncode, done.stdout) == (73, ""), done.stderr
        assert word in done.stderr
    assert taken.read_text() == "precious"
    # A limit on the size of files is as good as a full disk, and needs no root.
    limited = f"ulimit -f 8; exec {BIN}/ffrtmpd backup --home {lone.home} {tmp_path}/cut.db"
    done = subprocess.run(["sh", "-c", limited], env=lone.env, capture_output=True, text=True, check=False)
    assert done.returncode == 73, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("cut.db*"))
    missing = lone.run("ffrtmpd", "backup", "--home", str(tmp_path / "nowhere"), str(tmp_path / "x.db"))
    assert missing.returncode == 78
    assert "there is no database" in missing.stderr

"""What hits the master from outside the protocol: a full disk, a revoked key, thousands of silent connections."""

import os
import resource
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import QUICK, Cluster, cluster, wait_until
from tests.e2e.ingest import ingest
from tests.e2e.witness import done_once, encoder_of, frames_of, history, probe
from tests.needs import need
from tests.ports import free_port

pytestmark = pytest.mark.e2e

CLIP = ("480p30-h264", "--duration", "1", "--preset", "ultrafast")
SILENT = 5_000
# For what must happen in seconds, on a machine that may be busy.
SOON_S = 10.0
SLICE = 250


# ── a full disk ───────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Make ``folder`` a small file system of its own, if this user may; tell whether it is one."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(house: Cluster) -> Callable[[], None]:
    """Fill the master's disk; return what makes room again."""
    ballast = house.home / "ballast"
    with ballast.open("wb", buffering=0) as file:
        chunk = bytes(4_096)
        while True:
            try:
                file.write(chunk)
            except OSError:
                break
    return ballast.unlink


def limit_files(house: Cluster) -> Callable[[], None]:
    """Let the kernel refuse the master's every write to a file; return what lifts that."""
    assert house.master is not None
    pid = house.master.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))

    def lift() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    return lift


def test_full_disk_refuses_writes_loses_nothing_and_ends_by_itself(tmp_path: Path, ffmpeg: str) -> None:
    with small_disk(tmp_path / "master") as mounted, cluster(tmp_path) as house:
        fill = fill_disk if mounted else limit_files
        house.configure_master(QUICK.replace("lost_after_s = 3.0", "lost_after_s = 60.0"))
        house.start_master()
        house.worker("w1")
        output = house.media / "out.mp4"
        running = house.submit("720p30-h264", "--duration", "4", "--preset", "medium", "--output", str(output))
        kept = [house.submit(*CLIP) for _ in range(3)]
        wait_until(lambda: encoder_of(house, running), dump=house.dump)
        make_room = fill(house)

        def refused() -> bool:
            done = house.ffrtmp("jobs", "submit", *CLIP, "-o", "json", "-q")
            if done.returncode == 0:
                # There was room for one more.
                kept.append(done.stdout.strip())
                return False
            assert done.returncode == 1, done.stderr
            assert "read_only" in done.stdout + done.stderr
            assert '"retryable": true' in done.stdout + done.stderr
            return True

        wait_until(refused, dump=house.dump)
        assert house.ffrtmp("jobs", "cancel", kept[0]).returncode == 1
        # Reads go on, and nothing that was answered is missing.
        listed = house.json("jobs", "list", "--limit", "1000")
        assert listed["total"] == len(kept) + 1
        make_room()
        # The run that ended meanwhile is recorded, published once, and the rest is done.
        done_once(house, running, output, frames=120, attempt=1)
        after = house.submit(*CLIP)
        for job in [*kept, after]:
            assert house.wait_for(job, "completed")["attempt"] == 1
            history(house, job)
        assert house.json("jobs", "list")["total"] == len(kept) + 2


PUSH_S = 14
FRAMES_PER_S = 30


def test_live_push_goes_on_while_the_disk_is_full(tmp_path: Path, ffmpeg: str) -> None:
    url = f"rtmp://127.0.0.1:{free_port()}/live/x"
    recorded = tmp_path / "seen.mkv"
    with small_disk(tmp_path / "master") as mounted, cluster(tmp_path) as house:
        # Silence is judged by beats: a second and a half, which a busy machine does not make of its own.
        house.configure_master(QUICK.replace("heartbeat_s = 0.2", "heartbeat_s = 0.5"))
        house.start_master()
        house.worker("w1")
        house.enrol("w2")
        with ingest(ffmpeg, url, recorded) as audience:
            push = ("480p30-h264", "--duration", str(PUSH_S), "--queue", "live", "--output-mode", "rtmp")
            job = house.submit(*push, "--output", url)
            wait_until(lambda: frame_of(house, job), dump=house.dump)
            make_room = (fill_disk if mounted else limit_files)(house)
            wait_until(lambda: house.ffrtmp("jobs", "submit", *CLIP).returncode, dump=house.dump)
            began_at = frame_of(house, job)
            # A worker that connects meanwhile is greeted.
            house.start_worker("w2")
            # Twice the fence, and twice the lease; told by the worker, since progress needs no disk.
            wait_until(lambda: frame_of(house, job) > began_at + 6 * FRAMES_PER_S, dump=house.dump)
            assert "read_only" in house.ffrtmp("jobs", "submit", *CLIP, "-o", "json").stderr
            make_room()
            done = house.wait_for(job, "completed", "failed")
            assert (done["state"], done["attempt"], done["losses"]) == ("completed", 1, 0), house.dump()
            assert audience.wait(30) == 0
        # The ingest takes one connection: whatever it has came in one piece.
        assert frames_of(recorded) == PUSH_S * FRAMES_PER_S
        assert "push_fenced" not in house.workers["w1"].text()
        assert house.workers["w1"].text().count("session_opened") == 1
        # Its inventory was asked for again once something could be written.
        wait_until(lambda: house.workers["w2"].text().count("session_opened") >= 2, dump=house.dump)
        after = house.submit(*CLIP)
        assert house.wait_for(after, "completed")["attempt"] == 1
        history(house, job)


def frame_of(house: Cluster, job: str) -> int:
    return int((house.job(job)["progress"] or {}).get("frame") or 0)


# ── a revoked key ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def quick(tmp_path: Path, ffmpeg: str) -> Iterator[Cluster]:
    """Give a master with short times, without workers."""
    with cluster(tmp_path) as running:
        running.configure_master(QUICK)
        running.start_master()
        yield running


def test_worker_whose_key_is_revoked_mid_job_stops_and_publishes_nothing(quick: Cluster) -> None:
    lone = quick
    revoked = lone.worker("w1")
    output = lone.media / "out.mp4"
    job = lone.submit("720p30-h264", "--duration", "4", "--preset", "medium", "--output", str(output))
    wait_until(lambda: encoder_of(lone, job), dump=lone.dump)
    lone.ok("keys", "revoke", "w1")
    wait_until(lambda: not encoder_of(lone, job), dump=lone.dump, patience_s=SOON_S)
    wait_until(lambda: not list(lone.media.iterdir()), dump=lone.dump, patience_s=SOON_S)
    # It was stopped, and did not come to its end by itself.
    (refused,) = [line for line in revoked.text().splitlines() if "refused_by_master" in line]
    assert "stopped=1" in refused
    assert "keys invite w1 --role worker" in refused
    lone.worker("w2")
    done = lone.wait_for(job, "completed", "failed")
    assert (done["state"], done["node_id"], done["attempt"]) == ("completed", "w2", 2)
    history(lone, job)
    video = probe(output).video
    assert video is not None
    assert video.frames == 120
    assert "output_published" not in revoked.text()


def test_worker_whose_key_was_revoked_works_again_the_way_that_its_log_names(quick: Cluster) -> None:
    lone = quick
    revoked = lone.worker("w1")
    lone.ok("keys", "revoke", "w1")
    wait_until(lambda: "way_out" in revoked.text(), dump=lone.dump)
    assert revoked.stop() == 0
    aside = lone.folder / "aside"
    aside.mkdir()
    for name in ("worker.toml", "worker.key"):
        (lone.state("w1") / name).rename(aside / name)
    lone.worker("w1")
    job = lone.submit(*CLIP)
    assert lone.wait_for(job, "completed", "failed")["node_id"] == "w1"


# ── silent connections ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process have as many descriptors as the test needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = SILENT + 512
    if hard != resource.RLIM_INFINITY and hard < needed:
        need(f"{needed} open files, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - counted, not used


def rss_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_worker_joins_and_works_among_thousands_of_silent_connections(lone: Cluster, many_files: None) -> None:
    assert lone.master is not None
    pid = lone.master.pid
    ports = [lone.port("workers"), lone.port("clients")]
    before, rss_before = open_files(pid), rss_bytes(pid)
    silent: list[socket.socket] = []
    try:
        for _ in range(SILENT // SLICE):
            # Slices, so that the kernel's queue of half-accepted connections never overflows.
            taken = open_files(pid)
            silent += [socket.create_connection(("127.0.0.1", ports[number % 2])) for number in range(SLICE)]
            wait_until(lambda least=taken + SLICE // 2: open_files(pid) >= least, dump=lone.dump)  # type: ignore[misc]
        most = open_files(pid) - before
        lone.worker("w1")
        output = lone.media / "out.mp4"
        job = lone.submit(*CLIP, "--output", str(output))
        done_once(lone, job, output, frames=30, attempt=1)
        # Whoever does not greet is shown the door.
        wait_until(lambda: open_files(pid) < before + 100, dump=lone.dump)
    finally:
        for connection in silent:
            connection.close()
    assert most > SILENT // 2
    assert rss_bytes(pid) - rss_before < 256 << 20

"""Partitions of a real network: a cable pulled, packets that vanish one way, an address that changes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import QUICK, Cluster, cluster, wait_until
from tests.e2e.ingest import ingest
from tests.e2e.namespaces import Cable, cable, established
from tests.e2e.relay import Way
from tests.e2e.witness import done_once, encoder_of, frames_of, history, processes_with, stamp
from tests.ports import free_port

pytestmark = pytest.mark.e2e

PATIENT = QUICK.replace("lost_after_s = 3.0", "lost_after_s = 30.0")
CLIP = ("720p30-h264", "--duration", "4", "--preset", "medium")
PUSH = ("480p30-h264", "--duration", "8", "--queue", "live", "--output-mode", "rtmp")
PUSH_FRAMES = 240


@contextmanager
def remote(folder: Path, settings: str) -> Iterator[tuple[Cluster, Cable]]:
    """Give a master and, at the far end of a cable, its worker w1."""
    with cable() as link, cluster(folder) as house:
        house.configure_master(f'{settings}\n[listen]\naddress = "{link.near}"\n')
        house.start_master()
        house.enrol("w1")
        house.start_worker("w1", inside=link.inside)
        yield house, link


def is_offline(house: Cluster) -> bool:
    return bool(house.node("w1")["status"] == "offline")


CUTS: dict[str, Callable[[Cable], None]] = {
    "pulled": Cable.pull,
    "up": lambda link: link.swallow(Way.UP),
    "down": lambda link: link.swallow(Way.DOWN),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_push_beyond_a_partition_ends_before_another_begins(
    tmp_path: Path, ffmpeg: str, cut: Callable[[Cable], None]
) -> None:
    url = f"rtmp://127.0.0.1:{free_port()}/live/x"
    with remote(tmp_path, QUICK) as (house, link):
        house.enrol("w2")
        # Each network has a loopback of its own, so each worker has an audience that the partition does not reach.
        with ingest(ffmpeg, url, tmp_path / "first.mkv", inside=link.inside) as first:
            job = house.submit(*PUSH, "--output", url)
            wait_until(lambda: house.job(job)["phase"] == "encoding", dump=house.dump)
            pushers = [pid for pid in processes_with(url) if pid != first.pid]
            assert pushers
            cut(link)
            wait_until(lambda: not set(pushers) & set(processes_with(url)), dump=house.dump)
            first.wait(30)
        with ingest(ffmpeg, url, tmp_path / "second.mkv") as second:
            house.start_worker("w2")
            done = house.wait_for(job, "completed", "failed")
            assert (done["state"], done["node_id"], done["attempt"]) == ("completed", "w2", 2), house.dump()
            second.wait(30)
        assert house.master is not None
        fenced_at = stamp(house.workers["w1"].text(), "event=push_fenced", f"job={job}")
        given_away_at = stamp(house.master.text(), f"job={job}", "was=processing", "state=queued")
        assert fenced_at is not None
        assert given_away_at is not None
        assert fenced_at < given_away_at
        link.heal()
        wait_until(lambda: not is_offline(house), dump=house.dump)
        assert frames_of(tmp_path / "second.mkv") == PUSH_FRAMES
        after = house.job(job)
        assert (after["state"], after["attempt"], after["losses"]) == ("completed", 2, 1)
        assert not processes_with(url)
        history(house, job)


def test_run_at_the_end_of_a_pulled_cable_is_adopted(tmp_path: Path, ffmpeg: str) -> None:
    with remote(tmp_path, PATIENT) as (house, link):
        output = house.media / "out.mp4"
        job = house.submit(*CLIP, "--output", str(output))
        wait_until(lambda: encoder_of(house, job), dump=house.dump)
        link.pull()
        wait_until(lambda: is_offline(house), dump=house.dump)
        link.heal()
        wait_until(lambda: not is_offline(house), dump=house.dump)
        done_once(house, job, output, frames=120, attempt=1)
        assert house.job(job)["losses"] == 0


def test_link_that_returns_with_another_address_leaves_half_a_connection_and_harms_no_run(
    tmp_path: Path, ffmpeg: str
) -> None:
    with remote(tmp_path, PATIENT) as (house, link):
        port = house.port("workers")
        output = house.media / "out.mp4"
        job = house.submit(*CLIP, "--output", str(output))
        wait_until(lambda: encoder_of(house, job), dump=house.dump)
        before, worker = link.far, house.workers["w1"]
        assert established(port, before) == 1
        opened = worker.text().count("session_opened")
        link.pull()
        link.renumber()
        link.plug()
        wait_until(lambda: worker.text().count("session_opened") > opened, dump=house.dump)
        # The master's half of the old connection knows of nothing.
        assert (established(port, before), established(port, link.far)) == (1, 1)
        done_once(house, job, output, frames=120, attempt=1)
        assert house.job(job)["losses"] == 0
        assert house.node("w1")["address"] == link.far

"""Clusters without sockets for the console to show."""

from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.wire.curve import new_key_pair
from ffrtmpd.wire.messages.jobs import JobSpec, Progress
from ffrtmpd.wire.messages.nodes import Load
from ffrtmpd.wire.messages.session import ProgressReport
from ffrtmpd.wire.vocabulary import FailureClass, Priority, Queue
from tests.master.house import House


def quiet_house() -> House:
    """Return a cluster without jobs and nodes."""
    return House(BrokerSettings(server_public=new_key_pair().public, cluster="prod"))


def busy_house() -> House:
    """Return a cluster with jobs in every state that matters, one of them under way on ``w-07``."""
    house = quiet_house()
    worker = house.worker("w-07", slots=1)
    house.submit(JobSpec(scenario="720p30-h264", queue=Queue.LIVE, priority=Priority.HIGH))
    worker.hear()
    worker.run("job-000001")
    house.wait(1.0)
    house.submit(JobSpec(scenario="1080p30-h264", labels={"show": "a"}))
    worker.hear()
    worker.fail("job-000002", FailureClass.PERMANENT, "no such codec")
    house.submit(JobSpec(scenario="4K60-h264", queue=Queue.LIVE, priority=Priority.HIGH))
    worker.hear()
    worker.start("job-000003")
    for _ in range(3):
        house.submit(JobSpec(scenario="720p30-h264", queue=Queue.BATCH, priority=Priority.LOW))
    house.wait(2.0)
    progress = Progress(percent=45.0, fps=71.0, speed=1.18, eta_s=151.0, bitrate_bps=8.1e6)
    worker.say(ProgressReport(**worker._about("job-000003"), progress=progress))
    load = Load(cpu_load_percent=58.0, ram_free_bytes=31 << 30, power_watts=310.0)
    worker.beat(worker.held("job-000003"), load=load)
    return house

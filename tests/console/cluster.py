"""Clusters without sockets for the console to show."""

from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.wire.curve import new_key_pair
from ffrtmpd.wire.messages.jobs import JobSpec, Progress
from ffrtmpd.wire.messages.measures import Energy, Experience, Quality
from ffrtmpd.wire.messages.nodes import Gpu, GpuLoad, Load
from ffrtmpd.wire.messages.session import Commit, ProgressReport
from ffrtmpd.wire.vocabulary import FailureClass, Priority, Queue
from tests.master.house import House


def quiet_house() -> House:
    """Return a cluster without jobs and nodes."""
    return House(BrokerSettings(server_public=new_key_pair().public, cluster="prod"))


def busy_house() -> House:
    """Return a cluster with jobs in every state that matters, one of them under way on ``w-07``, and ``w-12`` away."""
    house = quiet_house()
    gpu = Gpu(name="NVIDIA L4", memory_bytes=24 << 30, driver="535.183")
    worker = house.worker(
        "w-07",
        slots=1,
        encoders=("h264_nvenc", "libx264", "libx265"),
        scorers=("vmaf",),
        cpu_model="AMD EPYC 7313P",
        cpu_count=32,
        ram_total_bytes=64 << 30,
        gpus=(gpu,),
        ffmpeg_version="7.1",
        program_version="1.0",
    )
    house.worker("w-12", slots=2).lose_connection()
    house.submit(JobSpec(scenario="720p30-h264", queue=Queue.LIVE, priority=Priority.HIGH))
    worker.hear()
    worker.start("job-000001")
    worker.beat_for(31.0, worker.held("job-000001"))
    worker.result(
        "job-000001",
        quality=Quality(vmaf=94.02, vmaf_min=88.1, vmaf_p1=89.7),
        experience=Experience(score=4.4),
        energy=Energy(joules=9_870.0, joules_per_minute=1_974.0, method="rapl+nvml"),
        encode_s=31.0,
        command=("ffmpeg", "-c:v", "libx264", "-b:v", "2500k"),
    )
    assert worker.got(Commit), "no leave to publish"
    worker.committed("job-000001")
    del worker.jobs["job-000001"]
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
    load = Load(
        cpu_load_percent=58.0,
        ram_free_bytes=33 << 30,
        disk_free_bytes=812 * 10**9,
        temperature_celsius=61.0,
        gpus=(
            GpuLoad(
                name="NVIDIA L4",
                usage_percent=80.0,
                encoder_percent=91.0,
                decoder_percent=12.0,
                memory_used_bytes=3 << 30,
                temperature_celsius=71.0,
                power_watts=66.0,
            ),
        ),
        power_watts=310.0,
    )
    worker.beat(worker.held("job-000003"), load=load)
    return house

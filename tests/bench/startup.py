"""What a one-shot command costs beyond a bare interpreter."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ffrtmp_tui import contexts
from tests.bench.measure import Row, in_turns, wall_s
from tests.e2e.cluster import BIN, cluster

ROUNDS = 20
MINIMAL = Path(__file__).with_name("minimal_client.py")


def run(folder: Path) -> Iterator[Row]:
    """Measure ``ffrtmp jobs status`` beside a bare interpreter and beside the least client there can be."""
    with cluster(folder) as house:
        house.start_master()
        job = house.submit("720p30-h264")
        context = contexts.resolve(house.env)
        own = context.key_pair()
        said = " ".join((context.master, context.server_key, own.public, own.secret, job))
        commands = {
            "bare": partial(wall_s, [sys.executable, "-c", "pass"], env=house.env),
            "minimal": partial(wall_s, [sys.executable, str(MINIMAL)], env=house.env, stdin=said),
            "status": partial(wall_s, [str(BIN / "ffrtmp"), "jobs", "status", job], env=house.env),
        }
        takes = [lambda name=name, call=call: {name: call() * 1_000} for name, call in commands.items()]
        found = in_turns(ROUNDS, *takes)
    yield Row(what="python -c pass", unit="ms", values=found["bare"])
    yield Row(what="pyzmq + msgpack, one STATUS, vs python", unit="ms", values=found["minimal"], base=found["bare"])
    yield Row(what="ffrtmp jobs status, vs python", unit="ms", values=found["status"], base=found["bare"])
    yield Row(what="ffrtmp jobs status, vs pyzmq + msgpack", unit="ms", values=found["status"], base=found["minimal"])

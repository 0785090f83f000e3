"""What a one-shot command costs beyond a bare interpreter."""

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from ffrtmp_tui import contexts
from tests.bench.measure import Aim, Of, Row, cost, in_turns
from tests.bench.plan import Plan
from tests.e2e.cluster import BIN, cluster

ROUNDS = 20
MINIMAL = Path(__file__).with_name("minimal_client.py")


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Measure ``ffrtmp jobs status`` beside a bare interpreter and beside the least client there can be."""
    with cluster(folder) as house:
        house.start_master()
        job = house.submit("720p30-h264")
        context = contexts.resolve(house.env)
        own = context.key_pair()
        said = " ".join((context.master, context.server_key, own.public, own.secret, job))
        commands: dict[str, tuple[list[str], str]] = {
            "bare": ([sys.executable, "-c", "pass"], ""),
            "minimal": ([sys.executable, str(MINIMAL)], said),
            "status": ([str(BIN / "ffrtmp"), "jobs", "status", job], ""),
        }

        def take(name: str) -> Mapping[str, float]:
            argv, stdin = commands[name]
            taken = cost(argv, env=house.env, stdin=stdin)
            return {name: taken.wall_s * 1_000, f"{name} cpu": taken.cpu_s * 1_000}

        found = in_turns(plan.rounds(ROUNDS), *(partial(take, name) for name in commands))
    bare, minimal, status = found["bare"], found["minimal"], found["status"]
    yield Row(what="python -c pass", unit="ms", values=bare)
    yield Row(what="pyzmq + msgpack, one STATUS, vs python", unit="ms", values=minimal, base=bare)
    aim = Aim(of=Of.BEYOND, most=60.0)
    yield Row(what="ffrtmp jobs status, vs python", unit="ms", values=status, base=bare, aim=aim)
    yield Row(what="ffrtmp jobs status, vs pyzmq + msgpack", unit="ms", values=status, base=minimal)
    yield Row(what="processor time of it, vs python", unit="ms", values=found["status cpu"], base=found["bare cpu"])

"""What ten thousand, a hundred thousand and a million queued jobs cost a real master: a window, a scrape, its start."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ffrtmp_tui import contexts
from ffrtmp_tui.link import Link, new_id
from ffrtmpd.wire.messages.jobs import JobList, ListJobs
from ffrtmpd.wire.vocabulary import JobState
from tests.bench.claim import filled
from tests.bench.crowd import cpu_s, rss_mib
from tests.bench.measure import Aim, Of, Row, in_turns
from tests.bench.plan import Plan
from tests.bench.scrape import scrape
from tests.e2e.cluster import Cluster, cluster

QUEUED: Final = (10_000, 100_000, 1_000_000)
FEW: Final = (1_000, 10_000)
ROUNDS: Final = 7
ASKS: Final = 50
# A screen of the console.
WINDOW: Final = 45
# Less is welcome.
SAME: Final = Aim(most=1.2)
FIGURES: Final[Mapping[str, tuple[str, str, Aim | None]]] = {
    "newest": ("processor time of a window, newest first", "µs", SAME),
    "queued": ("processor time of a window of the queued", "µs", SAME),
    "scrape": ("a scrape of the metrics", "ms", Aim(of=Of.MEDIAN, most=50.0)),
    "start": ("from its start to the first answer", "s", Aim(of=Of.MEDIAN, most=2.0)),
    "memory": ("memory after its start and these", "MiB", Aim(of=Of.MEDIAN, most=200.0)),
}


def run(folder: Path, plan: Plan) -> Iterator[Row]:
    """Ask masters with queues of different lengths in turns."""
    sizes = FEW if plan.quick else QUEUED
    with ExitStack() as stack:
        found = in_turns(
            plan.rounds(ROUNDS), *(_take(stack.enter_context(cluster(folder / str(size))), size) for size in sizes)
        )
    for name, (text, unit, aim) in FIGURES.items():
        least = found[f"{name} {sizes[0]}"]
        for size in sizes:
            first = size == sizes[0]
            # A ratio to itself says nothing.
            shown = None if first and aim is SAME else aim
            values, base = found[f"{name} {size}"], () if first else least
            yield Row(what=f"{text}, {size:,} queued", unit=unit, values=values, base=base, aim=shown)


def _take(house: Cluster, size: int) -> Callable[[], Mapping[str, float]]:
    filled(house.home / "master.db", size).close()
    house.start_master()

    def take() -> Mapping[str, float]:
        assert house.master is not None
        house.master.stop()
        # It says anew where its metrics are.
        house.master.log.write_text("")
        begun_s = time.monotonic()
        house.start_master()
        context = contexts.resolve(house.env)
        with Link(context.master, context.server_key, context.key_pair()) as link:
            # It listens before it has read what is queued.
            _ask(link, ())
            taken = {"start": time.monotonic() - begun_s}
            taken["newest"] = _window_us(link, house.master.pid, ())
            taken["queued"] = _window_us(link, house.master.pid, (JobState.QUEUED,))
        port = int(house.metrics_url(house.master).rpartition(":")[2])
        taken["scrape"] = scrape(port)[0]
        taken["memory"] = rss_mib(house.master.pid)
        return {f"{name} {size}": value for name, value in taken.items()}

    return take


def _window_us(link: Link, master: int, states: tuple[JobState, ...]) -> float:
    """Return the master's processor time of a window: the first and the one behind it, over and over."""
    cursor = None
    before_s = cpu_s(master)
    for _ in range(ASKS):
        reply = _ask(link, states, cursor)
        cursor = None if cursor is not None else reply.next
    return (cpu_s(master) - before_s) / ASKS * 1e6


def _ask(link: Link, states: tuple[JobState, ...], cursor: str | None = None) -> JobList:
    reply = link.ask(ListJobs(request_id=new_id(), states=states, limit=WINDOW, cursor=cursor), JobList)
    assert len(reply.jobs) == WINDOW
    return reply

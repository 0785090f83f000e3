"""How jobs come, and what is told of them. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.measure import PER_SECOND

# Requests on their way at once. A socket holds a thousand messages for a peer, of which half may be gone already
# without its knowing; what comes beyond is dropped.
WINDOW: Final = 400
LATENCIES: Final = ("p50", "p99")
PROCESSES: Final = ("broker", "worker", "client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How jobs come. ``rate`` None: as fast as they are taken; ``window`` counts requests, ``batch`` jobs in each."""

    name: str
    jobs: int
    batch: int = 1
    window: int = WINDOW
    rate: float | None = None

    @property
    def is_deep(self) -> bool:
        """Whether jobs wait in the queue: how long says nothing of dispatch then."""
        return self.rate is None and self.window > 1

    @property
    def told(self) -> tuple[str, ...]:
        """The figures that say something of it."""
        if self.is_deep:
            return ("end to end", "submits", "meanwhile", *PROCESSES)
        return LATENCIES if self.rate is not None else ("submits", *LATENCIES)


PIPELINED: Final = Load(name="pipelined", jobs=10_000)
BATCHED: Final = Load(name="by 100", jobs=20_000, batch=100, window=20)
STRICT: Final = Load(name="one by one", jobs=1_500, window=1)
PACED: Final = Load(name="100 jobs/s", jobs=500, rate=100.0)
LOADS: Final = (PIPELINED, BATCHED, STRICT, PACED)

# Each figure's name, words and unit.
FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "end to end": ("end to end", PER_SECOND),
    "submits": ("submits answered", PER_SECOND),
    "meanwhile": ("done while submits came", PER_SECOND),
    "p50": ("submit to worker, p50", "ms"),
    "p99": ("submit to worker, p99", "ms"),
    "broker": ("processor time a job, broker", "µs"),
    "worker": ("processor time a job, worker", "µs"),
    "client": ("processor time a job, client", "µs"),
}


def figures(
    load: Load,
    *,
    ended_s: float,
    submitted_s: float,
    meanwhile: int,
    cpu_s: Mapping[str, float],
    took_s: Sequence[float],
) -> dict[str, float]:
    """Return the figures of a load that is done.

    Args:
        load: what came.
        ended_s, submitted_s: from the first submit to the last result on disk, and to the last answered submit.
        meanwhile: jobs done when the last submit was answered.
        cpu_s: processor seconds of each process.
        took_s: from each submit until a worker had the job.
    """
    found = {
        "end to end": load.jobs / ended_s,
        "submits": load.jobs / submitted_s,
        "meanwhile": meanwhile / submitted_s,
        **{name: seconds / load.jobs * 1e6 for name, seconds in cpu_s.items()},
    }
    if not load.is_deep:
        took_ms = sorted(seconds * 1e3 for seconds in took_s)
        found["p50"], found["p99"] = statistics.median(took_ms), took_ms[int(0.99 * (len(took_ms) - 1))]
    return found

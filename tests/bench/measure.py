"""Taking turns with a baseline, and the table of what came out."""

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

PER_SECOND: Final = "/s"
Take = Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    ``base`` are the baseline's values, taken in turns with ``values``: the pairs are what is compared.
    """

    what: str
    unit: str
    values: Sequence[float]
    base: Sequence[float] = ()

    def cells(self) -> tuple[str, ...]:
        """Return the line's texts: median, spread, median ratio and median difference of the pairs."""
        median, least, most = statistics.median(self.values), min(self.values), max(self.values)
        cells = (self.what, str(len(self.values)), f"{_figure(median)} {self.unit}")
        spread = f"{_figure(least)} – {_figure(most)}"
        if not self.base:
            return (*cells, spread, "", "")
        pairs = list(zip(self.values, self.base, strict=True))
        ratio = statistics.median(value / base for value, base in pairs)
        if self.unit == PER_SECOND:
            # A difference of rates tells nothing.
            return (*cells, spread, f"{ratio:.2f}", "")
        beyond = statistics.median(value - base for value, base in pairs)
        return (*cells, spread, f"{ratio:.2f}", f"{'+' if beyond >= 0 else ''}{_figure(beyond)} {self.unit}")


HEADINGS: Final = ("what", "n", "median", "min – max", "ratio", "beyond")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table that reads well in a terminal too."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]

    def text(line: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([text(lines[0]), f"|{rule}|", *map(text, lines[1:])])


def in_turns(rounds: int, *takes: Take) -> dict[str, list[float]]:
    """Call each in turn, round after round, and return all values by name; a first round warms up and is not kept."""
    found: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for take in takes:
            for name, value in take().items():
                if number:
                    found.setdefault(name, []).append(value)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a program took from start to end, in seconds; ``cpu_s`` of it and the children it waited for."""

    wall_s: float
    cpu_s: float


def cost(argv: Sequence[str], *, env: Mapping[str, str], stdin: str = "") -> Cost:
    """Run a program, which must succeed, and return what it took."""
    cpu_before_s, begun_s = _children_cpu_s(), time.perf_counter()
    done = subprocess.run(argv, env=env, input=stdin, capture_output=True, text=True, check=False)
    taken = Cost(wall_s=time.perf_counter() - begun_s, cpu_s=_children_cpu_s() - cpu_before_s)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return taken


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"

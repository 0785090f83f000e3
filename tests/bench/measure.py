"""Taking turns with a baseline, and the table of what came out."""

import math
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PER_SECOND: Final = "/s"
Take = Callable[[], Mapping[str, float]]


class Of(StrEnum):
    """What of a row an aim is for: its median, its ratio to the baseline, or what lies beyond that."""

    MEDIAN = "median"
    RATIO = "ratio"
    BEYOND = "beyond"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a row shall reach: at most ``most``, at least ``least``."""

    of: Of = Of.RATIO
    most: float | None = None
    least: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether ``value`` is within the aim."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    def text(self, unit: str) -> str:
        """Return the aim in a few characters."""
        after = {Of.MEDIAN: f" {unit}", Of.RATIO: " ×", Of.BEYOND: f" {unit} beyond"}[self.of]
        parts = [f"≥ {self.least:g}"] if self.least is not None else []
        parts += [f"≤ {self.most:g}"] if self.most is not None else []
        return ", ".join(parts) + after


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    ``base`` are the baseline's values, taken in turns with ``values``: the pairs are what is compared.
    """

    what: str
    unit: str
    values: Sequence[float]
    base: Sequence[float] = ()
    aim: Aim | None = None

    def figures(self) -> dict[Of, float]:
        """Return the median, and of the pairs the median ratio and the median difference."""
        found = {Of.MEDIAN: statistics.median(self.values)}
        if self.base:
            pairs = list(zip(self.values, self.base, strict=True))
            found[Of.RATIO] = statistics.median(value / base if base else math.inf for value, base in pairs)
            found[Of.BEYOND] = statistics.median(value - base for value, base in pairs)
        return found

    @property
    def is_held(self) -> bool | None:
        """Whether the aim is reached; None where there is none."""
        return None if self.aim is None else self.aim.holds(self.figures()[self.aim.of])

    def cells(self) -> tuple[str, ...]:
        """Return the line's texts."""
        found = self.figures()
        ratio = f"{found[Of.RATIO]:.2f}" if self.base else ""
        # A difference of rates tells nothing.
        beyond = f"{found[Of.BEYOND]:+,.4g} {self.unit}" if self.base and self.unit != PER_SECOND else ""
        return (
            self.what,
            str(len(self.values)),
            f"{_figure(found[Of.MEDIAN])} {self.unit}",
            f"{_figure(min(self.values))} – {_figure(max(self.values))}",
            ratio,
            beyond,
            "" if self.aim is None else self.aim.text(self.unit),
            {None: "", True: "yes", False: "**no**"}[self.is_held],
        )


HEADINGS: Final = ("what", "n", "median", "min – max", "ratio", "beyond", "aim", "held")


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
    # In a session of its own: Linux shares a busy machine out by session, and gives each job of a worker one.
    done = subprocess.run(
        argv, env=env, input=stdin, capture_output=True, text=True, check=False, start_new_session=True
    )
    taken = Cost(wall_s=time.perf_counter() - begun_s, cpu_s=_children_cpu_s() - cpu_before_s)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return taken


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"

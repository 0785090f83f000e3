"""Draws docs/console.svg: the screen of a real console in front of a real cluster on this machine.

    python docs/picture.py [FILE]

It starts a master and two workers in a temporary folder, lets them encode, opens `ffrtmp console` on a pseudo terminal,
and writes what it shows, with its colours.
"""

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.console.pty import Terminal  # noqa: E402 - it is found only now
from tests.e2e.cluster import Cluster, cluster  # noqa: E402

TARGET: Final = Path(__file__).with_name("console.svg")
COLUMNS, ROWS = 160, 40
# Pixels of a cell, of a letter in it, and around all of them.
WIDE, HIGH, SIZE, EDGE = 8.4, 18, 14, 14
GROUND, TEXT = "#14161b", "#d8dce4"
FONT: Final = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
# What pyte names; everything else it gives as RGB.
NAMED: Final = {
    "black": "#000000",
    "red": "#cc5555",
    "green": "#55aa55",
    "brown": "#cdaa55",
    "blue": "#5588cc",
    "magenta": "#aa66aa",
    "cyan": "#55aaaa",
    "white": "#c8ccd4",
}
PATIENCE_S: Final = 120.0


class Look(NamedTuple):
    """How a cell looks."""

    ink: str
    ground: str
    bold: bool


def look_of(cell: Any) -> Look:
    """Return how one of pyte's cells looks."""
    ink, ground = colour(cell.fg, TEXT), colour(cell.bg, GROUND)
    if cell.reverse:
        ink, ground = ground, ink
    return Look(ink, ground, bool(cell.bold))


def colour(name: str, usual: str) -> str:
    """Return pyte's name of a colour as SVG writes it."""
    if name == "default":
        return usual
    return NAMED.get(name.removeprefix("bright"), f"#{name}")


def svg(screen: Any) -> str:
    """Return one of pyte's screens as a picture. Each run of letters is held to its cells, whatever font is there."""
    wide, high = screen.columns * WIDE + 2 * EDGE, screen.lines * HIGH + 2 * EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}">',
        "<title>ffrtmp console</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>',
        f'<g font-family="{FONT}" font-size="{SIZE}" xml:space="preserve">',
    ]
    for at in range(screen.lines):
        parts += _line([screen.buffer[at][column] for column in range(screen.columns)], EDGE + at * HIGH)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _line(cells: Sequence[Any], top: float) -> Iterator[str]:
    column = 0
    for look, run in groupby(cells, look_of):
        text = "".join(cell.data for cell in run)
        x, room = EDGE + column * WIDE, len(text) * WIDE
        column += len(text)
        if look.ground != GROUND:
            yield f'<rect x="{x:g}" y="{top:g}" width="{room:g}" height="{HIGH}" fill="{look.ground}"/>'
        shown = text.strip(" ")
        if shown:
            x += (len(text) - len(text.lstrip(" "))) * WIDE
            weight = ' font-weight="bold"' if look.bold else ""
            yield (
                f'<text x="{x:g}" y="{top + HIGH * 0.75:g}" textLength="{len(shown) * WIDE:g}"'
                f' fill="{look.ink}"{weight}>{escape(shown)}</text>'
            )


def fill(house: Cluster) -> str:
    """Give the cluster something of everything to show; return the job to look at."""
    house.worker("w-01", slots=2)
    house.worker("w-02")
    short = ("480p30-h264", "--preset", "veryfast")
    scored = ("--duration", "4", "--vmaf", "full")
    done = [house.submit(*short, *scored, "--queue", queue) for queue in ("live", "default", "batch")]
    done += [house.submit("720p30-h264", "--preset", "veryfast", *scored, "--priority", "high")]
    house.wait_for(house.submit("1080p30-h264", "--input", "/srv/in/gone.mov"), "failed")
    for job in done:
        house.wait_for(job, "completed", patience_s=PATIENCE_S)
    house.ok("jobs", "cancel", house.submit("720p60-h265", "--not-before", "+1h"))
    for scenario in ("1080p60-h264", "1080p30-hevc", "720p-av1"):
        house.submit(scenario, "--queue", "batch", "--priority", "low", "--not-before", "+30m")
    house.submit("4K60-h264", "--queue", "batch", "--require-gpu")
    paused = house.submit(*short, "--duration", "600")
    house.wait_for(paused, "processing")
    house.ok("jobs", "pause", paused)
    looked_at = house.submit("720p60-h264", "--preset", "ultrafast", "--duration", "240", "--priority", "high")
    house.wait_for(looked_at, "processing")
    house.submit("480p30-h264", "--preset", "ultrafast", "--duration", "900", "--queue", "live")
    return looked_at


def number(job_id: str) -> int:
    """Return the number in a job's id."""
    return int(job_id.removeprefix("job-"))


def main() -> int:
    """Draw it."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder) / "cluster", name="prod") as house:
        house.start_master()
        job = fill(house)
        environ = {name: value for name, value in house.env.items() if name != "NO_COLOR"}
        with Terminal("console", environ={**environ, "COLORTERM": "truecolor"}, size=(COLUMNS, ROWS)) as terminal:
            terminal.shows("ONLINE")
            terminal.shows(job)
            # The newest is on top.
            newest = house.json("jobs", "list", "--limit", "1")["jobs"][0]["job_id"]
            terminal.type("j" * (number(newest) - number(job)))
            terminal.shows(f">{job}")
            terminal.until(lambda: re.search(rf">{job} .* [2-9]\d%", terminal.text()) is not None)
            before = len(terminal.raw)
            # The next screen, whole: a screen is sent at once, and then nothing for half a second.
            terminal.until(lambda: len(terminal.raw) > before)
            while len(terminal.raw) > before:
                before = len(terminal.raw)
                terminal.read(0.2)
            target.write_text(svg(terminal.screen), encoding="utf-8")
            terminal.type("q")
            terminal.ends()
        house.ok("jobs", "cancel", "--filter", "state:processing,paused,assigned", "--yes")
    print(f"wrote {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

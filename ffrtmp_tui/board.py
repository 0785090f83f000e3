"""Jobs as they move: one line each, redrawn on a terminal, plain lines elsewhere."""

from collections.abc import Iterable
from typing import Final

from ffrtmp_tui.job_view import figures, percent
from ffrtmp_tui.terminal import Terminal, clean
from ffrtmpd.wire.messages.jobs import JobView
from ffrtmpd.wire.vocabulary import JobState, Phase

# With it, a line with all its figures takes the 79 cells that a terminal of 80 has for it.
BAR: Final = 20
# A plain line for every step of this size, so that the log of a night's run stays readable.
STEP_PERCENT: Final = 10.0


def bar(done: float | None) -> str:
    """Return ``[#####.........]`` for a share in percent."""
    filled = 0 if done is None else round(min(100.0, max(0.0, done)) / 100 * BAR)
    return "[" + "#" * filled + "." * (BAR - filled) + "]"


def line(job: JobView, *, title: str | None = None) -> str:
    """Return a job in one line; ``title`` stands for the job id."""
    done = percent(job)
    share = "    -" if done is None else f"{done:5.1f}%"
    detail = figures(job) if job.state == JobState.PROCESSING else clean(job.reason or "")
    node = f"on {job.node_id}" if job.node_id else ""
    end = "  ".join(part for part in (detail, node) if part)
    # Its figures are those of the encode, so what comes after it is said by its name.
    doing = job.state if job.phase in (None, Phase.ENCODING) or job.state != JobState.PROCESSING else job.phase
    return f"{title or job.job_id}  {doing:<10}  {bar(done)} {share:>6}  {end}".rstrip()


class Board:
    """Shows jobs on the error stream.

    Args:
        terminal: where.
        titles: what to call a job instead of its id.
    """

    def __init__(self, terminal: Terminal, titles: dict[str, str] | None = None) -> None:
        self._terminal = terminal
        self._titles = titles or {}
        self._jobs: dict[str, JobView] = {}
        self._said: dict[str, tuple[str, float]] = {}
        self._drawn = 0

    def update(self, jobs: Iterable[JobView]) -> None:
        """Show that jobs have changed."""
        changed = list(jobs)
        self._jobs.update((job.job_id, job) for job in changed)
        if self._terminal.err_shows:
            self._redraw()
            return
        for job in changed:
            self._say(job)

    def close(self) -> None:
        """Leave what is shown standing and go on below it."""
        self._terminal.err.flush()
        self._drawn = 0

    def _say(self, job: JobView) -> None:
        state, said_percent = self._said.get(job.job_id, ("", -STEP_PERCENT))
        done = percent(job) or 0.0
        now = f"{job.state} {job.phase}"
        if now == state and done < said_percent + STEP_PERCENT:
            return
        self._said[job.job_id] = (now, done)
        self._terminal.say(line(job, title=self._titles.get(job.job_id)))

    def _redraw(self) -> None:
        columns, height = self._terminal.size()
        lines = [line(job, title=self._titles.get(job.job_id))[: columns - 1] for job in self._jobs.values()]
        if len(lines) > height - 2:
            lines = [_summary(self._jobs.values())]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        # Lines left over from a longer picture are wiped too.
        wipe = "\x1b[J"
        self._terminal.err.write(up + "".join(f"\r\x1b[K{text}\n" for text in lines) + wipe)
        self._terminal.err.flush()
        self._drawn = len(lines)


def _summary(jobs: Iterable[JobView]) -> str:
    counts: dict[str, int] = {}
    for job in jobs:
        counts[str(job.state)] = counts.get(str(job.state), 0) + 1
    return "  ".join(f"{count} {state}" for state, count in sorted(counts.items()))

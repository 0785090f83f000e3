"""A worker's disk, which outlives its process, and the folder of outputs that all workers share."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from ffrtmp_worker.events import AttemptId, Event, Published, Sealed
from ffrtmp_worker.spool import Entry, Fate
from tests.simulator.clockwork import Clockwork
from tests.simulator.referee import Output, Referee

DEED_S: Final = 0.3
SLOW_DEED_S: Final = 8.0
SLOW_SHARE: Final = 0.05
ERROR_SHARE: Final = 0.02
# Between a deed and the bell that tells of it.
BELL_S: Final = 0.05

Deed = Callable[[], Event | None]


class Outputs:
    """The folder of outputs, as a media store is mounted by all nodes. Paths to what lies there."""

    def __init__(self) -> None:
        self.files: dict[str, Output] = {}
        self._inodes = 0

    def write(self, path: str, attempt: AttemptId) -> None:
        """Begin a file anew."""
        self._inodes += 1
        self.files[path] = Output(attempt, self._inodes)

    def inode(self, path: str | None) -> int | None:
        """Return the number of a file, None if there is none."""
        found = self.files.get(path or "")
        return None if found is None else found.inode


class Disk:
    """Spool and notes of one worker, and the helper that does one deed after the other.

    Args:
        fails: a deed may fail.
        still: tells whether the process stands still.
        deed: does what it is given, or dies of it.
        tell: takes what became of a deed.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clockwork,
        random: Random,
        outputs: Outputs,
        referee: Referee,
        fails: bool,
        still: Callable[[], bool],
        deed: Callable[[Deed], Event | None],
        tell: Callable[[Event], None],
    ) -> None:
        self._name = name
        self._clock, self._random, self._outputs, self._referee = clock, random, outputs, referee
        self._may_fail = fails
        self._still, self._deed, self._tell = still, deed, tell
        self.spool: dict[AttemptId, Entry] = {}
        self._notes: set[str] = set()
        self._errands: deque[Deed] = deque()
        self._working = False
        self._life = 0

    @property
    def busy(self) -> bool:
        """Whether there is anything to do, or anything kept that nobody has answered."""
        return bool(self._errands or self.spool)

    # ── lives ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def recall(self) -> list[tuple[Entry, Fate]]:
        """Return what the life before has left unanswered, and clear away what it had only begun."""
        entries = [(entry, self._fate(entry)) for entry in self.spool.values()]
        kept = {entry.partial for entry, _ in entries}
        for path in self._notes - kept:
            self._outputs.files.pop(path, None)
        self._notes &= kept
        return entries

    def _fate(self, entry: Entry) -> Fate:
        if entry.partial is None or self._outputs.inode(entry.partial) == entry.inode:
            return Fate.WHOLE
        return Fate.PUBLISHED if self._outputs.inode(entry.final) == entry.inode else Fate.GONE

    def wipe(self) -> None:
        """Remove what was not published, and forget all results."""
        for path in self._notes:
            self._outputs.files.pop(path, None)
        self._notes.clear()
        self.spool.clear()

    def drop_errands(self) -> None:
        """The process has ended: what was not done yet is not done."""
        self._errands.clear()
        self._working = False
        self._life += 1

    def finish(self) -> None:
        """Do everything now, as a process does that ends by itself."""
        while self._errands:
            self._errands.popleft()()

    # ── errands ───────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, do: Deed) -> None:
        """Do that, after everything that was asked for before."""
        self._errands.append(do)
        self._begin()

    def _begin(self) -> None:
        if self._errands and not self._working:
            self._working = True
            slow = self._random.random() < SLOW_SHARE
            self._clock.after(self._random.random() * (SLOW_DEED_S if slow else DEED_S), self._worked, self._life)

    def _worked(self, life: int) -> None:
        if life == self._life:
            self._working = False
            if not self._still():
                self.go_on()

    def go_on(self) -> None:
        """Do what it has worked on for long enough."""
        if self._errands and not self._working:
            event = self._deed(self._errands.popleft())
            if event is not None:
                # A kill may come between the deed and the word.
                self._clock.after(self._random.random() * BELL_S, self._ring, self._life, event)
            self._begin()

    def _ring(self, life: int, event: Event) -> None:
        if life == self._life:
            self._tell(event)

    def _fails(self) -> bool:
        return self._may_fail and self._random.random() < ERROR_SHARE

    # ── deeds ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, partial: str, attempt: AttemptId) -> None:
        """Begin an output, and note it first."""
        self._notes.add(partial)
        self._outputs.write(partial, attempt)

    def seal(self, entry: Entry) -> Event:
        """Bring an output and its result to the disk."""
        if self._fails() or (entry.partial is not None and entry.partial not in self._outputs.files):
            return Sealed(attempt=entry.attempt, error="No space left on device")
        self.spool[entry.attempt] = replace(entry, inode=self._outputs.inode(entry.partial))
        return Sealed(attempt=entry.attempt)

    def publish(self, entry: Entry) -> Event:
        """Give an output its final name."""
        partial, final, files = entry.partial or "", entry.final or "", self._outputs.files
        if partial in files:
            if self._fails():
                return Published(attempt=entry.attempt, error="Input/output error")
            files[final] = files.pop(partial)
            self._referee.published(self._name, files[final].attempt)
        elif final not in files:
            return Published(attempt=entry.attempt, error="No such file or directory")
        self._notes.discard(partial)
        return Published(attempt=entry.attempt)

    def forget(self, attempt: AttemptId) -> None:
        """Drop a result that was answered."""
        self.spool.pop(attempt, None)

    def remove(self, path: str) -> None:
        """Delete a file."""
        self._outputs.files.pop(path, None)
        self._notes.discard(path)

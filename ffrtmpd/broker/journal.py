"""What changed when: revisions of jobs, so that clients can wait for news instead of asking again and again."""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from ffrtmpd.events import Peer
from ffrtmpd.wire.messages.jobs import Changes
from ffrtmpd.wire.messages.overview import Events
from ffrtmpd.wire.vocabulary import Role

# A client that fell behind further than this reads its list anew.
REMEMBERED: Final = 20_000
# Each epoch has revisions of its own, so that a number from before a restart is recognised.
EPOCH_SHIFT: Final = 40


@dataclass(frozen=True, slots=True)
class Waiter:
    """A client that waits for changes."""

    peer: Peer
    user_id: str
    role: Role
    request: Changes
    seqs: frozenset[int]
    until_s: float


@dataclass(frozen=True, slots=True)
class Watcher:
    """A client that waits, until ``until_s``, for something to happen after event ``since``."""

    peer: Peer
    user_id: str
    role: Role
    request: Events
    since: int
    until_s: float


class Journal:
    """The order in which jobs last changed."""

    def __init__(self, epoch: int) -> None:
        self._floor = self._revision = epoch << EPOCH_SHIFT
        self._last: OrderedDict[int, int] = OrderedDict()
        # What changed since somebody last asked, in order: to number all of it together takes less.
        self._touched: list[int] = []
        self._fresh: set[int] = set()

    def touch(self, seq: int) -> None:
        """Record that a job changed now."""
        self._touched.append(seq)

    @property
    def revision(self) -> int:
        """The number of the last change."""
        self._number()
        return self._revision

    def of(self, seq: int) -> int:
        """Return the revision of a job's last change, 0 if it is not remembered."""
        self._number()
        return self._last.get(seq, 0)

    def knows(self, since: int) -> bool:
        """Tell whether everything after ``since`` is remembered."""
        self._number()
        return self._floor <= since <= self._revision

    def after(self, since: int, only: frozenset[int], limit: int) -> list[int]:
        """Return jobs changed after ``since``, oldest change first; ``only`` empty means all."""
        self._number()
        if only:
            found = [(revision, seq) for seq in only if (revision := self._last.get(seq, 0)) > since]
            return [seq for _, seq in sorted(found)[:limit]]
        return self._newest(since)[::-1][:limit]

    def refresh(self, since: int) -> None:
        """Count everything after ``since`` as changed just now: whoever was told of it was not told."""
        self._number()
        self._fresh.update(self._newest(since))

    def take_fresh(self) -> set[int]:
        """Return what changed since the last call."""
        self._number()
        fresh, self._fresh = self._fresh, set()
        return fresh

    def _newest(self, since: int) -> list[int]:
        """Return jobs changed after ``since``, newest change first."""
        return list(takewhile(lambda seq: self._last[seq] > since, reversed(self._last)))

    def _number(self) -> None:
        if not self._touched:
            return
        touched, self._touched = self._touched, []
        self._fresh.update(touched)
        last = self._last
        for number, seq in enumerate(touched, self._revision + 1):
            last[seq] = number
            last.move_to_end(seq)
        self._revision += len(touched)
        while len(last) > REMEMBERED:
            _, self._floor = last.popitem(last=False)

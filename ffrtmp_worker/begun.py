"""Which attempts were begun here: the same assignment may come twice, and late. Pure."""

from collections import OrderedDict
from typing import Final

from ffrtmp_worker.events import AttemptId
from ffrtmpd.wire.messages.session import About

# Jobs whose highest attempt is remembered, and tokens; the duplicates they guard against are seconds old.
REMEMBERED: Final = 4_096


class Begun:
    """The attempts that were begun, or must not begin any more, in one life of the worker."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[tuple[AttemptId, bytes], None] = OrderedDict()
        self._highest: OrderedDict[str, int] = OrderedDict()
        self._life = b""

    def remember(self, about: About) -> None:
        """Take note of an attempt that must not begin any more, nor one before it."""
        self._tokens[(about.job_id, about.attempt), about.token] = None
        self._highest[about.job_id] = max(about.attempt, self._highest.get(about.job_id, 0))
        self._highest.move_to_end(about.job_id)
        if len(self._highest) > REMEMBERED:
            self._highest.popitem(last=False)
        if len(self._tokens) > REMEMBERED:
            self._tokens.popitem(last=False)

    def answered(self, attempt: AttemptId, token: bytes) -> None:
        """Take note of an attempt of an earlier life, whose result is told still."""
        self._tokens[attempt, token] = None

    def knows(self, about: About) -> bool:
        """Tell whether this very attempt is remembered."""
        return ((about.job_id, about.attempt), about.token) in self._tokens

    def is_outdated(self, about: About) -> bool:
        """Tell whether a later attempt at the job is remembered."""
        return about.attempt < self._highest.get(about.job_id, 0)

    def serve(self, life: bytes) -> None:
        """Take note of the master's life.

        One that was restored from a backup gives numbers again that this worker has seen, with other tokens.
        """
        if life != self._life:
            self._life = life
            self._highest.clear()

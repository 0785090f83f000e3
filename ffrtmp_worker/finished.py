"""A finished attempt: its result is kept, told, and told again until the master has answered. Pure.

An encoded output is brought to the disk before the master hears of it, and gets its final name only after COMMIT.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Final

from ffrtmp_worker.events import Action, AttemptId, Forget, Note, Publish, Remove, Seal, Send
from ffrtmp_worker.spool import Entry, Fate
from ffrtmpd.wire.messages.session import Committed, Held, Result
from ffrtmpd.wire.vocabulary import Engine, FailureClass, Outcome

RESEND_EVERY_S: Final = 2.0
REASON_CHARACTERS: Final = 1_024


class Stage(StrEnum):
    """Where a result stands."""

    SEALING = "sealing"
    ANSWERING = "answering"
    PUBLISHING = "publishing"
    COMMITTED = "committed"
    OVER = "over"


class Finished:
    """The result of one attempt and what became of it."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.id: AttemptId = entry.attempt
        self.token = entry.result.token
        self._unwanted: Outcome | None = None
        self._silent = False
        self._kept = False
        self._resend_at = 0.0
        self.stage = Stage.SEALING

    @classmethod
    def recovered(cls, entry: Entry, fate: Fate) -> "Finished":
        """Return what an earlier life of the worker left in its spool."""
        if fate is Fate.GONE:
            reason = "the output was lost while the worker was away"
            entry = replace(entry, result=_failed(entry.result, reason), partial=None)
        found = cls(entry)
        found._kept = True
        found.stage = Stage.COMMITTED if fate is Fate.PUBLISHED else Stage.ANSWERING
        return found

    @property
    def result(self) -> Result:
        """What the master was told."""
        return self._entry.result

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return self._entry.result.outcome

    @property
    def is_writing(self) -> bool:
        """Whether the disk is still busy with it."""
        return self.stage in (Stage.SEALING, Stage.PUBLISHING)

    def held(self) -> Held:
        """Return its line of the inventory."""
        job_id, attempt = self.id
        return Held(job_id=job_id, attempt=attempt, token=self.token, started=True)

    def begin(self, now_s: float) -> list[Action]:
        """Bring the result to the disk.

        A canceled one is not worth it, for the master ordered it, nor one of the engine null, which made nothing:
        should this worker die, the job is run again.
        """
        result = self._entry.result
        if result.outcome is Outcome.CANCELED or result.report.engine is Engine.NULL:
            return self._answer(now_s)
        self._kept = True
        return [Seal(self._entry)]

    def sealed(self, error: str | None, now_s: float) -> list[Action]:
        """Tell the master, now that the result outlives the worker."""
        if self.stage is not Stage.SEALING:
            return []
        if self._silent:
            return self._drop()
        if self._unwanted is not None:
            return self._cancel(now_s)
        if error is None:
            return self._answer(now_s)
        note = self._note("error", "result_not_sealed", reason=error)
        if self.outcome is not Outcome.ENCODED:
            return [note, *self._answer(now_s)]
        # Not sealed again: the disk that refused the output would refuse this too.
        removed = self._remove()
        self._fail(f"the output cannot be brought to the disk: {error}")
        return [note, *removed, *self._answer(now_s)]

    def commit(self, now_s: float) -> list[Action]:
        """Publish, as the master allows."""
        if self.outcome is not Outcome.ENCODED or self.stage is Stage.OVER:
            return [self._note("warning", "commit_ignored", outcome=self.outcome)]
        if self.stage is Stage.COMMITTED or (self.stage is Stage.ANSWERING and self._entry.partial is None):
            self.stage = Stage.COMMITTED
            return self.resend(now_s)
        if self.stage is not Stage.ANSWERING:
            return []
        self.stage = Stage.PUBLISHING
        return [Publish(self._entry)]

    def published(self, error: str | None, now_s: float) -> list[Action]:
        """Tell the master that the output stands."""
        if self.stage is not Stage.PUBLISHING:
            return []
        if error is None:
            self.stage = Stage.COMMITTED
            return [self._note("info", "output_published", output=self._entry.final), *self.resend(now_s)]
        removed = self._remove()
        self._fail(f"the output cannot be published: {error}")
        self.stage = Stage.SEALING
        return [self._note("error", "output_not_published", reason=error), *removed, Seal(self._entry)]

    def verdict(self, *, stale: bool) -> list[Action]:
        """Forget it: the master has it on disk, or nobody cares any more."""
        if self.stage is Stage.SEALING:
            # Nothing was told yet, so only an older message can have been answered.
            self._silent = stale
            return []
        # While it is being published, COMMITTED is still to come and will be answered in its turn.
        return self._drop() if self.stage in (Stage.ANSWERING, Stage.COMMITTED) else []

    def revoked(self) -> list[Action]:
        """Drop it, since nobody takes it from this key any more; what a COMMIT has released stays.

        That output has its final name or will have it, and this is the only word of it. The master gives such a job to
        nobody else, and hears of it when the node has a new key.
        """
        return [] if self.stage is Stage.COMMITTED else self.verdict(stale=True)

    def kill(self, now_s: float) -> list[Action]:
        """Remove the output and say so; what a COMMIT has released stays."""
        if self.stage is Stage.SEALING:
            self._unwanted = Outcome.CANCELED
            return []
        if self.stage is Stage.ANSWERING:
            return self._cancel(now_s)
        if self.stage is Stage.PUBLISHING:
            return [self._note("warning", "kill_ignored", why="the output is being published")]
        self.stage = Stage.OVER
        return [Forget(self.id), Send(_canceled(self._entry.result))]

    def resend(self, now_s: float) -> list[Action]:
        """Tell the master again."""
        self._resend_at = now_s + RESEND_EVERY_S
        if self.stage is Stage.ANSWERING:
            return [Send(self._entry.result)]
        if self.stage is Stage.COMMITTED:
            return [Send(self._committed())]
        return []

    def tick(self, now_s: float) -> list[Action]:
        """Repeat what the master has not answered, when it is time."""
        wakeup = self.wakeup()
        return [] if wakeup is None or now_s < wakeup else self.resend(now_s)

    def wakeup(self) -> float | None:
        """Return when ``tick`` has something to do next."""
        return self._resend_at if self.stage in (Stage.ANSWERING, Stage.COMMITTED) else None

    def _answer(self, now_s: float) -> list[Action]:
        self.stage = Stage.ANSWERING
        return self.resend(now_s)

    def _cancel(self, now_s: float) -> list[Action]:
        removed = self._remove()
        self._entry = replace(self._entry, result=_canceled(self._entry.result), partial=None)
        return [Forget(self.id), *removed, *self._answer(now_s)]

    def _drop(self) -> list[Action]:
        removed = self._remove() if self.stage is not Stage.COMMITTED else []
        self.stage = Stage.OVER
        return [Forget(self.id), *removed] if self._kept else removed

    def _remove(self) -> list[Action]:
        return [] if self._entry.partial is None else [Remove(self._entry.partial)]

    def _fail(self, reason: str) -> None:
        self._entry = replace(self._entry, result=_failed(self._entry.result, reason), partial=None)

    def _committed(self) -> Committed:
        job_id, attempt = self.id
        return Committed(job_id=job_id, attempt=attempt, token=self.token, output=self._entry.final or "-")

    def _note(self, level: str, event: str, **fields: object) -> Note:
        job_id, attempt = self.id
        return Note(level, event, {"job": job_id, "attempt": attempt, **fields})


def _failed(result: Result, reason: str) -> Result:
    return replace(
        result, outcome=Outcome.FAILED, failure_class=FailureClass.TRANSIENT, reason=reason[:REASON_CHARACTERS]
    )


def _canceled(result: Result) -> Result:
    return replace(result, outcome=Outcome.CANCELED, failure_class=None, reason=None)

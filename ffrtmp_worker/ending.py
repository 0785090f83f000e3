"""How an attempt ends: what is let go, what the log says of it, and what the master shall hear. Pure."""

from dataclasses import dataclass, replace
from typing import Final

from ffrtmp_worker.events import Action, Note, Remove
from ffrtmp_worker.recipe import AttemptFailed, Recipe
from ffrtmp_worker.spool import Entry
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.session import About, Assign, Result
from ffrtmpd.wire.vocabulary import FailureClass, Outcome

REASON_CHARACTERS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ends once its processes are gone. ``outcome`` None: nobody is told."""

    outcome: Outcome | None
    failure_class: FailureClass | None = None
    reason: str | None = None


ENCODED: Final = Ending(Outcome.ENCODED)


def failed(failure: AttemptFailed) -> Ending:
    """Return the ending that a failure is."""
    return Ending(Outcome.FAILED, failure.failure_class, failure.reason)


def leave(assign: Assign, recipe: Recipe, ending: Ending) -> list[Action]:
    """Let go of what the attempt held, and of an output that nobody will publish."""
    recipe.close()
    fields = {"job": assign.job_id, "attempt": assign.attempt, "outcome": ending.outcome, "reason": ending.reason}
    note = Note("info", "attempt_ended", fields)
    partial = recipe.partial
    return [note] if partial is None or ending.outcome is Outcome.ENCODED else [note, Remove(partial)]


def report_of(recipe: Recipe, ending: Ending, told: Report | None = None) -> Report:
    """Return what an attempt did; ``told`` is what its steps have told, nothing if it had none."""
    media, quality, provenance = recipe.media, recipe.quality, recipe.provenance
    encoded = ending.outcome is Outcome.ENCODED
    if told is None:
        engine = recipe.engine if encoded else None
        return Report(engine=engine, media=media, quality=quality, provenance=provenance)
    return replace(
        told,
        # Where nothing encodes, no step has told it.
        engine=recipe.engine if encoded else told.engine,
        media=media,
        quality=quality,
        provenance=provenance,
        # The log of a success is asked for by nobody; it stays on the node for those who do.
        log_tail=None if encoded else told.log_tail,
    )


def entry_of(assign: Assign, recipe: Recipe, ending: Ending, report: Report) -> Entry | None:
    """Return what is kept until the master has answered, None where nobody is told."""
    if ending.outcome is None:
        return None
    result = Result(
        job_id=assign.job_id,
        attempt=assign.attempt,
        token=assign.token,
        outcome=ending.outcome,
        report=report,
        failure_class=ending.failure_class,
        reason=None if ending.reason is None else ending.reason[:REASON_CHARACTERS],
    )
    partial = recipe.partial if ending.outcome is Outcome.ENCODED else None
    return Entry(result=result, partial=partial, final=recipe.output)


def canceled(about: About) -> Result:
    """Return the result of an attempt that is not here, or not any more, and shall not be."""
    return Result(
        job_id=about.job_id, attempt=about.attempt, token=about.token, outcome=Outcome.CANCELED, report=Report()
    )


def refused(about: About, reason: str) -> Result:
    """Return the result of an attempt that cannot be made here; another node may."""
    return Result(
        job_id=about.job_id,
        attempt=about.attempt,
        token=about.token,
        outcome=Outcome.FAILED,
        report=Report(),
        failure_class=FailureClass.TRANSIENT,
        reason=reason,
    )

"""Jobs of the engine null: nothing is run, and nothing of the result is kept on this node."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ffrtmp_worker.events import Forget, Note, Seal, Spawn
from ffrtmp_worker.null import NullRecipe
from ffrtmp_worker.places import Places
from ffrtmp_worker.recipe import AttemptFailed, Recipe
from ffrtmp_worker.sources import SourceCache
from ffrtmp_worker.steps import Workshop
from ffrtmpd.wire.messages.session import Assign, Result, Started
from ffrtmpd.wire.vocabulary import Engine, Outcome
from tests.worker.bench import Bench, assign, messages, sent, some, verdict
from tests.worker.test_steps import TOOLS

NULL = replace(assign(), engine=Engine.NULL, output=None)


@dataclass
class Nothing(Bench):
    def _recipe(self, assignment: Assign) -> Recipe:  # type: ignore[override]  # noqa: ARG002
        return NullRecipe()


def test_null_is_answered_at_once_and_forgotten_at_the_verdict() -> None:
    bench = Nothing().online()
    came = bench.say(NULL)
    assert (some(came, Spawn), some(came, Seal), messages(came, Started)) == ([], [], [])
    (result,) = messages(came, Result)
    assert (result.outcome, result.report.engine, result.report.encoder) == (Outcome.ENCODED, Engine.NULL, None)
    after = bench.say(verdict())
    assert (sent(after), some(after, Forget)) == ([], [])


def test_what_runs_nothing_has_one_line_in_the_log() -> None:
    bench = Nothing().online()
    (note,) = some(bench.say(NULL), Note)
    assert (note.event, note.fields["outcome"]) == ("attempt_ended", Outcome.ENCODED)


def test_more_nulls_than_slots_may_wait_for_their_answers() -> None:
    bench = Nothing(slots=1).online()
    told = [result for number in range(3) for result in messages(bench.say(replace(NULL, job_id=f"j{number}")), Result)]
    assert [result.outcome for result in told] == [Outcome.ENCODED] * 3


def test_null_that_comes_twice_is_not_run_again() -> None:
    bench = Nothing().online()
    bench.say(NULL)
    assert bench.say(NULL) == []
    bench.say(verdict())
    (result,) = messages(bench.say(NULL), Result)
    assert result.outcome is Outcome.CANCELED


def test_null_result_is_repeated_until_it_is_answered() -> None:
    bench = Nothing().online()
    bench.say(NULL)
    assert len(messages(bench.beat(bench.now + 5), Result)) == 2


@pytest.mark.parametrize("offered", [True, False])
def test_null_runs_only_where_the_settings_offer_it(tmp_path: Path, offered: bool) -> None:
    shop = Workshop(
        tools=TOOLS,
        encoders=("libx264",),
        places=Places(input_roots=(), output_roots=(tmp_path,)),
        sources=SourceCache(tmp_path / "sources", 1 << 20),
        render_node=None,
        environment={},
        null=offered,
    )
    recipe = shop.recipe(NULL)
    if offered:
        assert recipe.advance(None) is None
    else:
        with pytest.raises(AttemptFailed, match="does not offer the engine null"):
            recipe.advance(None)

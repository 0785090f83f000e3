"""An input that one engine turns out not to read: another one takes over where the job leaves the choice."""

from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmp_worker.recipe import AttemptFailed, Recipe, StepEnd, StepName
from ffrtmp_worker.steps import Workshop
from ffrtmpd.wire.vocabulary import Engine, FailureClass, OutputMode
from tests.worker.bench import assign
from tests.worker.test_gstreamer import ENGINE
from tests.worker.test_steps import GOOD, SOURCE, workshop

LOG = "[error] decoder: no suitable plugins found: Missing decoder: application/x-gst-av-nut\n"
UNREADABLE = StepEnd(exit_code=65, stdout=b"", log_tail=LOG)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    (tmp_path / "in.mov").write_bytes(b"x")
    return replace(workshop(tmp_path), more_engines=(replace(ENGINE, encoders=("x264enc",)),))


def pushed(shop: Workshop, **order: object) -> Recipe:
    """Return an attempt at a push whose encode by GStreamer runs."""
    whole = {"output_mode": OutputMode.RTMP, "output": "rtmp://host/live/key", **order}
    recipe = shop.recipe(replace(assign(), input="in.mov", **whole))  # type: ignore[arg-type]
    recipe.advance(None)
    recipe.advance(replace(GOOD, stdout=SOURCE))
    assert recipe.engine is Engine.GSTREAMER
    recipe.begun(0.0, 0.0)
    return recipe


def test_other_engine_takes_over_in_the_same_attempt(shop: Workshop) -> None:
    recipe = pushed(shop)
    step = recipe.advance(UNREADABLE)
    assert step is not None
    assert (step.name, step.argv[-1]) == (StepName.ENCODE, "rtmp://host/live/key")
    assert (recipe.engine, recipe.encoder) == (Engine.FFMPEG, "libx264")
    assert (recipe.fallback or "").startswith("gstreamer does not read the input: decoder: no suitable plugins found")
    # What is lost now is connected again by the engine that reads it.
    assert "libx264" in recipe.again().argv


@pytest.mark.parametrize("order", [{"engine": Engine.GSTREAMER}, {"encoder": "x264enc"}])
def test_engine_that_was_asked_for_is_not_replaced(shop: Workshop, order: dict[str, object]) -> None:
    recipe = pushed(shop, **order)
    with pytest.raises(AttemptFailed, match="no suitable plugins found") as caught:
        recipe.advance(UNREADABLE)
    assert caught.value.failure_class is FailureClass.PERMANENT
    assert recipe.fallback is None


def test_input_that_was_read_and_broke_off_is_no_matter_of_the_engine(shop: Workshop) -> None:
    recipe = pushed(shop)
    recipe.read(b"frame=50\nout_time_us=2000000\nprogress=continue\n", 2.0, 0.0)
    with pytest.raises(AttemptFailed, match="no suitable plugins found"):
        recipe.advance(UNREADABLE)


def test_rest_that_it_cannot_play_from_there_is_pushed_by_the_other(shop: Workshop) -> None:
    recipe = pushed(shop)
    recipe.read(b"frame=50\nout_time_us=2000000\nprogress=continue\n", 2.0, 0.0)
    # Its connection was lost.
    assert "x264enc" in recipe.again().argv[-1]
    recipe.begun(3.0, 0.0)
    step = recipe.advance(UNREADABLE)
    assert step is not None
    assert step.argv[step.argv.index("-ss") + 1] == "2.000000"


def test_node_whose_other_engine_cannot_do_it_says_why_the_first_could_not(shop: Workshop) -> None:
    recipe = pushed(replace(shop, encoders=()))
    with pytest.raises(AttemptFailed, match="no suitable plugins found"):
        recipe.advance(UNREADABLE)
    assert recipe.fallback is None

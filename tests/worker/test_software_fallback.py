"""Hardware encoders without room: software takes over where the job leaves the choice, else the node is busy."""

from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmp_worker.encoder_sessions import EncoderSessions
from ffrtmp_worker.events import Note, Seal
from ffrtmp_worker.recipe import AttemptFailed, Recipe, Step, StepEnd, StepName
from ffrtmp_worker.steps import Workshop
from ffrtmpd.wire.messages.session import Started
from ffrtmpd.wire.vocabulary import FailureClass, OutputMode
from tests.worker.attempts import BUILDS, node
from tests.worker.bench import Bench, assign, messages, only, some
from tests.worker.test_steps import GOOD, OUTPUT, SOURCE, workshop

TAKEN = "[h264_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: out of memory (10): (no details)\n"
BUSY = StepEnd(exit_code=1, stdout=b"", log_tail=TAKEN)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    (tmp_path / "in.mov").write_bytes(b"x")
    return replace(workshop(tmp_path), encoders=("h264_nvenc", "libx264"))


def planned(shop: Workshop, **order: object) -> tuple[Recipe, Step]:
    """Return an attempt whose encode is about to run."""
    recipe = shop.recipe(replace(assign(), input="in.mov", **order))  # type: ignore[arg-type]
    recipe.advance(None)
    step = recipe.advance(replace(GOOD, stdout=SOURCE))
    assert step is not None
    assert step.name is StepName.ENCODE
    return recipe, step


def finish(recipe: Recipe) -> None:
    check = recipe.advance(GOOD)
    assert check is not None
    assert check.name is StepName.CHECK
    recipe.advance(replace(GOOD, stdout=OUTPUT))


def test_software_takes_over_in_the_same_attempt(shop: Workshop) -> None:
    recipe, step = planned(shop)
    assert (recipe.encoder, recipe.fallback) == ("h264_nvenc", None)
    again = recipe.advance(BUSY)
    assert again is not None
    assert (again.name, again.argv[-1]) == (StepName.ENCODE, step.argv[-1])
    assert "libx264" in again.argv
    assert "h264_nvenc" not in again.argv
    assert recipe.encoder == "libx264"
    assert "OpenEncodeSessionEx" in (recipe.fallback or "")
    finish(recipe)


@pytest.mark.parametrize("order", [{"require_gpu": True}, {"encoder": "h264_nvenc"}])
def test_job_that_needs_the_hardware_finds_the_node_busy(shop: Workshop, order: dict[str, object]) -> None:
    recipe, _ = planned(shop, **order)
    with pytest.raises(AttemptFailed, match="OpenEncodeSessionEx") as caught:
        recipe.advance(BUSY)
    assert caught.value.failure_class is FailureClass.BUSY


def test_node_without_software_is_busy(shop: Workshop) -> None:
    recipe, _ = planned(replace(shop, encoders=("h264_nvenc",)))
    with pytest.raises(AttemptFailed, match="in software: no encoder for h264") as caught:
        recipe.advance(BUSY)
    assert caught.value.failure_class is FailureClass.BUSY


def test_software_that_fails_alike_is_no_reason_to_go_round(shop: Workshop) -> None:
    recipe, _ = planned(shop)
    recipe.advance(BUSY)
    with pytest.raises(AttemptFailed):
        recipe.advance(BUSY)


def test_push_goes_on_in_software_where_it_was(shop: Workshop) -> None:
    order = {"output_mode": OutputMode.RTMP, "output": "rtmp://host/live/key", "duration_s": 10.0}
    recipe, step = planned(shop, **order)
    assert "-ss" not in step.argv
    recipe.begun(0.0, 0.0)
    recipe.read(b"frame=120\nout_time_us=4000000\nprogress=continue\n", 4.0, 0.0)
    # Its connection was lost, and meanwhile others took the session.
    assert "h264_nvenc" in recipe.again().argv
    recipe.begun(5.0, 0.0)
    again = recipe.advance(BUSY)
    assert again is not None
    assert "libx264" in again.argv
    assert again.argv[again.argv.index("-ss") + 1] == "4.000000"
    assert again.argv[again.argv.index("-t") + 1] == "6.000000"


# ── counted sessions ──────────────────────────────────────────────────────────────────────────────────────────────


def test_no_more_hardware_encodes_run_than_there_are_sessions(shop: Workshop) -> None:
    shop = replace(shop, sessions=EncoderSessions(1))
    first, _ = planned(shop)
    second, step = planned(shop)
    assert (first.encoder, second.encoder) == ("h264_nvenc", "libx264")
    assert "libx264" in step.argv
    assert second.fallback == "all 1 encoder sessions of this node are taken"
    with pytest.raises(AttemptFailed, match="all 1 encoder sessions") as caught:
        planned(shop, require_gpu=True)
    assert caught.value.failure_class is FailureClass.BUSY
    # The encoder has ended: its checks need no session.
    finish(first)
    third, _ = planned(shop, require_gpu=True)
    assert third.encoder == "h264_nvenc"
    for recipe in (first, second, third):
        recipe.close()
        recipe.close()
    assert shop.sessions.taken == 0


def test_session_that_was_not_given_is_not_kept(shop: Workshop) -> None:
    shop = replace(shop, sessions=EncoderSessions(1))
    recipe, _ = planned(shop)
    recipe.advance(BUSY)
    assert shop.sessions.taken == 0
    recipe.close()
    assert shop.sessions.taken == 0


def test_software_needs_no_session(shop: Workshop) -> None:
    shop = replace(shop, sessions=EncoderSessions(1), encoders=("libx264",))
    recipes = [planned(shop)[0] for _ in range(3)]
    assert {recipe.encoder for recipe in recipes} == {"libx264"}
    assert shop.sessions.taken == 0


# ── the attempt ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_master_is_told_of_the_other_encoder_and_why() -> None:
    bench = Bench(steps=(StepName.ENCODE, StepName.ENCODE, StepName.CHECK)).online()
    first = bench.say(assign())
    (recipe,) = bench.recipes
    recipe.chosen, recipe.fallback = "libx265", "no session"
    actions = bench.exit(bench.child(first), 187)
    (started,) = messages(actions, Started)
    assert started.encoder == "libx265"
    note = only(actions, Note)
    assert (note.event, note.fields["reason"]) == ("other_encoder", "no session")
    actions = bench.exit(bench.child(bench.exit(bench.child(actions))))
    report = only(actions, Seal).entry.result.report
    assert (report.encoder, report.fallback, report.exit_code) == ("libx265", "no session", 0)


def test_same_encoder_again_is_told_once() -> None:
    bench = Bench(steps=(StepName.ENCODE, StepName.ENCODE)).online()
    actions = bench.exit(bench.child(bench.say(assign())))
    assert (messages(actions, Started), some(actions, Note)) == ([], [])


@pytest.mark.parametrize("build", BUILDS)
def test_real_encode_in_software_after_a_busy_answer(build: str, tmp_path: Path) -> None:
    """The encoder of a GPU that is full is played by a script; all else, and the whole second encode, is real."""
    real = BUILDS[build]()
    script = tmp_path / "ffmpeg"
    script.write_text(
        "#!/bin/sh\n"
        'case " $* " in *" h264_nvenc "*) echo "[h264_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: '
        'out of memory (10): (no details)" >&2; exit 187;; esac\n'
        f'exec {real.ffmpeg} "$@"\n'
    )
    script.chmod(0o755)
    with node(tmp_path, replace(real, ffmpeg=str(script))) as here:
        here.shop = replace(here.shop, encoders=("h264_nvenc", "libx264"))
        ran = here.attempt(encoder=None, duration_s=1.0)
        assert ran.media is not None, ran.failure
        assert ran.media.video is not None
        assert (ran.media.video.codec, ran.media.video.frames) == ("h264", 25)
        busy = here.attempt(encoder=None, require_gpu=True, duration_s=1.0)
        assert busy.told[0] == FailureClass.BUSY

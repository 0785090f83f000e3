import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from ffrtmp_worker.appraisal import PACKAGE, SHA256, Appraisal, Means, parse_quality, parse_sums
from ffrtmp_worker.known import Sums
from ffrtmp_worker.process import ToolRun, run_tool
from ffrtmp_worker.recipe import AttemptFailed, Step, StepEnd, StepName
from ffrtmp_worker.scorer import Scorer, parse_job
from ffrtmpd.wire.messages.jobs import MediaInfo
from ffrtmpd.wire.messages.measures import Quality
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import FailureClass, OutputMode, VmafMode
from tests.worker import media

SCORER = Scorer("/opt/ffmpeg", "9.0", ("vmaf", "psnr", "ssim"))
MEANS = Means(python="/usr/bin/python3", environment={"PATH": "/bin", "PYTHONPATH": "/lib"}, scorer=SCORER, threads=2)
SOURCE = media.found()
OUTPUT = media.found(codec="h264")
ASKED = replace(media.assign(fps=None), vmaf=VmafMode.FULL)

Begin = Callable[..., Appraisal]


def appraisal(order: Assign = ASKED, means: Means = MEANS, *, source: str = "file:/in/a.mkv") -> Appraisal:
    made = Appraisal(order, means)
    made.expect(media.task(order, source=source, media=SOURCE), SOURCE)
    return made


def going(step: Step | None) -> Step:
    assert step is not None
    return step


def ended(quality: Quality | bytes = b"", code: int = 0, log: str = "") -> StepEnd:
    said = quality if isinstance(quality, bytes) else json.dumps(dataclasses.asdict(quality)).encode()
    return StepEnd(exit_code=code, stdout=said, log_tail=log, seconds=3.0, cpu_s=5.0)


def test_output_is_scored_as_the_job_was_encoded_and_then_hashed() -> None:
    made = appraisal(replace(ASKED, duration_s=0.5, psnr=True))
    step = going(made.first(OUTPUT))
    assert (step.name, step.argv[:4]) == (StepName.SCORE, ("/usr/bin/python3", "-P", "-m", "ffrtmp_worker.scorer"))
    assert step.env["PYTHONPATH"] == f"{PACKAGE}:/lib"
    scorer, wanted = parse_job(step.argv[4])
    assert scorer == SCORER
    assert (wanted.reference, wanted.limit_s, wanted.rate, wanted.encoded) == (
        "file:/in/a.mkv",
        0.5,
        Fraction(30),
        True,
    )
    assert (wanted.timed, wanted.sound) == (True, True)
    assert (wanted.vmaf, wanted.psnr, wanted.ssim, wanted.subsample, wanted.threads) == (True, True, False, 1, 2)
    step = going(made.after(StepName.SCORE, ended(Quality(vmaf=90.0, frames=15))))
    assert made.quality == Quality(vmaf=90.0, frames=15, seconds=3.0, cpu_s=5.0)
    assert step.name is StepName.HASH
    argv = ("/usr/bin/python3", "-P", str(SHA256), wanted.distorted.removeprefix("file:"), "/in/a.mkv")
    assert step.argv == argv
    assert made.after(StepName.HASH, ended(b"b" * 64 + b"  /out\n" + b"a" * 64 + b"  /in\n")) is None
    told = made.provenance(77)
    assert told is not None
    assert (told.input_sha256, told.output_sha256, told.output_bytes) == ("a" * 64, "b" * 64, 77)


def test_sample_compares_every_fifth_frame() -> None:
    step = going(appraisal(replace(ASKED, vmaf=VmafMode.SAMPLE)).first(OUTPUT))
    assert parse_job(step.argv[4])[1].subsample == 5


def test_job_that_asks_for_nothing_is_hashed_alone_and_without_hashes_not_even_that() -> None:
    plain = media.assign(fps=None)
    assert going(appraisal(plain).first(OUTPUT)).name is StepName.HASH
    assert appraisal(plain, replace(MEANS, hashes=False)).first(OUTPUT) is None


def test_output_below_the_floor_fails_for_good_and_keeps_its_scores() -> None:
    made = appraisal(replace(ASKED, vmaf_floor=95.0))
    made.first(OUTPUT)
    with pytest.raises(AttemptFailed, match=r"VMAF 94\.900 is below the floor of 95") as caught:
        made.after(StepName.SCORE, ended(Quality(vmaf=94.9)))
    assert caught.value.failure_class is FailureClass.PERMANENT
    assert made.quality is not None
    assert made.quality.vmaf == 94.9


def test_output_at_the_floor_is_good_enough() -> None:
    made = appraisal(replace(ASKED, vmaf_floor=95.0))
    made.first(OUTPUT)
    assert going(made.after(StepName.SCORE, ended(Quality(vmaf=95.0)))).name is StepName.HASH


def test_floor_alone_asks_for_vmaf() -> None:
    step = going(appraisal(replace(media.assign(fps=None), vmaf_floor=50.0)).first(OUTPUT))
    assert parse_job(step.argv[4])[1].vmaf


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (ended(b"", 1, "one\nffmpeg ended with 234: no such model\n"), "no such model"),
        (ended(b"", -9), "exit code -9"),
        (ended(b"{}"), "scoring failed"),
        (ended(b"\xff["), "scoring failed"),
    ],
)
def test_scoring_that_fails_costs_the_score_and_not_the_output(end: StepEnd, says: str) -> None:
    made = appraisal()
    made.first(OUTPUT)
    assert going(made.after(StepName.SCORE, end)).name is StepName.HASH
    assert made.quality is not None
    assert made.quality.vmaf is None
    assert says in (made.quality.note or "")


def test_floor_that_could_not_be_checked_may_be_checked_elsewhere() -> None:
    made = appraisal(replace(ASKED, vmaf_floor=50.0))
    made.first(OUTPUT)
    with pytest.raises(AttemptFailed, match="floor cannot be checked") as caught:
        made.after(StepName.SCORE, ended(b"", 1, "boom"))
    assert caught.value.failure_class is FailureClass.TRANSIENT


def test_floor_on_files_that_cannot_be_compared_fails_for_good() -> None:
    made = appraisal(replace(ASKED, vmaf_floor=50.0))
    made.first(OUTPUT)
    with pytest.raises(AttemptFailed, match="91 frames") as caught:
        made.after(
            StepName.SCORE, ended(Quality(note="the source has 90 frames at this rate and the output 91 frames"))
        )
    assert caught.value.failure_class is FailureClass.PERMANENT


BARE = replace(MEANS, scorer=None)
OTHERS = replace(MEANS, scorer=replace(SCORER, measures=("psnr", "ssim")))


@pytest.mark.parametrize(
    ("order", "means", "source", "says", "failure"),
    [
        (ASKED, BARE, "file:/in/a.mkv", "does not measure vmaf", FailureClass.TRANSIENT),
        (ASKED, OTHERS, "file:/in/a.mkv", "does not measure vmaf", FailureClass.TRANSIENT),
        (replace(ASKED, psnr=True), BARE, "file:/in/a.mkv", "does not measure vmaf, psnr", FailureClass.TRANSIENT),
        (ASKED, MEANS, "https://host/a.mp4", "the source is a URL", FailureClass.PERMANENT),
        (
            replace(media.assign(fps=25.0), vmaf=VmafMode.FULL),
            MEANS,
            "file:/in/a.mkv",
            "30.000 frames per second and the output 25.000",
            FailureClass.PERMANENT,
        ),
    ],
)
def test_what_cannot_be_scored_is_known_before_the_encode(
    order: Assign, means: Means, source: str, says: str, failure: FailureClass
) -> None:
    made = appraisal(order, means, source=source)
    assert made.quality is not None
    assert says in (made.quality.note or "")
    assert going(made.first(OUTPUT)).name is StepName.HASH
    with pytest.raises(AttemptFailed, match="floor cannot be checked") as caught:
        appraisal(replace(order, vmaf_floor=50.0), means, source=source)
    assert caught.value.failure_class is failure


def test_psnr_alone_needs_no_libvmaf() -> None:
    step = going(appraisal(replace(media.assign(fps=None), psnr=True), OTHERS).first(OUTPUT))
    assert step.name is StepName.SCORE


def test_source_without_a_rate_is_not_scored() -> None:
    made = Appraisal(ASKED, MEANS)
    blind = media.found(fps=None, frames=None)
    made.expect(media.task(ASKED, media=blind), blind)
    assert made.quality is not None
    assert "does not tell its frame rate" in (made.quality.note or "")


def test_output_of_gstreamers_is_not_scored_where_it_has_other_frames() -> None:
    order = replace(ASKED, encoder="x264enc")
    assert SOURCE.video is not None
    late = replace(SOURCE, video=replace(SOURCE.video, start_s=0.023))

    def note(order: Assign, source: MediaInfo, encoder: str) -> str | None:
        made = Appraisal(order, MEANS)
        made.expect(media.task(order, media=source, encoders=(encoder,)), source)
        return None if made.quality is None else made.quality.note

    cut = replace(order, duration_s=0.5)
    assert (
        note(cut, late, "x264enc") == "the picture begins later than the sound, and GStreamer does not tell what it cut"
    )
    assert note(order, late, "x264enc") is None
    assert note(cut, SOURCE, "x264enc") is None
    assert note(replace(cut, encoder="libx264"), late, "libx264") is None
    still = replace(SOURCE, video=replace(SOURCE.video, fps=20.0, moving_fps=30.0))
    assert "stands still" in (note(order, still, "x264enc") or "")
    assert note(replace(order, encoder="libx264"), still, "libx264") is None


def test_push_is_neither_scored_nor_hashed() -> None:
    order = replace(media.assign(mode=OutputMode.RTMP), vmaf=VmafMode.FULL)
    made = Appraisal(order, BARE)
    made.expect(media.task(order, destination="rtmp://host/live/key", media=SOURCE), SOURCE)
    assert made.quality is None


def test_bytes_of_the_source_are_those_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(b"x" * 123)
    told = appraisal(source=f"file:{tmp_path}/a.mkv").provenance(None)
    assert told is not None
    assert (told.input_bytes, told.output_bytes, told.input_sha256) == (123, None, None)
    assert Appraisal(ASKED, MEANS).provenance(5) is None
    gone = appraisal(source=f"file:{tmp_path}/gone.mkv").provenance(5)
    assert gone is not None
    assert gone.input_bytes is None


def test_source_that_was_hashed_before_is_hashed_once(tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    source.write_bytes(b"x")
    changed_s = source.stat().st_ctime
    means = replace(MEANS, sums=Sums(lambda: changed_s + 60.0))
    lines = b"b" * 64 + b"  /out\n", b"a" * 64 + b"  /in\n"
    hashed, told = [], []
    for said in (lines[0] + lines[1], lines[0]):
        made = appraisal(media.assign(fps=None), means, source=f"file:{source}")
        hashed.append(going(made.first(OUTPUT)).argv[4:])
        made.after(StepName.HASH, ended(said))
        told.append(made.provenance(5))
    assert hashed == [(str(source),), ()]
    assert told[0] == told[1]
    assert told[0] is not None
    assert (told[0].input_sha256, told[0].output_sha256) == ("a" * 64, "b" * 64)


def hashed(*files: Path) -> ToolRun:
    return run_tool((sys.executable, "-P", str(SHA256), *map(str, files)), timeout_s=60)


def test_sums_are_those_of_the_files_whatever_their_names(tmp_path: Path) -> None:
    out, source = tmp_path / "o.mp4", tmp_path / "a\\ \n--b.mkv"
    out.write_bytes(b"made" * 100_000)
    source.write_bytes(b"given")
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (out, source)]
    both = hashed(out, source)
    assert (both.exit_code, parse_sums(both.stdout)) == (0, (sums[1], sums[0]))
    assert parse_sums(hashed(out).stdout) == (None, sums[0])
    assert parse_sums(b"nonsense\n") == (None, None)


def test_file_that_cannot_be_read_has_no_sum_and_the_log_says_why(tmp_path: Path) -> None:
    failed = hashed(tmp_path / "gone.mp4")
    assert (failed.exit_code, failed.stdout) == (1, b"")
    assert b"gone.mp4: No such file" in failed.stderr


def test_url_is_not_hashed() -> None:
    step = going(appraisal(media.assign(fps=None), source="https://host/a.mp4").first(OUTPUT))
    assert len(step.argv) == 4


def test_only_a_report_of_the_scorer_is_a_quality() -> None:
    assert parse_quality(b"[]") is None
    assert parse_quality(json.dumps(dataclasses.asdict(Quality(vmaf=1.0))).encode()) == Quality(vmaf=1.0)

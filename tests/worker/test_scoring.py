"""Scores of real clips by real programs."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.places import Places
from ffrtmp_worker.process import Child, ToolRun, marked, run_tool
from ffrtmp_worker.quality import Comparison, NotComparable, ScoringFailed
from ffrtmp_worker.recipe import AttemptFailed, Recipe, Step, StepEnd, StepName
from ffrtmp_worker.scorer import Scorer, job_text, parse_job, score
from ffrtmp_worker.scorers import find_scorer
from ffrtmp_worker.sources import SourceCache
from ffrtmp_worker.steps import Workshop
from ffrtmpd.wire.messages.measures import Quality
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import Codec, FailureClass, VmafMode
from tests.e2e.cluster import wait_until
from tests.e2e.witness import processes_with
from tests.needs import libvmaf
from tests.worker import media

PICTURE = "testsrc2=size=320x180:rate={rate},noise=alls=8:allf=t"
MANDELBROT = "mandelbrot=size=320x180:rate={rate},noise=alls=3:allf=t"
LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", "-pix_fmt", "yuv420p")

Clip = Callable[..., Path]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return libvmaf()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clips")

    @cache
    def make(name: str, graph: str, *options: str, rate: str = "30", seconds: float = 1.0) -> Path:
        path = folder / name
        lavfi = ("-f", "lavfi", "-i", graph.format(rate=rate))
        media.succeed((media.tools().ffmpeg, "-v", "error", "-y", *lavfi, "-t", f"{seconds}", *options, str(path)))
        return path

    return make


@pytest.fixture(scope="module")
def source(clip: Clip) -> Path:
    return clip("source.mkv", PICTURE, *LOSSLESS)


def encoded(source: Path, target: Path, bitrate: str, *options: str) -> Path:
    video = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", bitrate, "-maxrate", bitrate, "-bufsize", bitrate)
    media.succeed((media.tools().ffmpeg, "-v", "error", "-y", "-i", str(source), *options, *video, str(target)))
    return target


def compared(reference: Path, distorted: Path) -> Comparison:
    return Comparison(reference=f"file:{reference}", distorted=f"file:{distorted}", rate=Fraction(30), threads=2)


def witness(scorer: Scorer, reference: Path, distorted: Path, log: Path) -> dict[str, dict[str, float]]:
    """Return what libvmaf itself writes, called as plainly as can be: frames paired by number, no filter of ours."""
    graph = f"[0:v]settb=1/30,setpts=N[d];[1:v]settb=1/30,setpts=N[r];[d][r]libvmaf=log_fmt=json:log_path={log}"
    media.succeed(
        (scorer.ffmpeg, "-v", "error", "-i", str(distorted), "-i", str(reference), "-lavfi", graph, "-f", "null", "-")
    )
    pooled: dict[str, dict[str, float]] = json.loads(log.read_bytes())["pooled_metrics"]
    return pooled


@pytest.mark.parametrize("picture", [PICTURE, MANDELBROT])
@pytest.mark.parametrize("bitrate", ["150k", "900k"])
def test_scores_agree_with_libvmafs_own(scorer: Scorer, clip: Clip, tmp_path: Path, picture: str, bitrate: str) -> None:
    original = clip(f"{picture[:4]}.mkv", picture, *LOSSLESS)
    output = encoded(original, tmp_path / "out.mp4", bitrate)
    own = witness(scorer, original, output, tmp_path / "log.json")["vmaf"]
    quality = score(scorer, compared(original, output))
    assert quality.vmaf == pytest.approx(own["mean"], abs=0.001)
    assert quality.vmaf_harmonic_mean == pytest.approx(own["harmonic_mean"], abs=0.001)
    assert quality.vmaf_min == pytest.approx(own["min"], abs=0.001)
    assert quality.frames == 30
    assert quality.model == "vmaf_v0.6.1"


def test_more_bits_score_higher_and_the_same_twice(scorer: Scorer, source: Path, tmp_path: Path) -> None:
    poor = compared(source, encoded(source, tmp_path / "poor.mp4", "100k"))
    good = compared(source, encoded(source, tmp_path / "good.mp4", "1M"))
    poor, good = replace(poor, psnr=True, ssim=True), replace(good, psnr=True, ssim=True)
    first, second = score(scorer, poor), score(scorer, good)
    for name in ("vmaf", "vmaf_harmonic_mean", "vmaf_p1", "psnr_db", "ssim"):
        assert getattr(first, name) < getattr(second, name), name
    assert score(scorer, replace(poor, threads=1)) == first


def test_file_against_itself_is_perfect(scorer: Scorer, source: Path) -> None:
    quality = score(scorer, replace(compared(source, source), psnr=True, ssim=True))
    assert quality.vmaf is not None
    assert quality.vmaf > 95
    assert (quality.psnr_db, quality.ssim) == (None, 1.0)
    assert "same luma" in (quality.note or "")


def test_psnr_and_ssim_are_the_same_with_every_ffmpeg(scorer: Scorer, source: Path, tmp_path: Path) -> None:
    output = encoded(source, tmp_path / "out.mp4", "200k")
    wanted = replace(compared(source, output), vmaf=False, psnr=True, ssim=True)
    other = Scorer(media.tools().ffmpeg, "other", ("psnr", "ssim"))
    one, two = score(scorer, wanted), score(other, wanted)
    assert one.psnr_db is not None
    assert one.psnr_db == pytest.approx(two.psnr_db)
    assert one.ssim == pytest.approx(two.ssim)
    assert 20 < one.psnr_db < 50


@pytest.mark.parametrize("seconds", [0.8, 1.2])
def test_lengths_that_differ_are_refused(scorer: Scorer, clip: Clip, source: Path, seconds: float) -> None:
    other = clip(f"{seconds}.mkv", PICTURE, *LOSSLESS, seconds=seconds)
    with pytest.raises(NotComparable, match=f"has 30 frames at this rate and the output {round(seconds * 30)}"):
        score(scorer, compared(source, other))


def test_file_that_is_no_video_fails(scorer: Scorer, source: Path, tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"noise" * 1_000)
    with pytest.raises(ScoringFailed, match="no picture"):
        score(scorer, compared(source, noise))


def test_unknown_model_fails_with_ffmpegs_word(scorer: Scorer, source: Path) -> None:
    with pytest.raises(ScoringFailed, match="ffmpeg ended with"):
        score(scorer, replace(compared(source, source), model="vmaf_v9"))


def test_job_of_the_program_survives_its_text(scorer: Scorer, source: Path) -> None:
    wanted = replace(compared(source, source), rate=Fraction(30_000, 1_001), limit_s=1.5, loop=True)
    assert parse_job(job_text(scorer, wanted)) == (scorer, wanted)


def test_program_that_is_stopped_takes_its_ffmpeg_along(scorer: Scorer, clip: Clip, tmp_path: Path) -> None:
    long = clip("long.mkv", "testsrc2=size=1280x720:rate={rate}", *LOSSLESS, seconds=4.0)
    argv = (sys.executable, "-P", "-m", "ffrtmp_worker.scorer", job_text(scorer, compared(long, long)))
    env = {**environment(os.environ), "PYTHONPATH": str(Path(__file__).parents[2])}
    child = Child(argv, env=env, cwd=str(tmp_path))

    def scoring() -> list[int]:
        return sorted(set(marked(child.mark)) & set(processes_with("libvmaf")))

    try:
        (ffmpeg,) = wait_until(scoring, dump=lambda: str(child.read(child.stderr)))
        child.pause()
        stopped = Path(f"/proc/{ffmpeg}/stat")
        wait_until(lambda: stopped.read_text().rpartition(") ")[2].startswith("T"), dump=stopped.read_text)
        child.terminate()
        assert wait_until(child.reap, dump=lambda: "it does not end").exit_code == -15
        wait_until(lambda: not list(marked(child.mark)), dump=lambda: "left running")
    finally:
        child.close()
    assert list(tmp_path.iterdir()) == []


# ── through the steps of a job ────────────────────────────────────────────────────────────────────────────────────


def recipe(scorer: Scorer, folder: Path, order: Assign) -> Recipe:
    return Workshop(
        tools=media.tools(),
        encoders=media.proven(),
        places=Places(input_roots=(folder,), output_roots=(folder / "out",)),
        sources=SourceCache(folder / "sources", 1 << 30),
        render_node=None,
        environment=environment(os.environ),
        scorer=scorer,
        scoring_threads=2,
    ).recipe(order)


def done(made: Recipe) -> Quality:
    """Run all steps; return the scores."""
    step: Step | None = made.advance(None)
    while step is not None:
        ran = media.run(step.argv) if step.name is not StepName.SCORE else scored(step)
        step = made.advance(
            StepEnd(exit_code=ran.exit_code, stdout=ran.stdout, log_tail=ran.stderr.decode(), seconds=1.0)
        )
    made.close()
    assert made.quality is not None
    return made.quality


def scored(step: Step) -> ToolRun:
    return run_tool(step.argv, timeout_s=60, env=step.env)


def order(source: Path | None, **changes: object) -> Assign:
    asked = replace(media.assign(width=320, height=180, fps=None), vmaf=VmafMode.FULL, output="out.mp4")
    bitrate = replace(asked.encode, bitrate_bps=1_500_000, preset="ultrafast")
    base = replace(asked, encode=bitrate, input=None if source is None else str(source))
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv"])
def test_every_container_is_aligned_to_the_frame(scorer: Scorer, source: Path, suffix: str) -> None:
    quality = done(recipe(scorer, source.parent, order(source, output=f"out{suffix}")))
    assert quality.frames == 30
    assert quality.vmaf_min is not None
    # A pair that is one frame off scores far below.
    assert quality.vmaf_min > 80


def test_smaller_output_is_scored_at_the_size_of_its_source(scorer: Scorer, clip: Clip, tmp_path: Path) -> None:
    source = clip("720p.mkv", "testsrc2=size=1280x720:rate={rate},noise=alls=8:allf=t", *LOSSLESS, seconds=0.3)
    asked = order(source)
    small = replace(asked, encode=replace(asked.encode, width=854, height=480, bitrate_bps=4_000_000))
    made = recipe(scorer, source.parent, small)
    quality = done(made)
    assert made.partial is not None
    graph = (
        "[0:v]settb=1/30,setpts=N,scale=1280:720:flags=bicubic[d];[1:v]settb=1/30,setpts=N[r];"
        f"[d][r]libvmaf=log_fmt=json:log_path={tmp_path}/log.json"
    )
    inputs = ("-i", made.partial, "-i", str(source))
    media.succeed((scorer.ffmpeg, "-v", "error", *inputs, "-lavfi", graph, "-f", "null", "-"))
    own = json.loads((tmp_path / "log.json").read_bytes())["pooled_metrics"]["vmaf"]
    assert quality.frames == 9
    assert quality.vmaf == pytest.approx(own["mean"], abs=0.001)


def test_cut_job_is_scored_on_what_it_kept(scorer: Scorer, source: Path) -> None:
    quality = done(recipe(scorer, source.parent, order(source, duration_s=0.7)))
    assert quality.frames == 21
    assert quality.vmaf_min is not None
    assert quality.vmaf_min > 80


def test_generated_source_that_is_played_again_is_scored_through_the_seam(scorer: Scorer, tmp_path: Path) -> None:
    asked = order(None, duration_s=31.0, vmaf=VmafMode.SAMPLE)
    tiny = replace(asked, encode=replace(asked.encode, width=128, height=72, fps=10.0, bitrate_bps=400_000))
    quality = done(recipe(scorer, tmp_path, tiny))
    assert (quality.frames, quality.subsample) == (62, 5)
    assert quality.vmaf_min is not None
    assert quality.vmaf_min > 80


def test_source_of_ten_bits_is_compared_in_ten(scorer: Scorer, clip: Clip) -> None:
    if "libx265" not in media.proven():
        pytest.skip("no encoder of ten bits")
    deep = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:qp=4", "-pix_fmt")
    source = clip("deep.mkv", PICTURE, *deep, "yuv420p10le")
    made = recipe(scorer, source.parent, order(source))
    quality = done(made)
    assert quality.vmaf_min is not None
    assert quality.vmaf_min > 80


def test_bars_around_another_shape_are_not_scored(scorer: Scorer, clip: Clip) -> None:
    source = clip("narrow.mkv", "testsrc2=size=240x180:rate={rate},noise=alls=8:allf=t", *LOSSLESS)
    barred, plain = order(source), order(source)
    plain = replace(plain, encode=replace(plain.encode, width=240))
    one, other = done(recipe(scorer, source.parent, barred)), done(recipe(scorer, source.parent, plain))
    assert one.vmaf == pytest.approx(other.vmaf, abs=3.0)


def test_another_rate_is_not_scored_and_says_so(scorer: Scorer, source: Path) -> None:
    asked = order(source)
    quality = done(recipe(scorer, source.parent, replace(asked, encode=replace(asked.encode, fps=25.0))))
    assert quality.vmaf is None
    assert re.search(r"30\.000 frames per second and the output 25\.000", quality.note or "")


def test_sound_alone_is_no_job(scorer: Scorer, clip: Clip) -> None:
    sound = clip("sound.mkv", "sine=frequency=440", "-c:a", "flac")
    with pytest.raises(AttemptFailed, match="no video"):
        done(recipe(scorer, sound.parent, order(sound)))


def test_floor_too_high_fails_and_floor_in_reach_passes(scorer: Scorer, source: Path) -> None:
    made = recipe(scorer, source.parent, order(source, vmaf_floor=99.9))
    with pytest.raises(AttemptFailed, match=r"VMAF 9\d\.\d{3} is below the floor of 99\.9") as caught:
        done(made)
    assert caught.value.failure_class is FailureClass.PERMANENT
    assert made.quality is not None
    assert made.quality.vmaf is not None
    # The encoder's rate control follows the timing of its threads, the comparison does not.
    again = done(recipe(scorer, source.parent, order(source, vmaf_floor=50.0)))
    assert again.vmaf == pytest.approx(made.quality.vmaf, abs=0.5)


def test_hashes_are_those_of_the_files(scorer: Scorer, source: Path, tmp_path: Path) -> None:
    named = tmp_path / "back\\slash.mkv"
    named.write_bytes(source.read_bytes())
    made = recipe(scorer, tmp_path, order(named, vmaf=VmafMode.OFF, ssim=True))
    quality = done(made)
    assert (quality.vmaf, quality.model) == (None, None)
    assert quality.ssim is not None
    told = made.provenance
    assert told is not None
    assert made.partial is not None
    assert told.input_sha256 == hashlib.sha256(named.read_bytes()).hexdigest()
    assert told.output_sha256 == hashlib.sha256(Path(made.partial).read_bytes()).hexdigest()
    assert (told.input_bytes, told.output_bytes) == (named.stat().st_size, Path(made.partial).stat().st_size)


# ── what scores here ──────────────────────────────────────────────────────────────────────────────────────────────


def test_build_without_libvmaf_still_measures_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    libvmaf()
    monkeypatch.setattr("ffrtmp_worker.scorers._VMAF_GRAPH", "[0:v]split[a][b];[a][b]nosuchfilter")
    found = find_scorer(media.tools())
    assert found is not None
    assert (found.measures, found.ffmpeg) == (("psnr", "ssim"), media.tools().ffmpeg)


def test_program_that_scores_nothing_is_no_scorer(tmp_path: Path) -> None:
    mute = tmp_path / "ffmpeg"
    mute.write_text('#!/bin/sh\necho "ffmpeg version 1.0 Copyright"\n')
    mute.chmod(0o755)
    assert find_scorer(media.tools(), str(mute)) is None


def test_codec_does_not_matter(scorer: Scorer, source: Path) -> None:
    if "libx265" not in media.proven():
        pytest.skip("libx265 does not work here")
    asked = order(source)
    quality = done(recipe(scorer, source.parent, replace(asked, encode=replace(asked.encode, codec=Codec.H265))))
    assert quality.frames == 30

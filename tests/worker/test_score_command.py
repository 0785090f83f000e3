import json
import os
from pathlib import Path

import pytest

from ffrtmp_worker.main import main
from tests.needs import libvmaf
from tests.worker.media import make_source, succeed, tools


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    libvmaf()
    folder = tmp_path_factory.mktemp("pair")
    source = make_source(folder, seconds=0.6)
    output = folder / "out.mp4"
    video = ("-c:v", "libx264", "-b:v", "200k", "-pix_fmt", "yuv420p", "-an")
    succeed((tools().ffmpeg, "-v", "error", "-i", str(source), "-vf", "scale=256:144", *video, str(output)))
    return source, output


def scored(folder: Path, *words: object) -> int:
    return main(["score", *map(str, words), "--state", str(folder / "s")])


def test_score_prints_what_a_job_would_report(
    tmp_path: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert scored(tmp_path, *pair, "-o", "json", "--psnr", "--ssim", "--threads", "2") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["subsample"], told["model"]) == (18, 1, "vmaf_v0.6.1")
    assert 10 < told["vmaf_min"] <= told["vmaf_p1"] <= told["vmaf_harmonic_mean"] <= told["vmaf"] < 100
    assert 15 < told["psnr_db"] < 60
    assert 0.3 < told["ssim"] < 1
    assert told["cpu_s"] > 0
    assert told["note"] is None
    assert scored(tmp_path, *pair) == 0
    table = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line[0] != " ")
    assert table["VMAF"] == f"{told['vmaf']:.3f}"
    assert table["PSNR"] == "-"


def test_model_and_subsample_are_taken(
    tmp_path: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert scored(tmp_path, *pair, "--model", "vmaf_4k_v0.6.1", "--subsample", 5, "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["subsample"], told["model"]) == (4, 5, "vmaf_4k_v0.6.1")


@pytest.mark.parametrize("words", [("--subsample", "0"), ("--threads", "two"), ("--model", "vmaf_b_v0.6.3")])
def test_wrong_options_end_with_two(tmp_path: Path, words: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as end:
        scored(tmp_path, "a", "b", *words)
    assert end.value.code == 2


def test_files_that_cannot_be_compared_are_one_clear_line(
    tmp_path: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, _ = pair
    slow, square, sound = tmp_path / "slow.mkv", tmp_path / "square.mkv", tmp_path / "sound.mkv"
    succeed((tools().ffmpeg, "-v", "error", "-i", str(source), "-r", "25", "-c:v", "libx264", "-an", str(slow)))
    succeed((tools().ffmpeg, "-v", "error", "-i", str(source), "-vf", "scale=180:180,setsar=1", "-an", str(square)))
    succeed((tools().ffmpeg, "-v", "error", "-i", str(source), "-vn", "-c:a", "flac", str(sound)))
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"noise")
    wrong = [
        (source, slow, os.EX_DATAERR, "30.000 frames per second and the output 25.000"),
        (source, square, os.EX_DATAERR, "different shapes"),
        (source, sound, os.EX_DATAERR, "has no video"),
        (noise, source, os.EX_DATAERR, "noise.mp4"),
        (tmp_path / "none.mp4", source, os.EX_CONFIG, "none.mp4: No such file"),
    ]
    for reference, distorted, code, says in wrong:
        assert scored(tmp_path, reference, distorted) == code
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n")) == ("", 1)
        assert says in told.err


def test_ffmpeg_without_libvmaf_says_the_way_out(
    tmp_path: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    mute = tmp_path / "ffmpeg"
    mute.write_text('#!/bin/sh\necho "ffmpeg version 1.0 Copyright"\n')
    mute.chmod(0o755)
    config = tmp_path / "c.toml"
    config.write_text(f'[media]\nscorer = "{mute}"\n')
    assert scored(tmp_path, *pair, "--config", config) == os.EX_CONFIG
    assert "imageio-ffmpeg" in capsys.readouterr().err


def test_check_tells_what_is_measured_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = libvmaf()
    main(["check", "--state", str(tmp_path / "s")])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("scores ")]
    assert line == f"scores    vmaf psnr ssim ({found.ffmpeg})"

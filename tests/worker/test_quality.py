import math
from dataclasses import replace
from fractions import Fraction

import pytest

from ffrtmp_worker.quality import (
    LINE_MAX,
    MODEL_HD,
    MODEL_UHD,
    Comparison,
    NotComparable,
    Picture,
    Reading,
    ScoringFailed,
    harmonic_mean,
    model_for,
    parse_look,
    percentile,
    same_rate,
    score_command,
)

HD = Picture(1280, 720, Fraction(1), "yuv420p")
WANTED = Comparison(reference="file:/in/a.mkv", distorted="file:/out/a.mp4", rate=Fraction(30))
COUNTS = b"".join(
    b"[verbose]   Output stream #0:%d (video): %%d frames encoded; 9 packets muxed\n" % number for number in (0, 1)
)


def graph(wanted: Comparison, reference: Picture = HD, distorted: Picture = HD) -> str:
    command = score_command("ffmpeg", wanted, reference, distorted)
    return command[command.index("-filter_complex") + 1]


def frames(*scores: float) -> bytes:
    lines = [
        f'    <frame frameNum="{number}" integer_adm2="0.9" vmaf="{score:.6f}" />\n'
        for number, score in enumerate(scores)
    ]
    return ('<VMAF version="3.0.0">\n  <frames>\n' + "".join(lines) + "  </frames>\n</VMAF>\n").encode()


def reading(report: bytes = b"", log: bytes = b"") -> Reading:
    made = Reading()
    made.report(report)
    made.log(log)
    return made


# ── figures ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_harmonic_mean_adds_one_so_that_a_score_of_zero_does_not_decide_alone() -> None:
    assert harmonic_mean([50.0, 50.0]) == pytest.approx(50.0)
    assert harmonic_mean([0.0, 100.0]) == pytest.approx(2 / (1 + 1 / 101) - 1)


@pytest.mark.parametrize(
    ("scores", "share", "value"),
    [
        ([7.0], 1, 7.0),
        ([1.0, 2.0], 50, 1.5),
        (list(range(101)), 1, 1.0),
        ([3.0, 1.0, 2.0], 0, 1.0),
        ([0.0, 10.0], 1, 0.1),
    ],
)
def test_percentile_is_that_of_numpy(scores: list[float], share: float, value: float) -> None:
    assert percentile(scores, share) == pytest.approx(value)


@pytest.mark.parametrize(
    ("width", "height", "model"),
    [
        (1280, 720, MODEL_HD),
        (2560, 1440, MODEL_HD),
        (3840, 2160, MODEL_UHD),
        (2160, 3840, MODEL_UHD),
        (3840, 1600, MODEL_UHD),
        (7680, 4320, MODEL_UHD),
    ],
)
def test_model_follows_the_size_of_the_source(width: int, height: int, model: str) -> None:
    assert model_for(Picture(width, height, Fraction(1), "yuv420p")) == model


def test_close_rates_are_one_and_ntsc_is_another() -> None:
    assert same_rate(29.97, 30_000 / 1_001)
    assert not same_rate(29.97, 30.0)
    assert not same_rate(23.976, 24.0)


# ── the picture ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "line",
    [
        "[Parsed_showinfo_0 @ 0x5] n:   0 pts: 0 pts_time:0 pos:  585 fmt:yuv420p sar:64/45 s:720x576 i:P",
        "[Parsed_showinfo_0 @ 0x5] n:   0 pts: 0 duration: 33   fmt:yuv420p cl:left sar:64/45 s:720x576 i:P",
    ],
)
def test_look_is_read_from_old_and_new_ffmpeg(line: str) -> None:
    picture = parse_look(f"noise\n{line} iskey:1\nmore\n")
    assert picture == Picture(720, 576, Fraction(64, 45), "yuv420p")
    assert picture.shape == Fraction(16, 9)


def test_unknown_shape_of_a_pixel_is_square() -> None:
    assert parse_look("x n:   0 pts: 0 fmt:gray sar:0/1 s:16x16 i:P").pixel == 1


def test_file_without_a_picture_is_told_with_ffmpegs_last_word() -> None:
    with pytest.raises(ScoringFailed, match="moov atom not found"):
        parse_look("hello\nmoov atom not found\n")
    with pytest.raises(ScoringFailed):
        parse_look("")


@pytest.mark.parametrize(
    ("form", "bits"), [("yuv420p", 8), ("yuv420p10le", 10), ("p010le", 10), ("rgb48le", 16), ("yuv444p12be", 12)]
)
def test_depth_is_read_from_the_name_of_the_format(form: str, bits: int) -> None:
    assert Picture(16, 16, Fraction(1), form).bits == bits


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_output_is_scaled_to_the_source_and_never_the_other_way() -> None:
    small = Picture(640, 360, Fraction(1), "yuv420p")
    assert graph(WANTED, HD, small).count("scale=1280:720:flags=bicubic") == 2


def test_the_deeper_of_two_decides_the_depth_of_both() -> None:
    deep = replace(HD, form="yuv420p10le")
    assert graph(WANTED, deep, HD).count("format=yuv420p10le") == 2
    assert graph(WANTED, HD, HD).count("format=yuv420p,") == 2


def test_source_gets_the_cut_of_the_job_and_the_output_does_not() -> None:
    made = replace(WANTED, encoded=True, timed=True, loop=True, limit_s=1.5)
    source, output = graph(made).split(";")[:2]
    assert source.startswith("[0:V:0]fps=30/1,trim=duration=1.500000,trim=end_pts=45,")
    assert "trim" not in output
    command = score_command("ffmpeg", made, HD, HD)
    assert command.index("-stream_loop") < command.index("file:/in/a.mkv") < command.index("file:/out/a.mp4")
    assert command.count("-stream_loop") == 1


def test_reference_of_fields_is_deinterlaced_and_the_output_is_not() -> None:
    source, output = graph(replace(WANTED, encoded=True, deinterlaced=True)).split(";")[:2]
    assert source.startswith("[0:V:0]bwdif=mode=send_frame:deint=interlaced,fps=30/1,")
    assert "bwdif" not in output


def test_sound_that_was_encoded_is_opened_for_its_time_and_not_decoded() -> None:
    made = replace(WANTED, encoded=True, timed=True, sound=True, limit_s=1.5)
    command = score_command("ffmpeg", made, HD, HD)
    assert command[-9:] == ("-map", "0:a:0", "-c:a", "copy", "-t", "1.500000", "-f", "null", "-")
    # One that is played again is Matroska of our own, and its sound has no end.
    for other in (replace(made, sound=False), replace(made, loop=True), replace(made, timed=False)):
        assert "0:a:0" not in score_command("ffmpeg", other, HD, HD)


def test_bars_that_the_encode_put_are_cut_off_again() -> None:
    narrow, wide = Picture(480, 360, Fraction(1), "yuv420p"), Picture(640, 360, Fraction(1), "yuv420p")
    made = replace(WANTED, encoded=True)
    assert "crop=480:360" in graph(made, narrow, wide).split(";")[1]
    assert "crop=480:270" in graph(made, wide, narrow).split(";")[1]
    # As wide as it is seen, not as it is stored.
    assert "crop" not in graph(
        made, Picture(720, 576, Fraction(64, 45), "yuv420p"), Picture(1024, 576, Fraction(1), "y")
    )
    with pytest.raises(NotComparable, match="different shapes"):
        graph(WANTED, narrow, wide)


def test_only_what_is_asked_for_is_measured() -> None:
    assert ("libvmaf" in graph(WANTED), "psnr" in graph(WANTED), "ssim" in graph(WANTED)) == (True, False, False)
    others = replace(WANTED, vmaf=False, psnr=True, ssim=True)
    assert ("libvmaf" in graph(others), "psnr" in graph(others), "ssim" in graph(others)) == (False, True, True)
    options = graph(replace(WANTED, threads=3, subsample=5))
    assert "n_threads=3:n_subsample=5" in options


# ── the answer ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_answer_is_read_in_pieces_of_any_size() -> None:
    report, log = frames(90.0, 80.0, 100.0), COUNTS % (3, 3)
    for size in (1, 7, 4_096):
        made = Reading()
        for start in range(0, len(report), size):
            made.report(report[start : start + size])
        for start in range(0, len(log), size):
            made.log(log[start : start + size])
        quality = made.quality(WANTED, HD, ffmpeg_version="9.0")
        assert (quality.vmaf, quality.vmaf_min, quality.frames, quality.subsample) == (90.0, 80.0, 3, 1)
        assert quality.vmaf_p1 == pytest.approx(80.2)
        assert (quality.model, quality.method) == (MODEL_HD, "libvmaf 3.0.0 in ffmpeg 9.0")


def test_source_and_output_of_unlike_length_are_refused() -> None:
    with pytest.raises(NotComparable, match="the source has 4 frames at this rate and the output 3"):
        reading(frames(90.0, 80.0, 100.0), COUNTS % (4, 3)).quality(WANTED, HD, ffmpeg_version="9")


@pytest.mark.parametrize(
    ("report", "log"),
    [
        (frames(90.0), b""),
        (frames(90.0), COUNTS % (0, 0)),
        (frames(90.0), COUNTS % (2, 2)),
        (b"", COUNTS % (2, 2)),
        (frames(math.nan, 90.0), COUNTS % (2, 2)),
        (b"x" * (LINE_MAX * 3), COUNTS % (1, 1)),
    ],
)
def test_answer_that_is_not_whole_is_no_score(report: bytes, log: bytes) -> None:
    with pytest.raises(ScoringFailed):
        reading(report, log).quality(WANTED, HD, ffmpeg_version="9")


def test_every_fifth_frame_is_a_fifth_of_the_scores() -> None:
    quality = reading(frames(90.0, 80.0), COUNTS % (6, 6)).quality(replace(WANTED, subsample=5), HD, ffmpeg_version="9")
    assert (quality.frames, quality.subsample) == (2, 5)


def test_psnr_without_bound_is_absent_and_says_why() -> None:
    wanted = replace(WANTED, vmaf=False, psnr=True, ssim=True)
    log = b"[Parsed_psnr_4 @ 0x1] [info] PSNR y:inf u:inf\n[Parsed_ssim_5 @ 0x1] [info] SSIM Y:1.000000 (inf)\n"
    quality = reading(b"", COUNTS % (2, 2) + log).quality(wanted, HD, ffmpeg_version="9")
    assert (quality.psnr_db, quality.ssim, quality.vmaf, quality.model) == (None, 1.0, None, None)
    assert quality.note is not None
    assert "same luma" in quality.note
    with pytest.raises(ScoringFailed, match="PSNR"):
        reading(b"", COUNTS % (2, 2)).quality(wanted, HD, ffmpeg_version="9")


def test_chatter_is_left_out_of_the_log_and_problems_are_kept() -> None:
    log = b"[null @ 0x1] [verbose] all is well\n[info] Stream mapping:\n[h264 @ 0x2] [error] concealing errors\n\n"
    assert Reading().log(log) == ["[h264 @ 0x2] [error] concealing errors"]

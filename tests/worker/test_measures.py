from dataclasses import replace

import pytest

from ffrtmp_worker.events import Joules
from ffrtmp_worker.live import LiveFigures
from ffrtmp_worker.measures import Spent, conclude, opinion
from ffrtmpd.wire.messages.jobs import MediaInfo, Report, VideoStream
from ffrtmpd.wire.messages.measures import Experience, Provenance, Quality

VIDEO = VideoStream(codec="h264", width=1920, height=1080, fps=30.0, frames=900)
MEDIA = MediaInfo(container="mp4", duration_s=30.0, video=VIDEO)
REPORT = Report(media=MEDIA, quality=Quality(vmaf=90.0))
LIVE = LiveFigures(stall_s=3.0, reconnects=2, dropped_frames=7, media_s=30.0, elapsed_s=40.0)


def spent(joules: float | None = 500.0, scoring: float | None = None) -> Spent:
    made = Spent()
    for value, is_scoring in ((joules, False), (scoring, True)):
        if value is not None:
            reading = Joules(marginal_j=value, idle_share_j=1.0, scope="package", method="rapl")
            made.add(reading, scoring=is_scoring)
    return made


@pytest.mark.parametrize(
    ("vmaf", "stall_ratio", "score"),
    [(100.0, 0.0, 5.0), (90.0, 0.0, 4.5), (5.0, 0.0, 1.0), (100.0, 0.5, 3.0), (100.0, 1.0, 1.0), (60.0, 0.1, 2.8)],
)
def test_opinion_is_that_of_the_formula(vmaf: float, stall_ratio: float, score: float) -> None:
    assert opinion(vmaf, stall_ratio) == pytest.approx(score)


def test_file_has_no_stalls_and_says_how_its_score_was_found() -> None:
    assert conclude(REPORT, Spent()).experience == Experience(score=4.5, method="est-v1", stall_ratio=0.0)


def test_without_vmaf_there_is_no_opinion() -> None:
    assert conclude(Report(media=MEDIA), Spent()).experience is None
    assert conclude(replace(REPORT, quality=Quality(note="no")), Spent()).experience is None


def test_push_tells_what_was_seen_even_without_a_score() -> None:
    experience = conclude(Report(), Spent(), live=LIVE).experience
    assert experience == Experience(stall_s=3.0, stall_ratio=0.1, reconnects=2, dropped_frames=7, real_time_ratio=0.75)
    scored = conclude(REPORT, Spent(), live=LIVE).experience
    assert scored is not None
    assert scored.score == pytest.approx(1 + 3.5 * 0.9)
    assert scored.method == "est-v1"


def test_push_that_never_began_has_no_ratios() -> None:
    nothing = LiveFigures(stall_s=5.0, reconnects=1, dropped_frames=0, media_s=0.0, elapsed_s=0.0)
    experience = conclude(REPORT, Spent(), live=nothing).experience
    assert experience is not None
    assert (experience.score, experience.stall_ratio, experience.real_time_ratio) == (None, None, None)
    late = conclude(REPORT, Spent(), live=replace(nothing, media_s=1.0, elapsed_s=6.0)).experience
    assert late is not None
    assert late.stall_ratio == 1.0


def test_efficiency_is_weighted_megapixels_a_joule_of_the_encode_alone() -> None:
    report = conclude(REPORT, spent(500.0, scoring=9_000.0))
    assert report.efficiency == pytest.approx(1920 * 1080 * 900 * 0.9 / 500.0 / 1e6)
    assert report.energy is not None
    assert (report.energy.joules, report.energy.scoring_joules) == (500.0, 9_000.0)
    assert report.energy.joules_per_minute == pytest.approx(1_000.0)
    assert report.energy.cost is None


def test_efficiency_needs_quality_energy_and_frames() -> None:
    assert conclude(REPORT, Spent()).efficiency is None
    assert conclude(Report(media=MEDIA), spent()).efficiency is None
    assert conclude(replace(REPORT, media=None), spent()).efficiency is None
    assert conclude(REPORT, spent(0.0)).efficiency is None


def test_cost_follows_the_price() -> None:
    energy = conclude(REPORT, spent(3.6e6), price_per_kwh=0.3).energy
    assert energy is not None
    assert energy.cost == pytest.approx(0.3)


def test_bandwidth_counts_both_ways_over_the_seconds_without_pauses() -> None:
    moved = Provenance(input_bytes=52_428_800, output_bytes=41_943_040)
    report = Report(provenance=moved, encode_s=72.5, paused_s=10.0)
    # 11.52 in the 1024² bits of old; here bits of the SI.
    assert conclude(report, Spent()).bandwidth_bps == pytest.approx(11.52 * 1024 * 1024)
    assert conclude(replace(report, encode_s=None), Spent()).bandwidth_bps is None
    assert conclude(replace(report, encode_s=10.0), Spent()).bandwidth_bps is None
    assert conclude(replace(report, provenance=Provenance(input_bytes=1)), Spent()).bandwidth_bps is None

"""How measures look: each with its method, and nothing where nothing was measured."""

from ffrtmp_tui.measures_view import measured
from ffrtmpd.wire.messages.jobs import Report
from ffrtmpd.wire.messages.measures import Energy, Experience, Provenance, Quality


def shown(report: Report) -> dict[str, str]:
    return {title: text for title, text in measured(report) if text is not None}


def test_everything_measured_is_shown_with_its_method() -> None:
    report = Report(
        quality=Quality(
            vmaf=93.1,
            vmaf_harmonic_mean=92.98,
            vmaf_min=88.0,
            vmaf_p1=89.5,
            psnr_db=41.237,
            ssim=0.98765,
            model="vmaf_v0.6.1",
            frames=150,
            subsample=5,
            seconds=2.5,
            method="libvmaf, ffmpeg n9.0.2",
        ),
        experience=Experience(
            score=4.4,
            method="est-v1",
            stall_s=1.5,
            stall_ratio=0.025,
            reconnects=1,
            dropped_frames=0,
            real_time_ratio=0.998,
        ),
        energy=Energy(
            joules=41_200.0,
            scoring_joules=900.0,
            idle_share_joules=12.0,
            joules_per_minute=282.0,
            cost=0.0034333,
            scope="package+dram",
            method="rapl",
        ),
        efficiency=1.25,
        bandwidth_bps=11_520_000.0,
        provenance=Provenance(input_sha256="a" * 64, output_sha256="b" * 64),
    )
    assert shown(report) == {
        "VMAF": "93.10, harmonic 92.98, min 88.00, 1 % 89.50",
        "PSNR": "41.24 dB",
        "SSIM": "0.9877",
        "Scored By": "vmaf_v0.6.1, 150 frames, every 5th, libvmaf, ffmpeg n9.0.2, in 2.50 s",
        "QoE": "4.40 of 5, est-v1",
        "Stalls": "1.50 s, 2.5% of the media",
        "Reconnects": "1",
        "Dropped": "0 frames",
        "Real Time": "x0.998",
        "Energy": "41.2 kJ, 282.0 J per minute of output, rapl, package+dram",
        "Energy Of Scoring": "900.0 J",
        "Idle Share": "12.0 J",
        "Cost": "0.0034333",
        "Efficiency": "1.250 VMAF-weighted megapixels per joule",
        "Bandwidth": "11.52 Mb/s",
        "Input SHA-256": "a" * 64,
        "Output SHA-256": "b" * 64,
    }


def test_what_was_not_measured_is_not_shown() -> None:
    assert shown(Report()) == {}
    assert shown(Report(quality=Quality(), experience=Experience(), energy=Energy(), provenance=Provenance())) == {}


def test_reason_stands_where_a_score_was_asked_for_and_could_not_be() -> None:
    report = Report(quality=Quality(note="the source has 60 fps, the output 30"))
    assert shown(report) == {"VMAF": "not scored: the source has 60 fps, the output 30"}

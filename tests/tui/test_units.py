"""What people write, and how it is written back."""

from datetime import UTC, datetime

import pytest

from ffrtmp_tui import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("1.5", 1.5),
        ("90s", 90.0),
        ("2m", 120.0),
        ("1h30m", 5_400.0),
        ("1.5h", 5_400.0),
        ("500ms", 0.5),
        ("1d", 86_400.0),
        ("00:01:30", 90.0),
        ("1:30", 90.0),
        ("10:00:00.5", 36_000.5),
    ],
)
def test_duration_in_each_form_is_read(text: str, seconds: float) -> None:
    assert units.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "5x", "1:2:3:4", "00:61:00", "00:00:60", "5 m s", "1e3", "٣"[:0] + "nan"]
)
def test_duration_of_no_form_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="2m"):
        units.duration(text)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("5M", 5_000_000), ("800k", 800_000), ("800K", 800_000), ("2.5Mbps", 2_500_000), ("1G", 10**9), ("1234", 1_234)],
)
def test_bitrate_in_each_form_is_read(text: str, bits: int) -> None:
    assert units.bitrate(text) == bits


@pytest.mark.parametrize("text", ["", "5m", "M", "-1", "5 MB", "fast"])
def test_bitrate_of_no_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="5M"):
        units.bitrate(text)


def test_moment_in_each_form_is_read() -> None:
    ten = datetime(2026, 5, 1, 22, 0, tzinfo=UTC).timestamp()
    assert units.moment("+10m", 1_000.0) == 1_600.0
    assert units.moment("1234.5", 0.0) == 1_234.5
    assert units.moment("2026-05-01T22:00", 0.0) == ten
    assert units.moment("2026-05-02T00:00+02:00", 0.0) == ten
    with pytest.raises(ValueError, match="no time"):
        units.moment("tomorrow", 0.0)


def test_label_without_name_or_sign_is_refused() -> None:
    assert units.label("a=b=c") == ("a", "b=c")
    for text in ("a", "=b", ""):
        with pytest.raises(ValueError, match="name=value"):
            units.label(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.50 s"), (12.34, "12.3 s"), (129.0, "2m09s"), (3_599.6, "1h00m"), (7_260.0, "2h01m")]
)
def test_duration_is_written_with_the_digits_that_count(seconds: float, text: str) -> None:
    assert units.duration_text(seconds) == text


def test_sizes_and_rates_are_written_with_their_units() -> None:
    assert units.size_text(999) == "999 B"
    assert units.size_text(1_270_000) == "1.27 MB"
    assert units.memory_text(64 << 30) == "64.0 GiB"
    assert units.bitrate_text(5e6) == "5.00 Mb/s"
    assert units.bitrate_text(800) == "800 b/s"
    assert units.clock_text(151) == "02:31"
    assert units.clock_text(3_751) == "1:02:31"
    assert units.number_text(29.97) == "29.97"
    assert units.number_text(30.0) == "30"
    assert units.time_text(1_700_000_000) == "2023-11-14 22:13:20"

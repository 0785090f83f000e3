"""Times and rates in the words of the Go project."""

import datetime
import math

import pytest

from ffrtmpd.old_jobs import bitrate_of, time_of

MOMENT = datetime.datetime(2026, 1, 2, 14, 4, 5, 250_000, tzinfo=datetime.UTC).timestamp()


@pytest.mark.parametrize(
    "written",
    [
        # As its driver writes them, and what it reads besides.
        "2026-01-02 15:04:05.25+01:00",
        "2026-01-02 15:04:05.250000000+01:00",
        "2026-01-02 14:04:05.250000999+00:00",
        "2026-01-02T14:04:05.25Z",
        "2026-01-02T15:04:05.25+01:00",
        "2026-01-02 14:04:05.25",
        # As Go shows a time.
        "2026-01-02 15:04:05.25 +0100 CET",
        "2026-01-02 14:04:05.25 +0000 UTC",
        "2026-01-02 15:04:05.25 +0100 CET m=+0.012345678",
        " 2026-01-02 14:04:05.25 +0000 UTC m=-3.5 ",
        MOMENT,
        int(MOMENT * 1_000),
    ],
)
def test_time_is_read_in_each_form(written: str | float) -> None:
    found = time_of(written)
    assert found is not None
    assert math.isclose(found, MOMENT, abs_tol=1e-5)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2026-01-02", 1_767_312_000),
        ("2026-01-02 15:04", 1_767_366_240),
        ("2026-01-02 15:04:05", 1_767_366_245),
        (1_767_366_245, 1_767_366_245),
    ],
)
def test_time_without_zone_or_parts_is_read(written: str | int, seconds: int) -> None:
    assert time_of(written) == seconds


@pytest.mark.parametrize(
    "junk",
    [
        None,
        "",
        "yesterday",
        "0001-01-01 00:00:00+00:00",
        "1969-12-31 23:59:59+00:00",
        "2026-13-01 00:00:00",
        "9999-12-31 23:59:59-23:59:99",
        b"2026-01-02",
        True,
        0,
        -1,
        math.nan,
        math.inf,
        2**63,
        "٢٠٢٦-01-02",
        "m=+1",
        "9" * 10_000,
    ],
)
def test_what_is_no_time_is_none(junk: object) -> None:
    assert time_of(junk) is None


@pytest.mark.parametrize(
    ("written", "bits"),
    [
        ("5M", 5_000_000),
        ("2.5M", 2_500_000),
        ("2500k", 2_500_000),
        ("2500K", 2_500_000),
        ("2500 kbps", 2_500_000),
        ("1Gbit/s", 1_000_000_000),
        ("800000", 800_000),
        (800_000, 800_000),
        (1.5e6, 1_500_000),
    ],
)
def test_rate_is_read_in_each_form(written: str | float, bits: int) -> None:
    assert bitrate_of(written) == bits


@pytest.mark.parametrize("junk", [None, "", "M", "5X", "-5M", "5M5", "٥M", True, math.nan, math.inf, [], "9" * 99])
def test_what_is_no_rate_is_none(junk: object) -> None:
    assert bitrate_of(junk) is None

from fractions import Fraction

import pytest

from ffrtmp_worker.rates import moving_rate, nearest_rate


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (29.97, Fraction(30_000, 1_001)),
        (29.97003, Fraction(30_000, 1_001)),
        (23.976, Fraction(24_000, 1_001)),
        (30.0, Fraction(30)),
        (12.5, Fraction(25, 2)),
        (15.0, Fraction(15)),
    ],
)
def test_rate_is_the_nearest_of_the_trade(fps: float, rate: Fraction) -> None:
    assert nearest_rate(fps) == rate


@pytest.mark.parametrize(
    ("average", "base", "moving"),
    [
        (25.0, 25.0, 25.0),
        # A screen that stands still, a hole, half of the time at half the rate, a fragmented file.
        (59 / 26, 30.0, 30.0),
        (16.5, 25.0, 25.0),
        (20.11, 30.0, 30.0),
        (24.855, 25.0, 25.0),
        (29.797, 30_000 / 1_001, 30_000 / 1_001),
        # Fields, soft telecine, a camera whose clock shakes.
        (25.0, 50.0, 25.0),
        (24_000 / 1_001, 60_000 / 1_001, 24_000 / 1_001),
        (29.93, 60.0, 29.93),
        (29.93, 120.0, 29.93),
        (28.7, 90_000.0, 28.7),
        (7.3, 120.0, 7.3),
        # Rates of no trade stay what they are.
        (12.5, 12.5, 12.5),
        (15.0, 15.0, 15.0),
        (30.0, 25.0, 30.0),
        (None, 25.0, 25.0),
        (25.0, None, 25.0),
        (None, None, None),
    ],
)
def test_rate_of_a_moving_picture_is_told_from_its_average(
    average: float | None, base: float | None, moving: float | None
) -> None:
    assert moving_rate(average, base) == moving

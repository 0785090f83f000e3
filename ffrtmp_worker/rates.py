"""Frame rates: those of the trade, and which of a file's two readings is its own. Pure."""

from fractions import Fraction
from typing import Final

from ffrtmpd.wire.messages.jobs import VideoStream

RATES: Final = tuple(
    Fraction(*pair)
    for pair in (
        (24_000, 1_001),
        (24, 1),
        (25, 1),
        (30_000, 1_001),
        (30, 1),
        (48, 1),
        (50, 1),
        (60_000, 1_001),
        (60, 1),
        (120_000, 1_001),
        (120, 1),
    )
)
# A rate of the trade is told as exactly as this; an average misses it by the next where a file is short or shaken.
EXACT: Final = 0.0002
NEAR: Final = 0.02
# A camera whose clock shakes has a base of a multiple of its rate: above this nothing is believed but the average.
MOVING_MAX: Final = 60


def nearest_rate(fps: float) -> Fraction:
    """Return frames per second as a fraction: 29.97 is 30000/1001."""
    for rate in RATES:
        if _is(fps, float(rate), EXACT):
            return rate
    return Fraction(fps).limit_denominator(1_001)


def moving_rate(average: float | None, base: float | None) -> float | None:
    """Return the frames per second of a picture while it moves.

    Args:
        average: frames by seconds. A picture that stands still, as of a screen, sends none meanwhile.
        base: the lowest rate in which all timestamps can be told. It is twice too high where fields are counted, and
            many times where timestamps shake.
    """
    if average is None or base is None:
        return average or base
    if base < average or not _is_of_trade(base, EXACT) or _is(base, average, EXACT):
        return average
    if _is(base, average, NEAR):
        return base
    times = round(base / average)
    is_multiple = 2 <= times <= 5 and _is(base, average * times, NEAR) and _is_of_trade(average, NEAR)
    if base > MOVING_MAX or is_multiple or _is_of_trade(average, EXACT):
        return average
    return base


def rate_of(video: VideoStream) -> float | None:
    """Return the frames per second that an encode keeps, None if they are unknown."""
    return video.moving_fps or video.fps


def _is_of_trade(fps: float, share: float) -> bool:
    return any(_is(fps, float(rate), share) for rate in RATES)


def _is(fps: float, other: float, share: float) -> bool:
    return abs(fps / other - 1) < share

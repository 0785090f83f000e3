"""A push under supervision: when it connects again, and what its audience missed. Pure.

All times are seconds that the attempt has run, its pauses left out, and grow from call to call.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ffrtmp_worker.recipe import AttemptFailed, Cause
from ffrtmpd.wire.messages.jobs import Progress
from ffrtmpd.wire.vocabulary import FailureClass

BACK_OFF_S: Final = 0.5
BACK_OFF_MAX_S: Final = 10.0
# After a connection that carried media for so long the back-off begins anew.
STEADY_S: Final = 10.0
# A server that turns a push down says no more than one that is about to close: so many times, and it was meant.
REFUSALS_MAX: Final = 3
# Reports come twice a second, and sound may run most of a second ahead of the picture: less is no lag.
TOLERANCE_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """How a push went. ``stall_s``, ``media_s`` and ``elapsed_s`` in seconds, as ``LiveMeter`` counts them.

    ``dropped_frames`` is None if the encoder never said.
    """

    stall_s: float
    reconnects: int
    dropped_frames: int | None
    media_s: float
    elapsed_s: float


class LiveMeter:
    """Counts what an audience without a buffer would have waited for.

    Within one connection, whose first media left at ``t0``, the lag at ``t`` is ``(t - t0) - (media sent since t0)``.
    Who plays what comes as it comes has waited for the largest lag so far: what is caught up later he has waited for
    already. So

        stall_s = Σ over connections of (largest lag, if more than ``TOLERANCE_S``)
                + Σ over losses of (first media afterwards - last media before)

    ``t0`` is the first report's time less the media in it, but not before the connection was begun: a start that comes
    in a burst is no lead that could be lost again. ``elapsed_s`` is the time with a connection, first to last media,
    and the losses between; a pause ends a connection and is no loss.
    """

    def __init__(self) -> None:
        self.reconnects = 0
        self._dropped: int | None = None
        self._frame = 0
        self._media_s = 0.0
        self._opened_s = 0.0
        self._media_before_s = 0.0
        # First and last media of the connection that is open.
        self._first_s: float | None = None
        self._last_s = 0.0
        self._lag_s = 0.0
        # Since when the audience is without media after a loss.
        self._lost_s: float | None = None
        self._stalled_s = 0.0
        self._elapsed_s = 0.0

    @property
    def flows(self) -> bool:
        """Whether the connection has carried media."""
        return self._first_s is not None

    @property
    def flowed_s(self) -> float:
        """From first to last media of the connection."""
        return 0.0 if self._first_s is None else self._last_s - self._first_s

    @property
    def last_s(self) -> float:
        """When media was last seen to leave."""
        return self._last_s

    def connecting(self, ran_s: float) -> None:
        """Note that a connection is begun."""
        self._opened_s, self._media_before_s = ran_s, self._media_s

    def took(self, progress: Progress, ran_s: float) -> float | None:
        """Count a report, whose figures are sums over all connections.

        Return the seconds the audience was without media if it is the first after a loss.
        """
        if progress.dropped_frames is not None:
            self._dropped = progress.dropped_frames
        media_s = self._media_s if progress.out_time_s is None else progress.out_time_s
        if media_s <= self._media_s and (progress.frame or 0) <= self._frame:
            return None
        self._media_s, self._frame = max(media_s, self._media_s), max(progress.frame or 0, self._frame)
        sent_s = self._media_s - self._media_before_s
        away_s = None
        if self._first_s is None:
            self._first_s = max(self._opened_s, ran_s - sent_s)
            away_s = self._found(self._first_s)
        self._last_s = ran_s
        if progress.out_time_s is not None:
            self._lag_s = max(self._lag_s, ran_s - self._first_s - sent_s)
        return away_s

    def lost(self) -> None:
        """Note that the connection has ended and was not meant to."""
        if self._first_s is not None:
            self.reconnects += 1
            self._lost_s = self._last_s
        self._close()

    def rested(self, ran_s: float) -> None:
        """Note that a pause has ended the connection, or the wait for one."""
        self._found(ran_s)
        self._close()

    def figures(self, ran_s: float) -> LiveFigures | None:
        """Return the figures so far, None before the first media."""
        if self._frame == 0 and self._media_s == 0:
            return None
        away_s = 0.0 if self._lost_s is None else max(0.0, ran_s - self._lost_s)
        return LiveFigures(
            stall_s=self._stalled_s + self._lag() + away_s,
            reconnects=self.reconnects,
            dropped_frames=self._dropped,
            media_s=self._media_s,
            elapsed_s=self._elapsed_s + self.flowed_s + away_s,
        )

    def _found(self, ran_s: float) -> float | None:
        if self._lost_s is None:
            return None
        away_s = max(0.0, ran_s - self._lost_s)
        self._stalled_s += away_s
        self._elapsed_s += away_s
        self._lost_s = None
        return away_s

    def _lag(self) -> float:
        return self._lag_s if self._lag_s > TOLERANCE_S else 0.0

    def _close(self) -> None:
        self._stalled_s += self._lag()
        self._elapsed_s += self.flowed_s
        self._first_s, self._lag_s = None, 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What to do about a lost push: connect again at ``again_s``, or end it.

    Without ``again_s`` it ends as ``failure`` says, or well if that is None.
    """

    again_s: float | None = None
    failure: AttemptFailed | None = None


class Supervisor:
    """Decides what becomes of a push that has ended.

    Args:
        give_up_s: seconds without any media after which it is not tried any more.
        random: numbers from 0 to 1, for jitter.
    """

    def __init__(self, *, give_up_s: float, random: Callable[[], float]) -> None:
        self.meter = LiveMeter()
        self._give_up_s = give_up_s
        self._random = random
        self._fed_s: float | None = None
        self._accepted = False
        self._tries = 0
        self._refusals = 0
        self._reason: AttemptFailed | None = None

    def connecting(self, ran_s: float) -> None:
        """Note that a connection is begun."""
        self.meter.connecting(ran_s)
        if self._fed_s is None:
            self._fed_s = ran_s

    def took(self, progress: Progress, ran_s: float) -> float | None:
        """Count a report; return as ``LiveMeter.took`` does."""
        away_s = self.meter.took(progress, ran_s)
        if self.meter.flows:
            self._accepted, self._refusals, self._reason = True, 0, None
        return away_s

    def shown(self, progress: Progress, ran_s: float) -> Progress:
        """Return ``progress`` with what users see of a push."""
        figures = self.meter.figures(ran_s)
        if figures is None:
            return progress
        return replace(progress, reconnects=figures.reconnects, stall_s=figures.stall_s)

    def rested(self, ran_s: float) -> None:
        """Note that a pause has ended the connection."""
        self.meter.rested(ran_s)
        self._tries, self._reason, self._fed_s = 0, None, ran_s

    def lost(self, failure: AttemptFailed, ran_s: float) -> Loss:
        """Return what to do after the connection has ended with ``failure``."""
        if self.meter.flows:
            self._fed_s = self.meter.last_s
            if self.meter.flowed_s >= STEADY_S:
                self._tries = 0
        self.meter.lost()
        self._reason = self._reason or failure
        if failure.cause is Cause.OTHER:
            return Loss(failure=failure)
        if failure.cause is Cause.UNCLEAR and not self._accepted:
            self._refusals += 1
            if self._refusals >= REFUSALS_MAX:
                said = f"the server turned the push down {REFUSALS_MAX} times: {failure.reason}"
                return Loss(failure=AttemptFailed(FailureClass.PERMANENT, said))
        give_up_at = (ran_s if self._fed_s is None else self._fed_s) + self._give_up_s
        if ran_s >= give_up_at:
            return self._given_up()
        wait_s = min(BACK_OFF_MAX_S, BACK_OFF_S * 2.0 ** min(self._tries, 16)) * (0.5 + 0.5 * self._random())
        self._tries += 1
        return Loss(again_s=min(ran_s + wait_s, give_up_at))

    def _given_up(self) -> Loss:
        reason = self._reason
        if reason is not None and reason.cause is Cause.ENDED:
            return Loss()
        said = "" if reason is None else f": {reason.reason}"
        return Loss(failure=AttemptFailed(FailureClass.TRANSIENT, f"no media for {self._give_up_s:g} s{said}"))

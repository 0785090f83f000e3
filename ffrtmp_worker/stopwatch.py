"""Time that a job ran and time that it was paused."""


class Stopwatch:
    """Counts from ``now_s`` (monotonic seconds)."""

    def __init__(self, now_s: float) -> None:
        self._began_at = now_s
        self._paused_s = 0.0
        self._paused_at: float | None = None

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._paused_at is not None

    def pause(self, now_s: float) -> None:
        """Stand still; twice is once."""
        if self._paused_at is None:
            self._paused_at = now_s

    def resume(self, now_s: float) -> None:
        """Go on."""
        if self._paused_at is not None:
            self._paused_s += now_s - self._paused_at
            self._paused_at = None

    def paused_s(self, now_s: float) -> float:
        """Return the seconds of all pauses so far."""
        return self._paused_s + (0.0 if self._paused_at is None else now_s - self._paused_at)

    def ran_s(self, now_s: float) -> float:
        """Return the seconds without the pauses."""
        return now_s - self._began_at - self.paused_s(now_s)

    def reaches_at(self, ran_s: float) -> float | None:
        """Return when ``ran_s`` will have been run, None while it stands still."""
        return None if self.paused else self._began_at + self._paused_s + ran_s

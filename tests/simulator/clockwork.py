"""Virtual time: a heap of calls, run one after the other. Nothing waits."""

import heapq
from collections.abc import Callable
from typing import Any, Final

Call = Callable[..., None]

# Many times what the longest world needs.
CALLS_MAX: Final = 50_000


class Clockwork:
    """Runs calls in the order of their moments; those of one moment in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.calls = 0
        self._heap: list[tuple[float, int, Call, tuple[Any, ...]]] = []
        self._asked = 0

    def after(self, delay_s: float, call: Call, *arguments: Any) -> None:
        """Call in ``delay_s`` seconds."""
        self.at(self.now_s + delay_s, call, *arguments)

    def at(self, when_s: float, call: Call, *arguments: Any) -> None:
        """Call at ``when_s``, or now when that is past."""
        self._asked += 1
        heapq.heappush(self._heap, (max(when_s, self.now_s), self._asked, call, arguments))

    def run_until(self, until_s: float, done: Callable[[], bool] | None = None) -> bool:
        """Run what is due by ``until_s``; return early, with True, as soon as ``done`` says so."""
        while self._heap and self._heap[0][0] <= until_s:
            self.now_s, _, call, arguments = heapq.heappop(self._heap)
            self.calls += 1
            if self.calls > CALLS_MAX:
                raise RuntimeError("it does not come to rest")
            call(*arguments)
            if done is not None and done():
                return True
        self.now_s = until_s
        return False


class Alarm:
    """One call that can be moved: of all moments asked for, the earliest counts."""

    def __init__(self, clock: Clockwork, call: Callable[[], None]) -> None:
        self._clock = clock
        self._call = call
        self._due_s: float | None = None

    def by(self, when_s: float) -> None:
        """Ring at ``when_s`` at the latest."""
        when_s = max(when_s, self._clock.now_s)
        if self._due_s is None or when_s < self._due_s:
            self._due_s = when_s
            self._clock.at(when_s, self._ring, when_s)

    def stop(self) -> None:
        """Do not ring."""
        self._due_s = None

    def _ring(self, when_s: float) -> None:
        if self._due_s == when_s:
            self._due_s = None
            self._call()

"""Whether the master is there, how old what is known is, and when to try again. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Doubling: a master that restarts is back within a second, one that is gone is asked every five.
FIRST_DELAY_S: Final = 0.5
MOST_DELAY_S: Final = 5.0


class Presence(StrEnum):
    """Whether the master answers."""

    CONNECTING = "CONNECTING"
    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"


@dataclass(slots=True)
class Connection:
    """What is known of the line to the master; times are monotonic seconds."""

    presence: Presence = Presence.CONNECTING
    heard_s: float | None = None
    retry_s: float = 0.0
    delay_s: float = FIRST_DELAY_S
    problem: str = ""

    @property
    def online(self) -> bool:
        """Whether the master answered the last question."""
        return self.presence is Presence.ONLINE

    def heard(self, now_s: float) -> bool:
        """Note an answer; tell whether the master is back with it."""
        back = not self.online
        self.presence, self.heard_s, self.delay_s, self.problem = Presence.ONLINE, now_s, FIRST_DELAY_S, ""
        return back

    def missed(self, problem: str, now_s: float) -> None:
        """Note that no answer came, and when to ask again."""
        self.presence, self.problem = Presence.OFFLINE, problem
        self.retry_s = now_s + self.delay_s
        self.delay_s = min(MOST_DELAY_S, self.delay_s * 2)

    def age_s(self, now_s: float) -> float | None:
        """Return how old the last answer is, None without any."""
        return None if self.heard_s is None else max(0.0, now_s - self.heard_s)

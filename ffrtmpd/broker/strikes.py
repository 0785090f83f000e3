"""Complaints about one peer, so that a loud one cannot fill the log."""

from dataclasses import dataclass
from typing import Final

# Enough to see what is wrong; the rest is counted.
LOGGED: Final = 10
WINDOW_S: Final = 60.0


@dataclass(slots=True)
class Record:
    """What one key has done wrong since ``since_s``."""

    since_s: float
    count: int = 0


class Strikes:
    """Counts by user id, each in windows of a minute."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def count(self, user_id: str, now_s: float) -> tuple[bool, int]:
        """Count one more; return whether to log it, and how many of the window before were not logged."""
        record = self._records.get(user_id)
        silent = 0
        if record is None or now_s - record.since_s >= WINDOW_S:
            silent = max(0, record.count - LOGGED) if record else 0
            record = self._records[user_id] = Record(now_s)
        record.count += 1
        return record.count <= LOGGED, silent

"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``quick``: a look that takes a few minutes; ``long``: a million jobs; ``peers``: other queues, by name."""

    quick: bool = False
    long: bool = False
    peers: str = "huey"

    def rounds(self, usual: int) -> int:
        """Return how often to measure what is usually measured so often."""
        return min(usual, 2) if self.quick else usual

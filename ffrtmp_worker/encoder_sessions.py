"""How many hardware encodes run on this node at once."""

from dataclasses import dataclass


@dataclass(slots=True)
class EncoderSessions:
    """The sessions that the hardware encoders of a node give. ``limit`` None: they are not counted."""

    limit: int | None = None
    taken: int = 0

    @property
    def full(self) -> str:
        """What is said when there is none left."""
        return f"all {self.limit} encoder sessions of this node are taken"

    def take(self) -> bool:
        """Take one until ``free``; False: there is none."""
        if self.limit is not None and self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    def free(self) -> None:
        """Give one back."""
        self.taken -= 1

"""What was learnt of sources by reading them: a ladder encodes one source often, and it may have many gigabytes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

# So many sources are remembered, those read last.
KEPT: Final = 1_024
# A file changed so shortly ago may change again within the same tick of its file system's clock, and look the same.
SETTLED_S: Final = 2.0

T = TypeVar("T")
# Device, number, size, and when content and anything else of it last changed (nanoseconds).
_Identity = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as it was before it was read; ``identity`` None: not to be remembered."""

    path: str
    identity: _Identity | None


class Known(Generic[T]):
    """What files gave, by path, for as long as they are the same files.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known: dict[str, tuple[_Identity, T]] = {}

    def see(self, path: str) -> Sighting:
        """Return the file as it is now, to be read."""
        identity = _identity(path)
        if identity is not None and max(identity[3:]) / 1e9 > self._clock() - SETTLED_S:
            identity = None
        return Sighting(path, identity)

    def known(self, path: str) -> T | None:
        """Return what the file at ``path`` gave, None if that is not known of the file that lies there now."""
        found = self._known.get(path)
        return found[1] if found is not None and found[0] == _identity(path) else None

    def remember(self, before: Sighting, found: T) -> None:
        """Keep what a file gave, unless it was changed meanwhile."""
        identity = before.identity
        if identity is None or identity != _identity(before.path):
            return
        self._known.pop(before.path, None)
        self._known[before.path] = (identity, found)
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]


# SHA-256, as text.
Sums = Known[str]


def _identity(path: str) -> _Identity | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

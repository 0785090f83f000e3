"""Random bytes for tokens and nonces."""

import io
import os
from typing import Final

# So many are asked for at once: to ask the kernel for each token is a twentieth of what a small job costs.
POOL_BYTES: Final = 4_096


class RandomBytes:
    """Gives random bytes of the kernel's."""

    def __init__(self) -> None:
        self._pool = io.BytesIO()

    def __call__(self, count: int) -> bytes:
        """Return ``count`` bytes, ``POOL_BYTES`` at most."""
        taken = self._pool.read(count)
        if len(taken) < count:
            self._pool = io.BytesIO(os.urandom(POOL_BYTES))
            taken = self._pool.read(count)
        return taken

"""Prints the SHA-256 of files as sha256sum does, by OpenSSL: five times as fast on processors that can do it.

Run as a program of its own, by path, and imports nothing of ours: ``python -P sha256.py FILE...``.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str]) -> int:
    """Print a line for each file; 1 and a line on standard error when one cannot be read."""
    code = 0
    for name in arguments:
        try:
            with Path(name).open("rb", buffering=0) as file:
                text = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            print(f"{name}: {error.strerror}", file=sys.stderr)  # noqa: T201 - this is a program
            code = 1
            continue
        # The order of the lines tells which file each is; a name may hold line feeds.
        print(f"{text}  -")  # noqa: T201 - this is a program
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

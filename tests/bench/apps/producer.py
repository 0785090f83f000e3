"""Puts jobs into another queue: ``python -m tests.bench.apps.producer APP``.

Each line of standard input is ``{"first": number, "jobs": count, "rate": jobs a second or null}`` and is answered with
one line: when it began, when all were taken and when each was handed over, in seconds of the monotonic clock.
"""

import importlib
import json
import sys
import time


def main() -> int:
    enqueue = importlib.import_module(f"tests.bench.apps.{sys.argv[1]}_app").enqueue
    for line in sys.stdin:
        asked = json.loads(line)
        begun_s = time.monotonic()
        sent_at = []
        for at in range(asked["jobs"]):
            if asked["rate"] is not None:
                time.sleep(max(0.0, begun_s + at / asked["rate"] - time.monotonic()))
            sent_at.append(time.monotonic())
            enqueue(asked["first"] + at)
        told = {"begun_s": begun_s, "submitted_s": time.monotonic() - begun_s, "sent_at": sent_at}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

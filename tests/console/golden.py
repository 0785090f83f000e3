"""The scenes whose screens are kept as files; run as a program it writes them."""

import os
import time
from pathlib import Path
from typing import Final

from tests.console.desk import Desk
from tests.master.house import House

FOLDER: Final = Path(__file__).parent / "screens"
# Size, and the keys that lead there.
SCENES: Final[dict[str, tuple[tuple[int, int], tuple[str, ...]]]] = {
    "jobs-80x24": ((80, 24), ("down", "down", "down")),
    "jobs-160x45": ((160, 45), ("down", "down", "down")),
    "confirm-80x24": ((80, 24), (" ", " ", "c")),
    "nodes-80x24": ((80, 24), ("2",)),
    "queues-80x24": ((80, 24), ("3",)),
    "events-80x24": ((80, 24), ("4",)),
    "explain-80x24": ((80, 24), ("e",)),
    "submit-80x24": ((80, 24), ("n", *"1080p30")),
    "small-60x5": ((60, 5), ()),
    "line-60x1": ((60, 1), ("down",)),
}
LOG: Final = (
    "frame=8640 fps=71 q=23 size=141MiB time=00:02:24 speed=1.18x\n"
    "frame=8710 fps=71 q=23 size=142MiB time=00:02:25 speed=1.18x\n"
)


def scene(busy: House, name: str) -> Desk:
    """Return a console on which the keys of a scene were pressed."""
    desk = Desk(busy)
    desk.logs["job-000003"] = LOG
    desk.wait(1.0)
    desk.press(*SCENES[name][1])
    desk.wait(1.0)
    return desk


def shown(desk: Desk, columns: int, rows: int) -> str:
    """Return a screen as a text file."""
    return "".join(f"{line.rstrip()}\n" for line in desk.text(columns, rows).split("\n"))


def path(name: str) -> Path:
    """Return the file of a scene."""
    return FOLDER / f"{name}.txt"


def main() -> None:
    """Write every screen."""
    from tests.console.cluster import busy_house

    os.environ["TZ"] = "UTC"
    time.tzset()
    FOLDER.mkdir(exist_ok=True)
    for name, (size, _) in SCENES.items():
        path(name).write_text(shown(scene(busy_house(), name), *size), encoding="utf-8")


if __name__ == "__main__":
    main()

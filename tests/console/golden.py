"""The scenes whose screens are kept as files; run as a program it writes them."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.console.cluster import busy_house, quiet_house
from tests.console.desk import Desk
from tests.master.house import House

FOLDER: Final = Path(__file__).parent / "screens"
LOG: Final = (
    "frame=8640 fps=71 q=23 size=141MiB time=00:02:24 speed=1.18x\n"
    "frame=8710 fps=71 q=23 size=142MiB time=00:02:25 speed=1.18x\n"
)
_LONG_LOG: Final = (
    "".join(f"frame={number} fps=71 q=23 size={number // 60}MiB speed=1.18x\n" for number in range(0, 3_000, 70))
    + "[error] error while decoding MB 70 4, bytestream -13, and a line that is longer than eighty cells are\n"
    + LOG
)


# Among the keys: let what they ask for come.
WAIT: Final = "(a second)"


@dataclass(frozen=True, slots=True)
class Scene:
    """What is shown: the cluster, the keys that lead there, and what happens to the master then."""

    keys: tuple[str, ...] = ()
    house: Callable[[], House] = busy_house
    log: str = LOG
    away: bool = False
    # Keys when the master is gone, or a while later.
    then: tuple[str, ...] = ()


_RUNNING: Final = ("down", "down", "down")
SCENES: Final[dict[str, Scene]] = {
    "jobs": Scene(_RUNNING),
    "nodes": Scene(("2",)),
    "queues": Scene(("3",)),
    "events": Scene(("4",)),
    "history": Scene(("5", "down")),
    "history-failed": Scene(("5",)),
    "log": Scene((*_RUNNING, "l"), log=_LONG_LOG),
    "log-search": Scene((*_RUNNING, "w", WAIT, "f", *"error", "enter", "t"), log=_LONG_LOG),
    "explain": Scene(("e",)),
    "help": Scene(("?",)),
    "submit": Scene(("n", *"1080p30")),
    "submit-wrong": Scene(("n", "enter")),
    "filter": Scene(("/", *"queue:batch ")),
    "filter-wrong": Scene(("/", *"state:faild", "enter")),
    "filter-empty": Scene(("/", *"8K", "enter")),
    "command": Scene((":", *"re")),
    "confirm-one": Scene(("c",)),
    "confirm": Scene((" ", " ", "c")),
    "marked": Scene(("V", "down", "down", "V", "up")),
    "refused": Scene(("end", "c", "y")),
    "offline": Scene(_RUNNING, away=True),
    "offline-action": Scene(_RUNNING, away=True, then=("c",)),
    "offline-history": Scene(("5",), away=True),
    "readonly": Scene(("R", "c")),
    "frozen": Scene(("z",)),
    "empty": Scene(house=quiet_house),
    "empty-nodes": Scene(("2",), house=quiet_house),
    "empty-history": Scene(("5",), house=quiet_house),
}
SIZES: Final = ((80, 24), (160, 45))
# The form for terminals that are smaller than that.
SMALL: Final = {
    "small-60x5": ((60, 5), Scene()),
    "small-confirm-60x5": ((60, 5), Scene(("c",))),
    "small-form-60x5": ((60, 5), Scene(("n", *"1080p30", "down", "enter"))),
    "small-nodes-60x5": ((60, 5), Scene(("2",))),
    "small-wrong-60x5": ((60, 5), Scene((":", *"bogus", "enter"))),
    "line-60x1": ((60, 1), Scene(("down",))),
}
SCREENS: Final[dict[str, tuple[tuple[int, int], Scene]]] = {
    **{f"{name}-{size[0]}x{size[1]}": (size, scene) for name, scene in SCENES.items() for size in SIZES},
    **SMALL,
}


def staged(scene: Scene) -> Desk:
    """Return a console on which the keys of a scene were pressed."""
    desk = Desk(scene.house())
    desk.logs["job-000003"] = scene.log
    desk.wait(1.0)
    for key in scene.keys:
        if key == WAIT:
            desk.wait(1.0)
        else:
            desk.press(key)
    desk.wait(1.0)
    if scene.away:
        desk.away = True
        desk.wait(12.0)
    desk.press(*scene.then)
    return desk


def shown(desk: Desk, columns: int, rows: int) -> str:
    """Return a screen as a text file."""
    return "".join(f"{line.rstrip()}\n" for line in desk.text(columns, rows).split("\n"))


def path(name: str) -> Path:
    """Return the file of a screen."""
    return FOLDER / f"{name}.txt"


def main() -> None:
    """Write every screen, and no other."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name, (size, scene) in SCREENS.items():
        path(name).write_text(shown(staged(scene), *size), encoding="utf-8")


if __name__ == "__main__":
    main()

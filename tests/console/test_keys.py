"""Every key of the table, pressed wherever it means something."""

import pytest

from ffrtmp_tui.console.keymap import ANYWHERE, KEYS, LOG, MOVES, Page
from ffrtmpd.wire.messages.acts import Cancel
from tests.console.desk import Desk
from tests.console.golden import LOG as LOG_TEXT
from tests.master.house import House

_WAYS = {
    Page.JOBS: ("end", "up", "up"),
    Page.HISTORY: ("5", "down"),
    Page.NODES: ("2", "down"),
    Page.QUEUES: ("3",),
    Page.EVENTS: ("4", "down", "down"),
    LOG: ("end", "up", "up", "l", "up"),
}
_CASES = [(name, key.action, place) for key in KEYS for place in sorted(key.where) for name in key.keys]


def placed(busy: House, place: str) -> Desk:
    """Return a console at a place, with something before and after what is selected."""
    busy.worker("w-20")
    busy.ask(Cancel(request_id="c", job="6"))
    desk = Desk(busy)
    desk.logs["job-000003"] = LOG_TEXT * 100
    desk.wait(1.0)
    desk.press(*_WAYS[Page(place) if place != LOG else LOG])
    desk.wait(1.0)
    return desk


def seen(desk: Desk) -> tuple[object, ...]:
    state = desk.state
    return desk.text(160, 45), state.theme, state.yanked, state.leaving, state.log_wrap, state.log_times


@pytest.mark.parametrize(("name", "action", "place"), _CASES)
def test_key_does_something_where_the_table_says_so(busy: House, name: str, action: str, place: str) -> None:
    desk = placed(busy, place)
    desk.text(160, 45)
    if action == "back":
        desk.press("?")
    before, asked = seen(desk), len(desk.asked)
    desk.press(name)
    alike = seen(desk) == before and len(desk.asked) == asked
    if action == f"page_{place}" or (place == Page.QUEUES and action in MOVES):
        assert alike
    else:
        assert not alike, f"{name!r} on {place} changes nothing"
    for size in ((80, 24), (160, 45), (40, 6)):
        assert len(desk.text(*size).split("\n")) == size[1]


@pytest.mark.parametrize("place", sorted(ANYWHERE))
def test_keys_that_mean_nothing_somewhere_change_nothing_there(busy: House, place: str) -> None:
    desk = placed(busy, place)
    before = seen(desk)
    for key in KEYS:
        for name in key.keys:
            if not any(place in other.where and name in other.keys for other in KEYS):
                desk.press(name)
    assert seen(desk) == before

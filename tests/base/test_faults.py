"""Fault points: silent unless asked for, and once each."""

import signal

import pytest

from ffrtmpd.base import faults


def test_without_the_variable_nothing_happens() -> None:
    struck: list[int] = []
    faults.point_for({}, struck.append)("send", "COMMIT")
    assert struck == []


@pytest.mark.parametrize(("how", "number"), [("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)])
def test_named_point_strikes_once(how: str, number: int) -> None:
    struck: list[int] = []
    point = faults.point_for({"FFRTMP_FAULT": f"send.COMMIT:{how}"}, struck.append)
    for parts in (("send", "RESULT"), ("receive", "COMMIT"), ("rename",)):
        point(*parts)
    assert struck == []
    point("send", "COMMIT")
    point("send", "COMMIT")
    assert struck == [number]


@pytest.mark.parametrize("wanted", ["send.COMMIT", "send.COMMIT:burn"])
def test_unknown_way_to_fail_is_refused(wanted: str) -> None:
    with pytest.raises(ValueError, match="NAME:kill"):
        faults.point_for({"FFRTMP_FAULT": wanted}, lambda _: None)

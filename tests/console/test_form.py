"""The form while its job is on its way, and when it was left before the answer came."""

import pytest

from ffrtmp_tui.failures import Exit, Failure
from ffrtmpd.wire.messages.jobs import Submit
from tests.console.desk import Desk


@pytest.fixture
def sent(desk: Desk) -> Desk:
    """A console whose form was sent and has no answer yet."""
    desk.press("n", *"720p30-h264")
    desk.console.key("enter", desk.now)
    return desk


def keys(desk: Desk, *names: str) -> None:
    """Press keys while nothing comes or goes."""
    for name in names:
        desk.console.key(name, desk.now)


def test_what_is_on_its_way_is_not_changed_any_more(sent: Desk) -> None:
    keys(sent, "x", "down", *"/srv/a.mov", "begin paste", "y", "end paste", "enter")
    assert "sent ..." in sent.text()
    sent.pump()
    assert "submitted job-000007" in sent.text(160, 45)
    assert "= ffrtmp jobs submit 720p30-h264" in sent.text(160, 45)
    assert "/srv/a.mov" not in sent.text(160, 45)
    assert sum(isinstance(request, Submit) for request in sent.asked) == 1


@pytest.mark.parametrize("after", [("esc",), ("esc", "n", *"4K60")])
def test_job_is_told_also_when_the_form_was_left(sent: Desk, after: tuple[str, ...]) -> None:
    keys(sent, *after)
    sent.pump()
    assert "submitted job-000007" in sent.text()
    assert "= ffrtmp jobs submit 720p30-h264" in sent.text(160, 45)
    # Another form is not closed by it.
    assert (sent.state.form is not None) == ("n" in after)


def test_no_answer_is_told_also_when_the_form_was_left(sent: Desk) -> None:
    keys(sent, "esc")
    sent.away = True
    sent.pump()
    assert "whether a job was made is not known" in sent.text(160, 45)
    assert "job-000007" not in sent.text(160, 45)


def test_refusal_is_told_in_the_form_or_without_it(sent: Desk) -> None:
    asks = sent.console.tick(sent.now)
    (ask,) = [ask for ask in asks if isinstance(ask.request, Submit)]
    refused = Failure(Exit.FAILED, "the queue is full", code="rejected")
    sent.console.missed(ask, refused, sent.now)
    assert "the queue is full" in sent.text()
    assert sent.state.form is not None
    assert not sent.state.form.sent
    keys(sent, "esc")
    sent.console.missed(ask, refused, sent.now)
    assert "not submitted: the queue is full" in sent.text(160, 45)


def test_esc_right_behind_enter_does_not_take_what_the_answer_told(sent: Desk) -> None:
    sent.pump()
    keys(sent, "esc")
    assert "submitted job-000007" in sent.text()
    sent.wait(2.0)
    keys(sent, "esc")
    assert "submitted job-000007" not in sent.text()

"""The log: its pieces, where it is looked at, what is found."""

import pytest

from ffrtmp_tui.console.log import LINES_MAX, Log
from ffrtmpd.wire.messages.inquiries import Logs, LogsReply
from tests.console.desk import Desk


def piece(text: str, offset: int, *, end: bool = False, attempt: int = 1) -> LogsReply:
    onward = offset + len(text)
    return LogsReply(
        request_id="l", job_id="job-000003", attempt=attempt, text=text, offset=offset, next_offset=onward, end=end
    )


def filled(text: str = "one\ntwo\nthree\nfour\nfive\n") -> Log:
    log = Log()
    log.take(piece(text, 100), 50.0)
    return log


def test_pieces_join_in_the_middle_of_a_line_and_new_ones_know_when_they_were_seen() -> None:
    log = filled("one\ntw")
    log.take(piece("o\nthree\n", 106), 60.0)
    assert log.lines[: log.count] == ["one", "two", "three"]
    assert log.seen_at[: log.count] == [None, 60.0, 60.0]
    assert (log.first, log.onward) == (100, 114)


def test_piece_before_joins_too_and_what_is_looked_at_stays() -> None:
    log = filled("wo\nthree\n")
    log.top, log.hit = 1, 1
    log.put_before(LogsReply(request_id="l", job_id="j", attempt=1, text="one\nt", offset=95, next_offset=100))
    assert log.lines[: log.count] == ["one", "two", "three"]
    assert (log.top, log.hit, log.first) == (2, 2, 95)
    log.put_before(piece("not of this place", 7))
    assert log.count == 3


def test_what_an_encoder_says_cannot_move_the_cursor() -> None:
    log = filled("\x1b[2Jfine\rframe=2\r\n")
    assert log.lines[: log.count] == ["\N{REPLACEMENT CHARACTER}[2Jfine", "frame=2"]


def test_lines_are_bounded() -> None:
    log = filled()
    log.top = 3
    for _ in range(5):
        log.take(piece("x\n" * (LINES_MAX // 2), log.onward or 0), 1.0)
    assert len(log.lines) == LINES_MAX
    assert log.top == 0
    assert log.first == 0


@pytest.mark.parametrize(
    ("steps", "expected"),
    [((-1,), "two"), ((-9,), "one"), ((-9, 1), "two"), ((-9, 9), "three")],
)
def test_log_is_moved_and_its_end_is_followed_again(steps: tuple[int, ...], expected: str) -> None:
    log = filled()
    for step in steps:
        log.scroll(step, 3)
    assert log.window(3)[0][1] == expected
    log.take(piece("six\n", 124), 60.0)
    assert log.window(3)[0][1] == ("four" if log.top is None else expected)


def test_search_goes_from_line_to_line_both_ways_and_around() -> None:
    log = filled("error a\nok\nerror b\nok\nError c\nok\n")
    assert log.find("ERROR", 1)
    assert log.hit == 4
    assert log.find("error", 1)
    assert log.hit == 0
    assert log.find("error", 1)
    assert log.hit == 2
    assert log.find("error", -1)
    assert log.hit == 0
    assert log.matches("error") == (1, 3)
    assert any(at == 0 for at, _ in log.window(2))
    assert not log.find("nothing", 1)
    assert log.matches("") == (0, 0)


def test_long_lines_are_folded_to_the_width() -> None:
    log = filled("abcdefgh\n日本語\nx\n")
    assert [text for _, text in log.window(9, 4)] == ["abcd", "efgh", "日本", "語", "x"]
    assert [text for _, text in log.window(2, 4)] == ["語", "x"]
    log.top = 0
    assert [text for _, text in log.window(2, 4)] == ["abcd", "efgh"]
    log.hit = 2
    assert (2, "x") in log.window(2, 4)


def reading(desk: Desk, text: str) -> Desk:
    desk.logs["job-000003"] = text
    desk.press("end", "up", "up")
    desk.wait(1.5)
    assert desk.state.jobs.selected == "job-000003"
    return desk


def test_full_log_is_searched_folded_and_timed(desk: Desk) -> None:
    reading(desk, "".join(f"frame={number}\n" for number in range(50)) + "error: " + "x" * 100 + "\nlast\n")
    desk.press("l", "/")
    desk.type("ERROR")
    desk.press("enter")
    assert "/ERROR 1/1" in desk.text()
    assert {style for line in desk.draw().lines for style, text in line if text == "error"} == {"selected"}
    desk.press("w")
    assert "x" * 27 + " " * 53 in desk.text()
    desk.logs["job-000003"] += "newer\n"
    desk.wait(2.0)
    desk.press("end", "t")
    text = desk.text()
    assert "newer" in text
    assert "-        last" in text
    assert "22:30:38 newer" in text or "22:30:37 newer" in text or "22:30:39 newer" in text
    desk.press("esc", "esc")
    assert not desk.state.log_full


def test_next_and_before_go_through_what_was_found(desk: Desk) -> None:
    reading(desk, "".join(f"{'error' if number % 10 == 0 else 'frame'}={number}\n" for number in range(100)))
    desk.press("f")
    desk.type("error")
    desk.press("enter")
    assert "/error 10/10" in desk.text()
    desk.press("N")
    assert "/error 9/10" in desk.text()
    assert "error=80" in desk.text()
    desk.press("n", "n")
    assert "/error 1/10" in desk.text()
    assert "error=0" in desk.text()
    desk.press("/")
    desk.type("nothing like it")
    desk.press("enter")
    assert "no line has 'nothing like it'" in desk.text()


def test_text_that_is_looked_for_before_the_log_has_come_is_found_when_it_does(desk: Desk) -> None:
    desk.logs["job-000003"] = "".join(f"{'error' if number == 5 else 'frame'}={number}\n" for number in range(100))
    desk.press("end", "up", "up", "f")
    desk.type("error")
    desk.press("enter")
    assert "the log has not come yet" in desk.text()
    desk.wait(2.0)
    assert "/error 1/1" in desk.text()
    assert "error=5" in desk.text()


def test_beginning_of_a_long_log_is_fetched_when_someone_goes_there(desk: Desk) -> None:
    reading(desk, "".join(f"line {number}\n" for number in range(20_000)))
    log = desk.state.detail.log
    assert log.first > 0
    desk.press("l")
    desk.text()
    for _ in range(5):
        desk.press("home")
        desk.wait(0.5)
    assert log.first == 0
    assert "line 0" in desk.text()
    assert [log.lines[at] for at in range(0, log.count, 1_000)] == [f"line {at}" for at in range(0, 20_000, 1_000)]


def test_log_of_another_attempt_begins_anew(desk: Desk) -> None:
    reading(desk, "first\n")
    asked = [request for request in desk.asked if isinstance(request, Logs)]
    assert asked[0].offset < 0
    assert desk.state.detail.log.attempt == 1

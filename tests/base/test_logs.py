"""Log lines: one a line, whatever is in the fields."""

import io
import json
import threading
from pathlib import Path

import pytest

from ffrtmpd.base.logs import Logger, is_journal, stamp


def test_logfmt_quotes_what_could_forge_a_line() -> None:
    stream = io.StringIO()
    Logger(stream=stream, wall=lambda: 0.5).info("job", name='a b"\nlevel=error', state="queued", none=None, ok=True)
    assert stream.getvalue() == (
        '1970-01-01T00:00:00.500Z level=info event=job name="a b\\"\\nlevel=error" state=queued ok=true\n'.replace(
            "1970", "at=1970", 1
        )
    )


def test_json_lines_parse() -> None:
    stream = io.StringIO()
    Logger(stream=stream, form="json", wall=lambda: 1.0).error("x", value=1.5, text="a\nb")
    assert json.loads(stream.getvalue()) == {
        "at": "1970-01-01T00:00:01.000Z",
        "level": "error",
        "event": "x",
        "value": 1.5,
        "text": "a\nb",
    }


def test_levels_below_the_least_are_left_out() -> None:
    stream = io.StringIO()
    log = Logger(stream=stream, level="warning")
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert stream.getvalue().count("\n") == 1
    assert "event=c" in stream.getvalue()


class Writes(io.StringIO):
    """Counts how often it was written to."""

    count = 0

    def write(self, text: str, /) -> int:
        self.count += 1
        return super().write(text)


def events(stream: io.StringIO) -> list[str]:
    return [line.split("event=")[1] for line in stream.getvalue().splitlines()]


def test_held_lines_are_written_in_one_piece() -> None:
    stream = Writes()
    log = Logger(stream=stream)
    log.hold()
    log.info("a")
    log.info("b")
    assert stream.getvalue() == ""
    log.release()
    assert (events(stream), stream.count) == (["a", "b"], 1)
    log.release()
    log.info("c")
    assert (events(stream), stream.count) == (["a", "b", "c"], 2)


def test_grave_line_is_not_held_nor_what_came_before_it() -> None:
    stream = Writes()
    log = Logger(stream=stream)
    log.hold()
    log.info("a")
    log.warning("b")
    assert (events(stream), stream.count) == (["a", "b"], 1)
    log.info("c")
    assert events(stream) == ["a", "b"]
    log.release()
    assert events(stream) == ["a", "b", "c"]


def test_lines_of_all_threads_come_through_whole_while_one_holds() -> None:
    stream = io.StringIO()
    log = Logger(stream=stream)

    def write(name: str) -> None:
        for number in range(500):
            log.info(f"{name}-{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for _ in range(500):
        log.hold()
        log.info("mine")
        log.release()
    for thread in threads:
        thread.join()
    said = events(stream)
    assert len(said) == 1_500
    assert [event for event in said if event.startswith("a")] == [f"a-{number}" for number in range(500)]


def test_closed_stream_does_not_stop_the_program() -> None:
    stream = io.StringIO()
    log = Logger(stream=stream)
    stream.close()
    log.info("lost")


def test_stamp_is_utc_with_milliseconds() -> None:
    assert stamp(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"


def test_journal_is_told_how_grave_a_line_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stream"
    with path.open("w") as stream:
        told = path.stat()
        monkeypatch.setenv("JOURNAL_STREAM", f"{told.st_dev}:{told.st_ino}")
        log = Logger(stream=stream, level="debug")
        for level in ("debug", "info", "warning", "error"):
            log.log(level, level, {})
    lines = path.read_text().splitlines()
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>"]
    assert all(line[3:].startswith("at=") for line in lines)


def test_stream_that_is_another_file_than_the_journal_gets_plain_lines(tmp_path: Path) -> None:
    told = tmp_path.stat()
    with (tmp_path / "stream").open("w") as stream:
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{told.st_dev}:{told.st_ino}"})
        assert not is_journal(stream, {})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:1"})

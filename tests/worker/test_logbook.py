import os
from pathlib import Path

import pytest

from ffrtmp_worker.logbook import TAIL_MAX, Log, Logbook
from ffrtmpd.wire.codec import catalogue, decode, encode
from ffrtmpd.wire.messages.session import FetchLog, LogChunk

JOB = ("job-000001", 1)


def fetch(book: Logbook, offset: int = 0, limit: int = 65_536, *, running: bool = False, job: str = JOB[0]) -> LogChunk:
    request = FetchLog(fetch_id=9, job_id=job, attempt=1, offset=offset, limit=limit)
    chunk = book.fetch(request, running=running)
    assert decode(encode(chunk), catalogue(LogChunk)) == chunk
    return chunk


def written(book: Logbook, data: bytes) -> None:
    book.log(JOB).write(data)
    book.close(JOB)


def test_log_of_all_steps_is_read_with_their_commands(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    log = book.log(JOB)
    log.begin_step(("ffprobe", "a file"))
    log.write(b"one\n")
    log.begin_step(("ffmpeg", "-i", "x"))
    log.write(b"two\n")
    assert log.recent() == "two\n"
    book.close(JOB)
    assert fetch(book).text == "$ ffprobe 'a file'\none\n$ ffmpeg -i x\ntwo\n"


def test_log_is_read_while_it_grows(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    log = book.log(JOB)
    log.write(b"first ")
    chunk = fetch(book, running=True)
    assert (chunk.text, chunk.next_offset, chunk.end) == ("first ", 6, False)
    log.write(b"second")
    chunk = fetch(book, chunk.next_offset, running=True)
    assert (chunk.text, chunk.offset, chunk.next_offset) == ("second", 6, 12)
    book.close(JOB)
    chunk = fetch(book, chunk.next_offset)
    assert (chunk.text, chunk.end) == ("", True)


@pytest.mark.parametrize(
    ("offset", "limit", "text", "begins", "end"),
    [
        (0, 4, "abcd", 0, False),
        (4, 4, "efgh", 4, False),
        (8, 4, "ij", 8, True),
        (-3, 100, "hij", 7, True),
        (-100, 2, "ab", 0, False),
        (100, 5, "", 10, True),
    ],
)
def test_piece_is_what_was_asked_for(
    tmp_path: Path, offset: int, limit: int, text: str, begins: int, *, end: bool
) -> None:
    book = Logbook(tmp_path)
    written(book, b"abcdefghij")
    chunk = fetch(book, offset, limit)
    assert (chunk.text, chunk.offset, chunk.end) == (text, begins, end)


def test_pieces_of_a_log_with_long_characters_join_to_the_whole(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    text = "aé€😀" * 50
    written(book, text.encode())
    read, offset = "", 0
    for _ in range(1_000):
        chunk = fetch(book, offset, 7)
        read, offset = read + chunk.text, chunk.next_offset
        if chunk.end:
            break
    assert read == text


def test_bytes_that_are_no_text_fit_the_message_all_the_same(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    written(book, b"\xff\0" * 40_000)
    chunk = fetch(book)
    assert 0 < chunk.next_offset < 80_000
    assert set(chunk.text) == {"\ufffd"}


@pytest.mark.parametrize("job", ["job-000009", "../job-000001", "..", ".", "a/b"])
def test_log_that_is_not_there_is_missing(tmp_path: Path, job: str) -> None:
    book = Logbook(tmp_path / "logs")
    (tmp_path / "job-000001").mkdir()
    (tmp_path / "job-000001" / "1.log").write_text("secret")
    chunk = fetch(book, job=job)
    assert (chunk.missing, chunk.text) == (True, "")


def test_name_that_is_no_file_name_has_no_log(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="name"):
        Logbook(tmp_path).log(("../x", 1))


def test_long_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x" / "1.log"
    log = Log(path, head_max=100)
    for number in range(100_000):
        log.write(b"%09d\n" % number)
    assert log.recent().endswith("000099999\n")
    log.close()
    data = path.read_bytes()
    assert data.startswith(b"000000000\n")
    assert data.endswith(b"000099999\n")
    assert b"bytes left out" in data
    assert len(data) < 100 + TAIL_MAX + 200


def test_oldest_logs_are_deleted_beyond_the_limit(tmp_path: Path) -> None:
    book = Logbook(tmp_path, kept_bytes=25)
    for number in range(4):
        book.log((f"job-{number}", 1)).write(b"0123456789")
        book.close((f"job-{number}", 1))
        os.utime(tmp_path / f"job-{number}" / "1.log", (number, number))
    assert book.trim() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job-2", "job-3"]

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmp_worker.events import FreeRoom, RoomRead
from ffrtmp_worker.places import FILE_PREFIX
from ffrtmp_worker.room import PLENTY_BYTES, Disk, NoRoom, Room, RoomWatch, disk_of, expected_bytes, short_of_room
from ffrtmp_worker.task import plan
from ffrtmpd.wire.messages.jobs import AudioStream, MediaInfo, VideoStream
from ffrtmpd.wire.vocabulary import FailureClass
from tests.worker.bench import assign

A, B, C = ("job-a", 1), ("job-b", 1), ("job-c", 2)
KEEP = 1_000


# ── before ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_output_that_leaves_too_little_is_refused_with_the_figures() -> None:
    room = Room(500 << 20, lambda _: Disk(1, 600 << 20))
    room.claim(Path("/out/a.partial"), 100 << 20)
    room.release(Path("/out/a.partial"))
    with pytest.raises(NoRoom) as refused:
        room.claim(Path("/out/b.partial"), (100 << 20) + 1)
    assert refused.value.failure_class is FailureClass.TRANSIENT
    assert str(refused.value) == (
        "not enough room on the disk: 600 MiB free, 100 MiB expected, "
        "500 MiB to be kept free (limits.min_free_disk_bytes)"
    )


def test_output_of_unknown_size_needs_what_must_stay_free() -> None:
    Room(KEEP, lambda _: Disk(1, KEEP)).claim(Path("/out/a"), None)
    with pytest.raises(NoRoom, match="999 B free, 1000 B to be kept free"):
        Room(KEEP, lambda _: Disk(1, KEEP - 1)).claim(Path("/out/a"), None)


def test_what_other_outputs_will_still_take_is_not_free(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    free = 1_000
    room = Room(0, lambda _: Disk(1, free))
    room.claim(first, 800)
    with pytest.raises(NoRoom, match="800 B promised to other outputs"):
        room.claim(second, 300)
    # Half of it is written: the disk has less, and less is promised.
    first.write_bytes(b"x" * 400)
    free = 600
    room.claim(second, 200)
    room.release(second)
    room.release(first)
    room.claim(second, 600)


def test_promises_on_another_disk_do_not_count() -> None:
    room = Room(0, lambda folder: Disk(1 if folder.name == "one" else 2, 1_000))
    room.claim(Path("/one/a"), 900)
    room.claim(Path("/two/b"), 900)


def test_disk_that_nobody_can_look_at_is_not_a_reason_to_refuse() -> None:
    Room(KEEP, lambda _: None).claim(Path("/out/a"), 1 << 60)


def test_disk_of_a_folder_to_be_made_is_that_of_its_parent(tmp_path: Path) -> None:
    found = disk_of(tmp_path / "not" / "there")
    assert found is not None
    assert found.device == tmp_path.stat().st_dev
    state = os.statvfs(tmp_path)
    assert abs(found.free_bytes - state.f_bavail * state.f_frsize) < 1 << 30


def test_expected_size_is_rate_by_length_with_a_margin() -> None:
    media = MediaInfo(container="mp4", duration_s=80.0, video=VideoStream(codec="h264", width=2, height=2, fps=30.0))

    def size(media: MediaInfo) -> int | None:
        order = replace(assign(), input="in.mp4")
        source = FILE_PREFIX + "/in.mp4"
        task = plan(order, encoders=("libx264",), source=source, media=media, destination=Path("/out.mp4"))
        return expected_bytes(task)

    assert size(media) == pytest.approx(5_000_000 * 80 / 8 * 1.1, abs=1)
    with_sound = replace(media, audio=AudioStream(codec="aac"))
    assert size(with_sound) == pytest.approx(5_128_000 * 80 / 8 * 1.1, abs=1)
    assert size(replace(media, duration_s=None)) is None


# ── during ────────────────────────────────────────────────────────────────────────────────────────────────────────


def stopped(
    running: dict[tuple[str, int], bool], *rooms: tuple[int, tuple[tuple[str, int], ...]]
) -> list[tuple[str, int]]:
    read = RoomRead(tuple(FreeRoom(free, attempts) for free, attempts in rooms))
    return [attempt for attempt, _ in short_of_room(read, running, KEEP)]


def test_on_a_full_disk_the_one_that_began_last_is_stopped() -> None:
    assert stopped({A: False, B: False, C: False}, (KEEP - 1, (C, A, B))) == [C]
    assert stopped({A: False, B: False, C: False}, (KEEP - 1, (A, B))) == [B]


def test_disk_with_room_enough_stops_nobody() -> None:
    assert stopped({A: False}, (KEEP, (A,))) == []


def test_each_full_disk_stops_one_of_its_own() -> None:
    running = {A: False, B: False, C: False}
    assert stopped(running, (0, (A,)), (0, (B, C)), (KEEP, ())) == [A, C]


def test_next_one_waits_until_the_first_has_given_its_room_back() -> None:
    assert stopped({A: False, B: True}, (0, (A, B))) == []
    # Read before the end of C, which has given room back since.
    assert stopped({A: False, B: False}, (0, (A, B, C))) == []
    assert stopped({A: False, B: False}, (0, (A, B))) == [B]


def test_reason_names_figures_and_setting() -> None:
    ((_, reason),) = short_of_room(RoomRead((FreeRoom(10 << 20, (A,)),)), {A: False}, 512 << 20)
    assert reason == (
        "disk full: 10 MiB free where the output is written, and 512 MiB are to be kept free "
        "(limits.min_free_disk_bytes)"
    )


def test_watch_looks_once_a_second_while_something_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffrtmp_worker.room.disk_of", lambda _: Disk(1, PLENTY_BYTES - 1))
    watch = RoomWatch()
    assert watch.due(10.0) is None
    watch.begin(1, A, "/media/a.partial")
    watch.begin(2, B, "/media/b.partial")
    look = watch.due(10.0)
    assert look is not None
    # A slow disk is not asked again before it has answered.
    assert watch.due(99.0) is None
    read = look()
    assert read == RoomRead((FreeRoom(PLENTY_BYTES - 1, (A, B)),))
    watch.looked(read)
    assert watch.due(10.9) is None
    watch.end(1)
    look = watch.due(11.0)
    assert look is not None
    assert [found.attempts for found in look().rooms] == [(B,)]
    watch.looked(look())
    watch.end(2)
    watch.end(2)
    assert watch.due(20.0) is None


def test_watch_looks_seldom_where_plenty_is_free_until_another_output_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {Path("/media"): PLENTY_BYTES, Path("/full"): 1}
    monkeypatch.setattr("ffrtmp_worker.room.disk_of", lambda folder: Disk(len(str(folder)), free[folder]))
    watch = RoomWatch()

    def looks_at(now_s: float) -> bool:
        look = watch.due(now_s)
        if look is not None:
            watch.looked(look())
        return look is not None

    watch.begin(1, A, "/media/a.partial")
    assert [now_s for now_s in range(12) if looks_at(now_s)] == [0, 5, 10]
    watch.begin(2, B, "/full/b.partial")
    assert [now_s for now_s in range(12, 15) if looks_at(now_s)] == [12, 13, 14]
    watch.end(2)
    assert [now_s for now_s in range(15, 22) if looks_at(now_s)] == [15, 20]


def test_watch_looks_where_an_output_began_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffrtmp_worker.room.disk_of", lambda _: Disk(1, PLENTY_BYTES))
    watch = RoomWatch()
    watch.begin(1, A, "/media/a.partial")
    look = watch.due(0.0)
    assert look is not None
    watch.begin(2, B, "/other/b.partial")
    watch.looked(look())
    assert watch.due(1.0) is not None


def test_disk_that_cannot_be_asked_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffrtmp_worker.room.disk_of", lambda _: None)
    watch = RoomWatch()
    watch.begin(1, A, "/media/a.partial")
    look = watch.due(0.0)
    assert look is not None
    watch.looked(look())
    assert watch.due(1.0) is not None

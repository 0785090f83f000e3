from pathlib import Path

import pytest

from ffrtmp_worker.staging import PartialNotes, partial_path, publish


def test_partial_stands_beside_its_target() -> None:
    token = bytes.fromhex("00112233") + b"x" * 12
    assert partial_path(Path("/out/a.mp4"), "job-000001", 3, token) == Path("/out/a.mp4.job-000001.3.00112233.partial")


def test_two_attempts_of_one_number_never_write_to_one_file() -> None:
    one, other = (partial_path(Path("/out/a.mp4"), "job-000001", 3, bytes([token]) * 16) for token in (1, 2))
    assert one != other


def test_publication_gives_the_name_and_replaces_what_had_it(tmp_path: Path) -> None:
    partial, final = tmp_path / "a.partial", tmp_path / "a.mp4"
    partial.write_bytes(b"new")
    final.write_bytes(b"old")
    publish(partial, final)
    assert final.read_bytes() == b"new"
    assert not partial.exists()


def test_publication_again_after_a_crash_is_harmless_when_the_size_fits(tmp_path: Path) -> None:
    partial, final = tmp_path / "a.partial", tmp_path / "a.mp4"
    final.write_bytes(b"new")
    publish(partial, final, size_bytes=3)
    for size in (None, 4):
        with pytest.raises(FileNotFoundError):
            publish(partial, final, size_bytes=size)
    assert final.read_bytes() == b"new"


def test_leftovers_of_an_earlier_life_are_removed_but_not_the_work_of_others(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    ours, kept, theirs = (out / f"{name}.mp4.job-1.1.partial" for name in ("ours", "kept", "theirs"))
    notes = PartialNotes(tmp_path / "notes")
    for partial in (ours, kept, theirs):
        partial.write_bytes(b"x")
    notes.note(ours)
    notes.note(kept)
    reborn = PartialNotes(tmp_path / "notes")
    assert reborn.remove_leftovers(keep={kept}) == [ours]
    assert sorted(out.iterdir()) == sorted([kept, theirs])
    assert reborn.remove_leftovers() == [kept]
    assert PartialNotes(tmp_path / "notes").remove_leftovers() == []


def test_forgotten_partial_is_nobodys_leftover(tmp_path: Path) -> None:
    partial = tmp_path / "a.partial"
    partial.write_bytes(b"x")
    notes = PartialNotes(tmp_path / "notes")
    notes.note(partial)
    notes.forget(partial)
    notes.forget(partial)
    assert notes.remove_leftovers() == []
    assert partial.exists()


def test_leftover_on_a_disk_that_is_away_stays_noted(tmp_path: Path) -> None:
    away = tmp_path / "away"
    partial = away / "a.partial"
    notes = PartialNotes(tmp_path / "notes")
    notes.note(partial)
    assert notes.remove_leftovers() == []
    away.mkdir()
    partial.write_bytes(b"x")
    assert notes.remove_leftovers() == [partial]


def test_note_that_names_no_partial_removes_nothing(tmp_path: Path) -> None:
    precious = tmp_path / "precious.mp4"
    precious.write_bytes(b"x")
    notes = PartialNotes(tmp_path / "notes")
    notes.note(precious)
    assert notes.remove_leftovers() == []
    assert precious.exists()

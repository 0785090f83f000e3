from pathlib import Path

import pytest

from ffrtmp_worker.spool import Entry, Fate, Spool
from ffrtmpd.wire.messages.jobs import MediaInfo, Report
from ffrtmpd.wire.messages.session import Result
from ffrtmpd.wire.vocabulary import FailureClass, Outcome


def entry(folder: Path, job: str = "job-000001", *, staged: bool = True) -> Entry:
    media = MediaInfo(container="mp4", size_bytes=5)
    result = Result(
        job_id=job, attempt=2, token=b"t" * 16, outcome=Outcome.ENCODED, report=Report(command=("a", "b"), media=media)
    )
    partial = folder / f"{job}.partial"
    if staged:
        partial.write_bytes(b"media")
    return Entry(result=result, partial=str(partial) if staged else None, final=str(folder / f"{job}.mp4"))


def test_sealed_entry_is_read_back_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    made = entry(tmp_path)
    spool.seal(made)
    (read,) = Spool(tmp_path / "spool").load()
    assert read.result == made.result
    assert (read.partial, read.final) == (made.partial, made.final)
    assert read.fate() is Fate.WHOLE


def test_renamed_output_is_known_as_published(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    made = entry(tmp_path)
    spool.seal(made)
    Path(made.partial or "").rename(made.final or "")
    assert spool.load()[0].fate() is Fate.PUBLISHED


def test_file_of_that_name_that_is_not_the_output_is_no_publication(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    made = entry(tmp_path)
    Path(made.final or "").write_bytes(b"older")
    spool.seal(made)
    Path(made.partial or "").unlink()
    assert spool.load()[0].fate() is Fate.GONE


def test_entry_without_output_is_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    result = Result(
        job_id="job-000001",
        attempt=1,
        token=b"t" * 16,
        outcome=Outcome.FAILED,
        report=Report(),
        failure_class=FailureClass.PERMANENT,
        reason="bad input",
    )
    spool.seal(Entry(result=result, final="rtmp://host/key"))
    assert spool.load()[0].fate() is Fate.WHOLE


def test_output_that_is_not_there_is_not_sealed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    made = entry(tmp_path)
    Path(made.partial or "").unlink()
    with pytest.raises(FileNotFoundError):
        spool.seal(made)
    assert spool.load() == []


def test_dropped_entry_is_gone_and_dropping_twice_is_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    one, other = entry(tmp_path), entry(tmp_path, "job-000002")
    spool.seal(one)
    spool.seal(other)
    spool.drop(one.attempt)
    spool.drop(one.attempt)
    assert [found.attempt for found in spool.load()] == [other.attempt]


def test_sealing_again_replaces(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.seal(entry(tmp_path))
    spool.seal(entry(tmp_path, staged=False))
    (read,) = spool.load()
    assert read.partial is None


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x81\xa6result\x01", b"\x93\x01"])
def test_damaged_entries_are_put_aside_and_unfinished_ones_deleted(tmp_path: Path, damage: bytes) -> None:
    spool = Spool(tmp_path / "spool")
    (tmp_path / "spool" / "x.1.result").write_bytes(damage)
    (tmp_path / "spool" / "y.1.new").write_bytes(b"half")
    spool.seal(entry(tmp_path))
    assert len(spool.load()) == 1
    assert sorted(path.suffix for path in (tmp_path / "spool").iterdir()) == [".bad", ".result"]
    assert len(spool.load()) == 1


def test_name_of_a_job_cannot_leave_the_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.seal(entry(tmp_path, "x"))
    hostile = entry(tmp_path, staged=False)
    result = Result(
        job_id="../../escape", attempt=1, token=b"t" * 16, outcome=Outcome.ENCODED, report=hostile.result.report
    )
    spool.seal(Entry(result=result))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spool", "x.partial"]

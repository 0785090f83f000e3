"""The command ``ffrtmpd backup``: a line when it is done, a code and a reason when it is not."""

import errno
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ffrtmpd.main import main
from ffrtmpd.store import BackupTargetError, Store, backup


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home folder with a database."""
    monkeypatch.setenv("FFRTMPD_HOME", str(tmp_path / "home"))
    Store.open(tmp_path / "home" / "master.db").close()
    return tmp_path / "home"


def test_copy_is_a_database_and_the_line_names_it(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "copy.db"
    assert main(["backup", str(target)]) == 0
    assert str(target) in capsys.readouterr().out
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_copy_of_the_database_that_the_settings_name(home: Path, tmp_path: Path) -> None:
    Store.open(tmp_path / "elsewhere" / "other.db").close()
    (home / "ffrtmpd.toml").write_text(f'[store]\npath = "{tmp_path}/elsewhere/other.db"\n')
    (home / "master.db").unlink()
    assert main(["backup", str(tmp_path / "copy.db")]) == 0


def test_target_that_is_taken_is_a_matter_of_the_target(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious").write_text("precious")
    assert main(["backup", str(tmp_path / "precious")]) == os.EX_CANTCREAT
    assert main(["backup", str(tmp_path)]) == os.EX_CANTCREAT
    assert (tmp_path / "precious").read_text() == "precious"
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_leftover_of_a_killed_backup_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db.partial").touch()
    with pytest.raises(BackupTargetError, match=r"copy\.db\.partial exists"):
        backup(home / "master.db", tmp_path / "copy.db")
    assert (tmp_path / "copy.db.partial").exists()


def test_no_room_is_said_in_the_systems_words(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, _part: Path) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(sys.modules["ffrtmpd.store.backup"], "_copy", full)
    with pytest.raises(BackupTargetError, match=os.strerror(errno.ENOSPC)):
        backup(home / "master.db", tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_without_a_database_there_is_nothing_to_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FFRTMPD_HOME", str(tmp_path / "nowhere"))
    assert main(["backup", str(tmp_path / "copy.db")]) == os.EX_CONFIG
    assert "there is no database" in capsys.readouterr().err

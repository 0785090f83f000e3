"""``ffrtmpd init --first-start``: what the service does before each of its starts."""

import os
import time
import tomllib
from pathlib import Path

import pytest

from ffrtmpd.main import main
from ffrtmpd.store import Store
from ffrtmpd.wire.curve import new_key_pair, read_key_file, write_key_file
from ffrtmpd.wire.vocabulary import Role
from tests.needs import need


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("FFRTMPD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    return tmp_path / "home"


def first_start() -> int:
    return main(["init", "--first-start", "--admin", "ffrtmp"])


def names(home: Path) -> list[str]:
    store = Store.open(home / "master.db")
    try:
        return [principal.name for principal in store.principals()]
    finally:
        store.close()


def test_makes_keys_database_and_a_context_and_no_settings(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert first_start() == 0
    made = sorted(path.name for path in home.iterdir() if not path.name.endswith(".lock"))
    assert made == [".config", "keys", "master.db", "run"]
    assert names(home) == ["ffrtmp"]
    config = tomllib.loads((home / ".config/ffrtmp/config.toml").read_text())
    assert config["contexts"]["ffrtmp"]["server_key"] == read_key_file(home / "keys/master.key").public
    assert capsys.readouterr().out.count("made") == 4


def test_touches_nothing_at_the_next_start(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert first_start() == 0
    capsys.readouterr()
    # Not even looked at: what is wrong with it is for the master to say.
    (home / "master.db").write_text("no database")
    assert first_start() == 0
    assert capsys.readouterr().out == ""
    assert (home / "master.db").read_text() == "no database"


def test_is_finished_where_it_was_cut_short(home: Path) -> None:
    assert first_start() == 0
    (home / ".config/ffrtmp/config.toml").unlink()
    assert first_start() == 0
    assert (home / ".config/ffrtmp/config.toml").exists()
    assert names(home) == ["ffrtmp"]


def test_administrator_who_was_revoked_does_not_come_back(home: Path) -> None:
    assert first_start() == 0
    own = read_key_file(home / ".config/ffrtmp/keys/ffrtmp.key").public
    store = Store.open(home / "master.db")
    store.begin()
    store.add_principal(name="anna", role=Role.ADMIN, public=new_key_pair().public, at=time.time())
    store.change_principal(next(one.id for one in store.principals() if one.public == own), revoked_at=time.time())
    store.commit()
    store.close()
    (home / ".config/ffrtmp/config.toml").unlink()
    assert first_start() == 0
    assert not (home / ".config/ffrtmp/config.toml").exists()


def test_key_of_systemd_goes_before_one_in_the_home_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = new_key_pair()
    handed = tmp_path / "credentials/ffrtmpd.master.key"
    write_key_file(handed, pair)
    # The mask of an access list, as systemd 257 makes one.
    handed.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert first_start() == 0
    assert not (home / "keys").exists()
    config = tomllib.loads((home / ".config/ffrtmp/config.toml").read_text())
    assert config["contexts"]["ffrtmp"]["server_key"] == pair.public


@pytest.mark.parametrize("command", ["init", "run"])
def test_root_leaves_no_files_in_the_folder_of_a_service(
    home: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    if os.geteuid() != 0:
        need("only root can give a folder away")
    home.mkdir()
    os.chown(home, 65_534, 65_534)
    assert main([command]) == 78
    assert f"{home} belongs to the user nobody: say `sudo -u nobody ffrtmpd {command}`" in capsys.readouterr().err
    assert list(home.iterdir()) == []

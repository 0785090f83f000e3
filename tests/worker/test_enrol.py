import fcntl
import stat
from pathlib import Path

import pytest

from ffrtmp_tui.link import Link
from ffrtmp_worker.config import Home, read_settings
from ffrtmp_worker.enrol import AlreadyJoined, NotAnInvitation, join, workers_endpoint
from ffrtmp_worker.link import Refused, Unreachable
from ffrtmp_worker.main import main
from ffrtmpd.wire.curve import Invitation, fingerprint, new_key_pair, read_key_file, write_invitation
from ffrtmpd.wire.messages.keys import Invite, Invited, KeyList, KeyReply, ListKeys, RevokeKey
from ffrtmpd.wire.vocabulary import Role
from tests.tui.masters import RealMaster


def invited(master: RealMaster, role: Role = Role.WORKER) -> str:
    with Link(master.endpoint, master.key.public, master.pairs["root"]) as link:
        return link.ask(Invite(request_id="1", name="node-1", role=role), Invited).line


def test_invited_worker_gets_a_key_of_its_own_and_finds_the_master(tmp_path: Path) -> None:
    home = Home(state=tmp_path / "state")
    with RealMaster({"root": Role.ADMIN}) as master:
        enrolled = join(invited(master), home)
        with Link(master.endpoint, master.key.public, master.pairs["root"]) as link:
            known = link.ask(ListKeys(request_id="2"), KeyList).keys
    assert (enrolled.name, enrolled.role) == ("node-1", Role.WORKER)
    assert [key.role for key in known if key.name == "node-1"] == [Role.WORKER]
    settings, _ = read_settings(state=home.state, config=None, system=(), environment={})
    assert settings.master.endpoint.endswith(f":{enrolled.workers_port}")
    assert settings.master.server_key == master.key.public
    read_key_file(home.state / settings.master.key)
    for path in (home.settings_file, home.state / settings.master.key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_worker_that_has_joined_is_not_enrolled_over(tmp_path: Path) -> None:
    home = Home(state=tmp_path / "state")
    home.state.mkdir()
    home.settings_file.write_text("mine")
    with pytest.raises(AlreadyJoined, match="has joined a cluster"):
        join("ffrtmp1_x", home)
    assert home.settings_file.read_text() == "mine"


def test_revoked_worker_joins_anew_and_keeps_what_it_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(state=tmp_path / "state")
    key = home.state / "worker.key"
    with RealMaster({"root": Role.ADMIN}) as master:
        used = invited(master)
        join(used, home)
        before, settings = read_key_file(key), home.settings_file.read_text()
        # The invitation was used up: refused, and nothing has changed.
        with pytest.raises(Refused):
            join(used, home, replace=True, tries_s=(20.0,))
        assert (read_key_file(key), home.settings_file.read_text()) == (before, settings)
        with Link(master.endpoint, master.key.public, master.pairs["root"]) as link:
            link.ask(RevokeKey(request_id="3", name="node-1"), KeyReply)
        assert main(["join", "--replace", invited(master), "--state", str(home.state)]) == 0
        with Link(master.endpoint, master.key.public, master.pairs["root"]) as link:
            known = link.ask(ListKeys(request_id="4"), KeyList).keys
    after = read_key_file(key)
    assert after.public != before.public
    assert fingerprint(after.public) in [entry.fingerprint for entry in known if entry.name == "node-1"]
    assert read_key_file(home.state / "worker.key.old") == before
    assert (home.state / "worker.toml.old").read_text() == settings
    assert not (home.state / "worker.key.new").exists()
    assert "This machine is node-1" in capsys.readouterr().out


def test_worker_that_runs_is_not_enrolled_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(state=tmp_path)
    home.settings_file.write_text("")
    with home.lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(["join", "--replace", "ffrtmp1_x", "--state", str(tmp_path)]) == 78
    assert "another worker runs" in capsys.readouterr().err


def test_used_invitation_is_refused_at_once(tmp_path: Path) -> None:
    with RealMaster({"root": Role.ADMIN}) as master:
        line = invited(master)
        join(line, Home(state=tmp_path / "one"))
        with pytest.raises(Refused):
            join(line, Home(state=tmp_path / "two"), tries_s=(20.0,))
    assert not (tmp_path / "two" / "worker.toml").exists()


def test_lost_reply_is_harmless_the_same_key_joins_again(tmp_path: Path) -> None:
    home = Home(state=tmp_path / "state")
    with RealMaster({"root": Role.ADMIN}) as master:
        line = invited(master)
        join(line, home)
        # As if the reply had not come: the key is there, the settings are not.
        home.settings_file.unlink()
        assert join(line, home).name == "node-1"
    assert home.settings_file.exists()


def test_master_that_is_away_is_said_after_the_tries(tmp_path: Path) -> None:
    pair = new_key_pair()
    line = write_invitation(Invitation("tcp://127.0.0.1:1", pair.public, new_key_pair().secret, "node-1", "worker"))
    with pytest.raises(Unreachable, match=r"no answer from the master at tcp://127\.0\.0\.1:1"):
        join(line, Home(state=tmp_path), tries_s=(0.05, 0.05))
    assert not (tmp_path / "worker.toml").exists()


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_invitation_for_another_role_is_refused(tmp_path: Path, role: str) -> None:
    pair = new_key_pair()
    line = write_invitation(Invitation("tcp://127.0.0.1:1", pair.public, new_key_pair().secret, "me", role))
    with pytest.raises(NotAnInvitation, match="ffrtmp join"):
        join(line, Home(state=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_line_that_is_no_invitation_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["join", "hello", "--state", str(tmp_path)]) == 2
    assert "not an invitation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("clients", "workers"),
    [
        ("tcp://host:5571", "tcp://host:9"),
        ("tcp://10.0.0.1:5571", "tcp://10.0.0.1:9"),
        ("tcp://[::1]:1", "tcp://[::1]:9"),
    ],
)
def test_workers_connect_to_the_host_of_the_invitation(clients: str, workers: str) -> None:
    assert workers_endpoint(clients, 9) == workers

"""`ffrtmp join` against a real master: a key of one's own, and nothing lost or left behind when it goes wrong."""

from pathlib import Path

import pytest

from ffrtmp_tui import contexts
from tests.tui.commands import Shell

pytestmark = pytest.mark.usefixtures("master")


def test_invited_person_joins_with_a_key_of_their_own(shell: Shell, tmp_path: Path) -> None:
    invited = shell("keys", "invite", "bob", "--role", "operator", "--valid", "10m")
    assert "ffrtmp join LINE" in invited.err
    bob = Shell(tmp_path / "bob")
    ended = bob("join", invited.out.strip())
    assert (ended.code, ended.out) == (0, "✓ Joined ffrtmp as bob (operator), context ffrtmp\n")
    assert bob("ping", "-o", "json").json["principal"] == "bob"
    assert bob("jobs", "submit", "720p30-h264").code == 0
    assert sorted(path.name for path in (tmp_path / "bob" / "keys").iterdir()) == ["ffrtmp.key"]


def test_second_cluster_joined_keeps_the_first_current_and_never_overwrites(shell: Shell, tmp_path: Path) -> None:
    bob = Shell(tmp_path / "bob")
    lines = [shell("keys", "invite", f"bob{n}", "--role", "viewer", "-o", "name").out.strip() for n in range(3)]
    assert bob("join", lines[0]).code == 0
    second = bob("join", lines[1], "-o", "json").json
    assert (second["context"], second["current"]) == ("ffrtmp-bob1", False)
    assert bob("ping", "-o", "json").json["principal"] == "bob0"
    assert bob("--context", "ffrtmp-bob1", "ping", "-o", "json").json["principal"] == "bob1"
    assert bob("join", lines[2], "--context", "ffrtmp").code == 5
    assert bob("join", lines[2], "--context", "mine").code == 0


def test_used_invitation_and_one_for_a_worker_are_refused_with_the_way_out(shell: Shell, tmp_path: Path) -> None:
    worker = shell("keys", "invite", "node-2", "-q").out.strip()
    ended = shell("join", worker)
    assert ended.code == 2
    assert "ffrtmp-worker join" in ended.err
    person = shell("keys", "invite", "cy", "--role", "viewer", "-q").out.strip()
    shell("keys", "revoke", "cy")
    ended = Shell(tmp_path / "cy")("join", person)
    assert ended.code == 4
    assert "not good any more" in ended.err


def test_refused_join_leaves_no_secret_behind(shell: Shell, tmp_path: Path) -> None:
    cy = Shell(tmp_path / "cy")
    line = shell("keys", "invite", "cy", "--role", "viewer", "-q").out.strip()
    shell("keys", "revoke", "cy")
    assert cy("join", line).code == 4
    assert list((tmp_path / "cy" / "keys").iterdir()) == []


def test_join_that_fails_after_the_enrolment_loses_nothing_and_can_be_repeated(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = Shell(tmp_path / "bob")
    line = shell("keys", "invite", "bob", "--role", "viewer", "-q").out.strip()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device", "config.toml.new")

    monkeypatch.setattr(contexts, "_replace", no_space)
    ended = bob("join", line)
    assert (ended.code, ended.err) == (1, "error: cannot write config.toml.new: No space left on device\n")
    (kept,) = (tmp_path / "bob" / "keys").iterdir()
    assert kept.name.startswith("joining-")
    monkeypatch.undo()
    assert bob("join", line).code == 0
    assert bob("ping", "-o", "json").json["principal"] == "bob"
    assert [path.name for path in (tmp_path / "bob" / "keys").iterdir()] == ["ffrtmp.key"]

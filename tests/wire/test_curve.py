"""Keys and invitations: written privately, read strictly."""

import os
import stat
from pathlib import Path

import pytest

from ffrtmpd.wire.curve import (
    Invitation,
    KeyFileError,
    KeyPair,
    fingerprint,
    is_key,
    new_key_pair,
    read_invitation,
    read_key_file,
    write_invitation,
    write_key_file,
)


def test_key_written_is_read_back_and_is_private(tmp_path: Path) -> None:
    pair, path = new_key_pair(), tmp_path / "keys" / "master.key"
    write_key_file(path, pair)
    assert read_key_file(path) == pair
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_key_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_key_file(tmp_path / "keys" / "k.key", new_key_pair())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys" / "k.key").stat().st_mode) == 0o600


def test_key_is_never_overwritten(tmp_path: Path) -> None:
    path, first = tmp_path / "k.key", new_key_pair()
    write_key_file(path, first)
    with pytest.raises(FileExistsError):
        write_key_file(path, new_key_pair())
    assert read_key_file(path) == first


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o666])
def test_key_that_others_can_read_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k.key"
    write_key_file(path, new_key_pair())
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key_file(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no toml [",
        'public = "short"\nsecret = "short"\n',
        "public = 1\nsecret = 2\n",
        f'public = "{"a" * 40}"\n',
        "\xff",
    ],
)
def test_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k.key"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        read_key_file(path)


def test_halves_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.key"
    write_key_file(path, KeyPair(new_key_pair().public, new_key_pair().secret))
    with pytest.raises(KeyFileError, match="does not belong"):
        read_key_file(path)


def test_missing_key_file_is_a_key_file_error(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        read_key_file(tmp_path / "none.key")


def test_secrets_do_not_show_in_repr() -> None:
    pair = new_key_pair()
    invitation = Invitation("tcp://h:1", pair.public, pair.secret, "n", "viewer")
    assert pair.secret not in repr(pair)
    assert pair.secret not in repr(invitation)


@pytest.mark.parametrize("text", ["", "a" * 39, "a" * 41, "é" * 40, '"' * 40, "#" * 40, " " * 40])
def test_text_that_is_no_key_is_told_apart(text: str) -> None:
    assert not is_key(text)


def test_fingerprint_is_short_and_its_own() -> None:
    one, two = new_key_pair(), new_key_pair()
    assert len(fingerprint(one.public)) == 16
    assert fingerprint(one.public) != fingerprint(two.public)


def test_invitation_survives_a_shell_and_is_read_back() -> None:
    server, own = new_key_pair(), new_key_pair()
    invitation = Invitation("tcp://[::1]:5571", server.public, own.secret, "w-07", "worker")
    line = write_invitation(invitation)
    assert all(character.isalnum() or character in "_-" for character in line)
    assert read_invitation(f"  {line}\n") == invitation


@pytest.mark.parametrize("cut", [1, 20, 60, -1, -10])
def test_invitation_that_was_cut_is_refused(cut: int) -> None:
    server, own = new_key_pair(), new_key_pair()
    line = write_invitation(Invitation("tcp://h:5571", server.public, own.secret, "w", "worker"))
    with pytest.raises(ValueError, match="not an invitation"):
        read_invitation(line[:cut])


@pytest.mark.parametrize("line", ["", "hello", "ffrtmp1_", "ffrtmp1_!!!!", "ffrtmp1_" + "A" * 9_000, "ffrtmp1_\u00e9"])
def test_other_text_is_no_invitation(line: str) -> None:
    with pytest.raises(ValueError, match="not an invitation"):
        read_invitation(line)

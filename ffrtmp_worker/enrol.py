"""``ffrtmp-worker join``: a key of its own, known to the master, and the settings to find it again."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ffrtmp_worker.config import Home
from ffrtmp_worker.link import EnrolError, Refused, ask_to_enrol
from ffrtmpd.wire.ask import TRIES_S
from ffrtmpd.wire.curve import (
    Invitation,
    KeyPair,
    make_private_folder,
    new_key_pair,
    read_invitation,
    read_key_file,
    write_key_file,
)
from ffrtmpd.wire.messages.keys import Enrol, Enrolled
from ffrtmpd.wire.vocabulary import Role

KEY_NAME: Final = "worker.key"
# A key that no master has taken yet, and what a replaced enrolment leaves.
NEW_SUFFIX: Final = ".new"
OLD_SUFFIX: Final = ".old"


class AlreadyJoined(EnrolError):
    """This state folder belongs to a cluster already."""


class NotAnInvitation(EnrolError):
    """The line cannot be used here."""


def join(line: str, home: Home, *, replace: bool = False, tries_s: tuple[float, ...] = TRIES_S) -> Enrolled:
    """Enrol this worker; return what the master answered.

    A lost reply is harmless: the key stays, and the master answers the same key again for a minute.

    Args:
        line: what ``keys invite`` printed.
        home: where key and settings go.
        replace: an enrolment that is there gives way, once the master has taken the new key; both of its files are
            kept under names with ``.old``. No worker may run in that folder.
        tries_s: seconds for each try.

    Raises:
        AlreadyJoined: nothing was changed.
        NotAnInvitation: the line is none, or not one for a worker.
        EnrolError: the master cannot be reached or refuses; trying again is safe.
        KeyFileError: the key of an earlier try cannot be used.
        OSError: key or settings cannot be written.
    """
    key = home.state / KEY_NAME
    joined = home.settings_file.exists()
    if joined and not replace:
        raise AlreadyJoined(
            f"{home.settings_file} exists: this worker has joined a cluster. To join anew, stop it and say "
            "`ffrtmp-worker join --replace LINE`, or name another folder with --state"
        )
    invitation = _read(line)
    fresh = _beside(key, NEW_SUFFIX) if joined else key
    own = _own_key(fresh)
    request = Enrol(request_id=secrets.token_hex(16), public=own.public)
    enrolled = ask_to_enrol(request, invitation, tries_s=tries_s)
    if enrolled.role is not Role.WORKER:
        raise Refused(f"the invitation is for the role {enrolled.role}, not for a worker")
    endpoint = workers_endpoint(invitation.endpoint, enrolled.workers_port)
    if joined:
        _keep(key)
        _keep(home.settings_file)
        fresh.replace(key)
    _write_settings(home.settings_file, endpoint, invitation.server_public, enrolled)
    return enrolled


def workers_endpoint(endpoint: str, port: int) -> str:
    """Return where workers connect, from where clients do."""
    host = urlsplit(endpoint).netloc.rpartition(":")[0]
    return f"tcp://{host}:{port}"


def _read(line: str) -> Invitation:
    try:
        invitation = read_invitation(line)
    except ValueError as error:
        raise NotAnInvitation(str(error)) from None
    if invitation.role != Role.WORKER:
        raise NotAnInvitation(f"this invitation is for the role {invitation.role}: use it with `ffrtmp join`")
    return invitation


def _own_key(path: Path) -> KeyPair:
    try:
        pair = new_key_pair()
        write_key_file(path, pair)
    except FileExistsError:
        return read_key_file(path)
    return pair


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _keep(path: Path) -> None:
    """Give a file its old name too; it stays where it is until another takes its place."""
    old = _beside(path, OLD_SUFFIX)
    old.unlink(missing_ok=True)
    # Settings may name a key of another folder.
    with contextlib.suppress(FileNotFoundError):
        os.link(path, old)


def _write_settings(path: Path, endpoint: str, server_public: str, enrolled: Enrolled) -> None:
    make_private_folder(path.parent)
    text = (
        f"# Written by ffrtmp-worker join: {enrolled.name} of the cluster {enrolled.cluster}.\n"
        f'[master]\nendpoint = "{endpoint}"\nserver_key = "{server_public}"\nkey = "{KEY_NAME}"\n'
    )
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)

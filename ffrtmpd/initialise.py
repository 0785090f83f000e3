"""What ``ffrtmpd init`` does: folders, keys, database, settings, and a context for the user who runs it.

Every step looks first and makes only what is not there, so a run that was cut short is finished by the next one, and
a run after a complete one changes nothing.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from ffrtmpd.config import FILE_NAME, Places, Settings, endpoint, local_host, sample_settings
from ffrtmpd.principals import Principal
from ffrtmpd.store import NameTaken, Store
from ffrtmpd.wire.curve import KeyPair, make_private_folder, new_key_pair, read_key_file, write_key_file
from ffrtmpd.wire.vocabulary import Role

CLIENT_CONFIG_VARIABLE: Final = "FFRTMP_CONFIG_DIR"


class InitError(Exception):
    """The cluster cannot be made as asked; the message says what stands in the way and the way out."""


class Step(NamedTuple):
    """One thing that is there now; ``made`` tells whether it was made just now."""

    what: str
    where: str
    made: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where the user's own context goes: ``folder`` of the client, ``context`` by name."""

    folder: Path
    context: str

    @property
    def config_file(self) -> Path:
        """The client's settings."""
        return self.folder / "config.toml"

    @property
    def key_name(self) -> str:
        """The user's key, from the folder."""
        return f"keys/{self.context}.key"

    @property
    def key_file(self) -> Path:
        """The user's key."""
        return self.folder / self.key_name


def client_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder in which the client command looks for its contexts."""
    named = environment.get(CLIENT_CONFIG_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    config = environment.get("XDG_CONFIG_HOME")
    # The XDG rules say that a path which is not absolute is to be ignored.
    base = Path(config) if config and Path(config).is_absolute() else Path.home() / ".config"
    return base / "ffrtmp"


def write_settings(home: Path, chosen: Mapping[tuple[str, str], str | int]) -> Step:
    """Write a documented settings file to the home folder unless there is one.

    Raises:
        InitError: the folder cannot be written.
    """
    path = home / FILE_NAME
    try:
        make_private_folder(home)
        made = _write_new(path, sample_settings(chosen))
    except OSError as error:
        raise _cannot_write(path, error) from None
    return Step("settings", str(path), made)


def initialise(places: Places, settings: Settings, client: Client, *, admin: str, wall_s: float) -> list[Step]:
    """Make what a master needs and enrol ``admin`` with a key for this user.

    Raises:
        InitError: something else stands where a file must go, or the admin's name is taken.
        KeyFileError: a key that is there cannot be used.
        StoreError: the database cannot be used.
    """
    known = _known_contexts(client.config_file)
    try:
        for folder in (places.home, places.key_file.parent, places.run_folder):
            make_private_folder(folder)
        master, master_step = _key(places.key_file, "master's key")
        _check_context(known, client, master)
        user, user_step = _key(client.key_file, "your key")
        steps = [master_step, user_step, _enrol(places.database, user, admin, wall_s)]
        steps.append(_add_context(known, client, settings, master))
    except OSError as error:
        raise _cannot_write(Path(error.filename or places.home), error) from None
    return steps


def first_start(places: Places, settings: Settings, client: Client, *, admin: str, wall_s: float) -> list[Step]:
    """Make what a master needs before its first start, and return what was made.

    Where all of it is, nothing is touched. Who is an administrator is decided by whom others enrolled or revoked
    since: none is added to a cluster that has keys.

    Raises:
        InitError, KeyFileError, StoreError: as ``initialise``.
    """
    if places.key_file.exists() and places.database.exists() and client.config_file.exists():
        return []
    if places.database.exists() and not _may_enrol(places.database, client, wall_s):
        return []
    steps = initialise(places, settings, client, admin=admin, wall_s=wall_s)
    return [step for step in steps if step.made]


def _may_enrol(database: Path, client: Client, wall_s: float) -> bool:
    """Tell whether nobody is enrolled yet, or this client is and lacks only its context."""
    own = read_key_file(client.key_file).public if client.key_file.exists() else None
    store = Store.open(database)
    try:
        known = list(store.principals())
    finally:
        store.close()
    return not known or any(one.public == own and one.is_open(wall_s) for one in known)


def _cannot_write(path: Path, error: OSError) -> InitError:
    return InitError(f"cannot write {path}: {error.strerror}; choose another folder with --home or --client-config")


def _key(path: Path, what: str) -> tuple[KeyPair, Step]:
    if path.exists():
        return read_key_file(path), Step(what, str(path), made=False)
    pair = new_key_pair()
    write_key_file(path, pair)
    return pair, Step(what, str(path), made=True)


def _enrol(database: Path, user: KeyPair, admin: str, wall_s: float) -> Step:
    store = Store.open(database)
    try:
        known = next((one for one in store.principals() if one.public == user.public), None)
        if known is not None:
            _check_known(known, wall_s)
            return Step("administrator", known.name, made=False)
        store.begin()
        store.add_principal(name=admin, role=Role.ADMIN, public=user.public, at=wall_s)
        store.commit()
    except NameTaken:
        raise InitError(
            f"the name {admin!r} is enrolled with another key: choose another with --admin, or ask an administrator "
            "for an invitation (ffrtmp keys invite)"
        ) from None
    finally:
        store.close()
    return Step("administrator", admin, made=True)


def _check_known(known: Principal, wall_s: float) -> None:
    if not known.is_open(wall_s):
        raise InitError(f"your key was enrolled as {known.name!r} and has been revoked: name another --client-config")


def _known_contexts(path: Path) -> dict[str, Any] | None:
    """Return the contexts in the client's settings, None if there is no such file."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InitError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InitError(f"{path} is not TOML ({error}): mend it, or move it away") from None
    contexts = document.get("contexts", {})
    if not isinstance(contexts, dict):
        raise InitError(f"{path}: contexts is not a table: mend it, or move it away")
    return contexts


def _check_context(known: dict[str, Any] | None, client: Client, master: KeyPair) -> None:
    context = (known or {}).get(client.context)
    if context is not None and (not isinstance(context, dict) or context.get("server_key") != master.public):
        raise InitError(
            f"{client.config_file} has a context {client.context!r} of another master: choose another --name, or "
            "remove that context"
        )


def _add_context(known: dict[str, Any] | None, client: Client, settings: Settings, master: KeyPair) -> Step:
    step = Step("context", f"{client.context} in {client.config_file}", made=True)
    if known is not None and client.context in known:
        return step._replace(made=False)
    listen = settings.listen
    table = (
        f"[contexts.{json.dumps(client.context)}]\n"
        f'master = "{endpoint(local_host(listen.address), listen.clients_port)}"\n'
        f"server_key = {json.dumps(master.public)}\n"
        f"key = {json.dumps(client.key_name)}\n"
    )
    if known is None:
        _write_new(client.config_file, f"current = {json.dumps(client.context)}\n\n{table}")
    else:
        # Added at the end, where TOML allows a table: comments and order of the user's file stay as they are.
        with client.config_file.open("a", encoding="utf-8") as file:
            file.write(f"\n{table}")
    return step


def _write_new(path: Path, text: str) -> bool:
    """Write a file that its owner alone can read; return False if there is one already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return True

"""Which master to speak to and as whom: flag, then environment, then the context in the user's folder, then the host's.

A folder of contexts holds ``config.toml`` (``current``, and a table ``contexts.NAME`` with ``master``, ``server_key``,
``key`` and, if its output shall have a form of its own, ``output``) and the key files that it names.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmpd.wire.curve import KeyFileError, KeyPair, is_key, make_private_folder, read_key_file
from ffrtmpd.wire.record import record
from ffrtmpd.wire.vocabulary import CLIENTS_PORT

if TYPE_CHECKING:
    # Reading contexts, which every command does, goes without it: its import takes a twentieth of a command's time.
    from pathlib import Path

FILE_NAME: Final = "config.toml"
SYSTEM_FILE: Final = "/etc/ffrtmp/client.toml"
HOW_TO_JOIN: Final = "ask an admin for `ffrtmp keys invite NAME --role ROLE`, then run `ffrtmp join LINE`"


@record
class Context:
    """A master and the key to speak to it with."""

    name: str
    master: str
    server_key: str
    key: str

    def key_pair(self) -> KeyPair:
        """Return the key pair in the context's key file.

        Raises:
            Failure: it cannot be used.
        """
        try:
            return read_key_file(self.key)
        except KeyFileError as error:
            raise Failure(Exit.FAILED, str(error), code="key_file") from None


# A file and what it says.
Document = tuple[str, dict[str, Any]]
# Compiled only where they are used.
_CURRENT: Final = r"(?m)^[ \t]*(?:current|\"current\"|'current')[ \t]*=.*$"
_TABLE: Final = r"(?m)^[ \t]*\["


def documents(environ: Mapping[str, str], system: str | os.PathLike[str] = SYSTEM_FILE) -> list[Document]:
    """Return the user's file of contexts and the host's, each with its path; what is not there is empty.

    Raises:
        Failure: one cannot be read.
    """
    return [_read(os.path.join(_folder(environ), FILE_NAME)), _read(system)]


def use(folder: "Path", name: str) -> None:
    """Make ``name`` the current context of ``folder``; the rest of its file stays as it is.

    Raises:
        Failure: the file is damaged, or cannot be written.
    """
    path = folder / FILE_NAME
    _read(path)
    make_private_folder(folder)
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    line = f"current = {_quoted(name)}"
    first_table = re.search(_TABLE, old)
    end = first_table.start() if first_table else len(old)
    said = re.compile(_CURRENT).search(old, 0, end)
    text = (
        old[: said.start()] + line + old[said.end() :] if said else f"{line}\n\n{old}" if old.strip() else f"{line}\n"
    )
    try:
        _replace(path, text)
    except OSError as error:
        raise Failure(Exit.FAILED, f"cannot write {path}: {error.strerror}", code="settings") from None


def config_folder(environ: Mapping[str, str]) -> "Path":
    """Return the user's folder of contexts."""
    from pathlib import Path

    return Path(_folder(environ))


def _folder(environ: Mapping[str, str]) -> str:
    if folder := environ.get("FFRTMP_CONFIG_DIR"):
        return folder
    base = environ.get("XDG_CONFIG_HOME")
    # The XDG rules say that a path which is not absolute is to be ignored.
    if base and os.path.isabs(base):
        return os.path.join(base, "ffrtmp")
    return os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config", "ffrtmp")


def resolve(
    environ: Mapping[str, str],
    *,
    context: str | None = None,
    master: str | None = None,
    system: str | os.PathLike[str] = SYSTEM_FILE,
) -> Context:
    """Return the context to use; ``context`` and ``master`` are what flags say.

    Raises:
        Failure: there is none, or it is incomplete.
    """
    found_in = documents(environ, system)
    name = context or environ.get("FFRTMP_CONTEXT") or current(found_in)
    if name is None:
        raise Failure(Exit.USAGE, "no master is known here", code="no_context", hint=HOW_TO_JOIN)
    for path, document in found_in:
        table = document.get("contexts", {}).get(name)
        if isinstance(table, dict):
            found = _context(name, table, path)
            address = master or environ.get("FFRTMP_MASTER") or environ.get("FFMPEG_RTMP_MASTER")
            if not address:
                return found
            return Context(name=name, master=endpoint(address), server_key=found.server_key, key=found.key)
    known = sorted({name for _, document in found_in for name in document.get("contexts", {})})
    raise usage(f"there is no context {name!r}", f"known: {', '.join(known)}" if known else HOW_TO_JOIN)


def output(
    environ: Mapping[str, str], *, context: str | None = None, system: str | os.PathLike[str] = SYSTEM_FILE
) -> tuple[str, Any] | None:
    """Return where the context in use says which form its output has, and what it says; None if it says nothing.

    Raises:
        Failure: a file of contexts cannot be read.
    """
    found_in = documents(environ, system)
    name = context or environ.get("FFRTMP_CONTEXT") or current(found_in)
    for path, document in found_in:
        table = document.get("contexts", {}).get(name)
        if isinstance(table, dict):
            return (f"{path}: contexts.{name}.output", table["output"]) if "output" in table else None
    return None


def endpoint(address: str) -> str:
    """Return ``host``, ``host:port`` or ``tcp://host:port`` as an endpoint.

    Raises:
        Failure: it is something else.
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        scheme, rest = "tcp", address
    rest = rest.rstrip("/")
    if scheme != "tcp" or not rest or "/" in rest:
        raise usage(f"{address!r} is no address of a master", f"write tcp://host:{CLIENTS_PORT}")
    has_port = rest.rpartition("]")[2].rpartition(":")[2].isdigit() and ":" in rest.rpartition("]")[2]
    return f"tcp://{rest}" if has_port else f"tcp://{rest}:{CLIENTS_PORT}"


def context_names(folder: "Path") -> list[str]:
    """Return the names of the contexts in ``folder``.

    Raises:
        Failure: its file is damaged.
    """
    return sorted(_read(folder / FILE_NAME)[1].get("contexts", {}))


def taken(name: str) -> Failure:
    """Return the failure of a command that would make a context whose name is taken."""
    return Failure(
        Exit.CONFLICT,
        f"there is a context {name!r} already",
        code="conflict",
        hint="choose another with --context NAME",
    )


def add_context(folder: "Path", context: Context) -> bool:
    """Write ``context`` into ``folder``; return whether it became the current one, as the first does.

    Raises:
        Failure: the name is taken, or the file is damaged.
    """
    path = folder / FILE_NAME
    _, document = _read(path)
    if context.name in document.get("contexts", {}):
        raise taken(context.name)
    make_private_folder(folder)
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    becomes_current = "current" not in document
    # The file is the user's too: text is added around what stands there, so that comments live on.
    head = f"current = {_quoted(context.name)}\n\n" if becomes_current else ""
    table = (
        f"[contexts.{_quoted(context.name)}]\n"
        f"master = {_quoted(context.master)}\n"
        f"server_key = {_quoted(context.server_key)}\n"
        f"key = {_quoted(_relative(context.key, folder))}\n"
    )
    gap = "\n" if old.strip() else ""
    _replace(path, head + old + gap + table)
    return becomes_current


def _read(place: str | os.PathLike[str]) -> Document:
    path = os.fspath(place)
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        return path, {}
    except OSError as error:
        raise Failure(Exit.FAILED, f"cannot read {path}: {error.strerror}", code="settings") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Failure(Exit.FAILED, f"{path} is not TOML: {error}", code="settings") from None
    if not isinstance(document.get("contexts", {}), dict):
        raise Failure(Exit.FAILED, f"{path}: contexts must be tables", code="settings")
    return path, document


def current(documents: list[Document]) -> str | None:
    """Return the name of the context to use where none is named, None if nothing says so."""
    for _, document in documents:
        name = document.get("current")
        if isinstance(name, str) and name:
            return name
    # With one context there is nothing to choose.
    names = {name for _, document in documents for name in document.get("contexts", {})}
    return names.pop() if len(names) == 1 else None


def _context(name: str, table: Mapping[str, Any], path: str) -> Context:
    values = {}
    for field in ("master", "server_key", "key"):
        value = table.get(field)
        if not isinstance(value, str) or not value:
            raise Failure(Exit.FAILED, f"{path}: contexts.{name}.{field} is missing", code="settings")
        values[field] = value
    if not is_key(values["server_key"]):
        raise Failure(Exit.FAILED, f"{path}: contexts.{name}.server_key is no key of 40 characters", code="settings")
    return Context(
        name=name,
        master=endpoint(values["master"]),
        server_key=values["server_key"],
        key=os.path.join(os.path.dirname(path), os.path.expanduser(values["key"])),
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _relative(place: str, folder: "Path") -> str:
    beginning = f"{folder}{os.sep}"
    return place.removeprefix(beginning)


def _replace(path: "Path", text: str) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)

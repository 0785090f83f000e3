"""`ffrtmp join`: from the line of an invitation to a context with a key of one's own."""

from pathlib import Path
from typing import Final

from ffrtmp_tui import contexts
from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.contexts import Context
from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmp_tui.fit import Column
from ffrtmp_tui.link import KeyRefused, Link, new_id
from ffrtmp_tui.run import Run
from ffrtmpd.wire.curve import (
    Invitation,
    KeyFileError,
    KeyPair,
    fingerprint,
    new_key_pair,
    one_time_pair,
    read_invitation,
    read_key_file,
    write_key_file,
)
from ffrtmpd.wire.messages.keys import Enrol, Enrolled
from ffrtmpd.wire.vocabulary import NAME, NAME_RULE, Role

JOIN_COLUMNS: Final = (
    Column(title="Context", name="context", get=lambda row: row["context"]),
    Column(title="Cluster", name="cluster", get=lambda row: row["cluster"]),
    Column(title="Name", name="name", get=lambda row: row["name"]),
    Column(title="Role", name="role", get=lambda row: row["role"]),
    Column(title="Master", name="master", get=lambda row: row["master"]),
)


def join(run: Run) -> int:
    """Enrol a new key and write the context that uses it."""
    try:
        invitation = read_invitation(run.args.line)
    except ValueError as error:
        raise usage(str(error)) from None
    if invitation.role == Role.WORKER:
        raise usage("this invitation is for a worker", "on that machine, run `ffrtmp-worker join LINE`")
    folder = contexts.config_folder(run.environ)
    wanted = run.args.context
    taken = contexts.context_names(folder)
    # Looked at before the invitation is spent.
    if wanted is not None and wanted in taken:
        raise contexts.taken(wanted)
    if wanted is not None and not NAME.fullmatch(wanted):
        raise usage(f"{wanted!r} is not a name for a context: {NAME_RULE}")
    pending = folder / "keys" / f"joining-{fingerprint(invitation.secret)}.key"
    own = _own_key(pending)
    enrolled = _enrol(invitation, own, pending)
    name = wanted or free_name(enrolled.cluster, enrolled.name, taken)
    key = folder / "keys" / f"{name}.key"
    if key.exists():
        key = folder / "keys" / f"{name}-{fingerprint(own.public)}.key"
    context = Context(name=name, master=invitation.endpoint, server_key=invitation.server_public, key=str(key))
    current = _settle(folder, context, own, pending)
    row = {
        "context": name,
        "current": current,
        "cluster": enrolled.cluster,
        "name": enrolled.name,
        "role": str(enrolled.role),
        "master": context.master,
    }
    text = f"{run.terminal.tick} Joined {enrolled.cluster} as {enrolled.name} ({enrolled.role}), context {name}\n"
    run.show_one(row, name=name, people=lambda: text, columns=JOIN_COLUMNS, row=row)
    if not current:
        run.terminal.say(
            f"to use it: --context {name}, FFRTMP_CONTEXT={name}, or `current` in {folder / contexts.FILE_NAME}"
        )
    return Exit.OK


def free_name(cluster: str, principal: str, taken: list[str]) -> str:
    """Return a name for a context that is not taken: the cluster's, else with the principal's, else numbered."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in cluster)
    base = plain.lstrip("._-")[:48] or "cluster"
    for name in (base, f"{base}-{principal}"[:60]):
        if name not in taken:
            return name
    number = 2
    while f"{base}-{number}" in taken:
        number += 1
    return f"{base}-{number}"


def _own_key(path: Path) -> KeyPair:
    """Return the key pair to enrol; kept, so that joining again after a lost reply offers the same one."""
    try:
        if path.exists():
            return read_key_file(path)
        own = new_key_pair()
        write_key_file(path, own)
    except KeyFileError as error:
        raise Failure(Exit.FAILED, str(error), code="key_file") from None
    except OSError as error:
        raise _unwritable(error) from None
    return own


def _settle(folder: Path, context: Context, own: KeyPair, pending: Path) -> bool:
    """Write the key under its own name, then the context; the pending key goes last, so that joining can be repeated.

    Returns:
        Whether the context became the current one.
    """
    key = Path(context.key)
    try:
        if not key.exists():
            write_key_file(key, own)
        current = contexts.add_context(folder, context)
    except OSError as error:
        key.unlink(missing_ok=True)
        raise _unwritable(error) from None
    except Failure:
        key.unlink()
        raise
    pending.unlink()
    return current


def _unwritable(error: OSError) -> Failure:
    return Failure(Exit.FAILED, f"cannot write {error.filename}: {error.strerror}", code="key_file")


def _enrol(invitation: Invitation, own: KeyPair, pending: Path) -> Enrolled:
    with Link(invitation.endpoint, invitation.server_public, one_time_pair(invitation)) as link:
        try:
            return link.ask(Enrol(request_id=new_id(), public=own.public), Enrolled)
        except Failure as failure:
            if not failure.retryable:
                # Nobody will ever know this key: no secret is left lying about.
                pending.unlink()
            if not isinstance(failure, KeyRefused):
                raise
            raise Failure(
                Exit.NOT_ALLOWED,
                "this invitation is not good any more: used, expired or revoked",
                code="key_refused",
                hint=f"ask an admin for `ffrtmp keys invite {invitation.name} --role {invitation.role}`",
            ) from None


NOUN: Final = Noun(
    name="join",
    help="use an invitation: make a key of your own and enrol it",
    verbs=(
        Verb(
            name="",
            help="make a key of your own, enrol it with an invitation, and remember the master",
            run=join,
            arguments=(Argument(names=("line",), metavar="LINE", help="what `ffrtmp keys invite` printed"),),
            examples=(
                ("ffrtmp join ffrtmp1_…", "use an invitation"),
                ("ffrtmp join ffrtmp1_… --context staging", "under a name of your choice"),
            ),
        ),
    ),
)

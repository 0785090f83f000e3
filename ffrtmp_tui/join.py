"""`ffrtmp join`: from the line of an invitation to a context with a key of one's own."""

from pathlib import Path
from typing import Final

from ffrtmp_tui import contexts
from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.contexts import Context
from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmp_tui.link import KeyRefused, Link, new_id
from ffrtmp_tui.render import Column
from ffrtmp_tui.run import Run
from ffrtmpd.wire.curve import (
    Invitation,
    KeyFileError,
    KeyPair,
    fingerprint,
    new_key_pair,
    read_invitation,
    read_key_file,
    write_key_file,
)
from ffrtmpd.wire.messages.keys import Enrol, Enrolled
from ffrtmpd.wire.vocabulary import Role

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
        raise Failure(
            Exit.CONFLICT,
            f"there is a context {wanted!r} already",
            code="conflict",
            hint="choose another with --context NAME",
        )
    if wanted is not None and not contexts.NAME.match(wanted):
        raise usage(f"{wanted!r} is no name for a context", "letters, digits, dots, dashes and underscores")
    pending = folder / "keys" / f"joining-{fingerprint(invitation.secret)}.key"
    own = _own_key(pending)
    enrolled = _enrol(invitation, own)
    name = wanted or free_name(enrolled.cluster, enrolled.name, taken)
    key = folder / "keys" / f"{name}.key"
    if key.exists():
        key = folder / "keys" / f"{name}-{fingerprint(own.public)}.key"
    pending.rename(key)
    context = Context(name=name, master=invitation.endpoint, server_key=invitation.server_public, key=key)
    current = contexts.add_context(folder, context)
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
            f"to use it: --context {name}, FFRTMP_CONTEXT={name}, or `current` in {folder / 'config.toml'}"
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
        raise Failure(Exit.FAILED, f"cannot write {path}: {error.strerror}", code="key_file") from None
    return own


def _enrol(invitation: Invitation, own: KeyPair) -> Enrolled:
    one_time = KeyPair(_public_of(invitation.secret), invitation.secret)
    with Link(invitation.endpoint, invitation.server_public, one_time) as link:
        try:
            return link.ask(Enrol(request_id=new_id(), public=own.public), Enrolled)
        except KeyRefused:
            raise Failure(
                Exit.NOT_ALLOWED,
                "this invitation is not good any more: used, expired or revoked",
                code="key_refused",
                hint=f"ask an admin for `ffrtmp keys invite {invitation.name} --role {invitation.role}`",
            ) from None


def _public_of(secret: str) -> str:
    import zmq

    return zmq.curve_public(secret.encode()).decode()


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

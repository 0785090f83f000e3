"""`ffrtmp keys`: who may come in."""

from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.failures import Exit
from ffrtmp_tui.fit import Column
from ffrtmp_tui.link import new_id
from ffrtmp_tui.run import Run
from ffrtmpd.wire.messages.keys import HOUR_S, Invite, Invited, KeyList, KeyReply, ListKeys, RevokeKey
from ffrtmpd.wire.vocabulary import NAME, NAME_RULE, Role

ROLES: Final = tuple(str(role) for role in Role if role is not Role.ENROL)

KEY_COLUMNS: Final = (
    Column(title="Name", name="name", get=lambda key: key.name, least=16),
    Column(title="Role", name="role", get=lambda key: key.role),
    Column(title="Kind", name="kind", get=lambda key: "invitation" if key.invitation else "key"),
    Column(title="Fingerprint", name="fingerprint", get=lambda key: key.fingerprint),
    Column(
        title="Created At",
        name="created_at",
        get=lambda key: key.created_at,
        show=units.time_text,
        brief=units.time_brief,
        rank=3,
    ),
    Column(
        title="Expires At",
        name="expires_at",
        get=lambda key: key.expires_at,
        show=units.time_text,
        brief=units.time_brief,
        rank=1,
    ),
    Column(
        title="Revoked At",
        name="revoked_at",
        get=lambda key: key.revoked_at,
        show=units.time_text,
        brief=units.time_brief,
        rank=2,
    ),
)


def invite(run: Run) -> int:
    """Ask for an invitation and write its line."""
    args = run.args
    request = Invite(request_id=new_id(), name=args.name, role=Role(args.role), valid_s=args.valid)
    invited = run.ask(request, Invited)
    run.show_one(
        {"name": args.name, "role": args.role, "line": invited.line, "expires_at": invited.expires_at},
        name=invited.line,
        people=lambda: invited.line + "\n",
        columns=_INVITED_COLUMNS,
        row=invited,
    )
    program = "ffrtmp-worker" if args.role == Role.WORKER else "ffrtmp"
    run.terminal.say(
        f"good once, until {units.time_text(invited.expires_at)}; on the machine that shall join, run: "
        f"{program} join LINE"
    )
    return Exit.OK


def list_keys(run: Run) -> int:
    """Show the keys."""
    reply = run.ask(ListKeys(request_id=new_id(), revoked=run.args.revoked), KeyList)
    run.show_list("keys", reply.keys, KEY_COLUMNS, name_of=lambda key: key.name)
    return Exit.OK


def revoke(run: Run) -> int:
    """Revoke a key."""
    key = run.ask(RevokeKey(request_id=new_id(), name=run.args.name), KeyReply).key
    run.show_one(
        {"key": key},
        name=key.name,
        people=lambda: f"{run.terminal.tick} Key {key.name} ({key.fingerprint}) revoked successfully\n",
        columns=KEY_COLUMNS,
        row=key,
    )
    return Exit.OK


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name: {NAME_RULE}")
    return text


_INVITED_COLUMNS: Final = (
    Column(title="Line", name="line", get=lambda invited: invited.line),
    Column(title="Expires At", name="expires_at", get=lambda invited: invited.expires_at),
)

NOUN: Final = Noun(
    name="keys",
    help="invite machines and people, list and revoke their keys",
    verbs=(
        Verb(
            name="invite",
            help="print a line with which NAME can join",
            run=invite,
            arguments=(
                Argument(names=("name",), metavar="NAME", help="of the person or the node", convert=_name),
                Argument(names=("--role",), choices=ROLES, help="role the new key gets", default=str(Role.WORKER)),
                Argument(
                    names=("--valid",),
                    metavar="TIME",
                    convert=units.duration,
                    default=HOUR_S,
                    help="how long the line is good, 1h unless said",
                ),
            ),
            examples=(
                ("ffrtmp keys invite worker-1 --role worker", "let a node in"),
                ("ffrtmp keys invite ana --role operator --valid 10m", "let a person act on jobs"),
            ),
        ),
        Verb(
            name="list",
            help="list keys and open invitations",
            run=list_keys,
            arguments=(Argument(names=("--revoked",), help="revoked ones too", flag=True),),
            examples=(("ffrtmp keys list --revoked", "all that ever were"),),
        ),
        Verb(
            name="revoke",
            help="refuse a key from its next message on",
            run=revoke,
            arguments=(Argument(names=("name",), metavar="NAME", help="name, or fingerprint"),),
            examples=(("ffrtmp keys revoke worker-1", "a node that is gone"),),
        ),
    ),
)

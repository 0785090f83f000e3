"""What clients say about keys, and how a new key is enrolled."""

from typing import Annotated

from ffrtmpd.wire.curve import KEY_CHARACTERS
from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import Range, Size
from ffrtmpd.wire.vocabulary import Role

HOUR_S = 3_600.0


@record
class Invite(Request):
    """Ask for a one-time key with which ``name`` can enrol a key of its own."""

    TYPE = "INVITE"
    name: Annotated[str, "letters, digits, dot, dash and underscore; a node's id", Size(1, 64)]
    role: Annotated[Role, "role the new key gets"]
    valid_s: Annotated[float, "seconds the invitation is good for", Range(1, 7 * 86_400.0)] = HOUR_S


@record
class Invited(Reply):
    """An invitation."""

    TYPE = "INVITED"
    line: Annotated[str, "what to give to `join`; it holds a secret"]
    expires_at: Annotated[float, "Unix seconds"]


@record
class Enrol(Request):
    """Enrol a public key. Only the one-time key of an invitation may ask, and may ask nothing else."""

    TYPE = "ENROL"
    public: Annotated[str, "public key in Z85", Size(KEY_CHARACTERS, KEY_CHARACTERS)]


@record
class Enrolled(Reply):
    """The key is known from now on; the invitation is used up."""

    TYPE = "ENROLLED"
    name: Annotated[str, "name bound to the key"]
    role: Annotated[Role, "role bound to the key"]
    cluster: Annotated[str, "name of the cluster"]
    workers_port: Annotated[int, "port on which workers connect"]
    clients_port: Annotated[int, "port on which clients connect"]


@record
class KeyView:
    """A key or an open invitation."""

    name: Annotated[str, "name"]
    role: Annotated[Role, "role; of an invitation, the role it gives"]
    fingerprint: Annotated[str, "16 hexadecimal digits of the public key's SHA-256"]
    invitation: Annotated[bool, "not enrolled yet"] = False
    created_at: Annotated[float, "Unix seconds"]
    expires_at: Annotated[float | None, "of an invitation"] = None
    revoked_at: Annotated[float | None, "Unix seconds"] = None


@record
class ListKeys(Request):
    """Ask for all keys."""

    TYPE = "LIST_KEYS"
    revoked: Annotated[bool, "revoked ones too"] = False


@record
class KeyList(Reply):
    """All keys."""

    TYPE = "KEY_LIST"
    keys: Annotated[tuple[KeyView, ...], "keys"]


@record
class RevokeKey(Request):
    """Refuse a key from its next message on."""

    TYPE = "REVOKE_KEY"
    name: Annotated[str, "name, or fingerprint", Size(1, 64)]


@record
class KeyReply(Reply):
    """The key after the change."""

    TYPE = "KEY"
    key: Annotated[KeyView, "the key"]

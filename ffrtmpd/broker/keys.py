"""Keys: inviting, enrolling, listing, revoking. Each change acts at once, here and at the door."""

from ffrtmpd.broker.cluster import Cluster, Refusal
from ffrtmpd.events import Peer
from ffrtmpd.principals import REPLAY_S, Principal
from ffrtmpd.store import NameTaken
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.curve import Invitation, is_key, new_key_pair, write_invitation
from ffrtmpd.wire.messages.keys import (
    Enrol,
    Enrolled,
    Invite,
    Invited,
    KeyList,
    KeyReply,
    KeyView,
    ListKeys,
    RevokeKey,
)
from ffrtmpd.wire.messages.session import Denied
from ffrtmpd.wire.vocabulary import NAME, NAME_RULE, ErrorCode, Role


def view(principal: Principal) -> KeyView:
    """Return a key as clients see it."""
    return KeyView(
        name=principal.name,
        role=principal.grants or principal.role,
        fingerprint=principal.fingerprint,
        invitation=principal.role is Role.ENROL,
        created_at=principal.created_at,
        expires_at=principal.expires_at,
        revoked_at=principal.revoked_at,
    )


def invite(cluster: Cluster, request: Invite, by: Principal, peer: Peer) -> Message:
    """Make a one-time key and the line that carries it."""
    if not NAME.fullmatch(request.name):
        raise Refusal(ErrorCode.INVALID_ARGUMENT, f"name: {request.name!r} is not a name: {NAME_RULE}")
    if request.role is Role.ENROL:
        raise Refusal(ErrorCode.INVALID_ARGUMENT, "role: an invitation gives worker, viewer, operator or admin")
    _refuse_taken(cluster, request.name)
    pair = new_key_pair()
    expires_at = cluster.now.wall_s + request.valid_s
    principal = cluster.store.add_principal(
        name=request.name,
        role=Role.ENROL,
        public=pair.public,
        at=cluster.now.wall_s,
        grants=request.role,
        expires_at=expires_at,
    )
    cluster.principals.put(principal)
    cluster.note("info", "invited", name=request.name, role=request.role, by=by.name)
    line = write_invitation(
        Invitation(
            endpoint=f"tcp://{cluster.settings.advertise}:{cluster.settings.clients_port}",
            server_public=cluster.settings.server_public,
            secret=pair.secret,
            name=request.name,
            role=str(request.role),
        )
    )
    return Invited(request_id=request.request_id, line=line, expires_at=expires_at)


def _refuse_taken(cluster: Cluster, name: str) -> None:
    for principal in cluster.principals.everyone():
        if principal.name == name and principal.role is not Role.ENROL and principal.revoked_at is None:
            raise _taken(name)


def _taken(name: str) -> Refusal:
    return Refusal(ErrorCode.CONFLICT, f"{name!r} has a key already", hint=f"`ffrtmp keys revoke {name}` first")


def enrol(cluster: Cluster, request: Enrol, by: Principal, peer: Peer) -> Message:
    """Bind the key sent to the name and role of the invitation, and use the invitation up.

    The same key asking again, its first answer lost, gets the same answer for a minute.
    """
    if not is_key(request.public):
        raise Refusal(ErrorCode.INVALID_ARGUMENT, "public: not a public key in Z85")
    role = by.grants
    if role is None:
        raise Refusal(ErrorCode.NOT_ALLOWED, "this key is no invitation")
    if by.enrolled is None:
        _enrol_new(cluster, by, role, request.public)
    elif by.enrolled != request.public:
        raise Refusal(ErrorCode.NOT_ALLOWED, "this invitation has been used", hint="ask for another")
    settings = cluster.settings
    return Enrolled(
        request_id=request.request_id,
        name=by.name,
        role=role,
        cluster=settings.cluster,
        workers_port=settings.workers_port,
        clients_port=settings.clients_port,
    )


def _enrol_new(cluster: Cluster, by: Principal, role: Role, public: str) -> None:
    at = cluster.now.wall_s
    if any(principal.public == public for principal in cluster.principals.everyone()):
        raise Refusal(ErrorCode.CONFLICT, "this key is known already", hint="make a new one")
    try:
        principal = cluster.store.add_principal(name=by.name, role=role, public=public, at=at)
    except NameTaken:
        raise _taken(by.name) from None
    used = cluster.store.change_principal(
        by.id, enrolled=public, expires_at=min(by.expires_at or at + REPLAY_S, at + REPLAY_S)
    )
    cluster.principals.put(principal)
    cluster.principals.put(used)
    if role is Role.WORKER:
        cluster.roster.get_or_add(by.name)
    cluster.note("info", "enrolled", name=by.name, role=role, key=principal.fingerprint)
    _happen(cluster, "enrolled", principal, by.name)


def _happen(cluster: Cluster, event: str, principal: Principal, who: str) -> None:
    node_id = principal.name if principal.role is Role.WORKER else None
    cluster.happen(event, node_id=node_id, who=who, why=f"{principal.name} ({principal.grants or principal.role})")


def list_keys(cluster: Cluster, request: ListKeys, by: Principal, peer: Peer) -> Message:
    """Answer LIST_KEYS: live keys and open invitations, revoked ones when asked for."""
    shown = [
        principal
        for principal in cluster.principals.everyone()
        if (principal.is_open(cluster.now.wall_s) and principal.enrolled is None)
        or (request.revoked and principal.revoked_at is not None)
    ]
    return KeyList(request_id=request.request_id, keys=tuple(view(principal) for principal in shown))


def revoke(cluster: Cluster, request: RevokeKey, by: Principal, peer: Peer) -> Message:
    """Refuse a key from its next message on. A worker's session ends; its leases run out as if it fell silent."""
    found = [
        principal
        for principal in cluster.principals.everyone()
        if request.name in (principal.name, principal.fingerprint)
        and principal.is_open(cluster.now.wall_s)
        and principal.enrolled is None
    ]
    if not found:
        raise Refusal(ErrorCode.NOT_FOUND, f"no key {request.name!r}", hint="`ffrtmp keys list` shows them")
    if any(principal.id == by.id for principal in found):
        raise Refusal(
            ErrorCode.CONFLICT, "a key cannot revoke itself", hint="let another admin do it, so that one remains"
        )
    for principal in found:
        revoked = cluster.store.change_principal(principal.id, revoked_at=cluster.now.wall_s)
        cluster.principals.put(revoked)
        cluster.note("warning", "key_revoked", name=revoked.name, key=revoked.fingerprint, by=by.name)
        _happen(cluster, "key_revoked", revoked, by.name)
        _end_session(cluster, revoked)
    # An enrolled key stands before an open invitation of the same name.
    last = min(found, key=lambda principal: principal.role is Role.ENROL)
    return KeyReply(request_id=request.request_id, key=view(cluster.principals.known(last.id)))


def _end_session(cluster: Cluster, principal: Principal) -> None:
    node = cluster.roster.get(principal.name) if principal.role is Role.WORKER else None
    if node is None or node.session is None:
        return
    problem = Refusal(ErrorCode.NOT_ALLOWED, "this key has been revoked").problem
    cluster.send(node.session.peer, Denied(problem=problem))
    cluster.roster.disconnect(node)
    cluster.timers.drop(("silence", node.node_id))

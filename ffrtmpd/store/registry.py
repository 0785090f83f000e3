"""Keys and nodes: few rows that seldom change, through the models."""

from typing import Any, TypedDict

from ffrtmpd.principals import Principal
from ffrtmpd.store import models
from ffrtmpd.store.errors import NameTaken, NoSuchPrincipal, PublicKeyTaken
from ffrtmpd.store.records import NodeRow, dump, load
from ffrtmpd.store.turn import Row
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.vocabulary import Role

# A query as Peewee builds it; the package has no types.
Query = Any


def all_principals() -> Query:
    """Return the query for every key, by id."""
    return models.Principal.select().order_by(models.Principal.id)


def all_nodes() -> Query:
    """Return the query for every node, by id."""
    return models.Node.select().order_by(models.Node.node_id)


class PrincipalChanges(TypedDict, total=False):
    """What may change about a key."""

    name: str
    role: Role
    public: str
    grants: Role | None
    expires_at: float | None
    revoked_at: float | None
    enrolled: str | None


def principal(values: Row) -> Principal:
    """Return the key whose columns are ``values``."""
    number, name, role, public, created_at, grants, expires_at, revoked_at, enrolled = values
    return Principal(
        id=number,
        name=name,
        role=Role(role),
        public=public,
        created_at=created_at,
        grants=None if grants is None else Role(grants),
        expires_at=expires_at,
        revoked_at=revoked_at,
        enrolled=enrolled,
    )


def add_principal(new: Principal) -> Query:
    """Return the statement that adds ``new``; its id is made by the store."""
    return models.Principal.insert(
        name=new.name,
        role=new.role.value,
        public=new.public,
        created_at=new.created_at,
        grants=None if new.grants is None else new.grants.value,
        expires_at=new.expires_at,
    )


def change_principal(after: Principal) -> Query:
    """Return the statement that makes the stored key like ``after``."""
    return models.Principal.update(
        name=after.name,
        role=after.role.value,
        public=after.public,
        grants=None if after.grants is None else after.grants.value,
        expires_at=after.expires_at,
        revoked_at=after.revoked_at,
        enrolled=after.enrolled,
    ).where(models.Principal.id == after.id)


def refuse_clash(known: list[Principal], wanted: Principal) -> None:
    """Refuse a key that stands in the way of a known one; the unique indexes are the second line.

    Raises:
        PublicKeyTaken: the public half is known.
        NameTaken: a live key, not an invitation, has the name.
    """
    for other in known:
        if other.id == wanted.id:
            continue
        if other.public == wanted.public:
            raise PublicKeyTaken(f"that public key is known already, as {other.name!r}")
        if other.name == wanted.name and _is_live(other) and _is_live(wanted):
            raise NameTaken(f"a key named {wanted.name!r} exists: revoke it first, or take another name")


def _is_live(entry: Principal) -> bool:
    return entry.grants is None and entry.revoked_at is None


def find_principal(known: list[Principal], number: int) -> Principal:
    """Return the key with that id.

    Raises:
        NoSuchPrincipal: there is none.
    """
    for entry in known:
        if entry.id == number:
            return entry
    raise NoSuchPrincipal(f"there is no key {number}")


def node_row(values: Row) -> NodeRow:
    """Return the node whose columns are ``values``."""
    node_id, address, hardware_json, slots, draining, drain_until, first_seen_at, last_seen_at = values
    return NodeRow(
        node_id=node_id,
        address=address,
        hardware=None if hardware_json is None else load(Hardware, hardware_json),
        slots=slots,
        draining=bool(draining),
        drain_until=drain_until,
        first_seen_at=first_seen_at,
        last_seen_at=last_seen_at,
    )


def remove_node(node_id: str) -> Query:
    """Return the statement that forgets a node."""
    return models.Node.delete().where(models.Node.node_id == node_id)


def save_node(row: NodeRow) -> Query:
    """Return the statement that stores ``row`` in place of what was known of the node."""
    known = {
        "address": row.address,
        "hardware_json": dump(row.hardware),
        "slots": row.slots,
        "draining": row.draining,
        "drain_until": row.drain_until,
        "first_seen_at": row.first_seen_at,
        "last_seen_at": row.last_seen_at,
    }
    return models.Node.insert(node_id=row.node_id, **known).on_conflict(
        conflict_target=[models.Node.node_id], update=known
    )

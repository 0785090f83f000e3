import sqlite3
from collections.abc import Iterator

import pytest

from ffrtmpd.principals import Principal
from ffrtmpd.store import NameTaken, NodeRow, NoSuchPrincipal, PublicKeyTaken, Store, registry
from ffrtmpd.wire.messages.nodes import Gpu, Hardware
from ffrtmpd.wire.vocabulary import Engine, Role
from tests.master.store_kit import turn


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store.open(None)
    opened.begin()
    yield opened
    opened.close()


def key(store: Store, name: str = "ann", public: str = "A" * 40, role: Role = Role.OPERATOR) -> Principal:
    return store.add_principal(name=name, role=role, public=public, at=10.0)


def invitation(store: Store, name: str = "ann", public: str = "I" * 40) -> Principal:
    return store.add_principal(
        name=name, role=Role.ENROL, public=public, at=10.0, grants=Role.WORKER, expires_at=3_610.0
    )


def test_key_and_invitation_read_back_as_added(store: Store) -> None:
    ann, invited = key(store), invitation(store, "w1")
    assert store.principals() == [ann, invited]
    assert ann == Principal(id=1, name="ann", role=Role.OPERATOR, public="A" * 40, created_at=10.0)
    assert (invited.id, invited.role, invited.grants, invited.expires_at) == (2, Role.ENROL, Role.WORKER, 3_610.0)


def test_name_of_a_live_key_is_taken(store: Store) -> None:
    ann = key(store)
    with pytest.raises(NameTaken, match="'ann'"):
        key(store, public="B" * 40)
    assert store.principals() == [ann]


def test_name_of_a_revoked_key_is_free_again(store: Store) -> None:
    revoked = store.change_principal(key(store).id, revoked_at=20.0)
    again = key(store, public="B" * 40)
    assert (revoked.revoked_at, again.id) == (20.0, 2)
    assert store.principals() == [revoked, again]
    with pytest.raises(NameTaken):
        store.change_principal(revoked.id, revoked_at=None)


def test_invitations_take_no_name_and_need_none(store: Store) -> None:
    invitation(store)
    invitation(store, public="J" * 40)
    key(store)
    invitation(store, public="K" * 40)
    assert [entry.name for entry in store.principals()] == ["ann"] * 4


def test_public_key_is_known_once_even_if_revoked(store: Store) -> None:
    ann = store.change_principal(key(store).id, revoked_at=20.0)
    with pytest.raises(PublicKeyTaken):
        key(store, "eve", public=ann.public)
    other = key(store, "eve", public="B" * 40)
    with pytest.raises(PublicKeyTaken):
        store.change_principal(other.id, public=ann.public)


def let_through(known: list[Principal], wanted: Principal) -> None:
    """Check nothing, so that only the index is left."""


def test_public_key_is_refused_by_the_index_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "refuse_clash", let_through)
    key(store)
    with pytest.raises(sqlite3.IntegrityError):
        key(store, "eve")


def test_second_live_name_is_refused_by_the_index_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "refuse_clash", let_through)
    key(store)
    with pytest.raises(sqlite3.IntegrityError):
        key(store, public="B" * 40)


def test_used_invitation_remembers_the_key_it_enrolled(store: Store) -> None:
    used = store.change_principal(invitation(store).id, enrolled="B" * 40, expires_at=70.0)
    assert (used.enrolled, used.expires_at, used.grants) == ("B" * 40, 70.0, Role.WORKER)
    assert store.principals() == [used]


def test_unknown_key_cannot_change(store: Store) -> None:
    with pytest.raises(NoSuchPrincipal):
        store.change_principal(7, revoked_at=1.0)


def test_id_of_a_key_is_never_given_again(store: Store) -> None:
    first = key(store)
    store._turn.write("DELETE FROM principals", ())
    assert key(store).id == first.id + 1


def test_node_is_stored_in_place_of_what_was_known(store: Store) -> None:
    hardware = Hardware(
        hostname="höst", gpus=(Gpu(name="L4", memory_bytes=1 << 34),), encoders=("libx264",), engines=(Engine.FFMPEG,)
    )
    first = NodeRow(node_id="w2", address="10.0.0.2", hardware=hardware, slots=4, first_seen_at=1.0, last_seen_at=1.0)
    later = NodeRow(node_id="w2", address="10.0.0.3", slots=2, draining=True, first_seen_at=1.0, last_seen_at=9.0)
    unseen = NodeRow(node_id="w1")
    store.save_node(first)
    store.save_node(unseen)
    assert store.nodes() == [unseen, first]
    store.save_node(later)
    assert store.nodes() == [unseen, later]


def test_rolled_back_key_is_unknown(store: Store) -> None:
    key(store)
    store.rollback()
    with turn(store):
        assert store.principals() == []

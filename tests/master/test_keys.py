"""Roles, invitations, enrolment and revocation."""

import pytest

from ffrtmpd.events import MessageCame, Peer, Side
from ffrtmpd.wire.catalogue import PERMISSIONS
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.curve import Invitation, new_key_pair, read_invitation
from ffrtmpd.wire.messages.common import Error, Ping, Pong, Request
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit
from ffrtmpd.wire.messages.keys import Enrol, Enrolled, Invite, Invited, KeyList, KeyReply, ListKeys, RevokeKey
from ffrtmpd.wire.messages.session import Denied, Heartbeat
from ffrtmpd.wire.vocabulary import ErrorCode, NodeStatus, Role
from tests.master.house import House
from tests.master.test_sessions import node, running
from tests.wire.messages import simplest

ROLE_OF = {"eyes": Role.VIEWER, "ops": Role.OPERATOR, "root": Role.ADMIN}


def invite(house: House, name: str = "w-07", role: Role = Role.WORKER, valid_s: float = 3_600.0) -> Invitation:
    reply = house.ask(Invite(request_id="r", name=name, role=role, valid_s=valid_s), by="root")
    assert isinstance(reply, Invited), reply
    return read_invitation(reply.line)


def enrol(house: House, invitation: Invitation, public: str) -> Message:
    """Enrol as the holder of the invitation would, through the door."""
    import zmq

    one_time = zmq.curve_public(invitation.secret.encode()).decode()
    user_id = house.principals.admit(one_time, Side.CLIENTS, house.now.wall_s)
    assert user_id is not None, "the door is shut"
    peer = Peer(Side.CLIENTS, b"newcomer")
    house.turn(MessageCame(peer, user_id, Enrol(request_id="e", public=public)))
    return house.take(peer, Message)[-1]


@pytest.mark.parametrize("name", ROLE_OF)
@pytest.mark.parametrize("kind", PERMISSIONS)
def test_each_role_may_do_exactly_what_the_table_says(kind: type[Request], name: str) -> None:
    house = House()
    request = simplest(kind)
    peer = Peer(Side.CLIENTS, name.encode())
    house.turn(MessageCame(peer, house.who(name).user_id, request))
    denied = [
        reply
        for reply in house.take(peer, Error)
        if reply.problem.message.startswith(f"a key with role {ROLE_OF[name]}")
    ]
    assert bool(denied) is (ROLE_OF[name] not in PERMISSIONS[kind])
    assert all(reply.problem.code is ErrorCode.NOT_ALLOWED for reply in denied)


def test_viewer_reads_and_changes_nothing() -> None:
    house = House()
    assert isinstance(house.ask(Ping(request_id="p"), by="eyes"), Pong)
    jobs = (Submission(key="k" * 8, spec=JobSpec(scenario="720p30-h264")),)
    assert house.refused(Submit(request_id="s", jobs=jobs), by="eyes").code is ErrorCode.NOT_ALLOWED
    assert house.store.job(1) is None


def test_ping_says_who_asks() -> None:
    reply = House().ask(Ping(request_id="p"), by="ops")
    assert isinstance(reply, Pong)
    assert (reply.principal, reply.role, reply.epoch) == ("ops", "operator", 1)


def test_invited_worker_enrols_and_its_key_opens_the_workers_door_only() -> None:
    house = House()
    invitation = invite(house)
    pair = new_key_pair()
    reply = enrol(house, invitation, pair.public)
    assert isinstance(reply, Enrolled), reply
    assert (reply.name, reply.role, reply.workers_port) == ("w-07", Role.WORKER, house.settings.workers_port)
    assert house.principals.admit(pair.public, Side.WORKERS, house.now.wall_s)
    assert house.principals.admit(pair.public, Side.CLIENTS, house.now.wall_s) is None
    assert node(house, "w-07").status is NodeStatus.OFFLINE


def test_invitation_is_used_once_but_the_same_key_may_ask_again_for_a_minute() -> None:
    house = House()
    invitation, pair = invite(house), new_key_pair()
    first = enrol(house, invitation, pair.public)
    assert enrol(house, invitation, pair.public) == first
    other = enrol(house, invitation, new_key_pair().public)
    assert isinstance(other, Error)
    assert other.problem.code is ErrorCode.NOT_ALLOWED
    house.now_s += 61
    with pytest.raises(AssertionError, match="the door is shut"):
        enrol(house, invitation, pair.public)


def test_invitation_expires() -> None:
    house = House()
    invitation = invite(house, valid_s=10.0)
    house.now_s += 11
    with pytest.raises(AssertionError, match="the door is shut"):
        enrol(house, invitation, new_key_pair().public)


def test_invitation_can_do_nothing_but_enrol() -> None:
    house = House()
    invite(house)
    guest = next(p for p in house.principals.everyone() if p.role is Role.ENROL)
    peer = Peer(Side.CLIENTS, b"guest")
    for kind in PERMISSIONS:
        if kind is not Enrol:
            house.turn(MessageCame(peer, guest.user_id, simplest(kind)))
            (reply,) = house.take(peer, Message)
            assert isinstance(reply, Error)
            assert reply.problem.code is ErrorCode.NOT_ALLOWED


def test_enrolment_survives_a_restart() -> None:
    house = House()
    pair = new_key_pair()
    enrol(house, invite(house), pair.public)
    house.start()
    assert house.principals.admit(pair.public, Side.WORKERS, house.now.wall_s)


def test_name_that_has_a_key_is_not_invited_again() -> None:
    house = House()
    enrol(house, invite(house), new_key_pair().public)
    problem = house.refused(Invite(request_id="r", name="w-07", role=Role.WORKER), by="root")
    assert problem.code is ErrorCode.CONFLICT


def test_two_invitations_of_one_name_make_one_key() -> None:
    house = House()
    one, two = invite(house), invite(house)
    assert isinstance(enrol(house, one, new_key_pair().public), Enrolled)
    late = enrol(house, two, new_key_pair().public)
    assert isinstance(late, Error)
    assert late.problem.code is ErrorCode.CONFLICT


@pytest.mark.parametrize("name", ["", " ", "-w", "a b", "ä", "x" * 65, "../x", "w\n1"])
def test_odd_names_are_refused(name: str) -> None:
    house = House()
    problem = house.refused(Invite(request_id="r", name=name, role=Role.WORKER), by="root")
    assert problem.code is ErrorCode.INVALID_ARGUMENT


def test_revoked_worker_is_denied_on_its_next_message_and_loses_its_lease() -> None:
    house = House()
    worker, job = running(house)
    reply = house.ask(RevokeKey(request_id="r", name="w1"), by="root")
    assert isinstance(reply, KeyReply)
    assert reply.key.revoked_at is not None
    assert node(house, "w1").status is NodeStatus.OFFLINE
    worker.got(Denied)
    user_id = reply.key.fingerprint
    revoked = next(p for p in house.principals.everyone() if p.fingerprint == user_id)
    house.turn(MessageCame(worker.peer, revoked.user_id, Heartbeat(sent_ms=1)))
    assert worker.got(Denied)
    house.wait(61)
    assert house.job(job).node_id is None


def test_revoked_client_is_refused_on_its_next_message() -> None:
    house = House()
    user_id = house.who("ops").user_id
    house.ask(RevokeKey(request_id="r", name="ops"), by="root")
    peer = Peer(Side.CLIENTS, b"ops")
    house.turn(MessageCame(peer, user_id, Ping(request_id="p")))
    (reply,) = house.take(peer, Error)
    assert reply.problem.code is ErrorCode.NOT_ALLOWED


def test_revoked_name_can_be_invited_again() -> None:
    house = House()
    enrol(house, invite(house), new_key_pair().public)
    house.ask(RevokeKey(request_id="r", name="w-07"), by="root")
    pair = new_key_pair()
    assert isinstance(enrol(house, invite(house), pair.public), Enrolled)
    assert house.principals.admit(pair.public, Side.WORKERS, house.now.wall_s)


def test_admin_cannot_lock_himself_out() -> None:
    assert House().refused(RevokeKey(request_id="r", name="root"), by="root").code is ErrorCode.CONFLICT


def test_unknown_key_is_not_found() -> None:
    assert House().refused(RevokeKey(request_id="r", name="nobody"), by="root").code is ErrorCode.NOT_FOUND


def test_list_shows_keys_and_open_invitations_and_revoked_ones_when_asked() -> None:
    house = House()
    invite(house)
    house.ask(RevokeKey(request_id="r", name="ops"), by="root")
    reply = house.ask(ListKeys(request_id="l"), by="root")
    assert isinstance(reply, KeyList)
    assert {(key.name, key.role, key.invitation) for key in reply.keys} == {
        ("root", Role.ADMIN, False),
        ("eyes", Role.VIEWER, False),
        ("w-07", Role.WORKER, True),
    }
    reply = house.ask(ListKeys(request_id="l", revoked=True), by="root")
    assert isinstance(reply, KeyList)
    assert "ops" in {key.name for key in reply.keys}

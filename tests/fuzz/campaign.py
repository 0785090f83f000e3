"""Damaged frames against a real master, from two clients and two workers with keys; its jobs must stay as they are."""

import random
import resource
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import zmq

from ffrtmpd.wire.catalogue import (
    CLIENT_REPLIES,
    CLIENT_REQUESTS,
    MASTER_TO_WORKER,
    PERMISSIONS,
    READERS,
    WORKER_TO_MASTER,
)
from ffrtmpd.wire.codec import Catalogue, Message, ProtocolError, decode_all, encode
from ffrtmpd.wire.curve import KeyPair, client_socket, read_key_file
from ffrtmpd.wire.messages import inquiries, jobs, session
from ffrtmpd.wire.messages.common import Ping, Pong
from ffrtmpd.wire.messages.nodes import Hardware
from tests.e2e.cluster import Cluster
from tests.fuzz.frames import Frames, Mutator, meaning, meanings
from tests.fuzz.samples import sample

M = TypeVar("M", bound=Message)

PATIENCE_MS: Final = 20_000
# Sent before answers are read: far below the 1,000 messages at which a socket counts a peer as lost.
WINDOW: Final = 200
WARM_UP: Final = 2_000
SAMPLES_EACH: Final = 6
BATCHES: Final = 18
# What a peer may be left without an answer to: long polls, logs that nobody asked for, beats that a later one overtook.
DEFERRED: Final = frozenset({jobs.Changes, inquiries.Logs})
UNANSWERED: Final = frozenset({session.LogChunk, session.Heartbeat})
# The beats of a campaign are later than those of its samples; a damaged one may be later still.
LATEST_MS: Final = 2**40
# What ends a session by right; sent where there is none.
ENDING: Final = frozenset({session.Hello, session.Ready, session.Bye})
# A campaign on a busy machine may pause for seconds; that is no silence to be tested here.
SETTINGS: Final = """
[sessions]
heartbeat_s = 20.0
lost_after_s = 600.0
fence_s = 60.0
give_away_s = 120.0
"""
SPECS: Final = ("720p30-h264", "1080p30-h264", "480p30-h264")


@dataclass(slots=True)
class Tally:
    """What was sent and what came of it."""

    frames: int = 0
    meaningless: int = 0
    answers: int = 0
    owed: int = 0
    rss_before: int = 0
    rss_after: int = 0

    @property
    def grown_bytes(self) -> int:
        return self.rss_after - self.rss_before


class Peer:
    """One connection with a valid key. Frames go out many at a time, then their answers are counted."""

    def __init__(
        self, context: "zmq.Context[Any]", endpoint: str, own: KeyPair, server: str, accepts: Catalogue
    ) -> None:
        self.socket = client_socket(context, zmq.DEALER, own=own, server_public=server)
        self.socket.set(zmq.SNDTIMEO, PATIENCE_MS)
        self.socket.set(zmq.RCVTIMEO, PATIENCE_MS)
        self.socket.connect(endpoint)
        self.endpoint = endpoint
        self.accepts = accepts
        self.envelope: Frames = []
        self.came: deque[Message | ProtocolError] = deque()
        self.unread = 0
        self.answers = 0
        self.owed = 0

    def send(self, frames: Frames, *, messages: int, owed: int) -> bool:
        """Send frames that are so many messages; tell whether it is time to read."""
        whole = [*self.envelope, *frames]
        self.socket.send_multipart(whole or [b""])
        self.unread += messages
        self.owed += owed
        return self.unread >= WINDOW

    def ask(self, message: Message, kind: type[M]) -> M:
        """Send a sound message and return its answer, counting all that comes before it."""
        self.socket.send_multipart([*self.envelope, *encode(message)])
        while True:
            answer = self.receive()
            if isinstance(answer, kind) and self.belongs(answer, message):
                self.unread = 0
                return answer
            assert not (isinstance(answer, session.Reset) and isinstance(message, session.Heartbeat)), "session lost"
            self.answers += 1

    def receive(self) -> Message:
        if not self.came:
            self.came += decode_all(self.socket.recv_multipart()[len(self.envelope) :], self.accepts)
        answer = self.came.popleft()
        assert not isinstance(answer, ProtocolError), answer
        return answer

    def belongs(self, answer: Message, question: Message) -> bool:
        mark = "sent_ms" if isinstance(question, session.Heartbeat) else "request_id"
        return bool(getattr(answer, mark, None) == getattr(question, mark, None))


class Client(Peer):
    """A client that asks many things at once, as no REQ does."""

    def __init__(self, context: "zmq.Context[Any]", endpoint: str, own: KeyPair, server: str) -> None:
        super().__init__(context, endpoint, own, server, CLIENT_REPLIES)
        self.envelope = [b""]

    def settle(self, number: int) -> None:
        self.ask(Ping(request_id=f"sync-{number}"), Pong)


class Worker(Peer):
    """A worker; with a session it holds one job."""

    def __init__(self, context: "zmq.Context[Any]", endpoint: str, own: KeyPair, server: str) -> None:
        super().__init__(context, endpoint, own, server, MASTER_TO_WORKER)
        self.running: tuple[session.Held, ...] = ()

    def open_session(self) -> None:
        """Begin a session, take one job and start it."""
        hello = session.Hello(
            versions=(1,), boot_id="fuzz", slots=1, hardware=Hardware(hostname="fuzz", encoders=("libx264",))
        )
        self.socket.send_multipart(encode(hello))
        welcome = self.expect(session.Welcome)
        self.socket.send_multipart(encode(session.Ready(nonce=welcome.nonce)))
        assign = self.expect(session.Assign)
        held = session.Held(job_id=assign.job_id, attempt=assign.attempt, token=assign.token, started=True)
        started = session.Started(job_id=held.job_id, attempt=held.attempt, token=held.token, encoder="libx264")
        self.socket.send_multipart(encode(started))
        self.running = (held,)
        self.settle(0)
        self.answers = 0

    def expect(self, kind: type[M]) -> M:
        while True:
            answer = self.receive()
            if isinstance(answer, kind):
                return answer

    def settle(self, number: int) -> None:
        if self.running:
            # Renews the lease too: what the damaged ones say of the job is not true.
            self.ask(session.Heartbeat(sent_ms=LATEST_MS + number, running=self.running), session.HeartbeatAck)
            return
        # Without a session each message has one answer.
        for _ in range(self.unread):
            self.receive()
            self.answers += 1
        self.unread = 0


class Campaign:
    """Sends damaged frames from ``seed`` to the master of ``house``."""

    def __init__(self, house: Cluster, stack: ExitStack, seed: int) -> None:
        assert house.master is not None
        self._pid = house.master.pid
        self._ports = (house.port("workers"), house.port("clients"))
        self._chance = random.Random(seed)
        self._numbers = iter(range(1, 1 << 40))
        context: zmq.Context[Any] = zmq.Context()
        stack.callback(context.term)
        server = read_key_file(house.home / "keys" / "master.key").public
        admin, viewer = (_own_key(folder) for folder in (house.client, house.folder / "client-eyes"))
        busy, idle = (_own_key(house.state(name)) for name in ("w1", "w2"))
        self.admin = Client(context, house.endpoint("clients"), admin, server)
        self.viewer = Client(context, house.endpoint("clients"), viewer, server)
        self.busy = Worker(context, house.endpoint("workers"), busy, server)
        self.idle = Worker(context, house.endpoint("workers"), idle, server)
        self.peers = (self.admin, self.viewer, self.busy, self.idle)
        for peer in self.peers:
            stack.callback(peer.socket.close)
        self.busy.open_session()
        self._requests = Mutator(self._samples(CLIENT_REQUESTS), seed)
        reports = [self._foreign(message) for message in self._samples(WORKER_TO_MASTER)]
        self._reports = Mutator(reports, seed + 1, batches=BATCHES)
        self.tally = Tally()

    def _samples(self, accepted: Catalogue) -> list[Message]:
        return [sample(cls, self._chance) for cls in accepted.values() for _ in range(SAMPLES_EACH)]

    def _foreign(self, message: Message) -> Message:
        """Let what a worker says be about the job it holds, but for the token."""
        if not isinstance(message, session.About):
            return message
        held = self.busy.running[0]
        return replace(message, job_id=held.job_id, attempt=held.attempt, token=bytes(reversed(held.token)))

    def send(self, count: int) -> None:
        """Send ``count`` damaged messages and wait until the master has dealt with all."""
        for _ in range(count):
            if self._chance.random() < 0.5:
                self._send_request(self._requests.next())
            else:
                self._send_report(self._reports.next())
        for peer in self.peers:
            peer.settle(next(self._numbers))
        self.tally.answers = sum(peer.answers for peer in self.peers)
        self.tally.owed = sum(peer.owed for peer in self.peers)

    def _send_request(self, frames: Frames) -> None:
        said = meaning(frames, CLIENT_REQUESTS)
        # What would be obeyed is said by somebody who is not.
        harmless = said is None or PERMISSIONS[type(said)] is READERS
        peer = self.admin if harmless and self._chance.random() < 0.7 else self.viewer
        self._send(peer, frames, [said])

    def _send_report(self, frames: Frames) -> None:
        said = meanings(frames, WORKER_TO_MASTER)
        peer = self.idle if any(map(_ends, said)) or self._chance.random() < 0.3 else self.busy
        self._send(peer, frames, said)

    def _send(self, peer: Client | Worker, frames: Frames, said: list[Message | None]) -> None:
        self.tally.frames += 1
        self.tally.meaningless += not any(said)
        silent = DEFERRED if peer is self.idle else DEFERRED | UNANSWERED
        if peer.send(frames, messages=len(said), owed=sum(type(message) not in silent for message in said)):
            peer.settle(next(self._numbers))

    def shout(self, connections: int) -> None:
        """Send bytes that are not even ZMTP."""
        for number in range(connections):
            with socket.create_connection(("127.0.0.1", self._ports[number % 2]), timeout=10) as line:
                line.sendall(self._chance.randbytes(self._chance.choice((1, 64, 4_096))))

    def rss_bytes(self) -> int:
        """Return the master's resident memory."""
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * resource.getpagesize()


def _ends(said: Message | None) -> bool:
    """Tell whether it would end the session of a worker that has one, or is later than every beat to come."""
    return type(said) in ENDING or (isinstance(said, session.Heartbeat) and said.sent_ms >= LATEST_MS)


def _own_key(folder: Path) -> KeyPair:
    (path,) = folder.rglob("*.key")
    return read_key_file(path)


def trails(house: Cluster) -> list[Any]:
    """Return all that is on record of every job."""
    shown = [house.json("jobs", "status", job["job_id"]) for job in house.json("jobs", "list")["jobs"]]
    return [
        (entry["job"]["job_id"], entry["job"]["state"], entry["job"]["attempt"], entry["history"]) for entry in shown
    ]


@contextmanager
def campaign(house: Cluster, seed: int) -> Iterator[Campaign]:
    """Give a campaign against a master with jobs, one of them processing."""
    house.configure_master(SETTINGS)
    house.start_master()
    for name in ("w1", "w2"):
        house.enrol(name)
    line = house.ok("keys", "invite", "eyes", "--role", "viewer", "-q").strip()
    own = house.env["FFRTMP_CONFIG_DIR"]
    house.env["FFRTMP_CONFIG_DIR"] = str(house.folder / "client-eyes")
    joined = house.ffrtmp("join", line)
    house.env["FFRTMP_CONFIG_DIR"] = own
    assert joined.returncode == 0, joined.stderr
    for spec in SPECS:
        house.submit(spec)
    with ExitStack() as stack:
        yield Campaign(house, stack, seed)


def run(house: Cluster, *, frames: int, seed: int) -> Tally:
    """Send ``frames`` damaged messages; every promise is checked.

    Raises:
        AssertionError: a job changed, a message was left without an answer, or the master is not well.
    """
    with campaign(house, seed) as running:
        before = trails(house)
        assert [state for _, state, _, _ in before].count("processing") == 1, before
        running.send(min(WARM_UP, frames))
        running.shout(100)
        tally = running.tally
        tally.rss_before = running.rss_bytes()
        while tally.frames < frames:
            running.send(min(WARM_UP, frames - tally.frames))
        tally.rss_after = running.rss_bytes()
        assert house.json("ping")["epoch"] == 1, "the master has restarted"
        assert trails(house) == before
        for peer in running.peers:
            assert peer.answers >= peer.owed, (peer.endpoint, peer.answers, peer.owed)
    return tally

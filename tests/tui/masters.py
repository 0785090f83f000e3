"""Masters to ask: the real one in a thread, and one on the same sockets that answers as a test says."""

import io
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq
from zmq.utils import z85

from ffrtmpd.auth import ZapDoor
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.service import Bell
from ffrtmpd.broker.broker import Broker
from ffrtmpd.broker.settings import BrokerSettings
from ffrtmpd.daemon import Daemon
from ffrtmpd.events import Side
from ffrtmpd.listener import Listener
from ffrtmpd.principals import Principals
from ffrtmpd.scenario import load_scenarios
from ffrtmpd.store import Store
from ffrtmpd.wire.catalogue import CLIENT_REQUESTS
from ffrtmpd.wire.codec import decode, encode
from ffrtmpd.wire.curve import KeyPair, new_key_pair, server_socket
from ffrtmpd.wire.messages.common import Reply, Request
from ffrtmpd.wire.vocabulary import Role

READY_S = 10.0
BUILT_IN = (Path(__file__).parents[2] / "conf" / "scenarios.toml",)

Answer = Callable[[Request], Reply | None]


class Silence(io.StringIO):
    """A stream that takes everything; it leads to no file."""

    def write(self, text: str) -> int:
        return len(text)


class _InThread:
    """A master that serves from a thread between ``with`` and its end."""

    endpoint: str

    def __init__(self) -> None:
        self.key = new_key_pair()
        self._ready = threading.Event()
        self._problem: BaseException | None = None
        # A test that fails before its end leaves it behind, and must not keep the run from ending.
        self._thread = threading.Thread(target=self._guarded, daemon=True)

    def _guarded(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            self._problem = error
            self._ready.set()
            raise

    def _serve(self) -> None:
        raise NotImplementedError

    def _ask_to_stop(self) -> None:
        raise NotImplementedError

    def begin(self) -> None:
        self._thread.start()
        assert self._ready.wait(READY_S)
        assert self._problem is None, self._problem

    def end(self) -> None:
        self._ask_to_stop()
        self._thread.join(READY_S)
        assert not self._thread.is_alive()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


class RealMaster(_InThread):
    """The master's own broker, store and daemon on ports of the system's choice."""

    def __init__(self, roles: Mapping[str, Role]) -> None:
        super().__init__()
        self.pairs = {name: new_key_pair() for name in roles}
        self._roles = roles
        self._bell = Bell()

    def __enter__(self) -> "RealMaster":
        self.begin()
        return self

    def _ask_to_stop(self) -> None:
        self._bell.stop()

    def _serve(self) -> None:
        log = Logger(stream=Silence())
        store = Store.open(None)
        for name, role in self._roles.items():
            store.begin()
            store.add_principal(name=name, role=role, public=self.pairs[name].public, at=1.0)
            store.commit()
        principals = Principals(store.principals())
        context: zmq.Context[Any] = zmq.Context()
        listener = Listener(context, ZapDoor(context, principals, log=log), secret=self.key.secret)
        try:
            ports = {side: listener.bind(side, "tcp://127.0.0.1:0") for side in Side}
            self.endpoint = f"tcp://127.0.0.1:{ports[Side.CLIENTS]}"
            self.workers_endpoint = f"tcp://127.0.0.1:{ports[Side.WORKERS]}"
            settings = BrokerSettings(
                server_public=self.key.public,
                workers_port=ports[Side.WORKERS],
                clients_port=ports[Side.CLIENTS],
            )
            broker = Broker(store=store, principals=principals, scenarios=load_scenarios(BUILT_IN), settings=settings)
            daemon = Daemon(listener=listener, brain=broker, ledger=store, bell=self._bell, log=log)
            self._ready.set()
            daemon.run()
        finally:
            listener.close()
            context.term()
            store.close()
            self._bell.close()


class ScriptedMaster(_InThread):
    """A ROUTER with CURVE behind a ZAP door for ``known`` keys; requests go to ``answer``, None is silence."""

    def __init__(self, answer: Answer, *, port: int = 0, key: KeyPair | None = None) -> None:
        super().__init__()
        self.key = key or self.key
        self.own = new_key_pair()
        self.known = {self.own.public}
        self.heard: list[tuple[bytes, Request]] = []
        self._answer = answer
        self._port = port
        self._context: zmq.Context[Any] = zmq.Context()
        self._rope = self._context.socket(zmq.PAIR)
        self._rope.bind("inproc://stop")

    def __enter__(self) -> "ScriptedMaster":
        self.begin()
        return self

    def _ask_to_stop(self) -> None:
        self._rope.send(b"")

    def end(self) -> None:
        super().end()
        self._rope.close()
        self._context.term()

    def _serve(self) -> None:
        stop = self._context.socket(zmq.PAIR)
        stop.connect("inproc://stop")
        door = self._context.socket(zmq.REP)
        door.bind("inproc://zeromq.zap.01")
        router = server_socket(self._context, secret=self.key.secret, domain="clients")
        poller = zmq.Poller()
        for socket in (stop, door, router):
            poller.register(socket, zmq.POLLIN)
        try:
            router.bind(f"tcp://127.0.0.1:{self._port}")
            self.endpoint = bytes(router.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
            self._ready.set()
            while True:
                ready = dict(poller.poll())
                if stop in ready:
                    return
                if door in ready:
                    frames = door.recv_multipart()
                    status = b"200" if z85.encode(frames[6]).decode() in self.known else b"400"
                    door.send_multipart([frames[0], frames[1], status, b"", b"1", b""])
                if router in ready:
                    self._hear(router)
        finally:
            for socket in (stop, door, router):
                socket.close()

    def _hear(self, router: "zmq.Socket[bytes]") -> None:
        route, empty, *frames = router.recv_multipart()
        request = decode(frames, CLIENT_REQUESTS)
        assert isinstance(request, Request)
        self.heard.append((route, request))
        reply = self._answer(request)
        if reply is not None:
            router.send_multipart([route, empty, *encode(reply)])

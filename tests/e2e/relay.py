"""A network between worker and master that can be made to fail: stalls either way, half-open connections."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

CHUNK = 65_536


class Way(Enum):
    """A direction, seen from the worker."""

    UP = "up"
    DOWN = "down"


class Connection:
    """One TCP connection on its way through. Near is the worker, far the master."""

    def __init__(self, near: socket.socket, far: socket.socket, stalled: set[Way]) -> None:
        self.near, self.far = near, far
        self.abandoned = False
        self.gates = {way: threading.Event() for way in Way}
        for way in set(Way) - stalled:
            self.gates[way].set()
        self.threads = [
            threading.Thread(target=self._pump, args=(near, far, Way.UP)),
            threading.Thread(target=self._pump, args=(far, near, Way.DOWN)),
        ]
        for thread in self.threads:
            thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        with suppress(OSError):
            while True:
                data = source.recv(CHUNK)
                # A stalled network passes on neither bytes nor the end of a connection.
                self.gates[way].wait()
                if not data:
                    break
                sink.sendall(data)
        self.hang_up()

    def hang_up(self) -> None:
        for end in (self.near, self.far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Relay:
    """Listens on a port of its own and passes every connection on to ``port`` of this machine.

    ``narrow``: a sender has some kilobytes on their way, as on a slow line, and not megabytes, as on loopback.
    """

    def __init__(self, port: int, *, narrow: bool = False) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        if narrow:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            # A sender's buffer is a multiple of its segments, and those of loopback are 64 KiB.
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_400)
        self.port = int(self._listener.getsockname()[1])
        self._stalled: set[Way] = set()
        self._connections: list[Connection] = []
        self._lock = threading.Lock()
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._connections.append(Connection(near, far, self._stalled))

    def stall(self, *ways: Way) -> None:
        """Let nothing pass in these directions, on connections old and new."""
        with self._lock:
            self._stalled = set(ways)
            for connection in self._connections:
                for way in ways:
                    connection.gates[way].clear()

    def heal(self) -> None:
        """Let everything pass again, but on abandoned connections."""
        with self._lock:
            self._stalled = set()
            for connection in self._connections:
                if not connection.abandoned:
                    for gate in connection.gates.values():
                        gate.set()

    def abandon(self) -> None:
        """Make every connection half-open: closed for the master, open and dead for the worker. New ones work."""
        with self._lock:
            for connection in self._connections:
                connection.abandoned = True
                for gate in connection.gates.values():
                    gate.clear()
                with suppress(OSError):
                    connection.far.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything and wait for the threads."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for connection in self._connections:
            connection.hang_up()
            for gate in connection.gates.values():
                gate.set()
            for thread in connection.threads:
                thread.join()
            connection.near.close()
            connection.far.close()


@contextmanager
def relay_to(port: int, *, narrow: bool = False) -> Iterator[Relay]:
    """Give a relay that is closed at the end."""
    relay = Relay(port, narrow=narrow)
    try:
        yield relay
    finally:
        relay.close()

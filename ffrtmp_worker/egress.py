"""The worker's own HTTP proxy on the loopback, through which media programs reach URLs.

FFmpeg looks at the first URL of an input alone: a redirect, a playlist or a name whose address changes may lead
anywhere. It obeys ``http_proxy`` for every connection by HTTP and HTTPS that it makes, so each one is checked here:
the name, and the very address that is then connected to, so that nothing can change between the check and the use.
"""

import base64
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from ffrtmp_worker.gate import allow
from ffrtmp_worker.reach import Hosts, literal

HEAD_MAX: Final = 64 << 10
READ_MAX: Final = 256 << 10
# A head comes at once from a program on this machine; a server may be far.
HEAD_S: Final = 10.0
CONNECT_S: Final = 10.0
CONNECTIONS_MAX: Final = 512
BACKLOG: Final = 64
# Said to the next hop alone, or decided here.
_OWN_HEADERS: Final = (b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive")


class _Refused(Exception):
    """The request is answered with a status and a line that FFmpeg logs."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """Where a request goes, and its head in the words for that server and for a proxy on the way, without the end."""

    method: str
    host: str
    port: int
    for_server: bytes
    for_proxy: bytes

    @property
    def is_tunnel(self) -> bool:
        """Bytes are passed on unseen, to one place."""
        return self.method == "CONNECT"

    @property
    def has_body(self) -> bool:
        """More may follow the head. Whatever follows a GET is another request, perhaps for another host."""
        return self.method not in ("GET", "HEAD")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upstream:
    """The operator's own proxy; ``field`` is what it must be told of who asks."""

    host: str
    port: int
    field: bytes
    direct: tuple[str, ...]

    def asked_for(self, host: str) -> bool:
        """Tell whether ``no_proxy`` leaves the host to it."""
        return not any(
            entry == "*" or host == entry.lstrip("*.") or host.endswith("." + entry.lstrip("*."))
            for entry in self.direct
        )


class Egress:
    """A proxy in threads of its own, on a port of the system's choice.

    Args:
        hosts: what may be reached.
        upstream: variables, of which ``http_proxy`` may name the operator's own proxy; then this one asks that one,
            and checks names alone, since only that one sees addresses. ``no_proxy`` lists hosts it is not asked for.
        most: connections at once; more are turned away for the moment.
    """

    def __init__(self, hosts: Hosts, *, upstream: Mapping[str, str] | None = None, most: int = CONNECTIONS_MAX) -> None:
        self._hosts = hosts
        self._upstream = _upstream(upstream or {})
        self._slots = threading.BoundedSemaphore(most)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="egress", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What ``http_proxy`` must say."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What media programs must find in their environment."""
        return {"http_proxy": self.url, "no_proxy": "", **allow(self._hosts)}

    def close(self) -> None:
        """Listen no more and cut all connections."""
        with self._lock:
            self._closed = True
            for connection in self._open:
                _cut(connection)
        _cut(self._listener)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                # No descriptor is free, or the client has gone: the next one may do better.
                continue
            threading.Thread(target=self._serve, args=(client,), name="egress-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, self._known(client), contextlib.suppress(OSError):
            if not self._slots.acquire(blocking=False):
                _answer(client, 503, "too many connections at once")
                return
            try:
                self._pass_on(client)
            except _Refused as refused:
                _answer(client, refused.status, refused.reason)
            finally:
                self._slots.release()

    def _pass_on(self, client: socket.socket) -> None:
        client.settimeout(HEAD_S)
        head, rest = _read_head(client)
        request = _parse(head)
        with self._connected(request) as server, self._known(server):
            client.settimeout(None)
            server.settimeout(None)
            upstream = self._way(request.host)
            if upstream is not None:
                server.sendall(request.for_proxy + upstream.field + b"\r\n")
            elif request.is_tunnel:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(request.for_server + b"\r\n")
            if request.has_body:
                server.sendall(rest)
            sink = server if request.has_body else None
            upward = threading.Thread(target=_upward, args=(client, server, sink), name="egress-up", daemon=True)
            upward.start()
            _pump(server, client)
            # The client reads what was sent and hangs up; or it has gone, which ended the server's side.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            upward.join()

    def _connected(self, request: _Request) -> socket.socket:
        """Connect to where a request goes, or to the operator's proxy on the way there."""
        refusal = self._hosts.refuse_name(request.host)
        address = literal(request.host)
        if refusal is None and address is not None:
            refusal = self._hosts.refuse_address(request.host, address)
        if refusal is not None:
            raise _Refused(403, refusal)
        upstream = self._way(request.host)
        if upstream is None:
            return self._dial(request.host, request.port)
        try:
            return socket.create_connection((upstream.host, upstream.port), timeout=CONNECT_S)
        except OSError as error:
            raise _Refused(502, f"http_proxy {upstream.host}: {error.strerror or error}") from None

    def _way(self, host: str) -> _Upstream | None:
        """Return the operator's proxy if it is asked for a host."""
        upstream = self._upstream
        return upstream if upstream is not None and upstream.asked_for(host) else None

    def _dial(self, host: str, port: int) -> socket.socket:
        """Connect to the first address of ``host`` that is allowed and answers."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise _Refused(502, f"Failed to resolve hostname {host}") from None
        why = _Refused(502, f"{host} has no address")
        for family, kind, protocol, _, place in found:
            refusal = self._hosts.refuse_address(host, ipaddress.ip_address(place[0]))
            if refusal is not None:
                why = _Refused(403, refusal)
                continue
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(CONNECT_S)
            try:
                connection.connect(place)
            except OSError as error:
                connection.close()
                why = _Refused(502, f"{host}: {error.strerror or error}")
                continue
            return connection
        raise why

    @contextlib.contextmanager
    def _known(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(connection)
            if self._closed:
                _cut(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """Return the head of a request, with its last line's end, and what came after the empty line."""
    taken = b""
    while b"\r\n\r\n" not in taken:
        if len(taken) > HEAD_MAX:
            raise _Refused(431, "the head of the request is too long")
        came = client.recv(READ_MAX)
        if not came:
            raise _Refused(400, "the request has no end")
        taken += came
    head, _, rest = taken.partition(b"\r\n\r\n")
    return head, rest


def _parse(head: bytes) -> _Request:
    line, *fields = head.split(b"\r\n")
    try:
        method, target, version = line.decode("ascii").split(" ")
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = url.hostname, url.port
    # UnicodeDecodeError is one of them.
    except ValueError:
        raise _Refused(400, "the request cannot be read") from None
    if not host or url.username is not None or not version.startswith("HTTP/1."):
        raise _Refused(400, "the request names no host")
    kept = [field for field in fields if field.partition(b":")[0].strip().lower() not in _OWN_HEADERS]
    if method == "CONNECT":
        if port is None or url.path:
            raise _Refused(400, "the request names no port")
        head = _joined(line, kept)
        return _Request(method=method, host=host, port=port, for_server=b"", for_proxy=head)
    if url.scheme != "http":
        raise _Refused(400, f"{url.scheme or 'a path'} is not passed on here")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    # One request a connection: a second one might name another host.
    kept.append(b"Connection: close")
    return _Request(
        method=method,
        host=host,
        port=80 if port is None else port,
        for_server=_joined(f"{method} {path} {version}".encode("ascii"), kept),
        for_proxy=_joined(line, kept),
    )


def _joined(line: bytes, fields: list[bytes]) -> bytes:
    return b"".join(one + b"\r\n" for one in (line, *fields))


def _upstream(variables: Mapping[str, str]) -> _Upstream | None:
    """Return the proxy of ``http_proxy``, the one name that FFmpeg knows; None without one."""
    told = urlsplit(variables.get("http_proxy", ""))
    if told.scheme != "http" or not told.hostname:
        return None
    field = b""
    if told.username is not None:
        secret = f"{unquote(told.username)}:{unquote(told.password or '')}".encode()
        field = b"Proxy-Authorization: Basic " + base64.b64encode(secret) + b"\r\n"
    direct = tuple(entry.strip().lower() for entry in variables.get("no_proxy", "").split(",") if entry.strip())
    return _Upstream(host=told.hostname, port=told.port or 80, field=field, direct=direct)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass bytes on until one side has gone."""
    with contextlib.suppress(OSError):
        while data := source.recv(READ_MAX):
            sink.sendall(data)


def _upward(client: socket.socket, server: socket.socket, sink: socket.socket | None) -> None:
    """Pass on what the client says, to nobody without a ``sink``, and end the server's side when it hangs up."""
    if sink is not None:
        _pump(client, sink)
    else:
        with contextlib.suppress(OSError):
            while client.recv(READ_MAX):
                pass
    _cut(server)


def _cut(connection: socket.socket) -> None:
    """End both directions, which wakes whoever waits for it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _answer(client: socket.socket, status: int, reason: str) -> None:
    phrase = " ".join(reason.encode("ascii", "replace").decode().split())
    client.sendall(f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_WR)

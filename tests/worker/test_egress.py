"""The proxy as any program sees it: bytes over real sockets."""

import socket
import threading
from collections.abc import Iterator

import pytest

from ffrtmp_worker.egress import HEAD_MAX, Egress
from ffrtmp_worker.reach import Hosts
from tests.worker.webs import Web, web

INSIDE = Hosts(("127.0.0.1",))


@pytest.fixture
def inner() -> Iterator[Web]:
    with web() as served:
        served.bodies["/a"] = b"body"
        yield served


@pytest.fixture
def egress() -> Iterator[Egress]:
    made = Egress(INSIDE)
    yield made
    made.close()


def talk(egress: Egress, request: bytes) -> bytes:
    """Say something to the proxy and return all that it answers until it hangs up."""
    host, _, port = egress.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(request)
        answer = b""
        while data := line.recv(65_536):
            answer += data
    return answer


def get(url: str, fields: str = "") -> bytes:
    return f"GET {url} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode()


def test_request_is_passed_on_with_its_path_and_without_what_is_the_proxys(egress: Egress, inner: Web) -> None:
    inner.bodies["/a?b=1%20c"] = b"found"
    answer = talk(egress, get(f"{inner.url}/a?b=1%20c", "Proxy-Authorization: Basic eA==\r\nRange: bytes=0-\r\n"))
    assert answer.endswith(b"\r\n\r\nfound")
    (head,) = inner.heads
    assert (head["range"], head["connection"]) == ("bytes=0-", "close")
    assert "proxy-authorization" not in head


def test_tunnel_passes_bytes_both_ways(egress: Egress, inner: Web) -> None:
    request = f"CONNECT {inner.place} HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\nConnection: close\r\n\r\n".encode()
    answer = talk(egress, request)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"body")


def test_second_request_on_a_line_goes_nowhere(egress: Egress, inner: Web) -> None:
    talk(egress, get(f"{inner.url}/a") + get(f"{inner.url}/second"))
    assert inner.asked == ["/a"]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET http://127.0.0.2:{port}/a HTTP/1.1", 403),
        ("GET http://localhost:{port}/a HTTP/1.1", 403),
        ("CONNECT 127.0.0.2:{port} HTTP/1.1", 403),
        ("CONNECT [::1]:{port} HTTP/1.1", 403),
        ("GET http://127.0.0.1@127.0.0.2:{port}/ HTTP/1.1", 400),
        ("GET http://127.0.0.1:99999/ HTTP/1.1", 400),
        ("GET /a HTTP/1.1", 400),
        ("GET file:///etc/passwd HTTP/1.1", 400),
        ("GET ftp://127.0.0.1/ HTTP/1.1", 400),
        ("CONNECT 127.0.0.1 HTTP/1.1", 400),
        ("CONNECT 127.0.0.1:1/x HTTP/1.1", 400),
        ("GET http://[::1/ HTTP/1.1", 400),
        ("GET http://ü/ HTTP/1.1", 400),
        ("nonsense", 400),
        ("", 400),
    ],
)
def test_what_may_not_pass_gets_a_status_and_a_line(egress: Egress, inner: Web, request_line: str, status: int) -> None:
    answer = talk(egress, f"{request_line.format(port=inner.port)}\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert inner.asked == []


def test_head_without_end_is_cut_off(egress: Egress) -> None:
    assert talk(egress, b"GET http://127.0.0.1/" + b"x" * (HEAD_MAX + 1)).startswith(b"HTTP/1.1 431 ")


def test_name_is_connected_to_at_the_address_that_was_checked(inner: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a name change its address with each look: the first answer is checked, and no other is asked for."""
    asked = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{len(asked)}", port))]

    changing = Egress(Hosts(("changing.example.net",)))
    try:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        host, _, port = changing.url.removeprefix("http://").partition(":")
        with socket.socket() as line:
            line.connect((host, int(port)))
            line.sendall(get(f"http://changing.example.net:{inner.port}/a"))
            answer = b""
            while data := line.recv(65_536):
                answer += data
    finally:
        changing.close()
    assert answer.endswith(b"body")
    assert asked == ["changing.example.net"]


def test_more_lines_than_allowed_are_turned_away_for_the_moment(inner: Web) -> None:
    small = Egress(INSIDE, most=1)
    try:
        host, _, port = small.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as held:
            held.sendall(f"CONNECT {inner.place} HTTP/1.1\r\n\r\n".encode())
            assert held.recv(100).startswith(b"HTTP/1.1 200 ")
            assert talk(small, get(f"{inner.url}/a")).startswith(b"HTTP/1.1 503 ")
    finally:
        small.close()


def test_close_ends_open_lines_and_all_threads(inner: Web) -> None:
    made = Egress(INSIDE)
    host, _, port = made.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(f"CONNECT {inner.place} HTTP/1.1\r\n\r\n".encode())
        assert line.recv(100).startswith(b"HTTP/1.1 200 ")
        made.close()
        assert line.recv(1) == b""
    for thread in threading.enumerate():
        if thread.name.startswith("egress"):
            thread.join(20)
            assert not thread.is_alive()


class TestWithTheOperatorsProxy:
    @pytest.fixture
    def upstream(self) -> Iterator[Web]:
        with web() as served:
            served.bodies["http://far.example.net/a"] = b"from afar"
            yield served

    @pytest.fixture
    def egress(self, upstream: Web) -> Iterator[Egress]:
        variables = {"http_proxy": f"http://me:s%20t@{upstream.place}", "no_proxy": "127.0.0.1, .near.net"}
        made = Egress(Hosts(("127.0.0.1", "*.example.net")), upstream=variables)
        yield made
        made.close()

    def test_request_goes_there_whole_and_with_its_credentials(self, egress: Egress, upstream: Web) -> None:
        assert talk(egress, get("http://far.example.net/a")).endswith(b"from afar")
        assert upstream.heads[0]["proxy-authorization"] == "Basic bWU6cyB0"

    def test_host_that_is_not_listed_is_not_asked_for(self, egress: Egress, upstream: Web) -> None:
        assert talk(egress, get("http://far.example.org/a")).startswith(b"HTTP/1.1 403 ")
        assert talk(egress, get("http://169.254.169.254/a")).startswith(b"HTTP/1.1 403 ")
        assert upstream.asked == []

    def test_host_of_no_proxy_is_reached_directly(self, egress: Egress, upstream: Web, inner: Web) -> None:
        assert talk(egress, get(f"{inner.url}/a")).endswith(b"body")
        assert upstream.asked == []

import ipaddress
import socket
import sys

import pytest

from ffrtmp_worker.gate import allow, gate, refusal
from ffrtmp_worker.process import run_tool
from ffrtmp_worker.reach import Hosts, bad_entries, is_public


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses_are_told_from_inner_ones(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    ("listed", "host", "address", "allowed"),
    [
        (("*",), "cdn.example.net", "93.184.216.34", True),
        (("*",), "cdn.example.net", "127.0.0.1", False),
        (("*.example.net",), "cdn.example.net", "10.0.0.1", False),
        (("*.example.net", "10.0.0.0/8"), "cdn.example.net", "10.0.0.1", True),
        (("*.example.net", "10.0.0.0/8"), "cdn.example.net", "169.254.169.254", False),
        (("store.lan",), "store.lan", "192.168.0.9", True),
        (("Store.LAN",), "store.lan", "192.168.0.9", True),
        (("store.lan",), "other.lan", "93.184.216.34", False),
        (("10.0.0.0/8",), "10.9.9.9", "10.9.9.9", True),
        (("10.0.0.0/8",), "11.9.9.9", "11.9.9.9", False),
        (("10.0.0.0/8",), "store.lan", "10.0.0.1", False),
        (("127.0.0.1",), "127.0.0.1", "127.0.0.1", True),
        (("fd00::/8",), "fd00::5", "fd00::5", True),
        ((), "cdn.example.net", "93.184.216.34", False),
    ],
)
def test_host_is_reached_by_name_and_address(listed: tuple[str, ...], host: str, address: str, allowed: bool) -> None:
    hosts = Hosts(listed)
    why = hosts.refuse_name(host) or hosts.refuse_address(host, ipaddress.ip_address(address))
    assert (why is None) is allowed
    if why is not None:
        assert "media.url_hosts" in why


def test_entry_that_is_nearly_a_network_is_told() -> None:
    assert bad_entries(("*", "10.0.0.0/8", "10.0.0.1/8", "host/8")) == ["10.0.0.1/8", "host/8"]


def test_only_what_no_proxy_serves_passes_the_gate() -> None:
    assert gate("python3", "file:/in/a.mp4") == ()
    assert gate("python3", "https://h/a") == ()
    assert gate("python3", "rtmp://User@H:1935/live/x")[-1] == "h"
    assert gate("python3", "srt://[::1]:9000")[-1] == "::1"


def test_gate_becomes_the_program_or_says_why_not() -> None:
    command = (sys.executable, "-c", "import os, sys; print(os.getpid(), sys.argv[1:])", "a b", "-y")
    passed = run_tool(
        (*gate(sys.executable, "rtmp://127.0.0.1/x"), *command), timeout_s=30, env=allow(Hosts(("127.0.0.1",)))
    )
    assert (passed.exit_code, passed.stdout.split(b" ", 1)[1]) == (0, b"['a b', '-y']\n")
    refused = run_tool((*gate(sys.executable, "rtmp://127.0.0.1/x"), *command), timeout_s=30, env={})
    assert (refused.exit_code, refused.stdout) == (1, b"")
    assert refused.stderr.startswith(b"[error] 127.0.0.1 is not a public address")


def test_gate_refuses_a_name_of_which_one_address_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (address, 0)) for address in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    assert "10.0.0.1" in (refusal("both.example.net", {}) or "")

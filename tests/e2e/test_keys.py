"""Keys at the real doors: roles, invitations, revocation, and no answer without a key."""

import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from ffrtmpd.wire.curve import client_socket, new_key_pair, read_key_file
from tests.e2e.cluster import BIN, Cluster, wait_until

pytestmark = pytest.mark.e2e

THIN_CLIENT = Path(__file__).parents[2] / "docs" / "examples" / "thin_client.py"


def as_user(house: Cluster, name: str, role: str) -> dict[str, str]:
    """Enrol a user and return the environment in which commands are theirs."""
    line = house.ok("keys", "invite", name, "--role", role, "-q").strip()
    env = {**house.env, "FFRTMP_CONFIG_DIR": str(house.folder / f"client-{name}")}
    joined = subprocess.run([str(BIN / "ffrtmp"), "join", line], env=env, capture_output=True, text=True, check=False)
    assert joined.returncode == 0, joined.stderr
    return env


def ffrtmp(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BIN / "ffrtmp"), *arguments], env=env, capture_output=True, text=True, check=False)


def test_viewer_reads_and_nothing_else(lone: Cluster) -> None:
    env = as_user(lone, "eyes", "viewer")
    assert ffrtmp(env, "jobs", "list").returncode == 0
    assert ffrtmp(env, "nodes", "list").returncode == 0
    for arguments in (
        ("jobs", "submit", "720p30-h264"),
        ("jobs", "cancel", "1"),
        ("keys", "list"),
        ("keys", "invite", "x", "--role", "admin"),
    ):
        done = ffrtmp(env, *arguments)
        assert (done.returncode, done.stdout) == (4, ""), arguments
    assert lone.json("jobs", "list")["total"] == 0


def test_operator_acts_on_jobs_and_not_on_keys(lone: Cluster) -> None:
    env = as_user(lone, "ops", "operator")
    assert ffrtmp(env, "jobs", "submit", "720p30-h264").returncode == 0
    assert ffrtmp(env, "jobs", "cancel", "last").returncode == 0
    assert ffrtmp(env, "keys", "list").returncode == 4


def test_revoked_key_is_refused(lone: Cluster) -> None:
    env = as_user(lone, "ops", "operator")
    assert ffrtmp(env, "jobs", "list").returncode == 0
    lone.ok("keys", "revoke", "ops")
    done = ffrtmp(env, "jobs", "list")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_invitation_works_once(lone: Cluster) -> None:
    line = lone.ok("keys", "invite", "w1", "--role", "worker", "-q").strip()
    assert lone.run("ffrtmp-worker", "join", line, "--state", str(lone.state("w1"))).returncode == 0
    again = lone.run("ffrtmp-worker", "join", line, "--state", str(lone.state("other")))
    assert again.returncode != 0
    assert not (lone.state("other") / "worker.toml").exists()


def answers(endpoint: str, *, patience_s: float = 1.0, **keys: object) -> bool:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = client_socket(context, zmq.REQ, **keys)  # type: ignore[arg-type]
    try:
        socket.set(zmq.IMMEDIATE, 0)
        socket.connect(endpoint)
        socket.send_multipart([b"1", b"PING", b"\x81\xaarequest_id\xa1r"])
        return bool(socket.poll(int(patience_s * 1000)))
    finally:
        socket.close()
        context.term()


def test_unknown_key_and_a_workers_key_get_no_answer_from_the_client_port(lone: Cluster) -> None:
    lone.enrol("w1")
    server = read_key_file(lone.home / "keys" / "master.key").public
    (worker_key,) = lone.state("w1").rglob("*.key")
    (own,) = (lone.client / "keys").glob("*.key")
    endpoint = lone.endpoint("clients")
    assert answers(endpoint, patience_s=60.0, own=read_key_file(own), server_public=server)
    assert not answers(endpoint, own=new_key_pair(), server_public=server)
    assert not answers(endpoint, own=read_key_file(worker_key), server_public=server)
    assert not answers(lone.endpoint("workers"), own=read_key_file(own), server_public=server)


def test_worker_whose_key_is_revoked_gets_no_more_work(lone: Cluster) -> None:
    lone.worker("w1")
    lone.ok("keys", "revoke", "w1")
    wait_until(lambda: lone.node("w1")["status"] == "offline", dump=lone.dump)
    job = lone.submit("480p30-h264", "--duration", "1")
    assert lone.job(job)["state"] == "queued"


def test_client_written_from_the_document_alone_submits_and_follows(lone: Cluster) -> None:
    lone.worker("w1")
    server = read_key_file(lone.home / "keys" / "master.key").public
    (own_file,) = (lone.client / "keys").glob("*.key")
    own = read_key_file(own_file)
    done = subprocess.run(
        [
            sys.executable, "-I", str(THIN_CLIENT),
            lone.endpoint("clients"), server, own.public, own.secret, "480p30-h264",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stderr}\n{lone.dump()}"
    assert "completed" in done.stdout.splitlines()[-1]

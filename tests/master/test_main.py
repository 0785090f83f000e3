"""The command ``ffrtmpd``: what init makes, what it says when it cannot start, and a real master from start to stop."""

import io
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from ffrtmpd import __version__
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.service import CrashReport
from ffrtmpd.base.settings import SettingsError
from ffrtmpd.main import main
from ffrtmpd.store import Store
from ffrtmpd.wire.catalogue import CLIENT_REPLIES
from ffrtmpd.wire.codec import Message, decode, encode
from ffrtmpd.wire.curve import KeyPair, client_socket, new_key_pair, read_key_file
from ffrtmpd.wire.messages.common import Error, Ping, Pong
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit, Submitted
from ffrtmpd.wire.messages.keys import KeyReply, RevokeKey
from ffrtmpd.wire.vocabulary import ErrorCode, Role

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFRTMPD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FFRTMP_CONFIG_DIR", str(tmp_path / "client"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)


def init(*more: str) -> int:
    return main(["init", "--admin", "anna", "--workers-port", "0", "--clients-port", "0", *more])


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of every file; the database's journal is the store's own business."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("master.db")
    }


# ── init ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_init_makes_a_cluster_that_its_owner_alone_can_read(tmp_path: Path) -> None:
    assert init("--name", "studio") == 0
    for path in (*(tmp_path / "home").rglob("*"), *(tmp_path / "client").rglob("*.key"), tmp_path / "home"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    config = tomllib.loads((tmp_path / "client/config.toml").read_text())
    master = read_key_file(tmp_path / "home/keys/master.key")
    assert config == {
        "current": "studio",
        "contexts": {"studio": {"master": "tcp://127.0.0.1:0", "server_key": master.public, "key": "keys/studio.key"}},
    }
    user = read_key_file(tmp_path / "client/keys/studio.key")
    store = Store.open(tmp_path / "home/master.db")
    try:
        (principal,) = store.principals()
    finally:
        store.close()
    assert (principal.name, principal.role, principal.public) == ("anna", Role.ADMIN, user.public)


def test_init_twice_changes_nothing_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init() == 0
    before = snapshot(tmp_path)
    assert capsys.readouterr().out.count("made") == 5
    assert main(["init", "--admin", "somebody"]) == 0
    assert snapshot(tmp_path) == before
    told = capsys.readouterr().out
    assert "nothing was changed" in told
    assert told.count("there ") == 5


@pytest.mark.parametrize("lost", ["home/ffrtmpd.toml", "client/config.toml", "home/master.db"])
def test_init_that_was_cut_short_is_finished_by_the_next(tmp_path: Path, lost: str) -> None:
    assert init() == 0
    before = snapshot(tmp_path)
    (tmp_path / lost).unlink()
    assert init() == 0
    assert snapshot(tmp_path) == before
    store = Store.open(tmp_path / "home/master.db")
    try:
        assert [principal.name for principal in store.principals()] == ["anna"]
    finally:
        store.close()


def test_init_adds_a_context_to_a_file_of_the_user_and_keeps_the_rest(tmp_path: Path) -> None:
    old = '# mine\ncurrent = "other"\n[contexts.other]\nmaster = "tcp://192.0.2.1:5571"\nserver_key = "k"\nkey = "o"\n'
    (tmp_path / "client").mkdir()
    (tmp_path / "client/config.toml").write_text(old)
    assert init("--name", "a.b") == 0
    text = (tmp_path / "client/config.toml").read_text()
    assert text.startswith(old)
    config = tomllib.loads(text)
    assert config["current"] == "other"
    assert config["contexts"]["a.b"]["key"] == "keys/a.b.key"


def test_init_does_not_take_over_a_context_of_another_master(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init() == 0
    before = snapshot(tmp_path / "client")
    assert init("--home", str(tmp_path / "second")) == 78
    assert "of another master: choose another --name" in capsys.readouterr().err
    assert snapshot(tmp_path / "client") == before


def test_init_for_a_second_user_with_the_same_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init() == 0
    assert init("--client-config", str(tmp_path / "second")) == 78
    assert "--admin" in capsys.readouterr().err
    assert main(["init", "--admin", "bert", "--client-config", str(tmp_path / "second")]) == 0


def test_init_with_flags_against_existing_settings_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert init() == 0
    assert main(["init", "--workers-port", "6000"]) == 78
    assert "listen.workers_port is 0 already, not 6000" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--name", "a b"], ["--admin", "a/b"], ["--address", "host:1"]])
def test_init_with_a_bad_name_makes_nothing(tmp_path: Path, flags: list[str]) -> None:
    assert init(*flags) == 78
    assert list(tmp_path.iterdir()) == []


def test_init_where_nothing_can_be_written_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert init("--home", str(tmp_path / "file/home")) == 78
    error = capsys.readouterr().err
    assert "cannot write" in error
    assert len(error.splitlines()) == 1


# ── what cannot start ─────────────────────────────────────────────────────────────────────────────────────────────


def says(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    assert main(list(arguments)) == code
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1, error
    assert error.startswith("ffrtmpd: ")
    return error


def test_without_init_the_way_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "run ffrtmpd init" in says(capsys, "run", code=78)


def test_key_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init()
    (tmp_path / "home/keys/master.key").chmod(0o644)
    assert "run chmod 600" in says(capsys, code=78)
    assert "run chmod 600" in says(capsys, "check-config", code=78)


def test_bad_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init()
    (tmp_path / "home/keys/master.key").write_text("nonsense")
    assert "master.key is not a key file" in says(capsys, code=78)


def test_corrupt_database_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init()
    (tmp_path / "home/master.db").write_bytes(b"not a database at all" * 500)
    assert "master.db" in says(capsys, code=78)


@pytest.mark.parametrize("flag", ["--workers-port", "--clients-port"])
def test_busy_port_is_named(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    init()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = says(capsys, "run", flag, str(port), code=69)
    assert f"port {port} on 127.0.0.1 is in use" in error


def test_wrong_setting_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[listen]\nworkers_prot = 1\n")
    assert "did you mean listen.workers_port" in says(capsys, "--config", str(path), code=78)
    assert "no settings file" in says(capsys, "run", "--config", str(tmp_path / "none"), code=78)


def test_wrong_usage_exits_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--workers-port", "many"])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        main(["dance"])
    assert caught.value.code == 2


def test_help_shows_examples_and_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["init", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        assert "examples:" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"ffrtmpd {__version__}\n"


def test_check_config_says_what_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init()
    capsys.readouterr()
    assert main(["check-config", "--address", "*"]) == 0
    told = capsys.readouterr().out
    assert str(tmp_path / "home/ffrtmpd.toml") in told
    assert "tcp://*:0" in told
    assert "can be used" in told


# ── a real master ─────────────────────────────────────────────────────────────────────────────────────────────────


class Running:
    """A master in its own process, and clients for it."""

    def __init__(self, stack: ExitStack, home: Path, client: Path, *, files_max: int | None) -> None:
        self.stack = stack
        self.log = home.parent / "master.log"
        limit = ["prlimit", f"--nofile={files_max}:{files_max}"] if files_max else []
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*limit, sys.executable, "-m", "ffrtmpd.main"],
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        stack.callback(self.end)
        self.endpoints = self._endpoints(home / "run/endpoints.json")
        self.admin = read_key_file(client / "keys/ffrtmp.key")
        self.context: zmq.Context[Any] = zmq.Context()
        stack.callback(self.context.term)

    def _endpoints(self, path: Path) -> dict[str, str]:
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)
        found: dict[str, str] = json.loads(path.read_text())
        return found

    def client(self, own: KeyPair | None = None, *, patience_s: float = PATIENCE_S) -> zmq.Socket[bytes]:
        peer = client_socket(self.context, zmq.REQ, own=own or self.admin, server_public=self.endpoints["server_key"])
        peer.set(zmq.RCVTIMEO, int(patience_s * 1_000))
        peer.set(zmq.SNDTIMEO, int(patience_s * 1_000))
        self.stack.callback(peer.close)
        peer.connect(self.endpoints["clients"])
        return peer

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)


@contextmanager
def running(tmp_path: Path, *, files_max: int | None = None) -> Iterator[Running]:
    with ExitStack() as stack:
        yield Running(stack, tmp_path / "home", tmp_path / "client", files_max=files_max)


def ask(peer: zmq.Socket[bytes], request: Message) -> Message:
    peer.send_multipart(encode(request))
    return decode(peer.recv_multipart(), CLIENT_REPLIES)


@pytest.mark.e2e
def test_master_serves_its_administrator_and_stops_when_asked(tmp_path: Path) -> None:
    init()
    with running(tmp_path) as master:
        reply = ask(master.client(), Ping(request_id="r1"))
        assert isinstance(reply, Pong)
        assert (reply.principal, reply.role, reply.version, reply.epoch) == ("anna", "admin", __version__, 1)
        assert master.endpoints["workers"].endswith(f":{reply.workers_port}")
        assert master.stop() == 0
        lines = master.log.read_text()
        assert "event=listening" in lines
        assert "event=stopped" in lines
        assert not (tmp_path / "home/run/endpoints.json").exists()


@pytest.mark.e2e
def test_job_taken_before_a_kill_is_there_after_the_restart(tmp_path: Path) -> None:
    init()
    submit = Submit(request_id="r1", jobs=(Submission(key="key-00001", spec=JobSpec(scenario="720p30-h264")),))
    with running(tmp_path) as master:
        first = ask(master.client(), submit)
        assert isinstance(first, Submitted)
        assert master.stop(signal.SIGKILL) == -signal.SIGKILL
    (tmp_path / "home/run/endpoints.json").unlink()
    with running(tmp_path) as master:
        client = master.client()
        again = ask(client, submit)
        assert isinstance(again, Submitted)
        assert again.results[0].job_id == first.results[0].job_id is not None
        pong = ask(client, Ping(request_id="r2"))
        assert isinstance(pong, Pong)
        assert pong.epoch == 2
        assert master.stop(signal.SIGINT) == 0


@pytest.mark.e2e
def test_key_nobody_knows_gets_no_answer_and_a_revoked_one_is_refused(tmp_path: Path) -> None:
    init()
    assert main(["init", "--admin", "bert", "--client-config", str(tmp_path / "bert")]) == 0
    bert = read_key_file(tmp_path / "bert/keys/ffrtmp.key")
    with running(tmp_path) as master:
        stranger = master.client(new_key_pair(), patience_s=0.3)
        with pytest.raises(zmq.Again):
            stranger.send_multipart(encode(Ping(request_id="r1")))
        his = master.client(bert)
        assert isinstance(ask(his, Ping(request_id="r1")), Pong)
        assert isinstance(ask(master.client(), RevokeKey(request_id="r2", name="bert")), KeyReply)
        refused = ask(his, Ping(request_id="r3"))
        assert isinstance(refused, Error)
        assert refused.problem.code is ErrorCode.NOT_ALLOWED
        assert master.stop() == 0


@pytest.mark.e2e
def test_second_master_on_one_database_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init()
    capsys.readouterr()
    with running(tmp_path) as master:
        assert "another ffrtmpd" in says(capsys, "run", code=78)
        assert (tmp_path / "home/run/endpoints.json").exists()
        assert master.stop() == 0


@pytest.mark.e2e
def test_silent_connections_that_take_every_descriptor_are_thrown_out(tmp_path: Path) -> None:
    init()
    with running(tmp_path, files_max=128) as master, ExitStack() as stack:
        host, _, port = master.endpoints["clients"].removeprefix("tcp://").rpartition(":")
        for _ in range(200):
            stack.callback(socket.create_connection((host, int(port)), timeout=PATIENCE_S).close)
        assert isinstance(ask(master.client(), Ping(request_id="r1")), Pong)
        assert master.stop() == 0
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 400, "the test itself needs descriptors"


# ── a fault of ours ───────────────────────────────────────────────────────────────────────────────────────────────


def test_fault_of_the_program_is_logged_with_its_traceback_and_exits_with_seventy() -> None:
    lines = io.StringIO()

    def fail() -> None:
        raise KeyError("ours")

    with pytest.raises(SystemExit) as caught, CrashReport(Logger(stream=lines)):
        fail()
    assert caught.value.code == 70
    assert lines.getvalue().count("\n") == 1
    assert "event=crashed" in lines.getvalue()
    assert "in fail" in lines.getvalue()


def test_what_an_operator_can_mend_is_no_crash() -> None:
    lines = io.StringIO()
    with pytest.raises(SettingsError), CrashReport(Logger(stream=lines), SettingsError):
        raise SettingsError("mend me")
    assert lines.getvalue() == ""

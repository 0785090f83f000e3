"""What the daemons say when they cannot start: one clear line and a telling exit code."""

import socket
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.e2e


@pytest.fixture
def idle(tmp_path: Path) -> Cluster:
    """Give a cluster of which nothing runs."""
    return Cluster(tmp_path)


def refused(idle: Cluster, *arguments: str) -> tuple[int, str]:
    done = idle.run(
        "ffrtmpd", "run", "--home", str(idle.home), "--workers-port", "0", "--clients-port", "0", *arguments
    )
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ffrtmpd:")]
    return done.returncode, line


def test_busy_port_is_named(idle: Cluster) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, line = refused(idle, "--clients-port", str(port))
    assert code == 69
    assert str(port) in line


def test_key_that_others_can_read_is_refused(idle: Cluster) -> None:
    (idle.home / "keys" / "master.key").chmod(0o644)
    code, line = refused(idle)
    assert code == 78
    assert "chmod 600" in line


def test_bad_key_is_refused(idle: Cluster) -> None:
    path = idle.home / "keys" / "master.key"
    path.write_text("nonsense")
    assert refused(idle)[0] == 78


def test_damaged_database_is_refused_with_the_way_out(idle: Cluster) -> None:
    path = idle.home / "master.db"
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 20_000)
    code, line = refused(idle)
    assert code == 78
    assert "backup" in line


def test_newer_database_is_refused(idle: Cluster) -> None:
    database = sqlite3.connect(idle.home / "master.db")
    database.execute("UPDATE meta SET value = '999' WHERE name = 'schema_version'")
    database.commit()
    database.close()
    code, line = refused(idle)
    assert code == 78
    assert "newer" in line


def test_unknown_setting_is_refused_with_the_nearest(idle: Cluster) -> None:
    (idle.home / "ffrtmpd.toml").write_text("[listen]\nworker_port = 1\n")
    code, line = refused(idle)
    assert code == 78
    assert "workers_port" in line


def test_second_master_on_the_same_database_is_refused(lone: Cluster) -> None:
    done = lone.run("ffrtmpd", "run", "--home", str(lone.home), "--workers-port", "0", "--clients-port", "0")
    assert done.returncode == 78
    assert "in use" in done.stderr or "another" in done.stderr


def test_master_that_is_not_there_is_exit_code_six(idle: Cluster) -> None:
    idle.env["FFRTMP_MASTER"] = "tcp://127.0.0.1:9"
    done = idle.ffrtmp("jobs", "list")
    assert done.returncode == 6
    assert "127.0.0.1:9" in done.stderr


def test_init_again_changes_nothing(idle: Cluster) -> None:
    key = (idle.home / "keys" / "master.key").read_text()
    done = idle.run("ffrtmpd", "init", "--home", str(idle.home), "--admin", "root", "--name", "test")
    assert done.returncode == 0, done.stderr
    assert (idle.home / "keys" / "master.key").read_text() == key

"""The Debian packages on Debian: installed, at work under systemd, upgraded, removed and purged.

The tests of a machine go on from each other, in the order in which they stand.
"""

import json
import re
import subprocess
from typing import Any

import pytest

from tests.needs import program
from tests.packaging.conftest import OLD_VERSION, Build, paths_of_ffrtmp
from tests.packaging.machine import INSTALL_S, Machine, wait_until
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
MASTER, WORKER = "ffrtmpd.service", "ffrtmp-worker.service"
EDITED = "# by hand\n"
LONG_S = 900


def test_lintian_has_nothing_to_say(new_build: Build) -> None:
    command = [program("lintian"), "--allow-root", "--fail-on", "error,warning", str(new_build.changes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith(("E:", "W:"))] == []


# ── what is done on the machine ───────────────────────────────────────────────────────────────────────────────────


def ffrtmp(machine: Machine, *arguments: str) -> str:
    """Run a command as the administrator that the first start made."""
    return machine.ok("ffrtmp", *arguments, user="ffrtmp")


def job(machine: Machine, job_id: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(ffrtmp(machine, "jobs", "status", job_id, "-o", "json"))["job"]
    return told


def wait_for(machine: Machine, job_id: str, state: str) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        told = job(machine, job_id)
        return told if told["state"] == state else None

    return wait_until(there, dump=lambda: f"{job(machine, job_id)}\n{machine.journal()}")


def submit(machine: Machine, duration_s: int, *more: str) -> str:
    return ffrtmp(machine, "jobs", "submit", "480p30-h264", "--duration", str(duration_s), "-q", *more).strip()


def is_active(machine: Machine, unit: str) -> bool:
    return machine.unit(unit, "ActiveState") == {"ActiveState": "active"}


def wait_active(machine: Machine, unit: str) -> None:
    wait_until(
        lambda: is_active(machine, unit),
        dump=lambda: machine.run("systemctl", "status", unit).stdout + machine.journal(),
    )


def main_pid(machine: Machine, unit: str) -> int:
    return int(machine.unit(unit, "MainPID")["MainPID"])


def mode_and_owner(machine: Machine, path: str) -> str:
    return machine.ok("stat", "--format", "%a %U:%G", path).strip()


# ── installed ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_packages_install_with_what_debian_has(machine: Machine, old_build: Build) -> None:
    assert paths_of_ffrtmp(machine) == []
    # Other programs of the machine under test have the usual ports.
    settings = machine.root / "etc/ffrtmp"
    (settings / "ffrtmpd.d").mkdir(parents=True)
    (settings / "worker.d").mkdir()
    (settings / "ffrtmpd.d/ports.toml").write_text(
        f"[listen]\nworkers_port = {free_port()}\nclients_port = {free_port()}\n[metrics]\nport = {free_port()}\n"
    )
    (settings / "worker.d/ports.toml").write_text(f"[metrics]\nport = {free_port()}\n[worker]\nslots = 1\n")
    machine.install(*old_build.debs)
    assert machine.ok("ffrtmp", "--version").split()[-1] == OLD_VERSION
    assert machine.ok("ffrtmpd", "--version").split()[-1] == OLD_VERSION


def test_master_made_its_key_and_runs(machine: Machine) -> None:
    wait_active(machine, MASTER)
    assert mode_and_owner(machine, "/var/lib/ffrtmp") == "700 ffrtmp:ffrtmp"
    assert mode_and_owner(machine, "/var/lib/ffrtmp/keys/master.key") == "600 ffrtmp:ffrtmp"
    assert "event=listening" in machine.journal("--unit", MASTER)
    assert json.loads(ffrtmp(machine, "ping", "-o", "json"))["master_version"] == OLD_VERSION
    limit = machine.unit(MASTER, "LimitNOFILE")["LimitNOFILE"]
    assert limit == "65536"


def test_administrator_of_the_machine_asks_as_the_services_user(machine: Machine) -> None:
    machine.ok("apt-get", "install", "-y", "--no-install-recommends", "sudo", timeout_s=INSTALL_S)
    assert "admin" in machine.ok("sudo", "-u", "ffrtmp", "ffrtmp", "ping")
    assert "can be used" in machine.ok("sudo", "-u", "ffrtmp", "ffrtmpd", "check-config")
    machine.ok("sudo", "-u", "ffrtmp", "ffrtmpd", "backup", "/var/lib/ffrtmp/copy.db")
    # Root may too, and leaves nothing that the service could not open.
    machine.ok("ffrtmpd", "backup", "/root/copy.db")
    owners = machine.ok("find", "/var/lib/ffrtmp", "-printf", "%u\\n").split()
    assert set(owners) == {"ffrtmp"}
    refused = machine.run("ffrtmpd", "init")
    assert refused.returncode == 78
    assert "sudo -u ffrtmp" in refused.stderr


def test_worker_is_one_line(machine: Machine) -> None:
    assert machine.unit(WORKER, "ActiveState", "ConditionResult") == {
        "ActiveState": "inactive",
        "ConditionResult": "no",
    }
    line = ffrtmp(machine, "keys", "invite", "w1", "--role", "worker", "-q").strip()
    machine.ok("ffrtmp-worker", "join", line)
    wait_active(machine, WORKER)
    assert mode_and_owner(machine, "/var/lib/ffrtmp-worker/worker.key") == "600 ffrtmp-worker:ffrtmp-worker"
    groups = machine.ok("id", "-nG", "ffrtmp-worker").split()
    assert {"render", "video"} <= set(groups)


def test_job_is_encoded_by_debians_ffmpeg(machine: Machine) -> None:
    job_id = submit(machine, 2)
    done = wait_for(machine, job_id, "completed")
    assert done["attempt"] == 1
    path = f"/var/lib/ffrtmp-worker/output/{job_id}.mp4"
    assert mode_and_owner(machine, path) == "640 ffrtmp-worker:ffrtmp-worker"
    look = ("ffprobe", "-v", "error", "-show_entries", "stream=codec_name,height", "-of", "csv=p=0", path)
    assert "h264,480" in machine.ok(*look)


def test_job_writes_to_a_folder_that_the_administrator_opens(machine: Machine) -> None:
    machine.ok("install", "-d", "-o", "ffrtmp-worker", "/srv/encoded")
    (machine.root / "etc/ffrtmp/worker.d/media.toml").write_text('[media]\noutput_root = "/srv/encoded"\n')
    machine.ok("systemctl", "restart", WORKER)
    refused = submit(machine, 1)
    assert "Read-only file system" in wait_for(machine, refused, "failed")["reason"]
    folder = machine.root / f"etc/systemd/system/{WORKER}.d"
    folder.mkdir()
    (folder / "media.conf").write_text("[Service]\nReadWritePaths=/srv/encoded\n")
    machine.ok("systemctl", "daemon-reload")
    machine.ok("systemctl", "restart", WORKER)
    job_id = submit(machine, 1)
    wait_for(machine, job_id, "completed")
    assert (machine.root / f"srv/encoded/{job_id}.mp4").exists()
    (folder / "media.conf").unlink()
    folder.rmdir()
    (machine.root / "etc/ffrtmp/worker.d/media.toml").unlink()
    machine.ok("systemctl", "daemon-reload")
    machine.ok("systemctl", "restart", WORKER)


# ── under systemd ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_daemons_are_confined(machine: Machine) -> None:
    for unit in (MASTER, WORKER):
        told = machine.ok("cat", f"/proc/{main_pid(machine, unit)}/status")
        found = dict(line.split(":\t", 1) for line in told.splitlines() if ":\t" in line)
        assert found["NoNewPrivs"] == "1"
        assert found["Seccomp"] == "2"
        assert int(found["CapBnd"], 16) == 0


def test_stopped_worker_gives_its_job_back_and_leaves_no_encoder(machine: Machine) -> None:
    job_id = submit(machine, LONG_S)
    wait_for(machine, job_id, "processing")
    assert "ffmpeg" in machine.programs()
    machine.ok("systemctl", "stop", WORKER)
    assert machine.unit(WORKER, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert "ffmpeg" not in machine.programs()
    given_back = job(machine, job_id)
    assert (given_back["state"], given_back["losses"]) == ("queued", 0)
    ffrtmp(machine, "jobs", "cancel", job_id)
    machine.ok("systemctl", "start", WORKER)
    wait_active(machine, WORKER)


def test_worker_that_dies_is_started_anew_and_its_job_done(machine: Machine) -> None:
    before = main_pid(machine, WORKER)
    machine.ok("systemctl", "kill", "--kill-whom=main", "--signal=KILL", WORKER)
    wait_until(
        lambda: main_pid(machine, WORKER) not in (0, before) and is_active(machine, WORKER), dump=machine.journal
    )
    wait_for(machine, submit(machine, 1), "completed")


def test_master_that_turns_no_more_is_started_anew(machine: Machine) -> None:
    folder = machine.root / f"etc/systemd/system/{MASTER}.d"
    folder.mkdir()
    (folder / "quick.conf").write_text("[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n")
    machine.ok("systemctl", "daemon-reload")
    machine.ok("systemctl", "restart", MASTER)
    before = main_pid(machine, MASTER)
    machine.ok("systemctl", "kill", "--kill-whom=main", "--signal=STOP", MASTER)
    wait_until(
        lambda: main_pid(machine, MASTER) not in (0, before) and is_active(machine, MASTER), dump=machine.journal
    )
    assert re.search(r"[Ww]atchdog", machine.journal("--unit", MASTER))
    (folder / "quick.conf").unlink()
    folder.rmdir()
    machine.ok("systemctl", "daemon-reload")
    machine.ok("systemctl", "restart", MASTER)


def test_master_takes_its_key_from_the_credential_store(machine: Machine) -> None:
    home, store = machine.root / "var/lib/ffrtmp/keys/master.key", machine.root / "etc/credstore/ffrtmpd.master.key"
    store.parent.mkdir(mode=0o700, exist_ok=True)
    key = home.read_bytes()
    store.touch(mode=0o600)
    store.write_bytes(key)
    home.unlink()
    machine.ok("systemctl", "restart", MASTER)
    assert json.loads(ffrtmp(machine, "ping", "-o", "json"))["principal"] == "ffrtmp"
    assert not home.exists()
    # The same, encrypted for this machine.
    name, encrypted = "ffrtmpd.master.key", "/etc/credstore.encrypted/ffrtmpd.master.key"
    machine.ok("mkdir", "-p", "-m", "700", "/etc/credstore.encrypted")
    machine.ok("systemd-creds", "encrypt", "--with-key=host", f"--name={name}", f"/etc/credstore/{name}", encrypted)
    store.unlink()
    folder = machine.root / f"etc/systemd/system/{MASTER}.d"
    folder.mkdir()
    (folder / "key.conf").write_text(f"[Service]\nLoadCredentialEncrypted={name}:{encrypted}\n")
    machine.ok("systemctl", "daemon-reload")
    machine.ok("systemctl", "restart", MASTER)
    assert json.loads(ffrtmp(machine, "ping", "-o", "json"))["principal"] == "ffrtmp"
    assert not home.exists()
    (folder / "key.conf").unlink()
    folder.rmdir()
    machine.ok("rm", encrypted)
    home.write_bytes(key)
    home.chmod(0o600)
    machine.ok("chown", "ffrtmp:ffrtmp", "/var/lib/ffrtmp/keys/master.key")
    machine.ok("systemctl", "daemon-reload")
    machine.ok("systemctl", "restart", MASTER)
    wait_active(machine, MASTER)


# ── upgraded ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_upgrade_asks_nothing_and_keeps_keys_database_settings_and_what_runs(
    machine: Machine, new_build: Build
) -> None:
    conffile = machine.root / "etc/ffrtmp/ffrtmpd.toml"
    conffile.write_text(conffile.read_text() + EDITED)
    key = (machine.root / "var/lib/ffrtmp/keys/master.key").read_bytes()
    finished = submit(machine, 1)
    wait_for(machine, finished, "completed")
    running = submit(machine, LONG_S)
    wait_for(machine, running, "processing")
    worker, master = main_pid(machine, WORKER), main_pid(machine, MASTER)
    machine.install(*new_build.debs)

    assert conffile.read_text().endswith(EDITED)
    assert (machine.root / "var/lib/ffrtmp/keys/master.key").read_bytes() == key
    wait_active(machine, MASTER)
    assert main_pid(machine, MASTER) != master
    assert main_pid(machine, WORKER) == worker
    assert json.loads(ffrtmp(machine, "ping", "-o", "json"))["master_version"] == new_build.version
    assert job(machine, finished)["state"] == "completed"
    told = wait_for(machine, running, "processing")
    assert (told["attempt"], told["losses"]) == (1, 0)
    ffrtmp(machine, "jobs", "cancel", running)
    wait_for(machine, running, "canceled")
    machine.ok("systemctl", "restart", WORKER)
    wait_for(machine, submit(machine, 1), "completed")


def test_older_package_refuses_a_newer_database_once_with_the_way_back(
    machine: Machine, old_build: Build, new_build: Build
) -> None:
    change = "import sqlite3; db = sqlite3.connect('/var/lib/ffrtmp/master.db'); db.execute(\"{}\"); db.commit()"
    newer = "UPDATE meta SET value = value + 900 WHERE name = 'schema_version'"
    older = "UPDATE meta SET value = value - 900 WHERE name = 'schema_version'"
    machine.ok("systemctl", "stop", MASTER)
    machine.ok("python3", "-c", change.format(newer), user="ffrtmp")
    machine.install(*old_build.debs, again=True)
    wait_until(lambda: machine.unit(MASTER, "ActiveState")["ActiveState"] == "failed", dump=machine.journal)
    # Not tried again: another try cannot help.
    assert machine.unit(MASTER, "ActiveState", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "failed",
        "ExecMainStatus": "78",
        "NRestarts": "0",
    }
    assert "restore a backup" in machine.journal("--unit", MASTER)
    machine.ok("python3", "-c", change.format(older), user="ffrtmp")
    machine.install(*new_build.debs)
    wait_active(machine, MASTER)


# ── gone ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_removed_packages_leave_settings_and_state(machine: Machine) -> None:
    machine.ok("apt-get", "remove", "-y", "ffrtmp-master", "ffrtmp-worker", "ffrtmp", timeout_s=INSTALL_S)
    assert not {"ffrtmpd", "ffrtmp-worker", "ffmpeg"} & set(machine.programs())
    assert (machine.root / "etc/ffrtmp/ffrtmpd.toml").read_text().endswith(EDITED)
    assert (machine.root / "var/lib/ffrtmp/master.db").exists()
    assert (machine.root / "var/lib/ffrtmp-worker/worker.key").exists()


def test_purged_packages_leave_outputs_alone(machine: Machine) -> None:
    purged = ("ffrtmp-master", "ffrtmp-worker", "ffrtmp", "python3-ffrtmp")
    machine.ok("apt-get", "purge", "-y", *purged, timeout_s=INSTALL_S)
    assert paths_of_ffrtmp(machine) == ["/var/lib/ffrtmp-worker"]
    left = machine.ok("ls", "-A", "/var/lib/ffrtmp-worker").split()
    assert left == ["output"]
    users = (machine.root / "etc/passwd").read_text()
    # Their numbers must not be given to somebody else.
    assert "ffrtmp:" in users
    assert "ffrtmp-worker:" in users

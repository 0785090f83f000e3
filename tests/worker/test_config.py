from pathlib import Path

import pytest

from ffrtmp_worker.cgroups import Bounds
from ffrtmp_worker.config import TITLE, EnergySettings, Settings, default_state, read_settings
from ffrtmpd.base.settings import SettingsError, sample

ROOT = Path(__file__).resolve().parents[2]


def test_sample_in_the_tree_is_up_to_date() -> None:
    assert (ROOT / "conf" / "worker.toml").read_text() == sample(Settings, TITLE)


def test_defaults_need_no_file(tmp_path: Path) -> None:
    settings, home = read_settings(state=tmp_path / "s", config=None, system=(), environment={})
    assert settings.slots >= 1
    assert home.state == tmp_path / "s"
    assert settings.attempt_limits.stall_file_s == 60
    assert settings.bounds == Bounds()
    assert (settings.limits.nice, settings.attempt_limits.min_free_disk_bytes) == (5, 512 << 20)


def test_energy_is_read_from_its_section(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[energy]\npowercap = "/p"\nsample_s = 0.5\nidle_watts = 12.5\nprice_per_kwh = 0.3\n')
    settings, home = read_settings(state=tmp_path, config=config, system=(), environment={})
    assert settings.energy == EnergySettings(powercap="/p", sample_s=0.5, idle_watts=12.5, price_per_kwh=0.3)
    assert home.idle_power == tmp_path / "idle_power.json"
    config.write_text("[energy]\nsample_s = 0\n")
    with pytest.raises(SettingsError, match="sample_s"):
        read_settings(state=tmp_path, config=config, system=(), environment={})


def test_limits_of_a_job_are_read_from_their_section(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[limits]\ncpu_cores = 1.5\nmemory_bytes = 2147483648\ntasks = 256\nmin_free_disk_bytes = 7\n")
    settings, _ = read_settings(state=tmp_path, config=config, system=(), environment={})
    assert settings.bounds == Bounds(cpu_cores=1.5, memory_bytes=2 << 30, tasks=256)
    assert settings.attempt_limits.min_free_disk_bytes == 7


def test_later_files_win_key_by_key(tmp_path: Path) -> None:
    system, state, config = tmp_path / "system.toml", tmp_path / "state", tmp_path / "c.toml"
    state.mkdir()
    system.write_text("[worker]\nslots = 2\n[limits]\nstall_live_s = 5\npush_grace_s = 3\n")
    (state / "worker.toml").write_text("[limits]\nstall_live_s = 6\n")
    config.write_text('[log]\nform = "json"\n[worker]\nslots = 3\n')
    settings, _ = read_settings(state=state, config=config, system=(system,), environment={})
    assert (settings.slots, settings.limits.stall_live_s, settings.limits.push_grace_s) == (3, 6, 3)
    settings, _ = read_settings(
        state=state, config=config, system=(system,), environment={}, overrides={"worker": {"slots": 9}}
    )
    assert (settings.slots, settings.log.form) == (9, "json")


def test_state_folder_may_be_set_in_a_file(tmp_path: Path) -> None:
    system = tmp_path / "system.toml"
    system.write_text(f'[worker]\nstate = "{tmp_path}/here"\n')
    _, home = read_settings(state=None, config=None, system=(system,), environment={})
    assert home.state == tmp_path / "here"


@pytest.mark.parametrize(
    ("environment", "root", "expected"),
    [
        ({"FFRTMP_WORKER_STATE": "/x", "HOME": "/h"}, True, "/x"),
        ({"HOME": "/h"}, True, "/var/lib/ffrtmp-worker"),
        ({"HOME": "/h"}, False, "/h/.local/share/ffrtmp/worker"),
        ({"HOME": "/h", "XDG_DATA_HOME": "/d"}, False, "/d/ffrtmp/worker"),
    ],
)
def test_state_folder_where_none_is_set(environment: dict[str, str], *, root: bool, expected: str) -> None:
    assert default_state(environment, is_system=root) == Path(expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[log]\nform = "xml"\n', "log.form"),
        ("[worker]\nslots = -1\n", "worker.slots"),
        ("[worker]\nslotz = 1\n", "did you mean worker.slots"),
        ("[media]\ninput_roots = 1\n", "media.input_roots"),
        ("[limits]\nnice = -5\n", "limits.nice"),
        ("[limits]\nmemory_bytes = 512\n", "limits.memory_bytes"),
    ],
)
def test_wrong_setting_is_named(tmp_path: Path, text: str, says: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text)
    with pytest.raises(SettingsError, match=says):
        read_settings(state=tmp_path, config=config, system=(), environment={})


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        read_settings(state=tmp_path, config=tmp_path / "gone.toml", system=(), environment={})

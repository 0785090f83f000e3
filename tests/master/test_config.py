"""The master's settings: where they are looked for and which do not go together."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ffrtmpd.base.settings import SettingsError
from ffrtmpd.broker.settings import Terms
from ffrtmpd.config import (
    ListenSection,
    Settings,
    advertised_host,
    broker_settings,
    default_home,
    endpoint,
    load_settings,
    local_host,
    places,
    sample_settings,
    scenario_files,
    settings_files,
)
from ffrtmpd.wire.vocabulary import Queue

SAMPLE = Path(__file__).parents[2] / "conf" / "ffrtmpd.toml"


def load_text(folder: Path, text: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    path = folder / "ffrtmpd.toml"
    path.write_text(text)
    return load_settings([path], overrides)


def test_sample_in_the_tree_is_up_to_date() -> None:
    assert SAMPLE.read_text() == sample_settings(), "write it anew: python -m ffrtmpd.config > conf/ffrtmpd.toml"


def test_sample_with_every_key_set_is_the_defaults(tmp_path: Path) -> None:
    lines = [
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in sample_settings().splitlines()
    ]
    assert load_text(tmp_path, "\n".join(lines)) == Settings()
    assert load_text(tmp_path, sample_settings()) == Settings()


def test_sample_sets_what_was_chosen() -> None:
    text = sample_settings({("cluster", "name"): "studio", ("listen", "workers_port"): 0})
    assert tomllib.loads(text) | {} == {
        "cluster": {"name": "studio"},
        "listen": {"workers_port": 0},
        "sessions": {"live": {}, "default": {}, "batch": {}},
        **{
            section: {}
            for section in ("store", "keys", "retries", "retention", "sla", "metrics", "log", "scenarios", "benchmarks")
        },
    }


def test_sample_refuses_a_key_that_is_not_there() -> None:
    with pytest.raises(KeyError, match="nam"):
        sample_settings({("cluster", "nam"): "studio"})


def test_later_file_wins_and_flags_win_over_all(tmp_path: Path) -> None:
    system, home = tmp_path / "etc", tmp_path / "home"
    (system / "ffrtmpd.d").mkdir(parents=True)
    home.mkdir()
    extra = tmp_path / "extra.toml"
    (system / "ffrtmpd.toml").write_text('[cluster]\nname = "a"\n[listen]\nworkers_port = 1\nclients_port = 1001\n')
    (system / "ffrtmpd.d" / "10.toml").write_text("[listen]\nworkers_port = 2\n")
    (system / "ffrtmpd.d" / "20.toml").write_text('[listen]\nworkers_port = 3\naddress = "*"\n')
    (home / "ffrtmpd.toml").write_text("[listen]\nworkers_port = 4\n")
    extra.write_text("[listen]\nworkers_port = 5\n")

    def port(config: Path | None, overrides: Mapping[str, Any] | None = None) -> int:
        return load_settings(settings_files(home, config, system=system), overrides).listen.workers_port

    assert port(None) == 4
    assert port(extra) == 5
    assert port(extra, {"listen": {"workers_port": 6}}) == 6
    settings = load_settings(settings_files(home, extra, system=system))
    assert (settings.cluster.name, settings.listen.address, settings.listen.clients_port) == ("a", "*", 1001)


def test_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.toml"):
        settings_files(tmp_path, tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[cluster]\nname = "two words"', "cluster.name"),
        ('[cluster]\nname = ".hidden"', "cluster.name"),
        ('[cluster]\nname = "a/b"', "cluster.name"),
        ('[listen]\naddress = "127.0.0.1:5570"', "listen.address.*without a port"),
        ('[listen]\naddress = "tcp://127.0.0.1"', "listen.address"),
        ('[listen]\nadvertise = "*"', "listen.advertise"),
        ("[listen]\nworkers_port = 5571", "both 5571"),
        ("[listen]\nworkers_port = 65536", "not within 0 to 65535"),
        ("[listen]\nworkers_prot = 1", "did you mean listen.workers_port"),
        ("[sessions]\nheartbeat_s = 0", "heartbeat_s"),
        ("[sessions]\nlost_after_s = 5.9", "lost_after_s = 5.9 is less than 3 heartbeats"),
        ("[sessions]\nfence_s = 5", "fence_s = 5 is less than 3 heartbeats"),
        ("[sessions]\ngive_away_s = 13.9", r"sessions.give_away_s = 13.9 is less than .*14 s\)"),
        ("[sessions]\nkill_grace_s = 4", r"give_away_s = 15 is less than .*16 s\)"),
        ("[sessions]\nfence_s = -1", "fence_s"),
        ("[sessions.live]\nfence_s = 5", "sessions.live.fence_s = 5 is less than 3 heartbeats"),
        (
            "[sessions.batch]\nfence_s = 30",
            r"sessions.batch.give_away_s = 15 is less than .* \(30 \+ 2 \+ 2 = 34 s\)",
        ),
        ("[sessions.live]\ngive_away_s = 13.9", r"sessions.live.give_away_s = 13.9 is less than .*14 s\)"),
        ("[sessions.live]\nfence = 5", "did you mean sessions.live.fence_s"),
        ("[retries]\nback_off_s = 301", "back_off_max_s"),
        ('[log]\nlevel = "warn"', "did you mean 'warning'"),
        ('[log]\nform = "xml"', "logfmt, json"),
        ("listen = 5", "expected a map"),
        ("[listen", "is not TOML"),
    ],
)
def test_setting_that_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load_text(tmp_path, text)


def test_fence_that_just_fits_is_taken(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "[sessions]\nfence_s = 6\nkill_grace_s = 0.5\ngive_away_s = 8.5\n")
    assert settings.sessions.give_away_s == 8.5


def test_queue_has_its_own_terms_and_the_common_ones_where_it_has_none(tmp_path: Path) -> None:
    text = (
        "[sessions]\ngive_away_s = 20\n[sessions.live]\nfence_s = 6\ngive_away_s = 10\n[sessions.batch]\nfence_s = 16\n"
    )
    told = broker_settings(load_text(tmp_path, text), version="9", server_public="k", workers_port=11, clients_port=12)
    assert told.terms(Queue.LIVE) == Terms(fence_s=6.0, give_away_s=10.0)
    assert told.terms(Queue.DEFAULT) == Terms(fence_s=10.0, give_away_s=20.0)
    assert told.terms(Queue.BATCH) == Terms(fence_s=16.0, give_away_s=20.0)
    assert told.longest == Terms(fence_s=16.0, give_away_s=20.0)


def test_home_folder_follows_variable_then_root_then_xdg() -> None:
    assert default_home({"FFRTMPD_HOME": "/srv/x", "XDG_DATA_HOME": "/d"}, is_system=True) == Path("/srv/x")
    assert default_home({"XDG_DATA_HOME": "/d"}, is_system=True) == Path("/var/lib/ffrtmp")
    assert default_home({"XDG_DATA_HOME": "/d"}, is_system=False) == Path("/d/ffrtmp/master")
    assert default_home({"XDG_DATA_HOME": "relative"}, is_system=False) == Path.home() / ".local/share/ffrtmp/master"


def test_paths_are_taken_from_the_home_folder_unless_absolute(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    settings = load_text(
        tmp_path, '[store]\npath = "/srv/db"\n[keys]\nfolder = "secret"\n[scenarios]\nfiles = ["mine.toml"]\n'
    )
    where = places(tmp_path, settings)
    assert where.database == Path("/srv/db")
    assert where.key_file == tmp_path / "secret/master.key"
    assert where.scenario_files == (tmp_path / "mine.toml",)
    assert where.endpoints_file == tmp_path / "run/endpoints.json"


def test_scenario_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = load_text(tmp_path, '[scenarios]\nfiles = ["none.toml"]\n')
    with pytest.raises(SettingsError, match=r"none\.toml"):
        places(tmp_path, settings)


def test_scenario_files_begin_with_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    files = scenario_files((own,), system=tmp_path)
    assert files[0].is_file()
    assert files[1:] == [tmp_path / "scenarios.toml", own]


@pytest.mark.parametrize(
    ("address", "reached"),
    [("*", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.7", "192.0.2.7"), ("::1", "::1")],
)
def test_machine_reaches_itself(address: str, reached: str) -> None:
    assert local_host(address) == reached


def test_endpoint_brackets_an_ipv6_address() -> None:
    assert endpoint("::1", 5) == "tcp://[::1]:5"
    assert endpoint("*", 5) == "tcp://*:5"


def test_invitations_name_a_host_that_others_can_reach() -> None:
    assert advertised_host(ListenSection(advertise="m.example", address="*")) == "m.example"
    assert advertised_host(ListenSection(address="192.0.2.7")) == "192.0.2.7"
    assert advertised_host(ListenSection(address="*")) not in ("*", "", "127.0.0.1")


def test_broker_is_told_the_settings_and_the_real_ports(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "[sessions]\nlost_after_s = 30\n[retries]\nloss_limit = 2\n")
    told = broker_settings(settings, version="9", server_public="k", workers_port=11, clients_port=12)
    assert (told.lost_after_s, told.loss_limit, told.version) == (30.0, 2, "9")
    assert (told.workers_port, told.clients_port) == (11, 12)
    assert (told.heartbeat_s, told.fence_s, told.give_away_s) == (2.0, 10.0, 15.0)

"""Which master is meant: flag, environment, the user's context, the host's."""

import stat
from pathlib import Path

import pytest

from ffrtmp_tui import contexts
from ffrtmp_tui.contexts import Context
from ffrtmp_tui.failures import Exit, Failure
from ffrtmpd.wire.curve import new_key_pair, write_key_file
from tests.tui.commands import Shell

KEY = new_key_pair().public


def table(name: str, master: str) -> str:
    return f'[contexts.{name}]\nmaster = "{master}"\nserver_key = "{KEY}"\nkey = "keys/{name}.key"\n'


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "config.toml").write_text(
        'current = "a"\n' + table("a", "tcp://a:1") + table("b", "tcp://b:2"), encoding="utf-8"
    )
    return {"FFRTMP_CONFIG_DIR": str(folder)}


def test_flag_wins_over_environment_over_context(environ: dict[str, str]) -> None:
    assert contexts.resolve(environ).master == "tcp://a:1"
    environ["FFMPEG_RTMP_MASTER"] = "older:3"
    assert contexts.resolve(environ).master == "tcp://older:3"
    environ["FFRTMP_MASTER"] = "tcp://environment:4"
    assert contexts.resolve(environ).master == "tcp://environment:4"
    assert contexts.resolve(environ, master="flag:5").master == "tcp://flag:5"


def test_context_is_chosen_by_flag_over_environment_over_current(environ: dict[str, str]) -> None:
    assert contexts.resolve(environ).name == "a"
    environ["FFRTMP_CONTEXT"] = "b"
    assert contexts.resolve(environ).name == "b"
    assert contexts.resolve(environ, context="a").name == "a"


def test_user_context_wins_over_the_host_one_which_is_used_without_it(environ: dict[str, str], tmp_path: Path) -> None:
    system = tmp_path / "etc" / "client.toml"
    system.parent.mkdir()
    system.write_text(table("a", "tcp://system:9") + table("host", "tcp://host:8"))
    assert contexts.resolve(environ, system=system).master == "tcp://a:1"
    found = contexts.resolve(environ, context="host", system=system)
    assert (found.master, found.key) == ("tcp://host:8", str(system.parent / "keys" / "host.key"))


def test_only_context_needs_no_choice(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(table("one", "h"))
    assert contexts.resolve({"FFRTMP_CONFIG_DIR": str(tmp_path)}).master == "tcp://h:5571"


def test_no_context_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no master is known") as raised:
        contexts.resolve({"FFRTMP_CONFIG_DIR": str(tmp_path)}, system=tmp_path / "none")
    assert raised.value.exit_code == Exit.USAGE
    assert "ffrtmp join" in (raised.value.hint or "")


def test_unknown_context_names_those_there_are(environ: dict[str, str]) -> None:
    with pytest.raises(Failure, match="no context 'c'") as raised:
        contexts.resolve(environ, context="c")
    assert raised.value.hint == "known: a, b"


def test_folder_is_found_by_variable_then_xdg_then_home() -> None:
    every = {"FFRTMP_CONFIG_DIR": "/f", "XDG_CONFIG_HOME": "/x", "HOME": "/h"}
    assert contexts.config_folder(every) == Path("/f")
    assert contexts.config_folder({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path("/x/ffrtmp")
    assert contexts.config_folder({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}) == Path("/h/.config/ffrtmp")
    assert contexts.config_folder({"HOME": "/h"}) == Path("/h/.config/ffrtmp")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("current = \n", "is not TOML"),
        ("contexts = 3\n", "must be tables"),
        ('[contexts.a]\nmaster = "x"\n', r"contexts\.a\.server_key is missing"),
        ('[contexts.a]\nmaster = "x"\nserver_key = "short"\nkey = "k"\n', "no key of 40"),
    ],
)
def test_damaged_settings_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(Failure, match=said) as raised:
        contexts.resolve({"FFRTMP_CONFIG_DIR": str(tmp_path)})
    assert raised.value.exit_code == Exit.FAILED


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.key"
    write_key_file(path, new_key_pair())
    path.chmod(0o644)
    with pytest.raises(Failure, match="chmod 600"):
        Context(name="a", master="tcp://a:1", server_key=KEY, key=str(path)).key_pair()


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("host", "tcp://host:5571"),
        ("host:7", "tcp://host:7"),
        ("tcp://host:7/", "tcp://host:7"),
        ("[::1]", "tcp://[::1]:5571"),
        ("[::1]:7", "tcp://[::1]:7"),
    ],
)
def test_address_is_completed(address: str, endpoint: str) -> None:
    assert contexts.endpoint(address) == endpoint


@pytest.mark.parametrize("address", ["https://host:8080", "", "tcp://", "tcp://host/path"])
def test_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(Failure, match="no address of a master"):
        contexts.endpoint(address)


def test_added_context_becomes_current_once_and_comments_live_on(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    first = Context(name="one", master="tcp://h:1", server_key=KEY, key=str(folder / "keys" / "one.key"))
    second = Context(name="t.wo", master="tcp://h:2", server_key=KEY, key="/elsewhere/two.key")
    assert contexts.add_context(folder, first)
    path = folder / "config.toml"
    path.write_text("# mine\n" + path.read_text())
    assert not contexts.add_context(folder, second)
    assert path.read_text().startswith("# mine\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    environ = {"FFRTMP_CONFIG_DIR": str(folder)}
    assert contexts.resolve(environ) == first
    assert contexts.resolve(environ, context="t.wo") == second
    with pytest.raises(Failure, match="already") as raised:
        contexts.add_context(folder, first)
    assert raised.value.exit_code == Exit.CONFLICT
    assert contexts.context_names(folder) == ["one", "t.wo"]


# ── choosing one ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('# mine\ncurrent = "a" # old\n\n[contexts.a]\nx = 1\n', '# mine\ncurrent = "b"\n\n[contexts.a]\nx = 1\n'),
        ('[contexts.a]\ncurrent = "no"\n', 'current = "b"\n\n[contexts.a]\ncurrent = "no"\n'),
        ("", 'current = "b"\n'),
    ],
)
def test_current_context_is_changed_and_the_rest_stays(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    contexts.use(tmp_path, "b")
    assert (tmp_path / "config.toml").read_text() == expected


def test_contexts_are_listed_and_chosen(shell: Shell, environ: dict[str, str]) -> None:
    shell.environ = environ
    told = shell("context", "list", "-o", "json").json["contexts"]
    assert [(known["name"], known["current"], known["master"]) for known in told] == [
        ("a", True, "tcp://a:1"),
        ("b", False, "tcp://b:2"),
    ]
    assert shell("context", "use", "b").out == "✓ Context b is the current one\n"
    assert contexts.resolve(environ).name == "b"
    assert shell("context", "list").out.splitlines()[2].split()[:2] == ["*", "b"]
    environ["FFRTMP_CONTEXT"] = "b"
    assert "FFRTMP_CONTEXT is b and goes before it" in shell("context", "use", "a").err
    ended = shell("context", "use", "bb")
    assert (ended.code, ended.out) == (3, "")
    assert "did you mean 'b'" in ended.err


def test_no_context_is_no_error_of_the_list(shell: Shell) -> None:
    ended = shell("context", "list")
    assert ended.code == 0
    assert "none yet" in ended.err


# ── the form of the output ────────────────────────────────────────────────────────────────────────────────────────


def test_form_is_told_by_flag_then_environment_then_context(shell: Shell, environ: dict[str, str]) -> None:
    shell.environ.update(environ)
    file = Path(environ["FFRTMP_CONFIG_DIR"]) / "config.toml"
    file.write_text(file.read_text().replace('master = "tcp://b:2"', 'output = "name"\nmaster = "tcp://b:2"'))
    words = ("context", "list")
    assert shell(*words).out.startswith("Current  Context")
    shell.environ["FFRTMP_CONTEXT"] = "b"
    assert shell(*words).out == "a\nb\n"
    shell.environ["FFRTMP_OUTPUT"] = "json"
    assert [known["name"] for known in shell(*words).json["contexts"]] == ["a", "b"]
    assert shell(*words, "-o", "csv").out.startswith("current,name")
    assert shell(*words, "-q").out == "a\nb\n"


def test_form_of_the_context_is_that_of_errors_too(shell: Shell, environ: dict[str, str]) -> None:
    shell.environ.update(environ)
    file = Path(environ["FFRTMP_CONFIG_DIR"]) / "config.toml"
    file.write_text(file.read_text() + 'output = "json"\n')
    for words in ("jobs frobnicate", "jobs list --wrong", "context use nobody"):
        assert shell(*words.split()).err.startswith("error: "), words
        assert shell(*words.split(), "--context", "b").err.startswith('{"error": '), words
        assert shell(*words.split(), "--context", "b", "-o", "table").err.startswith("error: "), words


def test_form_that_a_context_cannot_mean_is_named_with_its_place(shell: Shell, environ: dict[str, str]) -> None:
    shell.environ.update(environ)
    file = Path(environ["FFRTMP_CONFIG_DIR"]) / "config.toml"
    for value, said in (('"jsn"', "contexts.b.output: 'jsn' is not one of"), ("5", "contexts.b.output: 5 is not")):
        file.write_text(f"{file.read_text().partition('output')[0]}output = {value}\n")
        ended = shell("context", "list", "--context", "b")
        assert (ended.code, ended.out) == (2, "")
        assert f"{file}: {said}" in ended.err
        assert shell("context", "list", "--context", "b", "-o", "name").code == 0

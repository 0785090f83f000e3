"""Settings files: read strictly, documented by their own annotations."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from ffrtmpd.base.settings import SettingsError, load, sample
from ffrtmpd.wire.schema import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    address: Annotated[str, "address to bind"] = "127.0.0.1"
    port: Annotated[int, "port, 0 for any", Range(0, 65_535)] = 5571
    tags: Annotated[tuple[str, ...], "words"] = ("a", "b")
    key: Annotated[str | None, "key file"] = None
    beat_s: Annotated[float, "seconds"] = 2.0
    loud: Annotated[bool, "say more"] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    listen: Annotated[Listen, "where to listen"] = field(default_factory=Listen)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_no_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(Settings, [tmp_path / "none.toml"]) == Settings()


def test_later_files_and_overrides_win_key_by_key(tmp_path: Path) -> None:
    first = write(tmp_path / "a.toml", '[listen]\nport = 1\naddress = "a"\n')
    folder = tmp_path / "conf.d"
    folder.mkdir()
    write(folder / "20.toml", "[listen]\nport = 3\n")
    write(folder / "10.toml", '[listen]\nport = 2\nkey = "k"\n')
    loaded = load(Settings, [first, folder], {"listen": {"beat_s": 1}})
    assert loaded.listen == Listen(address="a", port=3, key="k", beat_s=1.0)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[listen]\nprot = 1\n", r"unknown key listen\.prot; did you mean listen\.port\?"),
        ("[lisen]\n", r"unknown key lisen; did you mean listen\?"),
        ("[listen]\nzzz = 1\n", "known: address"),
        ("[listen]\nport = 70000\n", "70000 is not within 0 to 65535"),
        ('[listen]\nport = "x"\n', r"listen\.port: expected a whole number"),
        ("listen = 3\n", "listen: expected a map"),
        ("[listen\n", "is not TOML"),
    ],
)
def test_bad_file_is_refused_and_named(tmp_path: Path, text: str, match: str) -> None:
    path = write(tmp_path / "s.toml", text)
    with pytest.raises(SettingsError, match=match) as caught:
        load(Settings, [path])
    assert str(path) in str(caught.value)


def test_sample_documents_every_key_and_uncommented_means_the_defaults(tmp_path: Path) -> None:
    text = sample(Settings, "A title\nof two lines")
    assert text.startswith("# A title\n# of two lines\n")
    assert "# Address to bind." in text
    keys = [line.removeprefix("# ") for line in text.splitlines() if " =" in line]
    assert [key.split(" =")[0] for key in keys] == ["address", "port", "tags", "key", "beat_s", "loud"]
    bare = "\n".join(["[listen]", *(key for key in keys if not key.endswith("="))])
    assert tomllib.loads(text) == {"listen": {}}
    assert load(Settings, [write(tmp_path / "s.toml", bare)]) == Settings()

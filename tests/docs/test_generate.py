"""The documents say what the code says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name",
    [
        "architecture.md",
        "protocol.md",
        "commands.md",
        "ffrtmpd.toml",
        "worker.toml",
        "ffrtmp",
        "_ffrtmp",
        "ffrtmp.fish",
    ],
)
def test_what_is_generated_is_up_to_date(name: str) -> None:
    ((path, text),) = [(path, text) for path, text in generator().generated().items() if path.name == name]
    assert path.read_text() == text, "run make docs"


def test_man_pages_are_up_to_date() -> None:
    stale = [
        path.name for path, text in generator().generated().items() if path.suffix == ".1" and path.read_text() != text
    ]
    assert stale == [], "run make docs"

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


@pytest.mark.parametrize("name", ["architecture.md", "protocol.md", "ffrtmpd.toml", "worker.toml"])
def test_what_is_generated_is_up_to_date(name: str) -> None:
    ((path, text),) = [(path, text) for path, text in generator().generated().items() if path.name == name]
    assert path.read_text() == text, "run make docs"

"""The documents say what the code says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BOARDS = ("overview", "scheduler", "workers", "quality", "energy")


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
        "monitoring.md",
        "commands.md",
        "ffrtmpd.toml",
        "worker.toml",
        "ffrtmp",
        "_ffrtmp",
        "ffrtmp.fish",
        *(f"{name}.json" for name in BOARDS),
    ],
)
def test_what_is_generated_is_up_to_date(name: str) -> None:
    ((path, text),) = [(path, text) for path, text in generator().generated().items() if path.name == name]
    assert path.read_text() == text, "run make docs"


def test_every_alert_is_explained() -> None:
    alerts = re.findall(r"^ +- alert: (\w+)$", (DOCS.parent / "conf/prometheus/alerts.yml").read_text(), re.MULTILINE)
    told = re.findall(r"^\| (Ffrtmp\w+) \|", (DOCS / "monitoring.md").read_text(), re.MULTILINE)
    assert told == alerts
    assert len(set(alerts)) >= 11


def test_man_pages_are_up_to_date() -> None:
    stale = [
        path.name for path, text in generator().generated().items() if path.suffix == ".1" and path.read_text() != text
    ]
    assert stale == [], "run make docs"

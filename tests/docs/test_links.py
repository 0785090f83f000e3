"""Whatever the documents point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def links(text: str) -> list[str]:
    """Return the targets in a page, those outside this repository left out."""
    return [target for target in LINK.findall(CODE.sub("", text)) if "://" not in target]


def anchors(text: str) -> set[str]:
    """Return the names under which the headings of a page are found, as code hosts make them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(CODE.sub("", text))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_something(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = []
    for target in links(text):
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        there = found.exists()
        if there and anchor and found.suffix == ".md":
            there = anchor in anchors(found.read_text(encoding="utf-8"))
        if not there:
            missing.append(target)
    assert missing == []


def test_the_readme_has_links_to_check() -> None:
    assert len(links((ROOT / "README.md").read_text(encoding="utf-8"))) >= 5

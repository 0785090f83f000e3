"""The picture of the console: cells of a terminal to SVG, and the one that is kept."""

import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

pyte = pytest.importorskip("pyte")

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"


def artist() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_picture", DOCS / "picture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(*lines: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return the texts and the grounds of a screen on which lines were written."""
    screen = pyte.Screen(20, len(lines))
    pyte.Stream(screen).feed("\r\n".join(lines))
    root = ElementTree.fromstring(artist().svg(screen))  # noqa: S314 - our own
    texts = [{**text.attrib, "says": text.text or ""} for text in root.iter(f"{SVG}text")]
    # The first is the ground of all.
    return texts, [rect.attrib for rect in root.iter(f"{SVG}rect")][1:]


def test_each_run_of_a_look_is_held_to_its_cells() -> None:
    texts, grounds = drawn("ab\x1b[31mcd\x1b[0m  <&>", "\x1b[1m  bold")
    assert [text["says"] for text in texts] == ["ab", "cd", "<&>", "bold"]
    place = {text["says"]: float(text["x"]) for text in texts}
    cell = float(texts[0]["textLength"]) / 2
    assert place["cd"] - place["ab"] == pytest.approx(2 * cell)
    assert place["<&>"] - place["ab"] == pytest.approx(6 * cell)
    assert place["bold"] - place["ab"] == pytest.approx(2 * cell)
    assert float(texts[0]["y"]) < float(texts[3]["y"])
    assert [text.get("font-weight") for text in texts] == [None, None, None, "bold"]
    assert grounds == []


def test_colours_are_those_of_the_terminal_by_name_by_rgb_and_turned_around() -> None:
    texts, grounds = drawn("\x1b[38;2;1;2;255mx\x1b[0m", "\x1b[7my \x1b[0m", "\x1b[92;44mz")
    assert [text["fill"] for text in texts] == ["#0102ff", artist().GROUND, artist().NAMED["green"]]
    assert [ground["fill"] for ground in grounds] == [artist().TEXT, artist().NAMED["blue"]]
    # A ground is as wide as its blanks too.
    assert float(grounds[0]["width"]) == pytest.approx(2 * float(texts[1]["textLength"]))


def test_the_picture_that_is_kept_shows_a_cluster_at_work() -> None:
    root = ElementTree.parse(DOCS / "console.svg").getroot()  # noqa: S314 - our own
    shown = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    for words in ("ffrtmp prod", "ONLINE", "processing", "completed", "failed", "gpu_required", "libx264", "w-01"):
        assert words in shown

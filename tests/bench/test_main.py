from pathlib import Path

import pytest

from tests.bench.__main__ import BEGIN, END, main, written

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("arguments", [["speed"], ["--peers", "resque"]])
def test_what_is_not_known_is_refused_before_anything_is_measured(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_table_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    written(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_page_without_a_place_stays_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no"):
        written(page, "new")
    assert page.read_text() == "nothing\n"


def test_the_page_of_the_tree_has_a_place() -> None:
    text = (ROOT / "docs/performance.md").read_text()
    assert text.index(BEGIN) < text.index(END)

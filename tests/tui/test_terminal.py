import os

import pytest

from ffrtmp_tui.terminal import columns


@pytest.mark.parametrize(("told", "width"), [("200", 200), ("", 80), ("0", 80), ("wide", 80)])
def test_width_is_told_by_the_environment_or_80_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, told: str, width: int
) -> None:
    def no_terminal(descriptor: int = 1) -> os.terminal_size:
        raise OSError

    monkeypatch.setattr(os, "get_terminal_size", no_terminal)
    monkeypatch.setenv("COLUMNS", told)
    assert columns() == width

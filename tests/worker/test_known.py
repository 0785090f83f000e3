"""Sums that are remembered: true as long as the file is the same."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ffrtmp_worker.known import KEPT, SETTLED_S, Sums


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"one")
    return path


def later(path: Path, seconds: float = SETTLED_S + 1) -> Sums:
    """Return sums whose clock is so long after the last change of ``path``."""
    changed_s = path.stat().st_ctime
    return Sums(lambda: changed_s + seconds)


def test_sum_of_a_file_that_lay_still_is_known_from_then_on(source: Path) -> None:
    sums = later(source)
    assert sums.known(str(source)) is None
    sums.remember(sums.see(str(source)), "f" * 64)
    assert sums.known(str(source)) == "f" * 64


def replace_it(path: Path) -> None:
    other = path.with_name("b.mkv")
    other.write_bytes(b"two")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


def rewrite(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"two")
    # A copy that keeps times.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [replace_it, rewrite, Path.unlink])
def test_sum_of_another_file_is_not(source: Path, change: Callable[[Path], None]) -> None:
    sums = later(source)
    before = sums.see(str(source))
    sums.remember(before, "f" * 64)
    change(source)
    assert sums.known(str(source)) is None
    sums.remember(before, "f" * 64)
    assert sums.known(str(source)) is None


def test_file_that_changed_just_now_may_change_unseen(source: Path) -> None:
    sums = later(source, 1.0)
    sums.remember(sums.see(str(source)), "f" * 64)
    assert sums.known(str(source)) is None


def test_file_that_is_not_there_is_nothing_to_remember(tmp_path: Path) -> None:
    sums = Sums()
    sums.remember(sums.see(str(tmp_path / "gone")), "f" * 64)
    assert sums.known(str(tmp_path / "gone")) is None


def test_memory_is_bounded(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(KEPT + 1)]
    for path in paths:
        path.touch()
    sums = later(paths[-1])
    for path in paths:
        sums.remember(sums.see(str(path)), path.name)
    assert [sums.known(str(path)) for path in (paths[0], paths[1], paths[-1])] == [None, "1", str(KEPT)]

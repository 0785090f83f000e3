"""A cluster for the tests of a module, and what they need of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ffrtmp_worker.tools import ToolError, find_tools
from tests.e2e.cluster import Cluster, cluster
from tests.needs import need


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Return the ffmpeg that workers use."""
    try:
        return find_tools().ffmpeg
    except ToolError as error:
        need(str(error))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Iterator[Cluster]:
    """Give a master and two workers of one slot each."""
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        running.start_master()
        running.worker("w1")
        running.worker("w2")
        yield running


@pytest.fixture
def lone(tmp_path: Path, ffmpeg: str) -> Iterator[Cluster]:
    """Give a master without workers, of one test's own."""
    with cluster(tmp_path) as running:
        running.start_master()
        yield running

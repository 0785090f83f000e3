"""What a test needs of the machine: without it the test is skipped, or fails where everything must run."""

import importlib
import os
import shutil
from types import ModuleType
from typing import NoReturn

import pytest

from ffrtmp_worker.scorer import Scorer
from ffrtmp_worker.scorers import VMAF, find_scorer
from ffrtmp_worker.tools import ToolError, find_tools


def need(what: str) -> NoReturn:
    """Skip the test because something is missing; fail it if FFRTMP_REQUIRE_ALL says that nothing may be."""
    if os.environ.get("FFRTMP_REQUIRE_ALL") == "1":
        pytest.fail(f"missing, and FFRTMP_REQUIRE_ALL is set: {what}")
    pytest.skip(what)


def program(name: str) -> str:
    """Return the path of an installed program."""
    return shutil.which(name) or need(f"{name} is not installed")


def module(name: str) -> ModuleType:
    """Return an optional module."""
    try:
        return importlib.import_module(name)
    except ImportError:
        need(f"the Python package {name} is not installed")


def libvmaf() -> Scorer:
    """Return an ffmpeg that scores VMAF."""
    try:
        found = find_scorer(find_tools())
    except ToolError as error:
        need(str(error))
    if found is None or VMAF not in found.measures:
        need("no ffmpeg here has libvmaf: pip install 'imageio-ffmpeg>=0.8'")
    return found

"""The manual has every command, and roff has nothing to say against it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from docs import daemon_manual
from ffrtmp_tui import manual
from ffrtmp_tui.command import NOUNS

MAN = Path(__file__).parents[2] / "docs" / "man"


def test_pages_are_those_of_the_commands_and_no_others() -> None:
    assert {path.name for path in MAN.iterdir()} == {*manual.pages(), *daemon_manual.pages()}
    assert set(manual.pages()) == {"ffrtmp.1", *(f"ffrtmp-{name}.1" for name in NOUNS)}


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not here: apt install groff-base")
def test_groff_shows_every_page_without_a_warning() -> None:
    for path in sorted(MAN.iterdir()):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", "-K", "utf8", path], capture_output=True, text=True, check=True
        )
        assert done.stderr == "", path.name


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not here: apt install groff-base")
def test_page_shows_what_the_tables_say() -> None:
    command = ["groff", "-man", "-Tascii", "-P-c", "-P-b", "-P-u", str(MAN / "ffrtmp-jobs.1")]
    shown = " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    for text in (
        "ffrtmp jobs status ID [options]",
        "--wait-timeout TIME give up waiting after it (exit code 7); the job goes on",
        "<job id>.mp4 in the node's folder",
        "ffrtmp jobs submit -f night.csv --queue batch -q > ids",
    ):
        assert text in shown

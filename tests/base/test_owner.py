"""Root in a folder of another user."""

import os
import subprocess
import sys
from pathlib import Path

from ffrtmpd.base.owner import is_own, other_owner
from tests.needs import need

# Debian's nobody and nogroup.
NOBODY = 65_534
BECOME = """
import os, sys
from pathlib import Path
from ffrtmpd.base.owner import become_owner
become_owner(Path(sys.argv[1]))
print(os.getresuid(), os.getresgid(), os.getgroups())
"""


def become(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BECOME, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout.strip()


def test_root_becomes_the_owner_for_good(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        need("only root can become somebody else")
    os.chown(tmp_path, NOBODY, NOBODY)
    assert other_owner(tmp_path) == "nobody"
    assert not is_own(tmp_path)
    three = (NOBODY, NOBODY, NOBODY)
    assert become(tmp_path) == f"{three} {three} [{NOBODY}]"


def test_nothing_happens_in_an_own_folder_or_where_there_is_none(tmp_path: Path) -> None:
    assert other_owner(tmp_path) is None
    assert is_own(tmp_path)
    before = f"{os.getresuid()} {os.getresgid()} "
    assert become(tmp_path).startswith(before)
    assert become(tmp_path / "not there").startswith(before)
    assert not is_own(tmp_path / "not there")

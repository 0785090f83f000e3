"""``ffrtmpd backup FILE``: copies the database, whether a master runs or not, and says what is in the copy."""

from pathlib import Path
from typing import Final

from ffrtmpd.store import backup

EXAMPLES: Final = """\
examples:
  ffrtmpd backup /backup/master-$(date +%F).db
  ffrtmpd backup --home /var/lib/ffrtmp /mnt/nas/ffrtmp.db

The master goes on meanwhile; the copy is the database as it was at one moment, checked, on disk, and readable by you
alone. It holds jobs, nodes and public keys, but not the master's own key: keep keys/master.key too, once.

To restore: stop ffrtmpd, remove master.db-wal and master.db-shm, put the copy in the place of master.db, start ffrtmpd.
docs/operations.md tells more.

exit codes: 0 copied, 73 the copy cannot be written there, 78 there is no database or it is damaged
"""


def run(database: Path, target: Path) -> str:
    """Copy ``database`` to the new file ``target`` and return a line that says so.

    Raises:
        BackupTargetError: the copy cannot be written.
        StoreError: there is no database, or it is damaged.
    """
    backup(database, target)
    return f"copied {database} to {target} ({target.stat().st_size} bytes, checked)"

"""`ffrtmp backup`: how the master's database is copied. The copy is made on the master's host, by its own program."""

from typing import Final

from ffrtmp_tui.command import Noun, Verb
from ffrtmp_tui.failures import Exit
from ffrtmp_tui.fit import Column
from ffrtmp_tui.run import Run

HOW: Final = """\
On the master's host, as the user that ffrtmpd runs as:

  ffrtmpd backup /backup/master-$(date +%F).db

The master goes on meanwhile. The copy is the database as it was at one moment, checked, and readable by you alone. It
holds jobs, nodes and public keys, but not the master's own key: keep keys/master.key too, once.

`ffrtmpd backup --help` says how to restore it.
"""
_COLUMNS: Final = (Column(title="Command", name="command", get=lambda row: row["command"]),)


def tell(run: Run) -> int:
    """Say how it is done."""
    row = {"command": "ffrtmpd backup FILE"}
    run.show_one(row, name=row["command"], people=lambda: HOW, columns=_COLUMNS, row=row)
    return Exit.OK


NOUN: Final = Noun(
    name="backup",
    help="tell how the master's database is copied",
    verbs=(
        Verb(
            name="",
            help="tell how the master's database is copied while it runs, and restored",
            run=tell,
            examples=(("ffrtmp backup", "what to type, and where"),),
        ),
    ),
)

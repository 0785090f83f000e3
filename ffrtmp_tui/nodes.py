"""`ffrtmp nodes`: the table of its verbs and their arguments."""

from typing import Any, Final

from ffrtmp_tui import node_verbs, units
from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmpd.wire.vocabulary import NodeSortKey

_NODE: Final = Argument(names=("node",), metavar="NODE", help="node id, or a beginning that no other has", kind="node")
_MANY: Final = Argument(
    names=("node",),
    metavar="NODE",
    help="node ids, or beginnings that no other has, with blanks or commas between them",
    many=True,
    optional=True,
    kind="node",
)
_WHOLE: Final = Argument(
    names=("node",),
    metavar="NODE",
    help="node ids, in full, with blanks or commas between them",
    many=True,
    optional=True,
    kind="node",
)
_YES: Final = Argument(names=("--yes", "-y"), help="do not ask before acting on a filter", flag=True)


def _filter(meant: str) -> Argument:
    return Argument(
        names=("--filter",),
        metavar="FILTER",
        many=True,
        kind="node filter",
        help=f"all {meant} that fit, in place of ids: 'engine:gstreamer gpu:yes rack-2'",
    )


def _sort(text: str) -> dict[str, Any]:
    from ffrtmp_tui.filters import node_order

    return node_order(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise ValueError(f"{text!r} is no whole number from 1 to 10000")
    return int(text)


NOUN: Final = Noun(
    name="nodes",
    help="list, describe, drain and remove the nodes that encode",
    verbs=(
        Verb(
            name="list",
            help="list the enrolled nodes",
            run=node_verbs.list_nodes,
            arguments=(
                Argument(
                    names=("--filter",),
                    metavar="FILTER",
                    many=True,
                    kind="node filter",
                    help="only what fits all terms: status:, encoder:, engine:, gpu:yes, and a bare word for a part of "
                    "name or address",
                ),
                Argument(
                    names=("--sort",),
                    metavar="KEY[:desc]",
                    convert=_sort,
                    kind="node order",
                    help="by " + ", ".join(NodeSortKey),
                ),
                Argument(names=("--limit",), metavar="N", convert=_count, help="nodes at most"),
            ),
            examples=(
                ("ffrtmp nodes list --filter status:offline", "who is missing"),
                ("ffrtmp nodes list --sort load:desc --limit 5", "the busiest"),
                ("ffrtmp nodes list -o wide", "with slots and encoders"),
                ("ffrtmp nodes list -o csv", "for a spreadsheet"),
            ),
        ),
        Verb(
            name="describe",
            help="show everything about a node",
            run=node_verbs.describe,
            arguments=(_NODE,),
            examples=(("ffrtmp nodes describe worker-1", "hardware, load and jobs of one node"),),
        ),
        Verb(
            name="drain",
            help="give nodes no more jobs; what they run may finish",
            run=node_verbs.drain,
            arguments=(
                _MANY,
                _filter("nodes"),
                _YES,
                Argument(
                    names=("--deadline",),
                    metavar="TIME",
                    convert=units.duration,
                    help="after so long, what it still runs is given to others",
                ),
            ),
            examples=(
                ("ffrtmp nodes drain worker-1", "before maintenance"),
                ("ffrtmp nodes drain worker-1 worker-2 --deadline 30m", "that cannot wait for ever"),
                ("ffrtmp nodes drain --filter rack-2 --yes", "all whose name or address has it"),
            ),
        ),
        Verb(
            name="undrain",
            help="let nodes take jobs again",
            run=node_verbs.undrain,
            arguments=(_MANY, _filter("draining nodes"), _YES),
            examples=(
                ("ffrtmp nodes undrain worker-1", "after maintenance"),
                ("ffrtmp nodes undrain --filter rack-2 --yes", "all of them"),
            ),
        ),
        Verb(
            name="remove",
            help="forget nodes that are offline, refuse their keys, and give what they hold to others",
            run=node_verbs.remove,
            arguments=(_WHOLE, _filter("offline nodes"), _YES),
            examples=(
                ("ffrtmp nodes remove worker-1", "a machine that is gone for good"),
                ("ffrtmp nodes remove --filter rack-2", "all of a rack that is, once you have said yes"),
            ),
        ),
    ),
)

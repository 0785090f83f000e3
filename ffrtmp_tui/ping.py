"""`ffrtmp ping`: is the master there, and who am I to it?"""

from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.command import Noun, Verb
from ffrtmp_tui.failures import Exit
from ffrtmp_tui.fit import Column
from ffrtmp_tui.link import new_id
from ffrtmp_tui.render import sheet
from ffrtmp_tui.run import Run
from ffrtmpd.wire.messages.common import Ping, Pong
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import to_full


@record
class Answer:
    """What the master answered, from where, and how long it took: connecting, greeting and one question."""

    master: str
    pong: Pong
    round_trip_s: float


PING_COLUMNS: Final = (
    Column(title="Master", name="master", get=lambda answer: answer.master),
    Column(title="Cluster", name="cluster", get=lambda answer: answer.pong.cluster),
    Column(title="Version", name="master_version", get=lambda answer: answer.pong.version),
    Column(title="Epoch", name="epoch", get=lambda answer: answer.pong.epoch),
    Column(title="Up", name="uptime_s", get=lambda answer: answer.pong.uptime_s, show=units.duration_text),
    Column(title="You Are", name="principal", get=lambda answer: answer.pong.principal),
    Column(title="Role", name="role", get=lambda answer: answer.pong.role),
    Column(title="Workers Port", name="workers_port", get=lambda answer: answer.pong.workers_port),
    Column(
        title="Round Trip",
        name="round_trip_s",
        get=lambda answer: answer.round_trip_s,
        show=lambda seconds: f"{seconds * 1000:.1f} ms",
    ),
)


def ping(run: Run) -> int:
    """Ask and show the answer."""
    link = run.link
    begun = run.clock()
    pong = run.ask(Ping(request_id=new_id()), Pong)
    answer = Answer(master=link.endpoint, pong=pong, round_trip_s=run.clock() - begun)
    # "version" in our JSON is that of its form.
    known = {("master_version" if name == "version" else name): value for name, value in to_full(pong).items()}
    del known["request_id"]
    run.show_one(
        {"master": answer.master, **known, "round_trip_s": answer.round_trip_s},
        name=pong.cluster,
        people=lambda: sheet(
            [(column.title, column.show(column.get(answer))) for column in PING_COLUMNS],
            box=run.terminal.out_shows,
            unicode=run.terminal.unicode,
            room=run.terminal.room,
        ),
        columns=PING_COLUMNS,
        row=answer,
    )
    return Exit.OK


NOUN: Final = Noun(
    name="ping",
    help="ask the master who it is and who you are",
    verbs=(
        Verb(
            name="",
            help="ask the master who it is and who you are",
            run=ping,
            examples=(("ffrtmp ping", "is the master there?"), ("ffrtmp ping -o json", "for a script")),
        ),
    ),
)
